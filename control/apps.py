from django.apps import AppConfig
from django.db.models.signals import m2m_changed, post_migrate


class ControlConfig(AppConfig):
    name = "control"
    verbose_name = "Tapewatch"

    def ready(self) -> None:
        """Keep roles true to their words, wherever groups are changed."""
        from django.contrib.auth.models import User

        from control import roles

        m2m_changed.connect(roles.let_into_the_admin, sender=User.groups.through)
        # After the permissions of all apps were made: ours is the last of them.
        post_migrate.connect(roles.let_administrators_do_everything, sender=self)
