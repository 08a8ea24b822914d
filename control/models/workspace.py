"""What people keep of their own on the server: how the page is laid out, and lists of symbols."""

import json

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from control.models.scanners import TICKER

MOST_BYTES_OF_A_LAYOUT = 256 * 1024
MOST_SYMBOLS = 500


class WorkspaceQuerySet(models.QuerySet[models.Model]):
    """Whose rows."""

    def of(self, user: models.Model) -> "WorkspaceQuerySet":
        """A user's own."""
        return self.filter(owner=user)


class Owned(models.Model):
    """Something of somebody's own, which has a name among those of its kind."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="%(class)ss")
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                name="%(class)s_of_owner",
                violation_error_message="You have one of this name.",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Layout(Owned):
    """An arrangement of widgets. What is in it is the page's own affair."""

    content = models.JSONField(default=dict, blank=True)
    shared = models.BooleanField(default=False, help_text="Others may read and copy it.")
    revision = models.PositiveIntegerField(default=1, editable=False, help_text="Grows with each change.")

    def clean(self) -> None:
        """Refuse what is no object, or larger than any page needs."""
        if not isinstance(self.content, dict):
            raise ValidationError({"content": "Use a JSON object."})
        try:
            size = len(json.dumps(self.content, allow_nan=False))
        except ValueError:
            raise ValidationError({"content": "JSON has no NaN and no Infinity."}) from None
        if size > MOST_BYTES_OF_A_LAYOUT:
            raise ValidationError({"content": f"Use at most {MOST_BYTES_OF_A_LAYOUT // 1024} KB."})


class Watchlist(Owned):
    """Symbols that somebody keeps an eye on, in his order."""

    symbols = models.JSONField(default=list, blank=True)

    def clean(self) -> None:
        """Refuse what is no list of tickers."""
        symbols = self.symbols
        if not isinstance(symbols, list) or not all(isinstance(text, str) and TICKER.match(text) for text in symbols):
            raise ValidationError({"symbols": "Use a list of tickers such as AAPL or BRK.A."})
        if len(symbols) > MOST_SYMBOLS:
            raise ValidationError({"symbols": f"Use at most {MOST_SYMBOLS} symbols."})
        if len(set(symbols)) < len(symbols):
            raise ValidationError({"symbols": "Name each symbol once."})
