"""The page's own token: for one WebSocket's handshake, valid for a minute.

It is signed, not stored, and names the login that it was given to, so that the socket ends with that login. What is
kept is that it was used: read from a page or a proxy's log afterwards, it opens nothing.
"""

import logging
import secrets
from hashlib import sha256
from threading import Lock
from time import monotonic
from typing import Final

import redis
from django.core import signing

from processors.store import SPENT, default_store

log = logging.getLogger(__name__)

LIFE_S: Final = 60
# Remembered for longer, since a host whose clock is ahead makes tokens that live longer on others.
_REMEMBERED_S: Final = 5 * LIFE_S
_SALT: Final = "tapewatch.page-token"


def page_token(user_id: int, session_key: str) -> str:
    """A token for the page that is being rendered for this login. No two are alike."""
    return signing.dumps({"user": user_id, "session": session_key, "once": secrets.token_urlsafe(12)}, salt=_SALT)


def spend_page_token(token: str) -> tuple[int, str] | None:
    """The user's number and the session that a page token names; None when it is none, too old, or was used before.

    Whether the login still stands is for the caller to ask.
    """
    try:
        content = signing.loads(token, salt=_SALT, max_age=LIFE_S)
        user_id, session_key = int(content["user"]), str(content["session"])
    except (signing.BadSignature, KeyError, TypeError, ValueError):
        return None
    return (user_id, session_key) if _spent.first_use(token) else None


class _Spent:
    """The tokens that were used: known to every web process by the cache, and to this one while that is away, too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until: dict[str, float] = {}

    def first_use(self, token: str) -> bool:
        """Whether a token was not used before; from now on it was."""
        # The signature accepts one spelling of a token, so that its hash tells it from every other.
        digest = sha256(token.encode()).hexdigest()
        now = monotonic()
        with self._lock:
            while self._until and next(iter(self._until.values())) <= now:
                # In the order in which they were used.
                del self._until[next(iter(self._until))]
            if digest in self._until:
                return False
            self._until[digest] = now + _REMEMBERED_S
        try:
            return bool(default_store().redis.set(SPENT + digest, "", nx=True, ex=_REMEMBERED_S))
        except redis.RedisError as error:
            log.warning("cache unreachable: that a page's token was used is known to this process alone: %s", error)
            return True


_spent: Final = _Spent()
