"""The feed's settings: what the listener is to do, and how many workers take what it sends."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

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

    revision = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Grows with each change; components report which one they follow."
    )

    class Meta:
        verbose_name = verbose_name_plural = "feed settings"

    def __str__(self) -> str:
        return "Feed settings"

    def save(self, **options: Any) -> None:
        """Save as the next revision."""
        self.revision += 1
        if options.get("update_fields") is not None:
            options["update_fields"] = {*options["update_fields"], "revision"}
        super().save(**options)

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
