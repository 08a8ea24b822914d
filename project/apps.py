from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "project"

    def ready(self) -> None:
        # The checks register themselves, and tasks find the application wherever Django runs.
        from project import celery, checks, job_context, logs  # noqa: F401

        logs.log_what_is_printed()
