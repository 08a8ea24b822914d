"""Requests and messages as text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets import protocol
from widgets.access import Grant
from widgets.protocol import ProtocolError, Request, read_request


def test_a_request_is_read() -> None:
    assert read_request('{"action":"get","cache":"status","limit":3}') == Request(action="get", cache="status", limit=3)


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_is_a_request_or_a_protocol_error(text: str) -> None:
    try:
        read_request(text)
    except ProtocolError as problem:
        error = str(problem)
    else:
        return
    # Fit to be sent.
    assert json.loads(protocol.status("error", error=error)) == {"status": "error", "error": error}


@given(st.text(max_size=120))
def test_a_checked_feed_is_plain_and_short(feed: str) -> None:
    try:
        checked = protocol.checked_feed(feed)
    except ProtocolError:
        return
    assert checked == feed
    assert feed.isascii()
    assert feed.isprintable()
    assert 1 <= len(feed) <= 100
    assert "*" not in feed[:-1]


@pytest.mark.parametrize("limit", [0, -1, -(2**70)])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ProtocolError, match="at least 1"):
        protocol.checked_limit(limit)


def test_a_limit_fits_what_answers_it() -> None:
    assert protocol.checked_limit(None) is None
    assert protocol.checked_limit(7) == 7
    assert protocol.checked_limit(2**70) == protocol.checked_limit(2**80)


_data = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5)


@given(feed=st.from_regex(r"[a-z0-9_:./-]{1,40}", fullmatch=True), seq=st.integers(1, 2**53), data=_data)
def test_an_envelope_carries_the_message_as_it_is(feed: str, seq: int, data: object) -> None:
    text = protocol.enveloped(feed, seq, "update", json.dumps(data))
    assert json.loads(text) == {"feed": feed, "seq": seq, "type": "update", "data": data}


@given(_data)
def test_an_answer_carries_what_is_kept_as_it_is(data: object) -> None:
    kept = json.dumps(data).encode()
    assert json.loads(protocol.cached("status", kept)) == {"cache": "status", "data": data}
    assert json.loads(protocol.cached("status", None)) == {"cache": "status", "data": None}


_OPEN = (
    "scanners:top_volume",
    "quote:AAPL",
    "status",
    "alerts",
    "news:latest",
    "stocks:trades:*",
    "scanners:*",
    "bars:*",
)
_CLOSED = ("status:components", "unknown", "unknown:1", "unknown*", "status*", "*", "", "tw:source", "broker:*", "s*")


def test_who_may_read_what() -> None:
    visitor, operator = Grant(1, is_staff=False), Grant(2, is_staff=True)
    assert [feed for feed in _OPEN if not visitor.may_read(feed)] == []
    assert [feed for feed in _CLOSED if visitor.may_read(feed)] == []
    assert [feed for feed in _OPEN if not operator.may_read(feed)] == []
    assert [feed for feed in _CLOSED if operator.may_read(feed)] == list(_CLOSED[:5])


@given(prefix=st.text(alphabet="abcdenmopsuwknstu:", max_size=20))
def test_no_pattern_reaches_what_its_names_would_not_be_allowed_to(prefix: str) -> None:
    visitor = Grant(1, is_staff=False)
    if visitor.may_read(f"{prefix}*"):
        for name in ("status:components", "unknown", "unknown:1", "tw:source", "broker:x", "/0.celery.pidbox"):
            assert not name.startswith(prefix)
