"""Logins of people: from which device and address each is, when it was last seen, and how they are ended.

A login is a row in the table of sessions; what is known of its device stands beside it, in allauth's. Ending one
deletes its session, and its sockets notice within a second (widgets/visitors/standing.py).
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final

from allauth.usersessions.models import UserSession
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

_SEEN_EVERY_S: Final = 60.0
_MOST_REMEMBERED: Final = 10_000
_BROWSERS: Final = (
    ("Edge", r"Edg(?:e|A|iOS)?/(\d+)"),
    ("Opera", r"OPR/(\d+)"),
    ("Samsung Internet", r"SamsungBrowser/(\d+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d+)"),
    ("Chrome", r"(?:Headless)?(?:Chrome|CriOS)/(\d+)"),
    ("Safari", r"Version/(\d+)[\d.]* (?:Mobile/\S+ )?Safari"),
    ("curl", r"curl/(\d+)"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("macOS", "Mac OS X|Macintosh"),
    ("ChromeOS", "CrOS"),
    ("Linux", "Linux"),
)


class LastSeenMiddleware:
    """Writes down, once a minute, that a login is in use, from where and with what; older logins become known by it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._lock = Lock()
        self._noted: OrderedDict[str, float] = OrderedDict()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        # A program with a token has no session; nobody is looked up for it.
        key = request.session.session_key if SESSION_KEY in request.session else None
        if key is not None and self._is_due(key) and request.user.is_authenticated:
            try:
                with transaction.atomic():
                    UserSession.objects.create_from_request(request)
            except DatabaseError:
                # The page matters more; the next minute comes.
                pass
        return self._get_response(request)

    def _is_due(self, key: str) -> bool:
        now = monotonic()
        with self._lock:
            if now - self._noted.get(key, -_SEEN_EVERY_S) < _SEEN_EVERY_S:
                return False
            self._noted[key] = now
            self._noted.move_to_end(key)
            if len(self._noted) > _MOST_REMEMBERED:
                self._noted.popitem(last=False)
        return True


def logins_of(user: User) -> list[UserSession]:
    """The logins of somebody that stand, the one that was seen last first."""
    standing = UserSession.objects.purge_and_list(user)
    return sorted(standing, key=lambda login: login.last_seen_at, reverse=True)


def end(user: User, login_id: int) -> bool:
    """End one login of somebody; whether there was such a one."""
    login = UserSession.objects.filter(user=user, pk=login_id).first()
    if login is None:
        return False
    login.end()
    return True


def end_all(user: User, but: str | None = None) -> int:
    """End every login of somebody; those of which no device is known are among them.

    Args:
        but: The session that stays.

    Returns:
        How many there were.
    """
    store = SessionStore()
    keys = [
        session.session_key
        for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator()
        if session.session_key != but and store.decode(session.session_data).get(SESSION_KEY) == str(user.pk)
    ]
    with transaction.atomic():
        Session.objects.filter(session_key__in=keys).delete()
        UserSession.objects.filter(user=user).exclude(session_key=but or "").delete()
    return len(keys)


def device(user_agent: str) -> str:
    """A browser in words, such as `Chrome 142 on Linux`."""
    browser = next(
        (f"{name} {found[1]}" for name, pattern in _BROWSERS if (found := re.search(pattern, user_agent))), ""
    )
    system = next((name for name, pattern in _SYSTEMS if re.search(pattern, user_agent)), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or user_agent[:60] or "Unknown browser"
