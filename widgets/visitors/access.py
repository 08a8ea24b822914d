"""Who may come in at `/ws`, and what they may read. The functions here ask the database."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from control.feed_patterns import allows
from control.models import ApiToken, FeedGrant
from control.models.rights import listed
from control.models.tokens import Scope
from control.second_factors import by_single_sign_on, owing_second_factor

LOGIN_ENDED: Final = "the login has ended"
REVOKED: Final = "the token was revoked"
EXPIRED: Final = "the token has expired"
NOT_FOR_READING: Final = "the token was not made for reading"
SWITCHED_OFF: Final = "the user was switched off"
NO_SECOND_FACTOR: Final = "staff need a second factor"

_SESSION_KEY: Final = re.compile(r"[A-Za-z0-9]{1,40}")
# Databases take so many parameters in one query at least.
_MOST_AT_ONCE: Final = 5_000


class Credential(NamedTuple):
    """What a socket lives by: a login's session, or an API token's hash."""

    session_key: str | None = None
    token_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Who a socket belongs to, what he may read, and what it lives by.

    Attributes:
        is_staff: He sees the rules of all users, as far as the patterns reach.
        patterns: The feeds that were granted to him and to his groups.
        expires_at: When login or token end by themselves, in epoch seconds; None: never.
    """

    user_id: int
    username: str
    is_staff: bool
    patterns: frozenset[str]
    session_key: str | None = None
    token_digest: str | None = None
    expires_at: float | None = None

    @property
    def credential(self) -> Credential:
        """What it lives by."""
        return Credential(self.session_key, self.token_digest)

    def may_read(self, feed: str) -> bool:
        """Whether this user may read a feed, a cache key, or everything that a pattern matches."""
        return allows(self.patterns, feed)


def grants_of(credentials: Collection[Credential]) -> dict[Credential, Grant | str]:
    """What logins and tokens are worth at this moment: a grant each, or why there is none.

    A handful of queries, however many there are. A login ends by logging out, with time, and with a new password; the
    last leaves the session in the database, so that it being there says too little.
    """
    everything = list(credentials)
    found: dict[Credential, Grant | str] = {}
    for start in range(0, len(everything), _MOST_AT_ONCE):
        found |= _grants_of(everything[start : start + _MOST_AT_ONCE])
    return found


class _User(NamedTuple):
    """What is asked of a user; a model's instance each would cost more than all else."""

    pk: int
    username: str
    is_active: bool
    is_staff: bool
    password: str


class _Login(NamedTuple):
    """What a session says of its login: whose it is, the hash of his password, and the way he came."""

    user_id: int
    hash: str
    by_single_sign_on: bool


class _Held(NamedTuple):
    """A login or token that stands as far as its own row says."""

    user_id: int
    expires_at: float | None
    login_hash: str | None = None
    by_single_sign_on: bool = False


def _grants_of(credentials: list[Credential]) -> dict[Credential, Grant | str]:
    held = {
        **_logins([one.session_key for one in credentials if one.session_key is not None]),
        **_tokens([one.token_digest for one in credentials if one.token_digest is not None]),
    }
    owners = {one.user_id for one in held.values() if isinstance(one, _Held)}
    rows = User.objects.filter(pk__in=listed(owners)) if owners else User.objects.none()
    needed = rows.values_list("pk", "username", "is_active", "is_staff", "password")
    users = {row[0]: _User(*row) for row in needed}
    patterns = FeedGrant.objects.patterns_of(users)
    owing = owing_second_factor(user.pk for user in users.values() if user.is_staff)
    found: dict[Credential, Grant | str] = {}
    for credential in credentials:
        missing = REVOKED if credential.token_digest is not None else LOGIN_ENDED
        one = held.get(credential, missing)
        if isinstance(one, _Held) and one.login_hash is not None and not one.by_single_sign_on and one.user_id in owing:
            one = NO_SECOND_FACTOR
        found[credential] = _grant(credential, one, users, patterns, missing) if isinstance(one, _Held) else one
    return found


def _grant(
    credential: Credential,
    held: _Held,
    users: Mapping[int, _User],
    patterns: Mapping[int, frozenset[str]],
    missing: str,
) -> Grant | str:
    user = users.get(held.user_id)
    if user is None:
        return missing
    if not user.is_active:
        return SWITCHED_OFF
    if held.login_hash is not None and held.login_hash not in _login_hashes(user.password):
        return LOGIN_ENDED
    return Grant(user.pk, user.username, user.is_staff, patterns[user.pk], *credential, expires_at=held.expires_at)


def _logins(session_keys: list[str]) -> dict[Credential, _Held | str]:
    """Logins, by their sessions; those that are not there have ended."""
    now = timezone.now()
    held: dict[Credential, _Held | str] = {}
    # A cookie may say anything; what no database can hold would fail all who are looked up with it.
    keys = [key for key in session_keys if _SESSION_KEY.fullmatch(key)]
    rows = Session.objects.filter(session_key__in=listed(keys)) if keys else Session.objects.none()
    for key, data, expires_at in rows.values_list("session_key", "session_data", "expire_date"):
        login = _login_in(data) if expires_at > now else None
        held[Credential(session_key=key)] = (
            _Held(login.user_id, expires_at.timestamp(), login.hash, login.by_single_sign_on)
            if login is not None
            else LOGIN_ENDED
        )
    return held


def _tokens(digests: list[str]) -> dict[Credential, _Held | str]:
    """Tokens, by their hashes; those that are not there were revoked."""
    now = timezone.now()
    held: dict[Credential, _Held | str] = {}
    rows = ApiToken.objects.filter(digest__in=listed(digests)) if digests else ApiToken.objects.none()
    for digest, user, scopes, revoked_at, expires_at in rows.values_list(
        "digest", "user", "scopes", "revoked_at", "expires_at"
    ):
        credential = Credential(token_digest=digest)
        if revoked_at is not None:
            held[credential] = REVOKED
        elif Scope.READ not in scopes:
            held[credential] = NOT_FOR_READING
        elif expires_at is not None and expires_at <= now:
            held[credential] = EXPIRED
        else:
            held[credential] = _Held(user, expires_at.timestamp() if expires_at is not None else None)
    return held


# Remembered, since the same sessions are looked at again and again, and reading one costs more than all else of it.
@lru_cache(maxsize=20_000)
def _login_in(session_data: str) -> _Login | None:
    """What a session holds; None without a login."""
    content = SessionStore().decode(session_data)
    try:
        user_id, backend, login_hash = (content[key] for key in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY))
    except KeyError:
        return None
    if backend not in settings.AUTHENTICATION_BACKENDS:
        return None
    return _Login(int(user_id), login_hash, by_single_sign_on(content))


@lru_cache(maxsize=20_000)
def _login_hashes(password: str) -> frozenset[str]:
    """What the sessions of a user with this (hashed) password may hold."""
    user = User(password=password)
    return frozenset((user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()))
