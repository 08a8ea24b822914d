"""The admin of what is kept of what happened: alerts and backtests, to be read."""

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

from control.models import Alert, Backtest


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not generic when it runs
    """Pages over the first ten thousand: counting all of a great table takes longer than anyone waits."""

    MOST: Final = 10_000

    @cached_property
    def count(self) -> int:
        """How many there are, or the most that can be paged through."""
        rows: Any = self.object_list  # a query
        return int(rows[: self.MOST].count())


class HistoryAdmin(ModelAdmin):  # type: ignore[misc]
    """What the system wrote down: to be read and searched, not to be changed."""

    paginator = BoundedPaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """It is written by the system."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """It stays as it was."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """It stays."""
        return False


@admin.register(Alert)
class AlertAdmin(HistoryAdmin):
    """The history of alerts, newest first."""

    list_display = ("time", "symbol", "kind", "rule", "price", "note")
    search_fields = ("trading_day", "symbol", "rule")
    search_help_text = "A day such as 2026-03-02, a symbol, a rule, or several of them; each in full."

    @admin.display(description="time", ordering="at")
    def time(self, alert: Alert) -> str:
        """The edge's time in the market's zone."""
        moment = datetime.fromtimestamp(alert.at / 1_000, UTC)
        return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S.%f}"[:-3]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Alert], search_term: str
    ) -> tuple[QuerySet[Alert], bool]:
        """Alerts that have each of the words: whole words, since only those are found by an index."""
        for word in search_term.split():
            day = _day_of(word)
            named = Q(symbol__in={word, word.upper()}) | Q(rule=word)
            queryset = queryset.filter(Q(trading_day=day) if day is not None else named)
        return queryset, False


@admin.register(Backtest)
class BacktestAdmin(HistoryAdmin):
    """Backtests of all users, newest first."""

    list_display = ("recording", "user", "state", "created_at", "started_at", "finished_at")
    list_filter = ("state", "user")


def _day_of(word: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(word)
    return None
