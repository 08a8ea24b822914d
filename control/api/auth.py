"""Who calls the API: the user of a token, or of a login of the same origin."""

from typing import Final

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.errors import AuthorizationError
from ninja.security import HttpBearer, SessionAuth
from ninja.throttling import AuthRateThrottle

from control.models import ApiToken
from control.models.rights import may_read

# What one needs to try any scanner, on the market or on a recording.
EVERY_BOARD: Final = "scanners:*"


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`, a token of `manage.py issue_token`."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        """The token's user."""
        row = ApiToken.find(token)
        return row.user if row is not None else None


class Login(SessionAuth):
    """A login's cookie, with the CSRF token for whatever changes something."""

    def __call__(self, request: HttpRequest) -> User | None:
        """Ask for a login before the CSRF token: who has none learns that first."""
        user: User | None = super().__call__(request) if request.user.is_authenticated else None
        return user


class PerUser(AuthRateThrottle):
    """So many calls of one kind a user.

    Args:
        scope: The kind's name.
        rate: Such as `30/m`.
    """

    def __init__(self, scope: str, rate: str) -> None:
        self.scope = scope
        super().__init__(rate)


def user_of(request: HttpRequest) -> User:
    """Who calls; for endpoints that ask for authentication, which is all of them."""
    user: User = request.auth  # type: ignore[attr-defined]  # set by ninja
    return user


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
