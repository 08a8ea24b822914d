"""The pages of one's own account: what it may do, how it comes in, where it is logged in, and its API tokens."""

from typing import Any, Final

from allauth.account.decorators import reauthentication_required
from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from control import logins
from control.feed_patterns import in_words
from control.models import ApiToken, FeedGrant, NotificationTarget
from control.models.tokens import Scope, usual_scopes
from control.roles import IN_WORDS, Role, check
from control.second_factors import owes_second_factor

_MOST_TOKENS: Final = 100
_LIVES: Final = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "A year"), (0, "Until it is revoked"))


@require_GET
@login_required
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    """Who one is here, and the way to everything else."""
    user = _user(request)
    factors = {one.type: one for one in Authenticator.objects.filter(user=user)}
    codes = factors.get(Authenticator.Type.RECOVERY_CODES)
    return render(
        request,
        "account/index.html",
        {
            "roles": [
                (name, IN_WORDS[Role(name)] if name in set(Role) else "")
                for name in user.groups.values_list("name", flat=True).order_by("name")
            ],
            "may_read": in_words(FeedGrant.objects.patterns_of([user.pk])[user.pk]),
            "totp": factors.get(Authenticator.Type.TOTP),
            "keys": Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN).count(),
            "codes": len(codes.wrap().get_unused_codes()) if codes is not None else None,
            "owes_second_factor": owes_second_factor(request),
            "logins": len(logins.logins_of(user)),
            "tokens": ApiToken.standing().filter(user=user).count(),
            "targets": NotificationTarget.objects.filter(owner=user).count(),
            "single_sign_on": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
            "connected": SocialAccount.objects.filter(user=user).exists(),
        },
    )


@require_GET
@login_required
@never_cache
def sessions(request: HttpRequest) -> HttpResponse:
    """Where one is logged in."""
    here = request.session.session_key
    rows = [
        (login, logins.device(login.user_agent), login.session_key == here)
        for login in logins.logins_of(_user(request))
    ]
    tokens = ApiToken.standing().filter(user=_user(request)).count()
    return render(request, "account/sessions.html", {"rows": rows, "tokens": tokens})


@require_POST
@login_required
def end_session(request: HttpRequest, login_id: int) -> HttpResponse:
    """End one login."""
    if logins.end(_user(request), login_id):
        messages.success(request, "That login has ended.")
    return redirect("account_sessions")


@require_POST
@login_required
def end_sessions(request: HttpRequest) -> HttpResponse:
    """End every login but this one, or this one too."""
    user = _user(request)
    everywhere = request.POST.get("here") == "too"
    count = logins.end_all(user, None if everywhere else request.session.session_key)
    if everywhere:
        request.session.flush()
        return redirect("account_login")
    messages.success(request, f"{count} other login{'s' if count != 1 else ''} ended.")
    return redirect("account_sessions")


class LoginForm(AllauthLoginForm):  # type: ignore[misc]  # the library ships no types
    """allauth's form, in words that say what is asked for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["login"].label = "User name or mail address"
        self.fields["login"].widget.attrs["autocomplete"] = "username"
        self.fields["remember"].label = "Stay logged in"


class NewToken(forms.Form):
    """What a token is for, what it may be used for, and for how long."""

    name = forms.CharField(label="What is it for?", max_length=100, help_text="Such as: notebook, order tool.")
    scopes = forms.MultipleChoiceField(
        label="What may it be used for?", choices=Scope.choices, widget=forms.CheckboxSelectMultiple
    )
    days = forms.TypedChoiceField(label="How long is it good?", choices=_LIVES, coerce=int)

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, initial={"scopes": usual_scopes(), "days": 90})


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
@reauthentication_required(allow_get=True)  # type: ignore[untyped-decorator]  # the library ships no types
def tokens(request: HttpRequest) -> HttpResponse:
    """One's API tokens; a new one is shown this once."""
    user = _user(request)
    may_make = user.has_perm("control.add_apitoken")
    form = NewToken(request.POST if request.method == "POST" else None)
    made = None
    if request.method == "POST":
        check(user, "control.add_apitoken")
        if form.is_valid() and ApiToken.standing().filter(user=user).count() >= _MOST_TOKENS:
            form.add_error(None, f"You have {_MOST_TOKENS} tokens: revoke one first.")
        if form.is_valid():
            said = form.cleaned_data
            made = ApiToken.issue(user, said["name"], said["days"] or None, said["scopes"])
            form = NewToken()
    rows = ApiToken.objects.filter(user=user).select_related("user")[:200]
    return render(
        request,
        "account/tokens.html",
        {"rows": rows, "form": form, "made": made, "may_make": may_make, "labels": dict(Scope.choices)},
        status=200 if form.is_valid() or not form.is_bound else 422,
    )


@require_POST
@login_required
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    """Revoke one of one's own tokens, for good."""
    token = get_object_or_404(ApiToken, user=_user(request), pk=token_id)
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        messages.success(request, f"The token …{token.hint} is revoked.")
    return redirect("account_tokens")


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
