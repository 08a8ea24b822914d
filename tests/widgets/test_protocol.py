"""Requests and messages as text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets import protocol
from widgets.protocol import (
    Auth,
    Cached,
    Envelope,
    Error,
    Get,
    Kind,
    Ping,
    Pong,
    ProtocolError,
    Reconnect,
    Request,
    Subscribe,
    Unknown,
    Unsubscribe,
    read_request,
)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"action":"auth","api_key":"k"}', Auth("k")),
        ('{"action":"auth"}', Auth(None)),
        ('{"action":"subscribe","feed":"scanners:*"}', Subscribe("scanners:*")),
        (
            '{"feed":"status","max_rate":2,"delta":true,"snapshot":true,"envelope":true,"action":"subscribe"}',
            Subscribe("status", envelope=True, snapshot=True, delta=True, max_rate=2.0),
        ),
        ('{"action":"subscribe","feed":"status","max_rate":null}', Subscribe("status")),
        ('{"action":"subscribe","feed":"status","snapshot":true}', Subscribe("status", snapshot=True)),
        ('{"action":"unsubscribe","feed":"quote:AAPL"}', Unsubscribe("quote:AAPL")),
        ('{"action":"get","cache":"status","limit":3}', Get("status", 3)),
        ('{"action":"get","cache":"status","colour":"red"}', Get("status")),
        ('{"action":"ping"}', Ping()),
        ('{"action":"dance","feed":5}', Unknown()),
        ('{"action":""}', Unknown()),
        ("{}", Unknown()),
    ],
)
def test_a_request_is_read(text: str, request_: Request) -> None:
    assert read_request(text) == request_


@pytest.mark.parametrize(
    ("options", "complaint", "feed"),
    [
        ('"feed":"status","delta":true', "envelope", "status"),
        ('"feed":"status","max_rate":0', "0.01", "status"),
        ('"feed":"status","max_rate":1000.5', "1000", "status"),
        ('"feed":"status","max_rate":-1', "0.01", "status"),
        ('"feed":"status","max_rate":"1"', "max_rate", "status"),
        ('"feed":"a b","max_rate":0', "0.01", None),
        ('"feed":7,"max_rate":0', "Not understood", None),
        ('"feed":"a b"', "No such feed", None),
        ('"envelope":true', "feed", None),
    ],
)
def test_what_cannot_be_subscribed_to_is_said(options: str, complaint: str, feed: str | None) -> None:
    with pytest.raises(ProtocolError, match=complaint) as caught:
        read_request(f'{{"action":"subscribe",{options}}}')
    assert caught.value.feed == feed


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_is_a_request_or_a_protocol_error(text: str) -> None:
    try:
        read_request(text)
    except ProtocolError as problem:
        error = str(problem)
    else:
        return
    # Fit to be sent.
    assert json.loads(protocol.encode(Error(error))) == {"status": "error", "error": error}


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
    with pytest.raises(ProtocolError):
        read_request(f'{{"action":"get","cache":"status","limit":{limit}}}')


def test_a_limit_fits_what_answers_it() -> None:
    def limit(text: str) -> int | None:
        request = read_request(f'{{"action":"get","cache":"status","limit":{text}}}')
        assert isinstance(request, Get)
        return request.limit

    assert limit("null") is None
    assert limit("7") == 7
    assert limit(str(2**70)) == limit(str(2**80))


_data = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5)


@given(
    feed=st.text(min_size=1, max_size=40),
    seq=st.integers(1, 2**53),
    kind=st.sampled_from(("snapshot", "update", "delta")),
    data=_data,
)
def test_an_envelope_is_written_as_its_type_is_encoded(feed: str, seq: int, kind: Kind, data: Any) -> None:
    written = protocol.envelope_head(feed, seq, kind) + json.dumps(data).encode() + protocol.ENVELOPE_END
    assert json.loads(written) == {"feed": feed, "seq": seq, "type": kind, "data": data}
    assert json.loads(protocol.encode(Envelope(feed, seq, kind, data))) == json.loads(written)


@given(_data)
def test_an_answer_carries_what_is_kept_as_it_is(data: object) -> None:
    kept = json.dumps(data).encode()
    assert json.loads(protocol.encode(Cached.of("status", kept))) == {"cache": "status", "data": data}
    assert json.loads(protocol.encode(Cached.of("status", None))) == {"cache": "status", "data": None}


def test_answers_say_what_they_know_and_no_more() -> None:
    assert protocol.encode(Error("why")) == '{"status":"error","error":"why"}'
    assert protocol.encode(Error("why", "news:*")) == '{"status":"error","error":"why","feed":"news:*"}'
    assert protocol.encode(Pong(5)) == '{"status":"pong","at":5}'
    assert protocol.encode(Reconnect(250)) == '{"status":"reconnect","after_ms":250}'
