"""The admin of people: users, groups, and who may read which feeds."""

from typing import Any, Final

import redis
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Exists, ManyToManyField, OuterRef, QuerySet
from django.forms import ModelForm, ModelMultipleChoiceField
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from control import lockout, logins
from control.feed_patterns import in_words
from control.models import ApiToken, FeedGrant
from control.roles import IN_WORDS

# allauth's own pages of these show what lets in: sessions, factors, providers. They are seen to on the pages of users.
for _model in (User, Group, EmailAddress, Authenticator, UserSession, SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(_model)

_VIEWER: Final = "viewer"
_READING: Final = "What this user may read"
_READING_HELP: Final = (
    "A new user reads no market data: no board, no quote, no alert. Choose the group viewer to let this user "
    "read the market. Single feeds are granted under Feed grants; superusers read everything. "
    "A change reaches open pages and programs within a second."
)
# Of whoever says what roles may do: else a password reset for somebody would be a way to all that he may.
_HANDS_OUT: Final = "auth.change_group"
_GROUPS_HELP: Final = " ".join(f"{role}: {words}" for role, words in IN_WORDS.items())


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg, misc]
    """Django's own user pages in unfold's dress, with what each user may read."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "in_groups", "second_factor", "last_login")
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
    actions = ("make_viewers", "lift_lockout", "log_out_everywhere", "remove_second_factors")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """All users, with their groups, and whether they have a second factor."""
        factors = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)
        users: QuerySet[User] = super().get_queryset(request)
        return users.prefetch_related("groups").annotate(has_factor=Exists(factors))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Superusers are changed by superusers alone, staff by those who may hand out what makes them staff."""
        return self._may_handle(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Who may not be changed may not be deleted."""
        return self._may_handle(request, obj) and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """What is only shown: only a superuser makes another, and who may not change groups lets nobody into one."""
        if request.user.is_superuser:
            return self.readonly_fields
        given = () if request.user.has_perm(_HANDS_OUT) else ("is_staff", "groups", "user_permissions")
        return (*self.readonly_fields, "is_superuser", *given)

    def _may_handle(self, request: HttpRequest, user: User | None) -> bool:
        if user is None or request.user.is_superuser:
            return True
        return not user.is_superuser and (not user.is_staff or request.user.has_perm(_HANDS_OUT))

    @admin.display(description="second factor", boolean=True, ordering="has_factor")
    def second_factor(self, user: User) -> bool:
        """Whether a password alone does not let in."""
        return bool(user.has_factor)  # type: ignore[attr-defined]  # annotated

    @admin.display(description="groups")
    def in_groups(self, user: User) -> str:
        """The names of the user's groups."""
        return ", ".join(group.name for group in user.groups.all())

    @admin.display(description="may read now")
    def may_read(self, user: User) -> str:
        """The patterns granted to the user and his groups."""
        return in_words(FeedGrant.objects.patterns_of([user.pk])[user.pk])

    def formfield_for_manytomany(
        self, db_field: "ManyToManyField[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> "ModelMultipleChoiceField[Any] | None":
        """Groups as boxes to tick: there are few, and which they are is the question."""
        ours = {"widget": UnfoldAdminCheckboxSelectMultipleWidget, "help_text": _GROUPS_HELP}
        options = {**kwargs, **ours} if db_field.name == "groups" else kwargs
        field: ModelMultipleChoiceField[Any] | None = super().formfield_for_manytomany(db_field, request, **options)
        return field

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save a user; a former mail address resets his password no more."""
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            EmailAddress.objects.filter(user=obj).delete()

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

    @admin.action(description="Lift the lockout after failed logins", permissions=["change"])
    def lift_lockout(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Let accounts be tried again at once, under their names and mail addresses."""
        try:
            lockout.lift(*(name for user in queryset for name in (user.username, user.email) if name))
        except redis.RedisError:
            self.message_user(request, "The cache cannot be reached, where failed logins are counted.", messages.ERROR)
            return
        for user in queryset:
            self.log_change(request, user, "Lifted the lockout.")
        self.message_user(request, f"{len(queryset)} may try to log in again.")

    @admin.action(description="Log the selected users out everywhere, and revoke their tokens", permissions=["change"])
    def log_out_everywhere(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End every login, socket and token of users; within a second they see nothing any more."""
        ended, revoked = 0, 0
        for user in self._not_above(request, queryset):
            ended += logins.end_all(user)
            revoked += ApiToken.standing().filter(user=user).update(revoked_at=timezone.now())
            self.log_change(request, user, "Logged out everywhere, tokens revoked.")
        self.message_user(request, f"{ended} logins ended, {revoked} tokens revoked.")

    @admin.action(description="Remove the second factors of the selected users", permissions=["change"])
    def remove_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Let who has lost his phone or key in by his password; he sets up a new one."""
        for user in self._not_above(request, queryset):
            Authenticator.objects.filter(user=user).delete()
            self.log_change(request, user, "Removed the second factors.")
        self.message_user(request, "Removed: their password lets them in until they set up another.")

    def _not_above(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        """Those whom somebody may handle."""
        if request.user.is_superuser:
            return queryset
        found = queryset.filter(is_superuser=False)
        return found if request.user.has_perm(_HANDS_OUT) else found.filter(is_staff=False)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Django's own group pages in unfold's dress."""

    list_display = ("name", "may_read")

    @admin.display(description="may read")
    def may_read(self, group: Group) -> str:
        """The patterns granted to the group."""
        return in_words(frozenset(FeedGrant.objects.filter(groups=group).values_list("pattern", flat=True)))


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
