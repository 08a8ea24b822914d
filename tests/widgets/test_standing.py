"""What logins and tokens are worth, and who is told when that changes: on the real database, without sockets."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from channels.db import database_sync_to_async as aside
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from control.models import ApiToken, FeedGrant
from tests.rights import VIEWER, let_read
from tests.widgets.serving import new_login, new_token
from widgets.visitors import access
from widgets.visitors.access import (
    EXPIRED,
    REVOKED,
    SWITCHED_OFF,
    Credential,
    Grant,
    grants_of,
)
from widgets.visitors.standing import Watch


def _grant(token: str) -> Grant:
    credential = Credential(token_digest=ApiToken.digest_of(token))
    grant = grants_of([credential])[credential]
    assert isinstance(grant, Grant)
    return grant


def _worth(session_key: str) -> Grant | str:
    credential = Credential(session_key=session_key)
    return grants_of([credential])[credential]


@pytest.mark.django_db
def test_a_token_says_who_somebody_is_and_what_he_may_read() -> None:
    token = new_token("ann", days=1)
    grant, ann = _grant(token), User.objects.get(username="ann")
    assert (grant.user_id, grant.username, grant.is_staff, grant.patterns) == (ann.pk, "ann", False, frozenset(VIEWER))
    assert grant.credential == Credential(token_digest=ApiToken.digest_of(token))
    assert grant.expires_at == pytest.approx(time.time() + 86_400, abs=60)
    assert grant.may_read("scanners:top_gainers")
    assert not grant.may_read("unknown")


@pytest.mark.django_db
def test_a_login_ends_with_time_with_a_new_password_and_with_its_user() -> None:
    user, session = new_login("ann")
    assert isinstance(_worth(session), Grant)
    expires_at = Session.objects.get().expire_date
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert _worth(session) == "the login has ended"
    Session.objects.update(expire_date=expires_at)
    User.objects.update(is_active=False)
    assert _worth(session) == "the user was switched off"
    User.objects.update(is_active=True)
    assert isinstance(_worth(session), Grant)
    user.set_password("another long one")
    user.save()
    assert _worth(session) == "the login has ended"
    user.delete()
    assert _worth(session) == "the login has ended"


@pytest.mark.django_db
def test_a_session_without_login_is_worth_nothing() -> None:
    session = Client().session
    session["colour"] = "red"
    session.save()
    for key in (session.session_key or "", "", "no such session", "\0" * 32, "\ud800" * 32, "x" * 10_000):
        assert _worth(key) == "the login has ended"


@pytest.mark.django_db
def test_a_login_outlives_an_exchange_of_the_secret_key_while_the_old_one_counts(settings: Settings) -> None:
    user = new_login("ann")[0]
    before = user.get_session_auth_hash()
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = (
        [settings.SECRET_KEY],
        "another of at least fifty characters" * 2,
    )
    access._login_hashes.cache_clear()
    assert before in access._login_hashes(user.password)
    settings.SECRET_KEY_FALLBACKS = []
    access._login_hashes.cache_clear()
    assert before not in access._login_hashes(user.password)
    access._login_hashes.cache_clear()


@pytest.mark.django_db
def test_many_are_looked_at_with_a_handful_of_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    tokens = [new_token(f"user{number}") for number in range(30)]
    logins = [new_login(f"user{number}")[1] for number in range(30)]
    credentials = [
        *(Credential(token_digest=ApiToken.digest_of(token)) for token in tokens),
        *(Credential(session_key=session) for session in logins),
    ]
    with django_assert_num_queries(7):
        found = grants_of(credentials)
    assert all(isinstance(grant, Grant) for grant in found.values())


@pytest.mark.django_db
def test_keys_that_are_none_cost_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        found = grants_of([Credential(token_digest=ApiToken.digest_of(f"tw_{number}")) for number in range(30)])
    assert set(found.values()) == {REVOKED}


class _Told:
    """What a socket was told, and when."""

    def __init__(self) -> None:
        self.heard: list[tuple[Grant | None, str]] = []
        self.at: list[float] = []

    def changed(self, grant: Grant | None, reason: str) -> None:
        self.heard.append((grant, reason))
        self.at.append(time.time())

    async def until_told(self, times: int = 1) -> None:
        async with asyncio.timeout(3):
            while len(self.heard) < times:
                await asyncio.sleep(0.01)

    @property
    def last(self) -> tuple[Grant | None, str]:
        return self.heard[-1]


def _joins(user: User) -> None:
    group = Group.objects.create(name="desk")
    FeedGrant.objects.create(pattern="unknown*").groups.add(group)
    user.groups.add(group)


def _narrows(user: User) -> None:
    FeedGrant.objects.filter(users=user, pattern="scanners:*").update(pattern="scanners:top_*")


def _may_read_everything(user: User) -> None:
    user.user_permissions.add(Permission.objects.get(codename="read_every_feed"))


# What happens to a user, and the reason that his sockets are told.
_CHANGES: dict[str, tuple[Callable[[User], object], str]] = {
    "grants removed": (lambda user: FeedGrant.objects.filter(users=user).delete(), ""),
    "grant narrowed": (_narrows, ""),
    "grant added": (lambda user: let_read(user, "unknown*"), ""),
    "group entered": (_joins, ""),
    "permission": (_may_read_everything, ""),
    "now staff": (lambda user: User.objects.filter(pk=user.pk).update(is_staff=True), ""),
    "token revoked": (lambda user: ApiToken.objects.filter(user=user).update(revoked_at=timezone.now()), REVOKED),
    "token deleted": (lambda user: ApiToken.objects.filter(user=user).delete(), REVOKED),
    "token shortened": (lambda user: ApiToken.objects.filter(user=user).update(expires_at=timezone.now()), EXPIRED),
    "switched off": (lambda user: User.objects.filter(pk=user.pk).update(is_active=False), SWITCHED_OFF),
    "user deleted": (lambda user: user.delete(), REVOKED),
}


async def test_whatever_changes_a_grant_is_told_to_its_sockets_alone(transactional_db: None) -> None:
    watch, told = Watch(), {name: (_Told(), _Told()) for name in _CHANGES}
    other, other_grant = _Told(), await aside(_grant)(await aside(new_token)("other"))
    watch.add(other_grant, other.changed)
    for name, sockets in told.items():
        grant = await aside(_grant)(await aside(new_token)(name))
        for socket in sockets:
            watch.add(grant, socket.changed)
    since = time.time()
    for name, (change, _) in _CHANGES.items():
        await aside(change)(await aside(User.objects.get)(username=name))
    for name, (_, reason) in _CHANGES.items():
        for socket in told[name]:
            await socket.until_told()
            grant, said = socket.last
            assert (said, grant is None) == (reason, bool(reason)), name
            assert socket.at[0] - since < 2, name
    assert other.heard == []
    for socket in (other, *(socket for sockets in told.values() for socket in sockets)):
        watch.remove(socket.changed)
    await _nothing_is_left()


async def _nothing_is_left() -> None:
    async with asyncio.timeout(3):
        while any("_look_for_ever" in repr(task) for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)


async def test_a_token_ends_exactly_when_it_expires(transactional_db: None) -> None:
    watch, told = Watch(), _Told()
    token = await aside(new_token)("ann", days=1)
    expires_at = timezone.now() + timedelta(seconds=0.7)
    await aside(ApiToken.objects.update)(expires_at=expires_at)
    watch.add(await aside(_grant)(token), told.changed)
    await told.until_told()
    assert told.heard == [(None, "the token has expired")]
    assert 0 <= told.at[0] - expires_at.timestamp() < 0.1


async def test_what_changed_between_being_read_and_being_watched_is_told(transactional_db: None) -> None:
    watch, early, late = Watch(), _Told(), _Told()
    token = await aside(new_token)("ann")
    old = await aside(_grant)(token)
    await aside(FeedGrant.objects.all().delete)()
    new = await aside(_grant)(token)
    assert old != new
    # Of two sockets of one token either may hold what is no longer so.
    watch.add(new, early.changed)
    watch.add(old, late.changed)
    await late.until_told()
    assert late.last == (new, "")
    watch.add(old, early.changed)
    await early.until_told(2)
    assert early.last == (new, "")
    for told in (early, late):
        watch.remove(told.changed)
        watch.remove(told.changed)
    await _nothing_is_left()


async def test_a_socket_that_stumbles_does_not_keep_others_from_being_told(transactional_db: None) -> None:
    watch, told = Watch(), _Told()

    def stumble(grant: Grant | None, reason: str) -> None:
        raise RuntimeError

    token = await aside(new_token)("ann")
    grant = await aside(_grant)(token)
    for changed in (stumble, told.changed):
        watch.add(grant, changed)
    await aside(ApiToken.objects.all().delete)()
    await told.until_told()
    assert told.heard == [(None, "the token was revoked")]


def _rename(table: str, to: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {to}")


async def test_a_database_that_is_away_ends_nothing_but_what_expires(transactional_db: None) -> None:
    watch, stays, expires = Watch(), _Told(), _Told()
    tokens = [await aside(new_token)(name, days=1) for name in ("stays", "expires")]
    expiring = ApiToken.objects.filter(user__username="expires")
    await aside(expiring.update)(expires_at=timezone.now() + timedelta(seconds=1.2))
    for token, told in zip(tokens, (stays, expires), strict=True):
        watch.add(await aside(_grant)(token), told.changed)
    await aside(_rename)("control_apitoken", "control_apitoken_away")
    try:
        await expires.until_told()
    finally:
        await aside(_rename)("control_apitoken_away", "control_apitoken")
    assert expires.heard == [(None, "the token has expired")]
    assert stays.heard == []
    await aside(ApiToken.objects.update)(revoked_at=timezone.now())
    await stays.until_told()
    assert stays.heard == [(None, "the token was revoked")]
