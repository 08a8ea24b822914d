"""The second factor that staff have to have while `REQUIRE_MFA` says so.

Who came by single sign-on was asked for it there, or was not by the choice of whoever runs that.
"""

from collections.abc import Iterable
from typing import Any, Final

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import HttpRequest

_FACTORS: Final = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def owes_second_factor(request: HttpRequest) -> bool:
    """Whether somebody is staff, has no second factor, and has to have one."""
    user = request.user
    if not settings.REQUIRE_MFA or not user.is_authenticated or not user.is_staff:
        return False
    return not by_single_sign_on(request.session) and bool(owing_second_factor([user.pk]))


def owing_second_factor(staff: Iterable[int]) -> frozenset[int]:
    """Those of some staff, by their numbers, who have none and have to have one."""
    if not settings.REQUIRE_MFA:
        return frozenset()
    asked = frozenset(staff)
    having = Authenticator.objects.filter(user__in=asked, type__in=_FACTORS)
    return asked - frozenset(having.values_list("user", flat=True))


def by_single_sign_on(session: Any) -> bool:
    """Whether a session, or its content, is that of a login by a provider of ours."""
    records = session.get(AUTHENTICATION_METHODS_SESSION_KEY) or []
    return any(record.get("method") == "socialaccount" for record in records)
