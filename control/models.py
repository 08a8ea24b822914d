"""What people change: the feed's settings, scanners and API tokens."""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from processors.fields import BY_NAME
from project.env import names_a_feed, parse_subscriptions

MOST_FEED_WORKERS = 64


class FeedSettings(models.Model):
    """What the listener is to do, and how many workers take what it sends; one row, followed within seconds.

    An empty field follows the environment, so that a first start, the simulator and a recording need no setting.
    """

    MARKETS = [(name, name.capitalize()) for name in ("stocks", "options", "indices", "crypto", "forex", "futures")]

    enabled = models.BooleanField(default=True, help_text="Off: the listener disconnects and waits.")
    feed = models.CharField(
        max_length=200,
        blank=True,
        help_text="real-time, delayed, or the host:port of a server of that protocol. Empty: MASSIVE_FEED.",
    )
    market = models.CharField(max_length=20, blank=True, choices=MARKETS, help_text="Empty: MASSIVE_MARKET.")
    subscriptions = models.CharField(
        max_length=4_000,
        blank=True,
        help_text="Such as A.*,T.*,Q.AAPL. Empty: MASSIVE_SUBSCRIPTIONS, else the usual ones.",
    )
    always = models.BooleanField(default=False, help_text="Stay connected while the market is closed, too.")
    record = models.BooleanField(
        default=False,
        help_text="Write what the feed sends to files by trading day. After a failure: off, save, on again.",
    )
    feed_workers = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_FEED_WORKERS)],
        help_text=f"How many feed workers `up` keeps, 1 to {MOST_FEED_WORKERS}. Empty: its --workers.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "feed settings"

    def __str__(self) -> str:
        return "Feed settings"

    def clean(self) -> None:
        """Check the feed's address and the subscriptions; an error names the field it is about."""
        errors: dict[str, str] = {}
        if self.feed and not names_a_feed(self.feed):
            errors["feed"] = "Use real-time, delayed, or an address such as 127.0.0.1:8765."
        try:
            parse_subscriptions(self.subscriptions)
        except ValueError as error:
            errors["subscriptions"] = f"{error}. Use a comma list such as A.*,T.*,Q.AAPL."
        if errors:
            raise ValidationError(errors)


class Scanner(models.Model):
    """A board as data: which rows, in which order, with which columns. A change takes effect within a second."""

    slug = models.CharField(
        max_length=100,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9_:]+\Z", "Use lower-case letters, digits, _ and : only.")],
        help_text="The feed's name is scanners: and this.",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        help_text="Empty: shipped with Tapewatch.",
    )
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    where = models.TextField(
        blank=True, max_length=2_000, help_text="Which rows, as a condition over fields; empty: every row."
    )
    order_by = models.CharField(max_length=2_000, help_text="What ranks them: a field or an expression.")
    descending = models.BooleanField(default=True)
    limit = models.PositiveSmallIntegerField(default=50, validators=[MinValueValidator(1), MaxValueValidator(500)])
    columns = models.JSONField(default=list, help_text="Fields shown, in order.")
    position = models.PositiveSmallIntegerField(default=100, help_text="Boards stand on the dashboard in this order.")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Check the expressions and the columns; an error names the field it is about."""
        from processors.scan import ExpressionError, compile_condition, compile_order  # polars: only when one is edited

        errors: dict[str, str] = {}
        for name, compile_text in (("where", compile_condition), ("order_by", compile_order)):
            try:
                compile_text(getattr(self, name))
            except ExpressionError as error:
                errors[name] = str(error)
        columns = self.columns if isinstance(self.columns, list) else []
        unknown = [column for column in columns if not isinstance(column, str) or column not in BY_NAME]
        if not isinstance(self.columns, list) or unknown:
            errors["columns"] = f"Use a list of field names; unknown: {', '.join(map(str, unknown)) or 'not a list'}."
        if errors:
            raise ValidationError(errors)


class ApiToken(models.Model):
    """A secret that lets a program act as a user at `/ws` and the API. Only its hash is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=8, editable=False, help_text="The token's last characters, to tell it by.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.user}: {self.name or 'token'} …{self.hint}"

    @staticmethod
    def digest_of(token: str) -> str:
        """The hash that a token is found by. It carries 256 random bits, so a fast hash is enough."""
        return hashlib.sha256(token.encode()).hexdigest()

    @classmethod
    def issue(cls, user: models.Model, name: str = "", days: int | None = None) -> tuple["ApiToken", str]:
        """Make a token.

        Args:
            user: Whose it is.
            name: What it is for.
            days: How long it is valid; None: until it is revoked.

        Returns:
            The row, and the token itself, which is not kept.
        """
        token = f"tw_{secrets.token_urlsafe(32)}"
        expires_at = timezone.now() + timedelta(days=days) if days is not None else None
        row = cls.objects.create(
            user=user, name=name, digest=cls.digest_of(token), hint=token[-4:], expires_at=expires_at
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
