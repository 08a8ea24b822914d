"""The admin of API tokens: made here and shown once, listed, and revoked."""

from typing import Any, Final

from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from control.admin.history import goes_with_another
from control.models import ApiToken
from control.models.tokens import Scope, usual_scopes
from control.roles import manages_others

_DAYS: Final = [
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In a year"),
    ("7", "In a week"),
    ("1", "Tomorrow"),
    ("", "Never: it is good until it is revoked"),
]


class NewTokenForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    """What a token is for, what it may be used for, and how long."""

    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=usual_scopes,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="A token never may more than its user. Choose no more than the program needs.",
    )
    days = forms.TypedChoiceField(
        label="Expires",
        choices=_DAYS,
        coerce=int,
        empty_value=None,
        required=False,
        initial="30",
        widget=UnfoldAdminSelectWidget,
    )

    class Meta:
        model = ApiToken
        fields = ("user", "name", "scopes")


class StateFilter(admin.SimpleListFilter):
    """Whether a token is accepted now."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The states."""
        return [("good", "Accepted"), ("not", "Expired, revoked or switched off")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
        """Those in the chosen state."""
        good = ApiToken.standing().values("pk")
        if self.value() == "good":
            return queryset.filter(pk__in=good)
        return queryset.exclude(pk__in=good) if self.value() == "not" else queryset


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):  # type: ignore[misc]
    """Tokens: whoever manages others sees everyone's, everybody else his own. None is ever shown again."""

    list_display = ("hinted", "user", "name", "scopes_in_words", "state", "last_used_at", "expires_at", "created_at")
    list_filter = (StateFilter,)
    list_select_related = ("user",)
    search_fields = ("=user__username", "name", "=hint")
    search_help_text = "A user, a name, or a token's last characters"
    fields = readonly_fields = (
        *("user", "name", "hinted", "scopes_in_words", "state"),
        *("created_at", "last_used_at", "expires_at", "revoked_at"),
    )
    autocomplete_fields = ("user",)
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        """Everyone's, or one's own."""
        found: QuerySet[ApiToken] = super().get_queryset(request)
        return found if manages_others(request.user) else found.filter(user_id=request.user.pk or 0)

    @admin.display(description="token")
    def hinted(self, token: ApiToken) -> str:
        """Its last characters, to tell it by."""
        return f"tw_…{token.hint}"

    @admin.display(description="scopes")
    def scopes_in_words(self, token: ApiToken) -> str:
        """What it may be used for."""
        return ", ".join(token.scopes)

    @admin.display(description="state")
    def state(self, token: ApiToken) -> str:
        """Whether it is accepted now, and if not, why."""
        return token.state

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        """A new one has what its form has."""
        return self.fields if obj is not None else ("user", "name", "scopes", "days")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        """A token stays as it was made; it can be revoked."""
        return self.readonly_fields if obj is not None else ()

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        """Nobody is searched for where one can only choose oneself."""
        return self.autocomplete_fields if manages_others(request.user) else ()

    def get_form(self, request: HttpRequest, obj: ApiToken | None = None, change: bool = False, **options: Any) -> Any:
        """The form of a new one, for those users that one may make tokens for."""
        if obj is not None:
            return super().get_form(request, obj, change, **options)
        form = super().get_form(request, obj, change, form=NewTokenForm, **options)
        # A token acts as its user: who makes one for somebody else may do what that one may.
        form.base_fields["user"].queryset = _may_act_as(request)
        return form

    @method_decorator(reauthentication_required)
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """The form, for who came in or gave his password lately."""
        return super().add_view(request, form_url, extra_context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """One's own, unless it is said otherwise."""
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The form with one button: what comes next shows the token."""
        one = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, {**context, **one}, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: forms.ModelForm, change: bool) -> None:  # type: ignore[type-arg]
        """Make the token; a row that was there stays as it is."""
        if change:
            return
        given = form.cleaned_data
        row, token = ApiToken.issue(obj.user, obj.name, given["days"], set(given["scopes"]))
        obj.__dict__.update(row.__dict__)
        request.made_token = token  # type: ignore[attr-defined]  # for the one answer that shows it

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """Show the token. It is in this answer and nowhere else: no session, no cache and no log has it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Your new token" if obj.user_id == request.user.pk else f"A new token for {obj.user}",
            "opts": self.opts,
            "row": obj,
            "token": request.made_token,  # type: ignore[attr-defined]
            "list_url": reverse("admin:control_apitoken_changelist"),
        }
        answer = TemplateResponse(request, "admin/token_made.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Make tokens invalid from now on; who is connected with one is cut off within a second."""
        changed = queryset.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())
        self.message_user(request, f"{changed} revoked.")

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """A revoked token stays as a record; it goes with its user."""
        return goes_with_another(self, request)


def _may_act_as(request: HttpRequest) -> QuerySet[User]:
    """The users that one may make tokens for: oneself, and for those who manage others everyone of no higher rank."""
    users = User.objects.filter(is_active=True)
    if isinstance(request.user, User) and request.user.is_superuser:
        return users
    return users.filter(is_superuser=False) if manages_others(request.user) else users.filter(pk=request.user.pk or 0)
