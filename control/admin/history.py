"""The admin of what is kept of what happened, to be read: what all of it shares, and backtests."""

from typing import Any, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

from control.models import Backtest
from control.roles import manages_others


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
        """It stays, unless what it belongs to goes."""
        return goes_with_another(self, request)


def goes_with_another(model_admin: ModelAdmin, request: HttpRequest) -> bool:
    """Whether rows may be deleted: not by themselves, but a user, say, who is deleted takes along what was his."""
    match = request.resolver_match
    its_own = f"{model_admin.opts.app_label}_{model_admin.opts.model_name}_"
    return match is not None and match.url_name is not None and not match.url_name.startswith(its_own)


@admin.register(Backtest)
class BacktestAdmin(HistoryAdmin):
    """Backtests, newest first: everyone's for those who manage others, else one's own."""

    list_display = ("recording", "user", "state", "created_at", "started_at", "finished_at")
    list_filter = ("state", "user")
    list_select_related = ("user",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Backtest]:
        """Everyone's, or one's own."""
        # What one found may be long: it is read where it is shown.
        found: QuerySet[Backtest] = super().get_queryset(request).defer("result")
        return found if manages_others(request.user) else found.filter(user_id=request.user.pk or 0)

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Nobody is named to whom others are no concern."""
        return self.list_filter if manages_others(request.user) else ("state",)
