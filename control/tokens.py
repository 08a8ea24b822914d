"""The page's own token: for the WebSocket's handshake alone, valid for a minute.

It is signed, not stored, and names the login that it was given to, so that the socket ends with that login.
"""

from typing import Final

from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core import signing
from django.http import HttpRequest

LIFE_S: Final = 60
_SALT: Final = "tapewatch.page-token"


def page_token(user_id: int, session_key: str) -> str:
    """A token for the page that is being rendered for this login."""
    return signing.dumps({"user": user_id, "session": session_key}, salt=_SALT)


def read_page_token(token: str) -> tuple[User, str] | None:
    """The user and session of a page token; None when it is none, too old, or the login has ended."""
    try:
        content = signing.loads(token, salt=_SALT, max_age=LIFE_S)
        user_id, session_key = int(content["user"]), str(content["session"])
    except (signing.BadSignature, KeyError, TypeError, ValueError):
        return None
    user = login_user(session_key)
    return (user, session_key) if user is not None and user.pk == user_id else None


def login_user(session_key: str) -> User | None:
    """Whose login a session is; None when it has ended.

    It ends by logging out, with time, with the user being switched off, and with a new password; the last leaves the
    session in the database, so that it being there says too little.
    """
    request = HttpRequest()
    request.session = SessionStore(session_key or None)
    user = get_user(request)
    return user if isinstance(user, User) else None
