"""The page's own token: for the WebSocket's handshake alone, valid for a minute.

It is signed, not stored, and names the login that it was given to, so that the socket ends with that login.
"""

from typing import Final

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core import signing
from django.utils import timezone

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
    if not login_stands(session_key):
        return None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    return (user, session_key) if user is not None else None


def login_stands(session_key: str) -> bool:
    """Whether a login's session is still there and not expired."""
    return Session.objects.filter(session_key=session_key, expire_date__gt=timezone.now()).exists()
