"""How people come in: logins made by an administrator, lockout, second factors, and single sign-on by settings."""

import base64
import logging
import secrets
import time
from typing import Any, Final

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from control import lockout
from control.models.secret_text import Undecipherable, decrypted, encrypted
from control.roles import Role, assign
from widgets.visitors.origins import request_address

log = logging.getLogger(__name__)

# Who came in or gave his password so lately is not asked again.
FRESH_S: Final = 300


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # the library ships no types
    """allauth's behaviour without sign-up, with our lockout."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        # Of codes and security keys, which allauth counts itself.
        "too_many_login_attempts": "Too many failed attempts. Wait five minutes, then try again.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whether a stranger may make an account: no."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The client's address, as sockets and the audit log know it, too."""
        return request_address(request) or str(super().get_client_ip(request))

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Refuse to look at a password while the account or the address is locked, and say for how long.

        Raises:
            ValidationError: It is locked.
        """
        login = credentials.get("username") or credentials.get("email") or ""
        address = self.get_client_ip(request)
        self._attempt = lockout.Attempt(login, address)
        if wait_s := self._attempt.wait_s():
            log.warning("login refused, too many have failed", extra={"address": address, "wait_s": wait_s})
            raise ValidationError(
                f"Too many failed login attempts. Wait {lockout.in_words(wait_s)}, then try again; an administrator "
                "can lift this.",
                code="too_many_login_attempts",
            )

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """The user whose password it is; None when it is nobody's."""
        user: User | None = super().authenticate(request, **credentials)
        if user is not None:
            self._attempt.succeeded()
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Log it, without what was typed: people type passwords where names belong."""
        log.warning("login failed", extra={"address": self.get_client_ip(request)})

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail; that the mail server is away is logged, and breaks no page that is done otherwise."""
        try:
            super().send_mail(template_prefix, email, context)
        except OSError:
            log.exception("a mail could not be sent: %s", template_prefix)

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Whether a sensitive change asks for the password once more: not of who has just come in."""
        if not super().is_reauthentication_required(app=app, **kwargs):
            return False
        records = get_authentication_records(context.request, context.request.user)
        return not records or time.time() - records[-1]["at"] >= FRESH_S


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # the library ships no types
    """Second factors whose secrets are encrypted in the database."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "This code is not right, or was used already. Wait for the next one.",
    }

    def encrypt(self, text: str) -> str:
        """A secret as it is stored."""
        return encrypted(text)

    def decrypt(self, encrypted_text: str) -> str:
        """A stored secret; in place of one that no key fits another, which matches nobody's code."""
        try:
            return decrypted(encrypted_text)
        except Undecipherable:
            log.exception("a second factor cannot be read; an administrator can remove it")
            return base64.b32encode(secrets.token_bytes(20)).decode()

    def get_totp_label(self, user: User) -> str:
        """What the authenticator app names the account."""
        return user.get_username()


class SingleSignOn(DefaultSocialAccountAdapter):  # type: ignore[misc]  # the library ships no types
    """Logins by an OpenID Connect provider that the settings name, and roles by its groups."""

    error_messages = {
        **DefaultSocialAccountAdapter.error_messages,
        "connected_other": "That login belongs to another account here.",
    }

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Whether who is unknown here gets an account: by `OIDC_SIGNUP` alone."""
        return bool(settings.OIDC_SIGNUP)

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Whether that happens without a form: always, names that are taken get a number."""
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Find the account that has the mail address which the provider vouches for, and give the roles of its groups.

        Only an administrator sets the mail address of an account, so that it is no way into that of another; one that
        the provider does not vouch for is nobody's.
        """
        if sociallogin.is_existing:
            _follow_groups(sociallogin.user, sociallogin)
            return
        for one in sociallogin.email_addresses:
            # Some providers say it in words, of which "false" is as true as any.
            one.verified = str(one.verified).lower() == "true"
        verified = [one.email for one in sociallogin.email_addresses if one.verified]
        if not verified:
            sociallogin.email_addresses, sociallogin.user.email = [], ""
        found = list(User.objects.filter(email__iexact=verified[0])[:2]) if verified else []
        if len(found) > 1:
            raise ImmediateHttpResponse(_refused(request, "Several accounts here have your mail address."))
        if found and sociallogin.state.get("process") != "connect":
            sociallogin.connect(request, found[0])
            _follow_groups(found[0], sociallogin)

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Make the account of somebody new."""
        user: User = super().save_user(request, sociallogin, form)
        _follow_groups(user, sociallogin)
        return user

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        """Log why it failed; what the person sees does not say."""
        log.warning("single sign-on failed: %s", exception or error)


def _follow_groups(user: User, sociallogin: SocialLogin) -> None:
    """Give somebody the roles of the provider's groups, each time he comes in; superusers keep what they have."""
    if not settings.OIDC_ROLES or user.is_superuser:
        return
    said = sociallogin.account.extra_data
    content = {**(said.get("id_token") or {}), **(said.get("userinfo") or {})}
    groups = content.get(settings.OIDC_GROUPS_CLAIM) or []
    groups = {groups} if isinstance(groups, str) else set(map(str, groups))
    assign(user, {Role(role) for group, role in settings.OIDC_ROLES.items() if group in groups})


def _refused(request: HttpRequest, why: str) -> HttpResponse:
    return render(request, "socialaccount/authentication_error.html", {"why": why}, status=403)
