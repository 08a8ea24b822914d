"""Whatever a client sends, it gets a documented answer, and only what is too much ends the socket."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from tests.widgets.serving import Talk, Web, new_token

_INVALID = {"status": "invalid action"}


def _answer(talk: Talk, raw: str | bytes) -> Any:
    talk.socket.send(raw)
    answer = talk.hear()
    assert isinstance(answer, dict)
    return answer


_NOT_UNDERSTOOD = (
    *("", " ", "no JSON", "{", '{"action":"get"', "{'action':'get'}", "\ufeff{}", "{}{}", '{"action":"get"}x'),
    *("null", "true", "17", "-0.5", '"get"', "[]", "[1,2,3]", '[{"action":"get"}]', "1e999", "NaN"),
    *('{"action":5}', '{"action":null}', '{"action":["get"]}', '{"action":{"a":1}}', '{"action":true}'),
    *('{"action":"auth","api_key":5}', '{"action":"auth","api_key":["x"]}', '{"action":"auth","api_key":{}}'),
    *('{"action":"subscribe"}', '{"action":"subscribe","feed":null}', '{"action":"subscribe","feed":7}'),
    *('{"action":"subscribe","feed":"status","envelope":"yes"}', '{"action":"subscribe","feed":"status","envelope":1}'),
    *('{"action":"unsubscribe"}', '{"action":"unsubscribe","feed":[]}'),
    *('{"action":"get"}', '{"action":"get","feed":"status"}', '{"action":"get","cache":null}'),
    *('{"action":"get","cache":"status","limit":0}', '{"action":"get","cache":"status","limit":-1}'),
    *('{"action":"get","cache":"status","limit":"5"}', '{"action":"get","cache":"status","limit":1.5}'),
    *('{"action":"get","cache":"status","limit":true}', '{"action":"get","cache":"status","limit":[1]}'),
    '{"action":"get","cache":"status","limit":' + "9" * 5_000 + "}",
    '{"action":"get","cache":"\\ud800"}',
    '{"action":"subscribe","feed":"\\udfff\\ud800"}',
    "[" * 30_000,
    '{"x":' * 10_000,
    '{"x":' + "[" * 20_000 + "]" * 20_000 + "}",
)
_NO_NAMES = (
    *("", " ", "*a", "a**", "sca*nners:x", "scanners:a b", "scanners:ä", "scanners:\0", "scanners:\n", "a" * 101),
    *("scanners:?", "scanners:[a-z]", "scanners:\\", "a" * 100 + "*", "scanners:top\n", "🙂", "'; DROP", "a\r\nb"),
)


def test_what_cannot_be_understood_is_an_error_and_the_socket_stays(talk: Talk) -> None:
    for raw in _NOT_UNDERSTOOD:
        assert _answer(talk, raw)["status"] == "error", raw[:100]
    assert talk.ask(action="get", cache="status") == {"cache": "status", "data": None}


@pytest.mark.parametrize("action", ["subscribe", "unsubscribe", "get"])
def test_a_name_that_is_none_is_an_error(talk: Talk, action: str) -> None:
    for feed in _NO_NAMES:
        answer = talk.ask(action=action, feed=feed, cache=feed)
        assert answer.keys() == {"status", "error"}
        assert answer["status"] == "error"
        if len(feed) > 3:
            assert feed not in answer["error"]


@pytest.mark.parametrize("raw", ["{}", '{"action":"dance"}', '{"action":""}', '{"action":"GET"}', '{"feed":"status"}'])
def test_an_unknown_action_is_invalid_and_the_socket_stays(talk: Talk, raw: str) -> None:
    assert _answer(talk, raw) == _INVALID
    assert talk.ask(action="get", cache="status") == {"cache": "status", "data": None}


@pytest.mark.parametrize("raw", [b"", b"\0", b'{"action":"get","cache":"status"}', b"\xff" * 1_000])
def test_binary_messages_are_an_error(talk: Talk, raw: bytes) -> None:
    assert _answer(talk, raw) == {"status": "error", "error": "Not understood: send text, not binary data."}
    assert talk.ask(action="get", cache="status") == {"cache": "status", "data": None}


def test_garbage_before_auth_is_answered_and_auth_is_still_possible(web: Web) -> None:
    with Talk.to(web) as talk:
        for raw in ("no JSON", b"\0", "[]"):
            assert _answer(talk, raw)["status"] == "error"
        assert talk.ask(action="auth", api_key=new_token("visitor")) == {"status": "authorized"}


def test_a_huge_limit_is_no_error(talk: Talk) -> None:
    for limit in (1, 500, 2**31, 2**63 - 1):
        for key in ("scanners:top_volume", "news:latest", "status"):
            assert talk.ask(action="get", cache=key, limit=limit) == {"cache": key, "data": None}


def test_unknown_members_of_a_request_are_ignored(talk: Talk) -> None:
    assert talk.ask(action="get", cache="status", colour="red", max_rate=1) == {"cache": "status", "data": None}


def test_a_message_over_the_limit_ends_the_socket(web: Web) -> None:
    with Talk.authorised(web, new_token("visitor")) as talk:
        talk.socket.send(json.dumps({"action": "get", "cache": "x" * 70_000}))
        # By its close code, 1009, unless the server drops the connection with unread bytes in it.
        assert talk.close_code() == 1009
    with Talk.authorised(web, new_token("visitor")) as talk:
        # In pieces it is no smaller.
        with contextlib.suppress(ConnectionClosed):
            talk.socket.send("x" * 10_000 for _ in range(1_000))
        assert talk.close_code() == 1009


def test_a_message_just_below_the_limit_is_answered(talk: Talk) -> None:
    assert _answer(talk, json.dumps({"action": "x" * 60_000})) == _INVALID


def test_a_flood_of_requests_is_answered_or_cut_off_and_nobody_else_notices(web: Web) -> None:
    before = web.resident_mb()
    with Talk.authorised(web, new_token("visitor")) as flood, Talk.authorised(web, new_token("visitor")) as other:
        message = json.dumps({"action": "x" * 60_000})
        with contextlib.suppress(ConnectionClosed):
            for _ in range(2_000):
                flood.socket.send(message)
        asked = time.monotonic()
        assert other.ask(action="get", cache="status") == {"cache": "status", "data": None}
        assert time.monotonic() - asked < 2
    assert web.resident_mb() - before < 60


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_requests = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(("subscribe", "unsubscribe", "get", "dance")) | _json,
        "feed": st.sampled_from(("status", "scanners:*", "unknown", "*")) | _json,
        "cache": st.sampled_from(("status", "quote:AAPL", "news:latest", "stocks:trades:A", "unknown:1")) | _json,
        "limit": _json,
        "envelope": _json,
        "snapshot": _json,
    },
)


@pytest.fixture(scope="module")
def long_talk(_web: Web) -> Iterator[list[Talk]]:
    talks: list[Talk] = []
    yield talks
    for talk in talks:
        talk.socket.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=_requests.map(json.dumps) | _json.map(json.dumps) | st.text(max_size=200) | st.binary(max_size=200))
def test_any_message_gets_a_documented_answer(web: Web, long_talk: list[Talk], raw: str | bytes) -> None:
    if not long_talk:
        long_talk.append(Talk.authorised(web, new_token("visitor")))
    talk = long_talk[0]
    talk.socket.send(raw)
    heard: list[Any] = []
    # What an enveloped subscription brings comes beside the answers.
    talk.say(action="?")
    while (message := talk.hear()) != _INVALID:
        heard.append(message)
    if not heard:
        # It was itself an invalid action: the next answer is that to our own.
        assert talk.hear() == _INVALID
    answers = [message for message in heard if "seq" not in message]
    assert len(answers) <= 1
    for answer in answers:
        assert answer.get("status") in {"error", "subscribed", "unsubscribed", "forbidden"} or answer.keys() == {
            "cache",
            "data",
        }


def test_nothing_of_what_clients_sent_is_in_the_log(web: Web) -> None:
    with Talk.authorised(web, new_token("visitor")) as talk:
        for raw in ('{"action":"auth-secret-words"}', "secret-words", '{"action":"get","cache":"secret-words"}'):
            _answer(talk, raw)
        talk.ask(action="auth", api_key="secret-words")
    assert "secret-words" not in web.part.output
    assert "Traceback" not in web.part.output
