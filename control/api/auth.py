"""Who calls the API: the user of a token, or of a login of the same origin; and what for."""

from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from ninja.errors import AuthenticationError, AuthorizationError
from ninja.security import HttpBearer, SessionAuth

from control.api import limits
from control.models import ApiToken
from control.models.rights import may_read
from control.models.tokens import Scope

# What one needs to try any scanner, on the market or on a recording.
EVERY_BOARD: Final = "scanners:*"

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# When a token was used last is written down no more often than this.
_NOTED_EVERY: Final = timedelta(minutes=1)


class InsufficientScopeError(AuthorizationError):
    """A token was not made for this (RFC 6750).

    Args:
        scope: What it lacks.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(message=f"This token may not be used for this: it takes one with the scope {scope}.")


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`, a token made on the page of one's account, here, or by `manage.py issue_token`.

    Args:
        scope: What the token has to be good for; None: reading, or writing where a call changes something.
    """

    def __init__(self, scope: Scope | None = None) -> None:
        self.scope = scope
        super().__init__()

    def authenticate(self, request: HttpRequest, token: str) -> User:
        """The token's user. Whoever shows a token is known by that alone: one that is none is not made up for by a
        login.

        Raises:
            AuthenticationError: It is none, or no longer good.
            InsufficientScopeError: It was made for something else.
            Throttled: It was used too often.
        """
        row = ApiToken.find(token)
        if row is None:
            raise AuthenticationError(message="The token is unknown, expired or revoked, or its user is switched off.")
        limits.count(request, limits.CALLS, f"token:{row.pk}")
        needed = self.scope_for(request.method or "")
        if needed not in row.scopes:
            raise InsufficientScopeError(needed)
        _note_use(row)
        request.api_token = row  # type: ignore[attr-defined]  # for token_of
        return row.user

    def scope_for(self, method: str) -> Scope:
        """What a token has to be good for.

        Args:
            method: HTTP's, in capitals.
        """
        return self.scope or (Scope.READ if method in _SAFE else Scope.WRITE)


class Login(SessionAuth):
    """A login's cookie, with the CSRF token for whatever changes something."""

    def __call__(self, request: HttpRequest) -> User | None:
        """Ask for a login before the CSRF token: who has none learns that first."""
        if not request.user.is_authenticated:
            return None
        # The search for the CSRF token would take a form's body away from those who read it after us.
        _ = request.body
        user: User | None = super().__call__(request)
        if user is not None:
            limits.count(request, limits.CALLS, f"user:{user.pk}")
        return user


def needs(scope: Scope) -> list[Bearer | Login]:
    """The `auth=` of a router or an endpoint whose tokens need another scope than reading and writing."""
    return [Bearer(scope), Login()]


def user_of(request: HttpRequest) -> User:
    """Who calls; for endpoints that ask for authentication, which is all of them."""
    user: User = request.auth  # type: ignore[attr-defined]  # set by ninja
    return user


def token_of(request: HttpRequest) -> ApiToken | None:
    """The token that a call came with; None where it came with a login."""
    return getattr(request, "api_token", None)


def check_may_read(request: HttpRequest, feed: str) -> None:
    """Refuse a caller without a grant for a feed: what `/ws` does not send, the API does not tell.

    Args:
        request: Of an endpoint that asks for authentication.
        feed: A feed, or a pattern that has to be covered whole.

    Raises:
        AuthorizationError: He may not read it.
    """
    if not may_read(user_of(request), feed):
        raise AuthorizationError(message=refusal(feed))


def refusal(feed: str) -> str:
    """What somebody without a grant for a feed is told."""
    return f"You may not read {feed}: ask an administrator for a feed grant."


def _note_use(row: ApiToken) -> None:
    now = timezone.now()
    if row.last_used_at is None or now - row.last_used_at >= _NOTED_EVERY:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
