"""What people watch for: scanners, which are boards as data, and price levels."""

import re
from math import isnan
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from processors.fields import BY_NAME

MOST_COLUMNS = 60
MOST_TARGETS = 20
MOST_OF_A_TEXT = 2_000
# The API has such addresses beside those of scanners; the alerts of a user are `alerts:user:{id}`.
_RESERVED = ("validate", "preview", "user")
# What `top_10_lists` shows: names that only scanners for everyone may have.
_OF_EVERYONE = ("top_volume", "top_gainers", "top_gappers", "top_losers")
_OF_EVERYONE_PREFIX = "small_cap_"
DAY_S = 86_400
_NO_TARGETS = f"Use a list of at most {MOST_TARGETS} names."
TICKER = re.compile(r"^[A-Za-z0-9.\-/:]{1,32}\Z")


class ScannerQuerySet(models.QuerySet["Scanner"]):
    """Who sees which scanners."""

    def visible_to(self, user: User | AnonymousUser) -> "ScannerQuerySet":
        """The shipped ones and a user's own; staff see all."""
        return self.all() if user.is_staff else self.filter(models.Q(owner_id=user.pk) | models.Q(owner__isnull=True))


class Scanner(models.Model):
    """A board as data: which rows, in which order, with which columns. A change takes effect within a second."""

    class AlertOn(models.TextChoices):
        """What about a board is worth an alert."""

        NOTHING = "", "Nothing"
        ENTER = "enter", "A symbol enters the board"
        LEAVE = "leave", "A symbol leaves the board"
        NEW_HIGH = "new_high", "A symbol on the board makes a new high of its session"
        NEW_LOW = "new_low", "A symbol on the board makes a new low of its session"
        HALT = "halt", "A symbol on the board is halted"
        RESUME = "resume", "A symbol on the board resumes"

    SOUNDS = [(name, name.capitalize()) for name in ("chime", "bell", "ping", "siren")]

    slug = models.CharField(
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(r"^[a-z0-9_:]+\Z", "Use lower-case letters, digits, _ and : only."),
            # The alerts of price levels have such names.
            RegexValidator(
                r"^level(:|\Z)", "Names that begin with level: are those of price levels.", inverse_match=True
            ),
        ],
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
    tick_ms = models.PositiveIntegerField(
        "tick (ms)",
        default=1_000,
        validators=[MinValueValidator(250), MaxValueValidator(60_000)],
        help_text="How often it is ranked, 250 to 60,000 ms.",
    )
    enabled = models.BooleanField(default=True)
    alert_on = models.CharField(max_length=10, blank=True, default="", choices=AlertOn)
    cooldown_s = models.PositiveIntegerField(
        "cooldown (s)",
        default=300,
        validators=[MaxValueValidator(DAY_S)],
        help_text="After an alert the same symbol gives no other for so many seconds of the market's time.",
    )
    sound = models.CharField(max_length=10, blank=True, default="", choices=SOUNDS, help_text="Empty: silent.")
    notify = models.JSONField(default=list, blank=True, help_text="Names of the notification targets alerts go to.")

    objects = ScannerQuerySet.as_manager()

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.name

    def is_changeable_by(self, user: User) -> bool:
        """Whether somebody may change it: its owner, and staff."""
        return user.is_staff or (self.owner_id is not None and self.owner_id == user.pk)

    def clean(self) -> None:
        """Check the expressions, the columns and the targets; an error names the field it is about."""
        from processors.scanning.scan import problems  # polars: only when one is edited

        errors = {name: str(error) for name, error in problems(self.where or "", self.order_by or "").items()}
        if not _texts(self.columns, MOST_COLUMNS):
            errors["columns"] = f"Use a list of at most {MOST_COLUMNS} field names."
        elif unknown := [column for column in self.columns if column not in BY_NAME]:
            errors["columns"] = f"Use a list of field names; unknown: {', '.join(unknown)}."
        if len(self.description or "") > MOST_OF_A_TEXT:
            errors["description"] = f"Use at most {MOST_OF_A_TEXT:,} characters."
        if problem := self._problem_of_name():
            errors["slug"] = problem
        # What a form leaves empty.
        self.notify = [] if self.notify is None else self.notify
        if not _texts(self.notify, MOST_TARGETS):
            errors["notify"] = _NO_TARGETS
        if errors:
            raise ValidationError(errors)

    def _problem_of_name(self) -> str:
        """Why it cannot have its slug; "" when it can."""
        from control.models.history import Alert  # which knows scanners

        slug = self.slug or ""
        if slug in _RESERVED or slug.startswith("user:"):
            return "This name means something else: use another one."
        if self.owner_id is not None and (slug in _OF_EVERYONE or slug.startswith(_OF_EVERYONE_PREFIX)):
            return f"{', '.join(_OF_EVERYONE)} and {_OF_EVERYONE_PREFIX}… are names of scanners for everyone."
        if self._state.adding and Alert.objects.filter(rule=slug).exists():
            return "A scanner that was deleted had this name, and its alerts are kept: use another one."
        return ""


def _texts(value: Any, most: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(isinstance(item, str) and len(item) <= MOST_OF_A_TEXT for item in value)
    )


class PriceLevel(models.Model):
    """A price at which somebody wants to hear of a symbol."""

    class Direction(models.TextChoices):
        """Which way the price has to go through it."""

        ABOVE = "above", "Rises to it or above"
        BELOW = "below", "Falls to it or below"
        CROSS = "cross", "Either"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="price_levels")
    symbol = models.CharField(max_length=32, validators=[RegexValidator(TICKER, "Use a ticker such as AAPL or BRK.A.")])
    price = models.FloatField(
        validators=[
            MinValueValidator(0.0001, "Use a price above zero."),
            # Neither infinite nor more than any share costs.
            MaxValueValidator(10_000_000),
        ],
        help_text="In dollars.",
    )
    direction = models.CharField(max_length=5, choices=Direction, default=Direction.CROSS)
    note = models.CharField(max_length=200, blank=True)
    enabled = models.BooleanField(default=True)
    cooldown_s = models.PositiveIntegerField(
        "cooldown (s)",
        default=300,
        validators=[MaxValueValidator(DAY_S)],
        help_text="After an alert it gives no other for so many seconds of the market's time.",
    )
    notify = models.JSONField(default=list, blank=True, help_text="Names of the notification targets its alerts go to.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["symbol", "price", "pk"]

    def __str__(self) -> str:
        return f"{self.symbol} {self.get_direction_display().lower()} {self.price:g}"

    def clean(self) -> None:
        """NaN passes every bound, and a field that was no number is none here."""
        errors: dict[str, str] = {}
        if isnan(self.price or 0.0):
            errors["price"] = "Use a number."
        self.notify = [] if self.notify is None else self.notify
        if not _texts(self.notify, MOST_TARGETS):
            errors["notify"] = _NO_TARGETS
        if errors:
            raise ValidationError(errors)
