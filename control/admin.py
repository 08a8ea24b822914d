"""The admin: what people change by hand."""

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from control.models import Alert, ApiToken, Backtest, FeedSettings, PriceLevel, Scanner

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg, misc]
    """Django's own user pages in unfold's dress."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Django's own group pages in unfold's dress."""


@admin.register(Scanner)
class ScannerAdmin(ModelAdmin):  # type: ignore[misc]
    """Scanners: a saved row is a live board within a second."""

    list_display = ("name", "slug", "owner", "order_by", "descending", "limit", "alert_on", "enabled")
    list_editable = ("enabled",)
    list_filter = ("enabled", "alert_on", "owner")
    search_fields = ("slug", "name", "description")
    fieldsets = (
        (None, {"fields": ("name", "slug", "owner", "description", "enabled")}),
        ("Which rows", {"fields": ("where", "order_by", "descending", "limit", "tick_ms")}),
        ("How it is shown", {"fields": ("columns", "position")}),
        ("Alerts", {"fields": ("alert_on", "cooldown_s", "sound", "notify")}),
    )


@admin.register(PriceLevel)
class PriceLevelAdmin(ModelAdmin):  # type: ignore[misc]
    """Price levels of all users; one is followed within a second."""

    list_display = ("symbol", "direction", "price", "user", "note", "enabled")
    list_editable = ("enabled",)
    list_filter = ("enabled", "user")
    search_fields = ("symbol", "note")


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


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):  # type: ignore[misc]
    """Tokens are listed and revoked here; `manage.py issue_token` makes them and shows them once."""

    list_display = ("user", "name", "hint", "created_at", "expires_at", "revoked_at")
    list_filter = ("user",)
    readonly_fields = ("user", "name", "hint", "created_at", "expires_at", "revoked_at")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A token made here could not be shown to its owner."""
        return False

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Make tokens invalid from now on."""
        changed = queryset.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())
        self.message_user(request, f"{changed} revoked.")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The actions of this page, without the bulk deletion: a revoked token stays as a record."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


@admin.register(FeedSettings)
class FeedSettingsAdmin(ModelAdmin):  # type: ignore[misc]
    """The feed's one row: on and off, where from, which market, what of it, how many workers. All of it is followed
    within seconds."""

    list_display = ("__str__", "enabled", "feed", "market", "subscriptions", "always", "record", "feed_workers_now")
    readonly_fields = ("feed_workers_now",)

    @admin.display(description="feed workers now")
    def feed_workers_now(self, row: FeedSettings) -> str:
        """How many are wanted, and how many run."""
        # Every process loads the admin at its start; the cache's client takes a tenth of a second of it.
        from redis import RedisError

        from control.selectors import feed_crew
        from processors.store import connect

        try:
            return str(feed_crew(connect()) or "not kept by `up`")
        except RedisError:
            return "unknown: the cache cannot be reached"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one row, made with the database."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FeedSettings | None = None) -> bool:
        """Without it nothing could be set."""
        return False


def _day_of(word: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(word)
    return None
