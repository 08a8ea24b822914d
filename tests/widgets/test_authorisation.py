"""Who is let in at `/ws`, by what, and for how long: through the real server."""

import asyncio
import time
from contextlib import suppress

import pytest
import redis
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from pytest_django import Settings
from websockets.exceptions import ConnectionClosed

from control.models import ApiToken
from control.tokens import LIFE_S, page_token
from processors.store import BOARDS, OWNERS
from project.asgi import application
from tests.services import wait_until
from tests.widgets.serving import Talk, Web, new_login, new_token


def test_an_api_token_lets_in(web: Web) -> None:
    with Talk.to(web) as talk:
        assert talk.ask(action="auth", api_key=new_token("visitor")) == {"status": "authorized"}
        assert talk.ask(action="get", cache="scanners:top_volume") == {"cache": "scanners:top_volume", "data": None}


def test_a_page_token_lets_in(web: Web) -> None:
    user, session = new_login("visitor")
    with Talk.to(web, origin=web.origin) as talk:
        assert talk.ask(action="auth", api_key=page_token(user.pk, session)) == {"status": "authorized"}


@pytest.mark.parametrize("with_origin", [True, False])
def test_a_login_of_the_same_origin_needs_no_auth(web: Web, with_origin: bool) -> None:
    _, session = new_login("visitor")
    with Talk.to(web, origin=web.origin if with_origin else None, cookie=session) as talk:
        assert talk.ask(action="get", cache="status") == {"cache": "status", "data": None}


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "https://127.0.0.1", "http://127.0.0.1:1", "null"])
def test_a_foreign_page_gets_nothing_from_a_cookie(web: Web, origin: str) -> None:
    _, session = new_login("visitor")
    with Talk.to(web, origin=origin, cookie=session) as talk:
        assert talk.ask(action="get", cache="status") == {"status": "unauthorized"}
        assert talk.close_code() == 4401


def test_a_foreign_page_with_a_token_is_let_in(web: Web) -> None:
    _, session = new_login("visitor")
    with Talk.to(web, origin="http://elsewhere.example", cookie=session) as talk:
        assert talk.ask(action="auth", api_key=new_token("visitor")) == {"status": "authorized"}


def _expired() -> str:
    token = new_token("visitor", days=1)
    ApiToken.objects.update(expires_at=timezone.now())
    return token


def _revoked() -> str:
    token = new_token("visitor")
    ApiToken.objects.update(revoked_at=timezone.now())
    return token


def _of_a_user_switched_off() -> str:
    token = new_token("visitor")
    User.objects.update(is_active=False)
    return token


def _of_a_page_whose_login_has_ended() -> str:
    user, session = new_login("visitor")
    Session.objects.all().delete()
    return page_token(user.pk, session)


def _of_a_page_for_somebody_else() -> str:
    _, session = new_login("visitor")
    other, _ = new_login("other", staff=True)
    return page_token(other.pk, session)


def _of_an_old_page() -> str:
    user, session = new_login("visitor")
    with pytest.MonkeyPatch.context() as patch:
        then = time.time() - LIFE_S - 1
        patch.setattr(time, "time", lambda: then)
        return page_token(user.pk, session)


def _of_a_page_tampered_with() -> str:
    user, session = new_login("visitor")
    return page_token(user.pk, session)[:-1] + "!"


@pytest.mark.parametrize(
    "token",
    [
        *(lambda: "tw_wrong", lambda: "", lambda: None, lambda: "ü\0🙂", lambda: "a:b:c", lambda: "x" * 60_000),
        *(_expired, _revoked, _of_a_user_switched_off, _of_a_page_whose_login_has_ended),
        *(_of_a_page_for_somebody_else, _of_an_old_page, _of_a_page_tampered_with),
    ],
)
def test_a_wrong_token_is_refused_and_the_socket_closed(web: Web, token: object) -> None:
    assert callable(token)
    with Talk.to(web) as talk:
        assert talk.ask(action="auth", api_key=token()) == {"status": "invalid key"}
        assert talk.close_code() == 4401


def test_a_wrong_token_ends_what_a_login_was_allowed(web: Web) -> None:
    _, session = new_login("visitor")
    with Talk.to(web, cookie=session) as talk:
        assert talk.ask(action="auth", api_key="tw_wrong") == {"status": "invalid key"}
        assert talk.close_code() == 4401


@pytest.mark.parametrize("action", ["subscribe", "unsubscribe", "get", "", "anything"])
def test_an_action_before_auth_is_refused_and_the_socket_closed(web: Web, action: str) -> None:
    with Talk.to(web) as talk:
        assert talk.ask(action=action, feed="status", cache="status") == {"status": "unauthorized"}
        assert talk.close_code() == 4401


def test_what_a_refused_client_still_sends_is_not_answered_and_harms_nothing(web: Web) -> None:
    with Talk.to(web) as talk:
        talk.say(action="auth", api_key="tw_wrong")
        # The server may be done with it before all is sent.
        with suppress(ConnectionClosed):
            for _ in range(50):
                talk.say(action="subscribe", feed="status")
                talk.say(action="get", cache="status")
        assert talk.hear() == {"status": "invalid key"}
        assert talk.close_code() == 4401
    assert web.answers()
    assert "Traceback" not in web.part.output


