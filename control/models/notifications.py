"""Where alerts are sent to beside the page, and what became of each."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from control.models.secret_text import SecretTextField

_TAKEN = "There is a target of this name."


class NotificationTarget(models.Model):
    """An address that apprise delivers to: mail, Telegram, Discord, Slack, a webhook. Its secret is encrypted."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="notification_targets",
        help_text="Empty: for the scanners of everyone.",
    )
    name = models.CharField(max_length=100, help_text="What scanners name it by.")
    url = SecretTextField(help_text="An address of apprise, such as tgram://token/chat or mailtos://….")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_sent_at = models.DateTimeField(null=True, editable=False)
    last_error = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="target_of_owner", violation_error_message=_TAKEN),
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(owner__isnull=True),
                name="target_of_everyone",
                violation_error_message=_TAKEN,
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def reached(cls) -> "models.QuerySet[NotificationTarget]":
        """Those that are switched on, and whose owners are."""
        return cls.objects.filter(models.Q(owner__isnull=True) | models.Q(owner__is_active=True), enabled=True)

    def clean(self) -> None:
        """Refuse an address that leads nowhere, or where none may."""
        # apprise with it: only when one is edited.
        from control.notifications.addresses import BadAddress, check_way, service_of

        kept = type(self).objects.filter(pk=self.pk).values_list("url", flat=True).first()
        if self.url and self.url == kept:
            # Whose host is gone meanwhile can still be renamed and switched off.
            return
        try:
            check_way(service_of(self.url or ""))
        except BadAddress as error:
            raise ValidationError({"url": str(error)}) from error


class NotificationDelivery(models.Model):
    """One alert on its way to one target."""

    class State(models.TextChoices):
        """How far it is."""

        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        GIVEN_UP = "given_up", "Given up"

    target = models.ForeignKey(NotificationTarget, on_delete=models.CASCADE, related_name="deliveries")
    alert = models.ForeignKey("control.Alert", on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(help_text="Not tried before.")
    error = models.CharField(max_length=500, blank=True, help_text="Of the last attempt.")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        verbose_name_plural = "notification deliveries"
        constraints = [models.UniqueConstraint(fields=["target", "alert"], name="delivery_once")]
        indexes = [models.Index(fields=["state", "next_at"], name="delivery_due")]

    def __str__(self) -> str:
        return f"{self.alert_id} to {self.target}"
