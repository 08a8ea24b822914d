"""API tokens: secrets that let programs act as users."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone


class Scope(models.TextChoices):
    """What a token may be used for; never more than its user may."""

    READ = "read", "Read: boards, quotes, alerts, the sockets"
    WRITE = "write", "Write: scanners, price levels, layouts, watchlists, targets"
    OPERATE = "operate", "Operate: the system's state and its controls"
    TOKENS = "tokens", "Tokens: make and revoke tokens"
    METRICS = "metrics", "Metrics: what Prometheus reads"


def usual_scopes() -> list[str]:
    """What a token is good for unless its maker says otherwise."""
    return [Scope.READ, Scope.WRITE]


class ApiToken(models.Model):
    """A secret that lets a program act as a user at `/ws` and the API. Only its hash is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=8, editable=False, help_text="The token's last characters, to tell it by.")
    scopes = models.JSONField(
        default=usual_scopes, help_text="What it may be used for: " + ", ".join(Scope.values) + "."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.user}: {self.name or 'token'} …{self.hint}"

    @property
    def state(self) -> str:
        """Whether it is accepted at this moment, and if not, why."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return "expired"
        return "valid" if self.user.is_active else "its user is switched off"

    @staticmethod
    def digest_of(token: str) -> str:
        """The hash that a token is found by. It carries 256 random bits, so a fast hash is enough."""
        return hashlib.sha256(token.encode()).hexdigest()

    @classmethod
    def issue(
        cls, user: models.Model, name: str = "", days: int | None = None, scopes: Collection[str] | None = None
    ) -> tuple["ApiToken", str]:
        """Make a token.

        Args:
            user: Whose it is.
            name: What it is for.
            days: How long it is valid; None: until it is revoked.
            scopes: What it may be used for; None: reading and writing.

        Returns:
            The row, and the token itself, which is not kept.
        """
        token = f"tw_{secrets.token_urlsafe(32)}"
        expires_at = timezone.now() + timedelta(days=days) if days is not None else None
        row = cls.objects.create(
            user=user,
            name=name,
            digest=cls.digest_of(token),
            hint=token[-4:],
            expires_at=expires_at,
            scopes=usual_scopes() if scopes is None else sorted(scopes),
        )
        return row, token

    @classmethod
    def standing(cls) -> "models.QuerySet[ApiToken]":
        """The tokens that are accepted at this moment."""
        return cls.objects.filter(revoked_at__isnull=True, user__is_active=True).filter(
            models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=timezone.now())
        )

    @classmethod
    def find(cls, token: str) -> "ApiToken | None":
        """The row of a token, or None when it is unknown, expired, revoked, or its user is switched off."""
        return cls.standing().select_related("user").filter(digest=cls.digest_of(token)).first()
