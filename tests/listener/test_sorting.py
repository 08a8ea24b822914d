"""Frames into feeds: every type finds its queue, and one bad event leaves its neighbours."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.events import FEED_OF, Batch
from listener.sorting import SortedFrame, sort_frame
from processors.merging.trades import merge_trades
from processors.sessions import DayLookup
from tests.processors.feeding import NOBODY

GOOD = {"ev": "T", "sym": "ABC", "p": 1.0, "t": 1}


def counts(result: SortedFrame) -> dict[str, int]:
    return {feed: len(events) for feed, events in result.events.items()}


def total(result: SortedFrame) -> int:
    return sum(counts(result).values()) + len(result.malformed) + len(result.statuses)


@pytest.mark.parametrize(
    ("event", "feed"),
    [
        ({"ev": "A", "sym": "ABC"}, "aggregate"),
        ({"ev": "AM", "sym": "ABC"}, "aggregate"),
        ({"ev": "T", "sym": "ABC", "p": 4.05}, "trades"),
        ({"ev": "Q", "sym": "ABC"}, "quotes"),
        ({"ev": "LULD", "T": "ABC"}, "halts"),
        ({"ev": "XA", "pair": "BTC-USD"}, "aggregate"),
        ({"ev": "XAS", "pair": "BTC-USD"}, "aggregate"),
        ({"ev": "XT", "pair": "BTC-USD", "p": 60_000.5}, "trades"),
        ({"ev": "XQ", "pair": "BTC-USD"}, "quotes"),
        ({"ev": "CA", "pair": "EUR/USD"}, "aggregate"),
        ({"ev": "C", "p": "EUR/USD", "a": 1.1, "b": 1.0}, "quotes"),
        ({"ev": "FMV", "sym": "ABC", "fmv": 1.0}, "aggregate"),
        ({"ev": "NOI", "T": "ABC"}, "halts"),
        ({"ev": "SOMETHING NEW"}, "unknown"),
        ({"ev": ""}, "unknown"),
    ],
)
def test_each_type_finds_its_feed(event: dict[str, Any], feed: str) -> None:
    result = sort_frame(json.dumps([event]))
    assert counts(result) == {feed: 1}
    assert not result.malformed


def test_the_events_are_passed_on_as_they_came_and_in_order() -> None:
    texts = [b'{"ev":"T" , "sym":"A","p":1.10}', b'{"sym":"B","ev":"T","x":[1, 2],"p":1e2}', b'{"ev":"Q","sym":"A"}']
    result = sort_frame(b"[ " + b" , ".join(texts) + b" ]")
    assert [bytes(raw) for raw in result.events["trades"]] == texts[:2]
    assert [bytes(raw) for raw in result.events["quotes"]] == texts[2:]


def test_status_messages_are_set_aside_and_not_counted() -> None:
    status = {"ev": "status", "status": "max_connections", "message": "Too many."}
    result = sort_frame(json.dumps([GOOD, status]))
    assert result.statuses == [status]
    assert counts(result) == {"trades": 1}
    assert not result.malformed


@pytest.mark.parametrize("kind", sorted(FEED_OF))
def test_a_known_type_without_a_symbol_is_malformed_in_its_feed(kind: str) -> None:
    for event in ({"ev": kind}, {"ev": kind, "sym": ""}, {"ev": kind, "sym": None}):
        result = sort_frame(json.dumps([event, GOOD]))
        assert [(bad.feed, bad.reason) for bad in result.malformed] == [
            (FEED_OF[kind], f"{kind} event without a symbol")
        ]
        assert counts(result) == {"trades": 1}


def test_the_ticker_of_a_price_band_is_t() -> None:
    result = sort_frame('[{"ev":"LULD","T":"ABC"},{"ev":"LULD","sym":"ABC"},{"ev":"LULD","T":5}]')
    assert counts(result) == {"halts": 2}
    assert [bad.feed for bad in result.malformed] == ["halts"]


@pytest.mark.parametrize(
    "frame",
    [
        *(
            "",
            " ",
            "null",
            "5",
            '"text"',
            "{}",
            '{"ev":"T","sym":"A"}',
            "[",
            "]",
            "[]]",
            "[1,2",
            "not json",
            "[}",
            "[]x",
        ),
        *(b"", b"\xff", b"\x00", b"[\xff", b"\xef\xbb\xbf[]", b"[" * 100_000, "[" * 100_000, '[{"a":1}', "[[]", '["]'),
    ],
)
def test_a_frame_that_is_no_array_is_one_malformed_event(frame: str | bytes) -> None:
    result = sort_frame(frame)
    assert [bad.feed for bad in result.malformed] == ["unknown"]
    assert result.malformed[0].reason.startswith("frame is no JSON array: ")
    assert total(result) == 1


_DEEP = b"[" * 5_000 + b"]" * 5_000
_BROKEN = [
    *(b"1", b"null", b"true", b'"text"', b"[]", b"[[]]", b"1e999", b"-0.0", b"{}", b'{"ev":null}', b'{"ev":1}'),
    *(b'{"ev":{}}', b'{"sym":"ABC"}', b'{"ev":"T","sym":5}', b'{"ev":"T","sym":["A"]}', b'{"ev":"T"}', b"nul"),
    *(b'{"ev":"T","sym":"A","p":nul}', b'{"ev":"T","sym":"A",}', b'{"ev":"T" "sym":"A"}', b"{ev:1}", b""),
    *(b'{"ev":"T","sym":"A\xff"}', b'{"ev":"T","sym":"A","i":"\xff\xfe"}', b'{"ev":"T","sym":"A","i":"\xed\xa0\x80"}'),
    *(rb'{"ev":"T","sym":"\ud800"}', rb'{"ev":"T","sym":"A","i":"\ud800"}', rb'{"ev":"T","sym":"A","i":"\x"}'),
    *(b'{"ev":"T","sym":"A","x":' + _DEEP + b"}", b'{"ev":"T","sym":"A","p":' + _DEEP + b"}", _DEEP),
    *(b'{"ev":"status","message":1e999}', b'{"ev":"status","message":"\xff"}', rb'{"ev":"status","message":"\ud800"}'),
]


@pytest.mark.parametrize("broken", _BROKEN, ids=range(len(_BROKEN)))
def test_one_broken_event_costs_itself_and_its_neighbours_go_on(broken: bytes) -> None:
    good = json.dumps(GOOD).encode()
    result = sort_frame(b"[" + good + b"," + broken + b" , " + good + b"]")
    assert counts(result) == {"trades": 2}
    assert [bytes(raw) for raw in result.events["trades"]] == [good, good]
    (bad,) = result.malformed
    assert bad.reason
    assert len(bad.sample) <= 500


def test_a_string_that_no_utf8_can_hold_is_malformed() -> None:
    result = sort_frame('[{"ev":"T","sym":"\ud800"},{"ev":"T","sym":"B"}]')
    assert (counts(result), len(result.malformed)) == ({"trades": 1}, 1)


def test_brackets_and_commas_inside_strings_do_not_split() -> None:
    good = r'{"ev":"T","sym":"A","i":"],[\"{,"}'
    result = sort_frame(f"[{good},oops,{good}]")
    assert [bytes(raw).decode() for raw in result.events["trades"]] == [good, good]
    assert len(result.malformed) == 1


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5_000])
def test_a_number_that_is_too_large_is_for_the_worker_to_refuse(number: bytes) -> None:
    event = b'{"ev":"T","sym":"A","t":1,"p":' + number + b"}"
    result = sort_frame(b"[" + event + b"]")
    assert counts(result) == {"trades": 1}
    batch = Batch("1", "simulator:1", 1, 1, result.events["trades"])
    assert len(merge_trades(batch, NOBODY, DayLookup()).failed) == 1


def test_a_frame_says_how_long_it_is() -> None:
    frame = json.dumps([GOOD, GOOD])
    assert sort_frame(frame).size == sort_frame(frame.encode()).size == len(frame)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_events = st.fixed_dictionaries(
    {},
    optional={
        "ev": st.sampled_from((*FEED_OF, "status", "NEW", "")) | _values,
        "sym": st.text(max_size=5) | _values,
        "T": st.text(max_size=5) | _values,
        "p": _values,
        "x": _values,
    },
)


@given(st.lists(_events | _values, max_size=8), st.booleans())
@settings(deadline=None)
def test_every_element_of_any_array_is_accounted_for(elements: list[Any], as_text: bool) -> None:
    encoded = msgspec.json.encode(elements)
    result = sort_frame(encoded.decode() if as_text else encoded)
    assert total(result) == len(elements)
    passed_on = [bytes(raw) for raws in result.events.values() for raw in raws]
    assert all(isinstance(json.loads(raw).get("ev"), str) for raw in passed_on)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_no_bytes_make_it_raise(frame: bytes) -> None:
    sort_frame(frame)
    sort_frame(b'[{"ev":"T","sym":"A"},' + frame + b"]")


@given(st.text(max_size=60))
@settings(deadline=None)
def test_no_text_makes_it_raise(frame: str) -> None:
    sort_frame(frame)
    sort_frame('[{"ev":"T","sym":"A"},' + frame + "]")
