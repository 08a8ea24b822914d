"""The admin of people: users, groups, who may read which feeds, and tokens."""

from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import ManyToManyField, QuerySet
from django.forms import ModelForm, ModelMultipleChoiceField
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from control.feed_patterns import EVERY_FEED
from control.models import ApiToken, FeedGrant

admin.site.unregister(User)
admin.site.unregister(Group)

_VIEWER: Final = "viewer"
_READING: Final = "What this user may read"
_READING_HELP: Final = (
    "A new user reads no market data: no board, no quote, no alert. Choose the group viewer to let this user "
    "read the market. Single feeds are granted under Feed grants; superusers read everything. "
    "A change reaches open pages and programs within a second."
)
_GROUPS_HELP: Final = "viewer: the market's feeds. operator: the health of the system, and who is connected."


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg, misc]
    """Django's own user pages in unfold's dress, with what each user may read."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "in_groups")
    filter_horizontal = ("user_permissions",)
    readonly_fields = ("may_read",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_READING, {"description": _READING_HELP, "fields": ("groups", "may_read")}),
        ("Personal info", {"fields": ("first_name", "last_name", "email")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "user_permissions")}),
        ("Important dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        *DjangoUserAdmin.add_fieldsets,
        (_READING, {"description": _READING_HELP, "fields": ("groups",)}),
    )
    actions = ("make_viewers",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """All users, with their groups."""
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="groups")
    def in_groups(self, user: User) -> str:
        """The names of the user's groups."""
        return ", ".join(group.name for group in user.groups.all())

    @admin.display(description="may read now")
    def may_read(self, user: User) -> str:
        """The patterns granted to the user and his groups."""
        return _in_words(FeedGrant.objects.patterns_of([user.pk])[user.pk])

    def formfield_for_manytomany(
        self, db_field: "ManyToManyField[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> "ModelMultipleChoiceField[Any] | None":
        """Groups as boxes to tick: there are few, and which they are is the question."""
        ours = {"widget": UnfoldAdminCheckboxSelectMultipleWidget, "help_text": _GROUPS_HELP}
        options = {**kwargs, **ours} if db_field.name == "groups" else kwargs
        field: ModelMultipleChoiceField[Any] | None = super().formfield_for_manytomany(db_field, request, **options)
        return field

    def save_related(self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool) -> None:  # type: ignore[type-arg]
        """Save the groups, and say so when they let the user read nothing."""
        super().save_related(request, form, formsets, change)
        user = form.instance
        if user.is_active and not FeedGrant.objects.patterns_of([user.pk])[user.pk]:
            self.message_user(
                request,
                f"{user} may read no market data: choose the group {_VIEWER}, or give a feed grant.",
                messages.WARNING,
            )

    @admin.action(description=f"Let the selected users read the market (group {_VIEWER})", permissions=["change"])
    def make_viewers(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Put users into the group that reads the market."""
        group = Group.objects.filter(name=_VIEWER).first()
        if group is None:
            self.message_user(
                request, f"There is no group {_VIEWER}: make one, and a feed grant for it.", messages.ERROR
            )
            return
        group.user_set.add(*queryset)
        self.message_user(request, f"{len(queryset)} in the group {_VIEWER}.")


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Django's own group pages in unfold's dress."""

    list_display = ("name", "may_read")

    @admin.display(description="may read")
    def may_read(self, group: Group) -> str:
        """The patterns granted to the group."""
        return _in_words(frozenset(FeedGrant.objects.filter(groups=group).values_list("pattern", flat=True)))


@admin.register(FeedGrant)
class FeedGrantAdmin(ModelAdmin):  # type: ignore[misc]
    """Who may read which feeds; a saved row reaches live sockets within a second."""

    list_display = ("pattern", "to_groups", "to_users", "note")
    list_filter = ("groups", "users")
    search_fields = ("pattern", "note", "users__username", "groups__name")
    autocomplete_fields = ("groups", "users")
    fields = ("pattern", "groups", "users", "note")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeedGrant]:
        """All grants, with whom they are for."""
        grants: QuerySet[FeedGrant] = super().get_queryset(request)
        return grants.prefetch_related("groups", "users")

    @admin.display(description="groups")
    def to_groups(self, grant: FeedGrant) -> str:
        """The groups' names."""
        return ", ".join(group.name for group in grant.groups.all())

    @admin.display(description="users")
    def to_users(self, grant: FeedGrant) -> str:
        """The users' names."""
        return ", ".join(user.username for user in grant.users.all())


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):  # type: ignore[misc]
    """Tokens are listed and revoked here; `manage.py issue_token` makes them and shows them once."""

    list_display = ("user", "name", "hint", "state", "created_at", "expires_at", "revoked_at")
    list_filter = ("user",)
    list_select_related = ("user",)
    search_fields = ("user__username", "name", "hint")
    fields = readonly_fields = ("user", "name", "hint", "state", "created_at", "expires_at", "revoked_at")
    actions = ("revoke",)

    @admin.display(description="state")
    def state(self, token: ApiToken) -> str:
        """Whether it is accepted now, and if not, why."""
        return token.state

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A token made here could not be shown to its owner."""
        return False

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Make tokens invalid from now on; who is connected with one is cut off within a second."""
        changed = queryset.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())
        self.message_user(request, f"{changed} revoked.")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The actions of this page, without the bulk deletion: a revoked token stays as a record."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


def _in_words(patterns: frozenset[str]) -> str:
    if patterns >= EVERY_FEED:
        return "everything"
    return ", ".join(sorted(patterns)) or "nothing but the market's clock and the feed's state (status)"
