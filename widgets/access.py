"""Who may come in at `/ws`, and what they may read. Every function here touches the database."""

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User

from control.models import ApiToken
from control.tokens import login_user, read_page_token

# The first words of the documented feeds. Redis carries more than these: the broker's own channels, for one.
_FAMILIES: Final = frozenset(
    (
        *("stocks", "options", "indices", "crypto", "forex", "futures", "quote", "bars"),
        *("scanners", "top_10_lists", "alerts", "news", "status", "unknown"),
    )
)
_OPERATORS_ONLY: Final = ("status:components", "unknown")


@dataclass(frozen=True, slots=True)
class Grant:
    """Who a socket belongs to, and what it lives by: a login's session, or an API token."""

    user_id: int
    is_staff: bool
    session_key: str | None = None
    token_digest: str | None = None

    def may_read(self, feed: str) -> bool:
        """Whether this user may read a feed, a cache key, or everything that a pattern matches."""
        prefix = feed.removesuffix("*")
        if prefix.partition(":")[0] not in _FAMILIES:
            return False
        if self.is_staff:
            return True
        if feed.endswith("*"):
            # A pattern must not reach what its name would not be allowed to.
            return not any(name.startswith(prefix) or prefix.startswith(name) for name in _OPERATORS_ONLY)
        return not any(feed == name or feed.startswith(f"{name}:") for name in _OPERATORS_ONLY)


def grant_for_key(key: str) -> Grant | None:
    """The grant of an API token or a page's token; None when it is neither, or no longer valid."""
    row = ApiToken.find(key)
    if row is not None:
        return Grant(row.user.pk, row.user.is_staff, token_digest=row.digest)
    found = read_page_token(key)
    if found is not None:
        user, session_key = found
        return Grant(user.pk, user.is_staff, session_key=session_key)
    return None


def grant_for_login(user: User, session_key: str) -> Grant | None:
    """The grant of a login of the same origin."""
    if not user.is_active or not session_key:
        return None
    return Grant(user.pk, user.is_staff, session_key=session_key)


def stands(grant: Grant) -> bool:
    """Whether a grant still stands.

    It does not when the login has ended, the token was revoked or has expired, or the user was switched off or is no
    longer what the grant says.
    """
    if grant.token_digest is not None:
        return ApiToken.standing().filter(digest=grant.token_digest, user__is_staff=grant.is_staff).exists()
    user = login_user(grant.session_key or "")
    return user is not None and user.pk == grant.user_id and user.is_staff == grant.is_staff
