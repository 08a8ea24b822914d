"""Every limit of `/ws`: its arithmetic, and its close code and reason at the real server with small limits."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from project.embedded import EmbeddedValkey
from project.env import BASE_DIR
from tests.services import environment, wait_until
from tests.widgets.serving import Talk, Web, new_token, web_server
from widgets.visitors.limits import Bucket

_LIMITS = {
    "WDS_SOCKETS": "8",
    "WDS_SOCKETS_PER_USER": "3",
    "WDS_SOCKETS_PER_ADDRESS": "5",
    "WDS_SUBSCRIPTIONS_PER_SOCKET": "4",
    # And twenty at once.
    "WDS_REQUESTS_PER_SECOND": "1",
    "WDS_AUTH_SECONDS": "2",
    # So that a test says where it comes from.
    "TRUSTED_PROXIES": "1",
}


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 100),
    st.lists(st.floats(0, 10, allow_nan=False), max_size=60),
)
def test_a_bucket_gives_a_burst_at_once_and_then_its_rate(rate: float, burst: int, pauses: list[float]) -> None:
    now, taken = 0.0, 0
    bucket = Bucket(rate, burst, lambda: now)
    for pause in pauses:
        now += pause
        taken += bucket.take()
        assert taken <= burst + rate * now + 1e-6
    now += burst / rate * 1.001
    assert all(bucket.take() for _ in range(burst)), "after a rest it is full again"
    assert not bucket.take()


def test_a_process_may_open_as_many_files_as_its_sockets_need(tmp_path: Path) -> None:
    code = (
        "import django, resource; django.setup()\n"
        "from django.conf import settings; from widgets.visitors.limits import raise_open_files\n"
        "for soft, hard, settings.WDS_SOCKETS in (900, 900, 100), (300, 900, 500), (300, 400, 500):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))\n"
        "    held = raise_open_files(); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], held)"
    )
    env = environment(tmp_path)
    done = subprocess.run((sys.executable, "-c", code), cwd=BASE_DIR, env=env, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["900 100", "756 500", "400 144"], done.stderr
    assert done.stderr.count("raise that, or lower WDS_SOCKETS") == 1


@pytest.fixture(scope="module")
def _narrow(
    _valkey_server: EmbeddedValkey, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    with web_server(tmp_path_factory.mktemp("web"), _valkey_server.url, **_LIMITS) as web:
        yield web


@pytest.fixture
def narrow(_narrow: Web, valkey: EmbeddedValkey, transactional_db: None) -> Web:
    """A server with small limits; nobody is connected yet."""
    return _narrow


def _from(web: Web, address: str) -> Talk:
    """A client that has not said who it is, as a proxy passes it on."""
    return Talk(
        connect(
            f"ws://127.0.0.1:{web.port}/ws",
            additional_headers={"X-Forwarded-For": address},
            compression=None,
            proxy=None,
            legacy=True,
        )
    )


def _ending(talk: Talk, seconds: float = 5.0) -> tuple[int | None, str | None]:
    """How the server closes it."""
    return talk.close_code(seconds), talk.socket.close_reason


def _is_let_in(talk: Talk, token: str) -> bool:
    try:
        talk.say(action="auth", api_key=token)
        return bool(talk.hear() == {"status": "authorized"})
    except ConnectionClosed:
        return False


def test_who_does_not_say_who_it_is_in_time_is_closed(narrow: Web) -> None:
    with _from(narrow, "10.1.0.1") as talk:
        assert _ending(talk) == (4401, "not authorised in time")


def test_who_is_not_who_it_says_is_closed(narrow: Web) -> None:
    with _from(narrow, "10.2.0.1") as talk:
        assert talk.ask(action="auth", api_key="nonsense") == {"status": "invalid key"}
        assert _ending(talk) == (4401, "invalid key")


def test_who_asks_before_it_says_who_it_is_is_closed(narrow: Web) -> None:
    with _from(narrow, "10.2.0.2") as talk:
        assert talk.ask(action="get", cache="status") == {"status": "unauthorized"}
        assert _ending(talk) == (4401, "not authorised")


def test_who_asks_too_much_is_closed_and_its_neighbour_is_not(narrow: Web) -> None:
    with _from(narrow, "10.3.0.1") as greedy, _from(narrow, "10.3.0.1") as modest:
        token = new_token("visitor")
        assert _is_let_in(greedy, token)
        assert _is_let_in(modest, token)
        for _ in range(40):
            try:
                greedy.say(action="ping")
            except ConnectionClosed:
                break
        assert _ending(greedy) == (4429, "too many requests")
        assert modest.ask(action="?") == {"status": "invalid action"}


def test_who_wants_too_many_feeds_is_closed(narrow: Web) -> None:
    with _from(narrow, "10.4.0.1") as talk:
        assert _is_let_in(talk, new_token("visitor"))
        for number in (1, 2, 3, 4, 4, 1):
            talk.subscribe(f"quote:S{number}")
        assert talk.ask(action="unsubscribe", feed="quote:S1") == {"status": "unsubscribed", "feed": "quote:S1"}
        talk.subscribe("quote:S5")
        talk.say(action="subscribe", feed="quote:S6")
        assert _ending(talk) == (4429, "too many subscriptions")


def test_who_sends_too_large_a_message_is_closed(narrow: Web) -> None:
    with _from(narrow, "10.5.0.1") as talk:
        assert _is_let_in(talk, new_token("visitor"))
        assert talk.ask(action="?", padding="x" * 60_000) == {"status": "invalid action"}
        talk.say(action="?", padding="x" * 70_000)
        assert talk.close_code() == 1009


def test_a_user_has_so_many_sockets_whatever_their_addresses(narrow: Web) -> None:
    token = new_token("collector")
    with ExitStack() as stack:
        talks = [stack.enter_context(_from(narrow, f"10.6.0.{number}")) for number in range(1, 5)]
        assert all(_is_let_in(talk, token) for talk in talks[:3])
        # Saying it again is no further socket.
        assert _is_let_in(talks[0], token)
        assert not _is_let_in(talks[3], token)
        assert _ending(talks[3]) == (4429, "too many sockets of this user")
        assert _is_let_in(stack.enter_context(_from(narrow, "10.6.0.1")), new_token("neighbour"))
        # One that changes hands makes room, as one that is closed does.
        assert _is_let_in(talks[1], new_token("neighbour"))
        assert _is_let_in(stack.enter_context(_from(narrow, "10.6.0.5")), token)


def test_an_address_has_so_many_sockets_authorised_or_not(narrow: Web) -> None:
    with ExitStack() as stack:
        talks = [stack.enter_context(_from(narrow, f"2001:db8::{number}")) for number in range(1, 6)]
        with _from(narrow, "2001:db8::ffff:6") as sixth:
            assert _ending(sixth) == (4429, "too many sockets of this address")
        with _from(narrow, "2001:db8:0:1::1") as stranger:
            assert stranger.ask(action="get", cache="status") == {"status": "unauthorized"}
        talks[0].socket.close()
        wait_until(lambda: _is_let_in(_from(narrow, "2001:db8::7"), new_token("visitor")), 5, "room")


def test_a_full_process_says_so(narrow: Web) -> None:
    with ExitStack() as stack:
        for number in range(8):
            stack.enter_context(_from(narrow, f"10.7.0.{number}"))
        with _from(narrow, "10.7.1.1") as ninth:
            assert _ending(ninth) == (1013, "the process is full")


def test_pages_are_served_by_a_full_process_too(narrow: Web) -> None:
    with ExitStack() as stack:
        for number in range(8):
            stack.enter_context(_from(narrow, f"10.8.0.{number}"))
        assert narrow.answers()


def test_nothing_that_a_refused_client_sent_is_logged(narrow: Web) -> None:
    with _from(narrow, "10.9.0.1") as talk:
        talk.socket.send(json.dumps({"action": "auth", "api_key": "hunter2-hunter2"}))
        assert _ending(talk) == (4401, "invalid key")
    assert "hunter2" not in narrow.part.output
