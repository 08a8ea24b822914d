"""What is kept of what happened: alerts, and backtests with what they found."""

from collections.abc import Collection

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models.functions import Concat, Left

from control.feed_patterns import allows
from control.models.scanners import PriceLevel, Scanner


class AlertQuerySet(models.QuerySet["Alert"]):
    """Who sees which alerts."""

    def visible_to(self, user: User) -> "AlertQuerySet":
        """Those of the scanners that a user sees and of his own price levels; staff see all."""
        if user.is_staff:
            return self.all()
        levels = [level_rule(pk) for pk in PriceLevel.objects.filter(user=user).values_list("pk", flat=True)]
        slugs = Scanner.objects.visible_to(user).values_list("slug", flat=True)
        # As an expression: by an index, a million alerts of many rules would be gathered and sorted to show the last.
        return self.alias(its_rule=Concat("rule", models.Value(""))).filter(its_rule__in=[*slugs, *levels])

    def granted(self, patterns: Collection[str]) -> "AlertQuerySet":
        """Those whose feeds these patterns cover: of each rule `alerts:{rule}`, and of all `alerts`."""
        if allows(patterns, "alerts") or "alerts:*" in patterns:
            return self.all()
        rules = [pattern.removeprefix("alerts:") for pattern in patterns if pattern.startswith("alerts:")]
        # Compared as texts: LIKE, in SQLite, does not tell small letters from capitals.
        beginnings = [rule[:-1] for rule in rules if rule.endswith("*")]
        begins = {f"begins_{n}": Left("rule", len(text)) for n, text in enumerate(beginnings)}
        wanted = models.Q(rule__in=rules)
        for name, text in zip(begins, beginnings, strict=True):
            wanted |= models.Q(**{name: text})
        return self.alias(**begins).filter(wanted)


def level_rule(pk: int) -> str:
    """The rule that a price level's alerts name."""
    return f"level:{pk}"


class Alert(models.Model):
    """An alert that was given, with its row as it was. Written by the engine's outbox alone, never changed."""

    id = models.CharField(
        max_length=32, primary_key=True, help_text="Made of rule, symbol, kind and time, so that none is kept twice."
    )
    rule = models.CharField(max_length=120, help_text="A scanner's slug, or level: and a price level's number.")
    kind = models.CharField(max_length=20)
    symbol = models.CharField(max_length=32)
    at = models.BigIntegerField(help_text="Event time of the edge, epoch milliseconds.")
    trading_day = models.DateField()
    price = models.FloatField(null=True, blank=True)
    note = models.TextField(blank=True)
    row = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["at", "id"], name="alert_at"),
            models.Index(fields=["trading_day", "at"], name="alert_day"),
            models.Index(fields=["symbol", "at"], name="alert_symbol"),
            models.Index(fields=["rule", "at"], name="alert_rule"),
            models.Index(fields=["kind", "at"], name="alert_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.kind} ({self.rule})"


class Backtest(models.Model):
    """A recording played through scanners: what was asked for, how far it is, and what it found."""

    class State(models.TextChoices):
        """How far it is."""

        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="backtests")
    recording = models.CharField(max_length=300, help_text="A file's name in the folder of the recordings.")
    scanners = models.JSONField(
        default=list,
        blank=True,
        help_text="Slugs of the scanners; none, and no condition: the shipped ones that alert.",
    )
    where = models.TextField(blank=True, max_length=2_000, help_text="A condition to try instead; alerts on entering.")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.recording}: {self.get_state_display().lower()}"
