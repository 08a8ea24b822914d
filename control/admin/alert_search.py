"""What alerts are searched by: as a form, as a query that indexes answer, and as pages to export."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from control.models import Alert, Scanner

_EXPORTED: Final = ("at", "trading_day", "symbol", "kind", "rule", "price", "note", "id")
EXPORT_COLUMNS: Final = ("time", *_EXPORTED)
_PAGE: Final = 5_000
_KINDS: Final = [
    ("", "Any"),
    *((value, label) for value, label in Scanner.AlertOn.choices if value),
    ("level", "A price level is crossed"),
]
_INPUT: Final = {"class": " ".join(INPUT_CLASSES)}


class AlertSearch(forms.Form):
    """Filters of the alert history; all of those that are given have to match, in full."""

    symbol = forms.CharField(
        required=False, max_length=32, widget=forms.TextInput({**_INPUT, "placeholder": "AAPL", "autocomplete": "off"})
    )
    rule = forms.CharField(
        required=False,
        max_length=120,
        help_text="A scanner's slug, or level: and a number.",
        widget=forms.TextInput({**_INPUT, "placeholder": "top_gainers", "autocomplete": "off", "list": "alert-rules"}),
    )
    kind = forms.ChoiceField(required=False, choices=_KINDS, widget=forms.Select({"class": " ".join(SELECT_CLASSES)}))
    since = forms.DateField(
        required=False, label="From day", widget=forms.DateInput({**_INPUT, "type": "date"}, "%Y-%m-%d")
    )
    until = forms.DateField(
        required=False, label="To day", widget=forms.DateInput({**_INPUT, "type": "date"}, "%Y-%m-%d")
    )

    def clean(self) -> dict[str, Any]:
        """Refuse days in the wrong order."""
        given: dict[str, Any] = super().clean() or {}
        since, until = given.get("since"), given.get("until")
        if since is not None and until is not None and since > until:
            self.add_error("until", "This day is before the first one.")
        return given

    def applied_to(self, alerts: QuerySet[Alert]) -> QuerySet[Alert]:
        """The alerts that match; none when the form is not valid.

        Days are looked up by the edge's time, which every index of the table ends with: so any filter together with
        days is one range of one index, already in order.
        """
        if not self.is_valid():
            return alerts.none()
        given = self.cleaned_data
        wanted = {name: given[name] for name in ("symbol", "rule", "kind") if given[name]}
        if symbol := wanted.get("symbol"):
            # As it was typed, if there is such a one: some have small letters. One value, so that an index orders them.
            wanted["symbol"] = symbol if alerts.filter(symbol=symbol).exists() else symbol.upper()
        conditions = Q()
        for place, (name, value) in enumerate(wanted.items()):
            if place == 0:
                conditions &= Q(**{name: value})
            else:
                # The first narrows most. The others are expressions, so that no index of theirs is chosen instead.
                alerts = alerts.alias(**{f"its_{name}": Concat(name, Value(""))})
                conditions &= Q(**{f"its_{name}": value})
        if given["since"] is not None:
            conditions &= Q(at__gte=_midnight_ms(given["since"]))
        if given["until"] is not None and given["until"] < date.max:
            conditions &= Q(at__lt=_midnight_ms(given["until"] + timedelta(days=1)))
        return alerts.filter(conditions)


def exported(alerts: QuerySet[Alert]) -> Iterator[list[tuple[Any, ...]]]:
    """Pages of the columns to export, newest first; each is a query of its own, so that none lasts long."""
    rows = alerts.order_by("-at", "-pk").values_list(*_EXPORTED)
    page = list(rows[:_PAGE])
    while page:
        yield [(moment_of(row[0]).isoformat(timespec="milliseconds"), *row) for row in page]
        at, last = page[-1][0], page[-1][-1]
        # The first condition says nothing new; it lets the database begin there in the index.
        page = list(rows.filter(Q(at__lte=at), Q(at__lt=at) | Q(pk__lt=last))[:_PAGE])


def moment_of(at: int) -> datetime:
    """The market's time of epoch milliseconds."""
    return datetime.fromtimestamp(at / 1_000, ZoneInfo(settings.TIME_ZONE))


def _midnight_ms(day: date) -> int:
    return round(datetime.combine(day, time(), ZoneInfo(settings.TIME_ZONE)).timestamp() * 1_000)