async def test_who_never_authenticates_is_closed(transactional_db: None, settings: Settings) -> None:
    settings.WDS_AUTH_SECONDS = 0.2
    communicator = WebsocketCommunicator(application, "/ws")
    connected, _ = await communicator.connect()
    assert connected
    # Talking is not authenticating.
    await communicator.send_to(text_data="no JSON")
    assert "Not understood" in await communicator.receive_from()
    assert await communicator.receive_output(timeout=2) == {
        "type": "websocket.close",
        "code": 4401,
        "reason": "not authorised in time",
    }
    await communicator.disconnect()


async def test_a_socket_leaves_no_task_behind(transactional_db: None) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(5):
        communicator = WebsocketCommunicator(application, "/ws")
        await communicator.connect()
        await communicator.disconnect()
    async with asyncio.timeout(2):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.01)


_OWNED = ("scanners:mine", "alerts:mine", "alerts:level:7", "alerts:user:{owner}")


def _own(cache: "redis.Redis", user: User) -> list[str]:
    """Let the engine's word be that a scanner and a price level are a user's; the feeds that carry them."""
    for rule in ("mine", "level:7"):
        cache.hset(OWNERS, rule, str(user.pk))
        cache.publish(OWNERS, f"{user.pk} {rule}")
    return [feed.format(owner=user.pk) for feed in _OWNED]


def test_what_a_users_own_rules_show_is_for_him_and_staff(web: Web, cache: "redis.Redis") -> None:
    tokens = {"owner": new_token("owner"), "other": new_token("other"), "staff": new_token("operator", staff=True)}
    feeds = _own(cache, User.objects.get(username="owner"))
    for who, token in tokens.items():
        with Talk.authorised(web, token) as talk:
            if who == "other":
                for feed in (*feeds, "alerts:user:x"):
                    for request in ({"action": "get", "cache": feed}, {"action": "subscribe", "feed": feed}):
                        assert talk.ask(**request) == {"status": "forbidden", "feed": feed}
                continue
            for feed in feeds:
                assert talk.ask(action="get", cache=feed) == {"cache": feed, "data": None}
                talk.subscribe(feed)
                cache.publish(feed, "[1]")
                assert talk.hear() == [1]


def test_a_pattern_brings_nothing_of_others_rules(web: Web, cache: "redis.Redis") -> None:
    tokens = [new_token("owner"), new_token("other"), new_token("operator", staff=True)]
    patterns = ("scanners:*", "scanners:m*", "alerts*", "alerts:user:*")
    owner, other, staff = (Talk.authorised(web, token) for token in tokens)
    with owner, other, staff:
        for talk in (owner, other, staff):
            for pattern in patterns:
                talk.subscribe(pattern)
        # Only now, as when somebody saves a scanner: what comes after the word is for its owner at once.
        feeds = _own(cache, User.objects.get(username="owner"))
        for feed in feeds:
            cache.publish(feed, f'"{feed}"')
        cache.publish("alerts", '"for everyone"')
        assert sorted(owner.hear() for _ in range(5)) == sorted(staff.hear() for _ in range(5))
        assert other.hear() == "for everyone"
        assert other.hears_nothing()


def test_a_patterns_snapshots_do_not_even_name_others_rules(web: Web, cache: "redis.Redis") -> None:
    new_token("owner")
    feeds = _own(cache, User.objects.get(username="owner"))
    for feed in feeds:
        if feed.startswith("scanners:"):
            cache.set(feed, "[]")
            cache.hset(BOARDS, feed.removeprefix("scanners:"), 1)
        else:
            cache.lpush(feed, "1")
    with Talk.authorised(web, new_token("other")) as other, Talk.authorised(web, new_token("owner")) as owner:
        for talk, seen in ((other, set()), (owner, set(feeds))):
            heard: set[str] = set()
            for pattern in ("scanners:*", "alerts*"):
                talk.subscribe(pattern, envelope=True, snapshot=True)
                heard |= {message["feed"] for message in talk.heard_before_invalid}
            assert heard == seen


def test_who_is_no_longer_staff_sees_his_own_rules_alone_from_then_on(web: Web, cache: "redis.Redis") -> None:
    new_token("owner")
    with Talk.authorised(web, new_token("operator", staff=True)) as talk:
        (feed, *_) = _own(cache, User.objects.get(username="owner"))
        for pattern in ("scanners:*", "status"):
            talk.subscribe(pattern)
        cache.publish(feed, "1")
        assert talk.hear() == 1
        User.objects.filter(username="operator").update(is_staff=False)
        wait_until(
            lambda: talk.ask(action="get", cache=feed) == {"status": "forbidden", "feed": feed}, 1, "the end of it"
        )
        cache.publish(feed, "2")
        cache.publish("status", "3")
        assert talk.hear() == 3


def test_a_subscription_follows_the_scanners_owner(talk: Talk, cache: "redis.Redis") -> None:
    feed = "alerts:passed_on"
    talk.subscribe(feed)
    # Nobody has said whose it is; it becomes somebody's, and everyone's again.
    for owner, message in ((None, 1), (10**6, 2), (0, 3)):
        if owner is not None:
            cache.publish(OWNERS, f"{owner} passed_on")
        cache.publish(feed, str(message))
    assert [talk.hear(), talk.hear()] == [1, 3]
    assert talk.hears_nothing()
