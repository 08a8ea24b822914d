"""Who may read what at `/ws`: by every verb and pattern, at any time. Through the real server."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from websockets.exceptions import ConnectionClosed

from control.models import ApiToken, FeedGrant
from control.tokens import page_token
from tests.rights import OPERATOR, let_read, new_user
from tests.services import wait_until
from tests.widgets.serving import Talk, Web, new_login, new_token
from widgets.visitors.access import EXPIRED, LOGIN_ENDED, REVOKED, SWITCHED_OFF

_PASSWORD = "a long enough one"
# Promised, from the change in the database to the end of the socket.
_SECOND = 1.0

# A feed of each family, and patterns around it.
_FEEDS = {
    "scanners:top_gainers": ("scanners:*", "scanners*", "scanners:top_*", "scanners:top_gainers*"),
    "top_10_lists": ("top_10_lists*",),
    "quote:AAPL": ("quote:*", "quote*", "quote:AA*"),
    "alerts": ("alerts*",),
    "alerts:halts": ("alerts:*", "alerts:h*"),
    "bars:1m:AAPL": ("bars:*", "bars:1m:*"),
    "news:latest": ("news:*", "news*"),
    "stocks:trades:AAPL": ("stocks:*", "stocks:trades:*", "stocks*"),
    "options:trades:O:SPY251219C00650000": ("options:*",),
    "indices:value:I:SPX": ("indices:*",),
    "crypto:trades:X:BTC-USD": ("crypto:*",),
    "forex:quotes:C:EUR/USD": ("forex:*",),
    "futures:trades:ESZ6": ("futures:*",),
    "status:components": ("status:*", "status*"),
    "unknown": ("unknown*",),
    "unknown:1": ("unknown:*",),
}
_OF_OPERATORS = frozenset({"status:components", "unknown", "unknown:1"})
# What belongs to no family: the cache's own keys, the broker's channels, and everything.
_NO_FEEDS = ("*", "s*", "tw:*", "tw:source", "tw:delta:scanners:top_gainers", "celery", "/0.celery.pidbox", "_kombu*")


def _asked(feed: str) -> list[dict[str, Any]]:
    """Every way to ask for a feed."""
    options: tuple[dict[str, Any], ...] = (
        *({}, {"envelope": True}, {"envelope": True, "snapshot": True}),
        *({"envelope": True, "max_rate": 5}, {"envelope": True, "delta": True}),
    )
    return [
        *({"action": "subscribe", "feed": feed, **option} for option in options),
        *({"action": "get", "cache": feed}, {"action": "get", "cache": feed, "limit": 1}),
    ]


def _refused(talk: Talk, feed: str) -> bool:
    """Whether every way to ask for a feed is answered by `forbidden`."""
    return all(talk.ask(**request) == {"status": "forbidden", "feed": feed} for request in _asked(feed))


def _publish_all(cache: "redis.Redis") -> None:
    for feed in _FEEDS:
        cache.publish(feed, f'["{feed}"]')


def _readable(talk: Talk) -> set[str]:
    """The feeds that one can subscribe to, each of which `get` answers, too."""
    found = set()
    for feed in _FEEDS:
        answers = [talk.ask(action="get", cache=feed), talk.ask(action="subscribe", feed=feed)]
        # The system's own state is there, whoever else publishes nothing.
        if answers[0].get("cache") == feed and answers[1] == {"status": "subscribed", "feed": feed}:
            found.add(feed)
        else:
            assert answers == [{"status": "forbidden", "feed": feed}] * 2
    return found


def _heard(talk: Talk, cache: "redis.Redis") -> set[str]:
    """What comes of one message on each feed."""
    talk.subscribe("status")
    _publish_all(cache)
    cache.publish("status", '"the last"')
    feeds = set()
    while (message := talk.hear()) != "the last":
        if isinstance(message, list):
            feeds.add(message[0])
    return feeds


def test_without_a_grant_nothing_is_read_by_any_verb(web: Web, cache: "redis.Redis") -> None:
    user = User.objects.create_user("nobody", is_staff=True)
    with Talk.authorised(web, ApiToken.issue(user)[1]) as talk:
        for feed, patterns in _FEEDS.items():
            assert all(_refused(talk, name) for name in (feed, *patterns)), feed
        assert _heard(talk, cache) == set()


def test_what_is_no_feed_is_read_by_nobody(web: Web) -> None:
    User.objects.create_superuser("boss")
    for token in (new_token("boss"), new_token("viewer")):
        with Talk.authorised(web, token) as talk:
            assert all(_refused(talk, name) for name in _NO_FEEDS)


def test_without_a_login_nothing_is_read(web: Web) -> None:
    for request in _asked("status"):
        with Talk.to(web) as talk:
            assert talk.ask(**request) == {"status": "unauthorized"}
            assert talk.close_code() == 4401


def test_a_narrower_grant_is_no_wider(web: Web, cache: "redis.Redis") -> None:
    user = new_user("narrow", "scanners:top_*", "stocks:trades:AAPL")
    with Talk.authorised(web, ApiToken.issue(user)[1]) as talk:
        for refused in ("scanners:halts", "scanners:*", "scanners:to*", "scanners*", "stocks:trades:*"):
            assert _refused(talk, refused), refused
        assert _readable(talk) == {"scanners:top_gainers", "stocks:trades:AAPL"}
        # Patterns within it bring what they match, and no more.
        for pattern in ("scanners:top_*", "scanners:top_g*"):
            talk.subscribe(pattern)
        cache.publish("scanners:halts", "[1]")
        assert _heard(talk, cache) == {"scanners:top_gainers", "stocks:trades:AAPL"}


def test_groups_and_permissions_let_read(web: Web, cache: "redis.Redis") -> None:
    everything = frozenset(_FEEDS)
    users = {name: User.objects.create_user(name) for name in ("viewer", "operator", "permitted")}
    for name, patterns in (("viewer", ("scanners:*", "alerts*")), ("operator", OPERATOR)):
        group = Group.objects.create(name=name)
        for pattern in patterns:
            FeedGrant.objects.create(pattern=pattern).groups.add(group)
        users[name].groups.add(group)
    users["permitted"].user_permissions.add(Permission.objects.get(codename="read_every_feed"))
    users["boss"] = User.objects.create_superuser("boss")
    expected = {
        "viewer": {"scanners:top_gainers", "alerts", "alerts:halts"},
        "operator": _OF_OPERATORS,
        "permitted": everything,
        "boss": everything,
    }
    for name, user in users.items():
        with Talk.authorised(web, ApiToken.issue(user)[1]) as talk:
            assert _readable(talk) == expected[name], name
            assert _heard(talk, cache) == expected[name], name


def _ended(talk: Talk, seconds: float = 5.0) -> tuple[int, str]:
    """Hear everything until the server closes; its code and reason."""
    try:
        while True:
            talk.socket.recv(timeout=seconds)
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")


def _logs_out(name: str, session: str) -> None:
    client = Client()
    client.cookies["sessionid"] = session
    client.post("/accounts/logout/")


def _changes_password(name: str, session: str) -> None:
    user = User.objects.get(username=name)
    user.set_password("another one")
    user.save()


def _switches_off(name: str, session: str) -> None:
    User.objects.filter(username=name).update(is_active=False)


def _revokes(name: str, session: str) -> None:
    ApiToken.objects.filter(user__username=name).update(revoked_at=timezone.now())


_LOGIN_ENDS: dict[str, tuple[Callable[[str, str], object], str]] = {
    "logs out": (_logs_out, LOGIN_ENDED),
    "session gone": (lambda name, session: Session.objects.filter(session_key=session).delete(), LOGIN_ENDED),
    "session shortened": (
        lambda name, session: Session.objects.filter(session_key=session).update(expire_date=timezone.now()),
        LOGIN_ENDED,
    ),
    "changes password": (_changes_password, LOGIN_ENDED),
    "switched off": (_switches_off, SWITCHED_OFF),
    "deleted": (lambda name, session: User.objects.filter(username=name).delete(), LOGIN_ENDED),
}
_TOKEN_ENDS: dict[str, tuple[Callable[[str, str], object], str]] = {
    "token revoked": (_revokes, REVOKED),
    "token deleted": (lambda name, session: ApiToken.objects.filter(user__username=name).delete(), REVOKED),
    "token's user switched off": (_switches_off, SWITCHED_OFF),
}


def test_a_socket_ends_within_a_second_of_its_login_or_token(web: Web, cache: "redis.Redis") -> None:
    talks, sessions = {}, {}
    for name in _LOGIN_ENDS:
        _, sessions[name] = new_login(name)
        talks[name] = Talk.to(web, origin=web.origin, cookie=sessions[name])
    for name in _TOKEN_ENDS:
        talks[name] = Talk.authorised(web, new_token(name))
    kept = [Talk.authorised(web, new_token("kept")), Talk.to(web, cookie=new_login("kept")[1])]
    for talk in (*talks.values(), *kept):
        talk.subscribe("scanners:top_gainers")
    since = time.monotonic()
    for name, (end, _) in (_LOGIN_ENDS | _TOKEN_ENDS).items():
        end(name, sessions.get(name, ""))
    for name, (_, reason) in (_LOGIN_ENDS | _TOKEN_ENDS).items():
        assert _ended(talks[name]) == (4401, reason), name
    assert time.monotonic() - since < _SECOND
    cache.publish("scanners:top_gainers", "[1]")
    for talk in kept:
        assert talk.hear() == [1]
        talk.socket.close()


def test_a_socket_ends_when_its_token_or_login_expires(web: Web) -> None:
    token, (_, session) = new_token("program", days=1), new_login("person")
    soon = timezone.now() + timedelta(seconds=1.5)
    ApiToken.objects.update(expires_at=soon)
    Session.objects.update(expire_date=soon)
    with Talk.authorised(web, token) as program, Talk.to(web, cookie=session) as person:
        for talk in (program, person):
            talk.subscribe("status")
        for talk, reason in ((program, EXPIRED), (person, LOGIN_ENDED)):
            assert _ended(talk) == (4401, reason)
            assert 0 <= (timezone.now() - soon).total_seconds() < _SECOND / 2


def test_a_page_token_lets_in_once_and_its_socket_ends_with_the_login(web: Web) -> None:
    user, session = new_login("person")
    token = page_token(user.pk, session)
    with Talk.authorised(web, token, origin="http://elsewhere.example") as talk:
        for _ in range(2):
            with Talk.to(web) as thief:
                assert thief.ask(action="auth", api_key=token) == {"status": "invalid key"}
                assert _ended(thief) == (4401, "invalid key")
        assert talk.ask(action="get", cache="scanners:halts") == {"cache": "scanners:halts", "data": None}
        unused = page_token(user.pk, session)
        _logs_out("person", session)
        assert _ended(talk) == (4401, LOGIN_ENDED)
    with Talk.to(web) as late:
        assert late.ask(action="auth", api_key=unused) == {"status": "invalid key"}


def _takes_grants(user: User) -> None:
    FeedGrant.objects.filter(users=user).delete()


def _leaves_groups(user: User) -> None:
    user.groups.clear()


def _narrows(user: User) -> None:
    FeedGrant.objects.filter(users=user).update(pattern="scanners:top_volume")


def _is_no_superuser(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_superuser=False)


@pytest.mark.parametrize("options", [{}, {"envelope": True, "snapshot": True}, {"envelope": True, "delta": True}])
def test_a_subscription_ends_within_a_second_of_its_grant(
    web: Web, cache: "redis.Redis", options: dict[str, bool]
) -> None:
    desk = Group.objects.create(name="desk")
    FeedGrant.objects.create(pattern="scanners:*").groups.add(desk)
    changes = {"takes": _takes_grants, "leaves": _leaves_groups, "narrows": _narrows, "demoted": _is_no_superuser}
    users = {name: User.objects.create_user(name) for name in changes}
    for name in ("takes", "narrows"):
        let_read(users[name], "scanners:*")
    users["leaves"].groups.add(desk)
    User.objects.filter(username="demoted").update(is_superuser=True)
    feeds = ("scanners:top_gainers", "scanners:top_*")
    talks = {name: Talk.authorised(web, ApiToken.issue(user)[1]) for name, user in users.items()}
    for talk in talks.values():
        for feed in feeds:
            talk.say(action="subscribe", feed=feed, **options)
        # Boards that are followed as changes come when they are known, between other answers.
        talk.say(action="subscribe", feed="status")
        while talk.hear() != {"status": "subscribed", "feed": "status"}:
            pass
    since = time.monotonic()
    for name, change in changes.items():
        change(users[name])
    for name, talk in talks.items():
        said: list[Any] = []
        while len(said) < len(feeds):
            message = talk.hear()
            said += [message] if "seq" not in message else []
        assert sorted(said, key=str) == sorted(({"status": "forbidden", "feed": feed} for feed in feeds), key=str), name
    assert time.monotonic() - since < _SECOND
    for talk in talks.values():
        assert all(_refused(talk, feed) for feed in feeds)
    cache.publish("scanners:top_gainers", "[1]")
    cache.publish("status", "2")
    for talk in talks.values():
        assert talk.hear() == 2
        talk.socket.close()


def test_a_grant_lets_read_within_a_second_without_a_new_socket(web: Web, cache: "redis.Redis") -> None:
    user = User.objects.create_user("new")
    with Talk.authorised(web, ApiToken.issue(user)[1]) as talk:
        assert _refused(talk, "quote:AAPL")
        let_read(user, "quote:*")
        wait_until(lambda: "data" in talk.ask(action="get", cache="quote:AAPL"), _SECOND, "a quote", every=0.05)
        talk.subscribe("quote:*")
        cache.publish("quote:AAPL", "1")
        assert talk.hear() == 1


def test_a_client_that_does_not_read_gains_no_time(web: Web, cache: "redis.Redis") -> None:
    """A subscription whose answer waits for room when its grant goes does not stand when there is room again."""
    user = new_user("slow", "alerts", "scanners:*")
    talk = Talk.authorised(web, ApiToken.issue(user)[1], max_queue=1)
    with talk:
        talk.subscribe("alerts")
        for _ in range(150):
            cache.publish("alerts", b'"' + b"x" * 100_000 + b'"')
        # Their answers come behind what has no room.
        for feed in ("scanners:one", "scanners:two", "scanners:three"):
            talk.say(action="subscribe", feed=feed, envelope=True, snapshot=True)
        time.sleep(0.3)
        FeedGrant.objects.filter(users=user, pattern="scanners:*").delete()
        time.sleep(_SECOND)
        for feed in ("one", "two", "three"):
            cache.set(f"scanners:{feed}", '"secret"')
            cache.publish(f"scanners:{feed}", '"secret"')
        cache.publish("alerts", '"the last"')
        heard: list[Any] = []
        # The answers may come behind all that waited.
        while "the last" not in heard or sum("forbidden" in str(message) for message in heard) < 3:
            heard.append(talk.hear())
        assert not any("secret" in str(message) for message in heard)
