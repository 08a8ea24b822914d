"""The audit log: who had what done to the running system, and what came of it."""

from django.conf import settings
from django.db import models


class AuditEntry(models.Model):
    """One operation that somebody asked for, with its outcome. Written by `control.operations` alone."""

    class State(models.TextChoices):
        """What came of it."""

        ASKED = "asked", "Asked"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        UNANSWERED = "unanswered", "Unanswered"

    class Via(models.TextChoices):
        """The way it was asked for."""

        BROWSER = "browser", "Browser"
        API = "api", "API"
        COMMAND = "command", "Command line"

    at = models.DateTimeField(auto_now_add=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    username = models.CharField(max_length=150, help_text="As it was then; the user may be gone.")
    via = models.CharField(max_length=10, choices=Via)
    address = models.CharField(max_length=45, blank=True, help_text="The client's.")
    operation = models.CharField(max_length=60, help_text="Such as listener.stop.")
    target = models.CharField(max_length=200, blank=True, help_text="What it was done to.")
    parameters = models.JSONField(default=dict)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    result = models.TextField(blank=True, help_text="What the component answered, in words.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "audit log"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["operation", "id"], name="audit_operation"),
            models.Index(fields=["user", "id"], name="audit_user"),
        ]
        permissions = [
            ("view_system", "Can see the health of the system"),
            ("run_listener", "Can start, stop, restart and configure the listener"),
            ("run_workers", "Can scale and restart workers"),
            ("purge_queue", "Can purge queues"),
            ("switch_scanner", "Can switch scanners on and off"),
            ("reload_reference", "Can reload reference data"),
            ("clear_cache", "Can clear parts of the cache"),
            ("drain_web", "Can drain web processes"),
            ("set_log_level", "Can set log levels"),
        ]

    def __str__(self) -> str:
        return f"{self.username}: {self.operation} {self.target}".rstrip()
