"""The admin: what people change by hand."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from control.models import ApiToken, FeedSettings, Scanner

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

    list_display = ("name", "slug", "owner", "order_by", "descending", "limit", "enabled")
    list_editable = ("enabled",)
    list_filter = ("enabled", "owner")
    search_fields = ("slug", "name", "description")


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
