"""Bars and activity of trades against a plain computation: whatever the batches, their order and their repetitions."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors import parts
from processors.bars import bars_of, minute_bars, put_minutes, read_chunks, read_days
from processors.changes import Changes
from processors.scanning.bar_messages import BarMessages
from processors.snapshots import snapshot
from processors.store import INTEREST, Store
from project.embedded import EmbeddedValkey
from tests.processors.feeding import Event, at, bar, batch, batches_of, begin, feed_in, trade

MINUTE = 60_000
CLOSE = at("2024-03-11 16:00:00.000")
EARLY = CLOSE - 40 * MINUTE
NEXT_DAY = at("2024-03-12 04:00:00.000")

# -- the same by other means ------------------------------------------------------------------------------------------

# Conditions: average price; bunched; official close; none that is known.
_NO_PRICE, _NO_EXTREME, _NO_VOLUME = {2, 5, 15}, {2, 15}, {15}
Bar = dict[str, Any]


def counts(one: Event, blocked: set[int]) -> bool:
    return not blocked & set(one.get("c", ()))


def put_together(start: int, length: int, pieces: Sequence[Bar]) -> Bar:
    """Bars in order of their start as one."""
    volume = sum(piece["volume"] for piece in pieces)
    prices = [piece for piece in pieces if piece["open"] is not None]
    spread = [piece for piece in pieces if piece["high"] is not None]
    return {
        "start_timestamp": start,
        "end_timestamp": start + length,
        "open": prices[0]["open"] if prices else None,
        "high": max((piece["high"] for piece in spread), default=None),
        "low": min((piece["low"] for piece in spread), default=None),
        "close": prices[-1]["close"] if prices else None,
        "volume": volume,
        "vwap": sum(piece["volume"] * piece["vwap"] for piece in pieces if piece["volume"]) / volume
        if volume
        else None,
        "trades": None if pieces[0]["trades"] is None else sum(piece["trades"] for piece in pieces),
    }


def of_trades(trades: Sequence[Event]) -> list[Bar]:
    """Bars by the second; a trade has `#`, its receipt."""
    seconds = defaultdict(list)
    for one in trades:
        if counts(one, _NO_VOLUME):  # what has no volume has nothing here
            seconds[one["t"] // 1_000 * 1_000].append(one)
    bars = []
    for start, of_second in sorted(seconds.items()):
        priced = sorted((x["t"], x.get("q", 0), x["#"], x["p"]) for x in of_second if counts(x, _NO_PRICE))
        extreme = [x["p"] for x in of_second if counts(x, _NO_EXTREME)]
        volume = sum(x["s"] for x in of_second)
        bars.append(
            {
                "start_timestamp": start,
                "end_timestamp": start + 1_000,
                "open": priced[0][-1] if priced else None,
                "high": max(extreme, default=None),
                "low": min(extreme, default=None),
                "close": priced[-1][-1] if priced else None,
                "volume": volume,
                "vwap": sum(x["p"] * x["s"] for x in of_second) / volume if volume else None,
                "trades": len(of_second),
            }
        )
    return bars


def of_bars(events: Sequence[Event]) -> list[Bar]:
    """Bars as they came; one of the same start replaces the earlier."""
    by_start = {event["s"]: event for event in events}
    names = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "vwap": "vw"}
    return [
        {
            "start_timestamp": start,
            "end_timestamp": event["e"],
            **{n: event[k] for n, k in names.items()},
            "trades": None,
        }
        for start, event in sorted(by_start.items())
    ]


def expected(events: Sequence[Event]) -> dict[str, list[Bar]]:
    """A symbol's bars by resolution, from its events in the order of their receipt."""
    kinds: dict[str, list[Event]] = defaultdict(list)
    days = [event.get("s" if event["ev"] != "T" else "t", 0) >= NEXT_DAY for event in events]
    for event, is_next in zip(events, days, strict=True):
        if is_next == max(days):
            kinds[event["ev"]].append(event)
    finest = of_bars(kinds["A"]) or of_bars(kinds["AM"]) or of_trades(kinds["T"])
    newest = finest[-1]["start_timestamp"] // MINUTE if finest else 0
    recent = [one for one in finest if one["start_timestamp"] // MINUTE > newest - 30]
    found = {"1s": [] if kinds["AM"] and not kinds["A"] else recent}
    for resolution, length in (("1m", MINUTE), ("5m", 5 * MINUTE)):
        groups = defaultdict(list)
        for one in finest:
            groups[one["start_timestamp"] // length * length].append(one)
        found[resolution] = [put_together(start, length, pieces) for start, pieces in sorted(groups.items())]
    return found


def expected_activity(trades: Sequence[Event], length: int, slots: int) -> dict[int, tuple[int, int, float, float]]:
    """By slot: bucket, trades, volume, notional."""
    buckets: dict[int, list[float]] = defaultdict(lambda: [0, 0, 0])
    for one in trades:
        if counts(one, _NO_VOLUME):
            bucket = buckets[one["t"] // length]
            bucket[0] += 1
            bucket[1] += one["s"]
            bucket[2] += one["p"] * 10_000 * one["s"]
    return {number % slots: (number, *buckets[number]) for number in sorted(buckets)}  # type: ignore[misc]


# -- any split, order and redelivery ----------------------------------------------------------------------------------

_CORRECTED = [CLOSE + second * 1_000 for second in (-61, -60, -59, -2, -1, 0, 1)] + [CLOSE - 500]
# Of the same places in the ring, 32 minutes before: sent once, because who has left the ring cannot be corrected.
_ONCE = [CLOSE - 32 * MINUTE + second * 1_000 for second in (-61, -60, -3, -2, -1, 0, 1, 59)] + [
    EARLY,
    CLOSE - 96 * MINUTE,
]
_TRADED = [*_CORRECTED, *_ONCE, CLOSE + 1, CLOSE + 999, CLOSE - 32 * MINUTE + 7, NEXT_DAY, NEXT_DAY + MINUTE]
_prices = st.integers(4, 16).map(lambda quarters: quarters / 4)


def _bars(symbol: str, kind: str, starts: Sequence[int]) -> st.SearchStrategy[Event]:
    def build(start: int, prices: list[float], volume: int) -> Event:
        low, one, other, high = sorted(prices)
        return bar(symbol, start, one, high, low, other, volume, ev=kind, vw=one, a=other)

    return st.builds(build, st.sampled_from(starts), st.lists(_prices, min_size=4, max_size=4), st.integers(0, 500))


_any_event = st.one_of(
    _bars("ABC", "A", _CORRECTED),
    _bars("ABC", "A", _ONCE),
    _bars("XYZ", "AM", [start // MINUTE * MINUTE for start in (*_CORRECTED, *_ONCE)]),
    _bars("XYZ", "A", [NEXT_DAY, NEXT_DAY + 1_000]),
    st.builds(
        lambda symbol, t, p, s, q, c: trade(symbol, t, p, s, q=q, c=[c]),
        *(st.sampled_from(("ABC", "XYZ", "TTT", "TTT", "TTT")), st.sampled_from(_TRADED), _prices, st.integers(0, 500)),
        *(st.integers(0, 1), st.sampled_from((0, 2, 5, 15, 999))),
    ),
)


@st.composite
def _recordings(draw: st.DrawFn) -> list[Event]:
    seen: set[int] = set()
    events = []
    for number, event in enumerate(draw(st.lists(_any_event, min_size=1, max_size=40))):
        if event["ev"] == "A" and event["s"] in _ONCE:
            if event["s"] in seen:
                continue
            seen.add(event["s"])
        events.append({**event, "#": number})
    return events


@pytest.fixture
def sources() -> Iterator[str]:
    """Source ids, each new."""
    return (f"simulator:{number}" for number in range(10_000_000))


@given(events=_recordings(), size=st.integers(1, 7), data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_order_and_redelivery_of_a_recording_gives_the_same_bars_and_activity(
    store: Store, sources: Iterator[str], events: list[Event], size: int, data: st.DataObject
) -> None:
    source = next(sources)
    begin(store, source)
    version = store.changes_since(0).version
    pairs = batches_of([events], size, source)
    repeated = [pair for pair in pairs if data.draw(st.booleans())]
    feed_in(*data.draw(st.permutations([*pairs, *repeated])))
    changes = store.changes_since(version)
    for symbol in {event["sym"] for event in events}:
        own = [event for event in events if event["sym"] == symbol]
        assert {resolution: bars_of(store, symbol, resolution) for resolution in ("1s", "1m", "5m")} == expected(own)
        trades = [event for event in own if event["ev"] == "T"]
        last_day = [one for one in trades if (one["t"] >= NEXT_DAY) == max(x["t"] >= NEXT_DAY for x in trades)]
        assert kept_activity(store, symbol) == (
            expected_activity(last_day, 5_000, 72),
            expected_activity(last_day, 60_000, 64),
        )
        # Minutes read one by one are the whole day's, wherever they are kept.
        days = read_days(store, [symbol.encode()])[symbol.encode()]
        chunks = sorted(chunk for chunk in changes.chunks if chunk[0] == symbol.encode() and chunk[1] in days)
        indices, read = read_chunks(store, chunks)
        assert (np.diff(indices) >= 0).all()
        for kind, of_day in days.items():
            of_kind = [chunks[index][1] == kind for index in indices]
            assert read[of_kind].tobytes() == of_day.tobytes()


def kept_activity(store: Store, symbol: str) -> tuple[dict[int, Any], dict[int, Any]]:
    name = symbol.encode()
    kept = store.read_changed(Changes(0, parts={parts.TRADES: frozenset((name,))}))
    if not kept[parts.TRADES]:
        return {}, {}
    (slots,) = parts.activity([kept[parts.TRADES][name]], [kept[parts.ACTIVITY_RINGS].get(name)])
    fives, minutes = slots[: parts.FIVE_SECONDS], slots[parts.FIVE_SECONDS :]
    five, minute = ({n: slot.item() for n, slot in enumerate(ring) if slot["bucket"]} for ring in (fives, minutes))
    return five, minute


# -- one thing at a time ----------------------------------------------------------------------------------------------


def feed_bars(store: Store, *bars_: Event) -> None:
    """Bars in order of processing, each its own batch; `n` is its receipt number."""
    begin(store)
    for given_bar in bars_:
        number = given_bar.pop("n", 1)
        feed_in(("aggregate", batch([given_bar], seq=number)))


def test_a_corrected_bar_corrects_the_minute_it_is_in(store: Store) -> None:
    feed_bars(store, bar("ABC", CLOSE, 5, 9, 1, 5, 100, vw=5), bar("ABC", CLOSE, 5, 6, 4, 5, 50, vw=5, n=2))
    (minute,) = bars_of(store, "ABC", "1m")
    assert (minute["high"], minute["low"], minute["volume"]) == (6, 4, 50)


def test_half_an_hour_of_second_bars_is_kept_and_what_is_older_by_the_minute(store: Store) -> None:
    begin(store)
    seconds = [bar("ABC", CLOSE + n * 1_000, 5, 6, 4, 5, 10, vw=5) for n in range(0, 40 * 60, 7)]
    feed_in(*batches_of([seconds], 200, "simulator:1"))
    shown = bars_of(store, "ABC", "1s")
    assert shown[0]["start_timestamp"] // MINUTE == seconds[-1]["s"] // MINUTE - 29
    assert bars_of(store, "ABC", "1m")[-1] == expected(seconds)["1m"][-1]
    assert bars_of(store, "ABC", "1m") == expected(seconds)["1m"]
    assert len(read_days(store, [b"ABC"])[b"ABC"]["A"]) < len(seconds)


def test_trades_make_no_bars_once_a_symbol_has_its_own_of_the_day(store: Store) -> None:
    begin(store)
    feed_in(("trades", batch([trade("ABC", CLOSE + n, 5.0) for n in (0, 1_000, -40 * MINUTE)])))
    assert len(bars_of(store, "ABC", "1s")) == 2
    feed_in(("aggregate", batch([bar("ABC", CLOSE, 5, 6, 4, 5)])))
    # The first batch after it still brings some: workers learn by it which symbols need none.
    for n in (2_000, 3_000):
        feed_in(("trades", batch([trade("ABC", CLOSE + n, 7.0)])))
    assert [one["close"] for one in bars_of(store, "ABC", "1s")] == [5]
    assert not store.redis.keys("tw:ring:T:*") + store.redis.keys("tw:day:T:*")
    feed_in(("trades", batch([trade("ABC", NEXT_DAY, 8.0)])))
    assert [one["close"] for one in bars_of(store, "ABC", "1m")] == [8]


def test_a_newer_day_begins_with_no_bars_of_the_last(store: Store) -> None:
    begin(store)
    feed_in(("aggregate", batch([bar("ABC", CLOSE + n * MINUTE, 5, 6, 4, 5) for n in (0, 40)])))
    feed_in(("aggregate", batch([bar("ABC", CLOSE, 5, 6, 4, 5, ev="AM")], seq=2)))
    feed_in(("aggregate", batch([bar("ABC", NEXT_DAY, 5, 6, 4, 5)], seq=3)))
    assert {kind: len(of_kind) for kind, of_kind in read_days(store, [b"ABC"])[b"ABC"].items()} == {"A": 1}
    assert len(store.redis.keys("tw:ring:A:*")) == 1
    assert not store.redis.keys("tw:day:A:*")


def test_absurdly_many_bars_of_a_minute_stay_bounded_and_count(store: Store) -> None:
    begin(store)
    events = [bar("ABC", CLOSE + n * 20, 5, 6, 4, 5, 1, vw=5) for n in range(3_000)]
    feed_in(*batches_of([events], 1_000, "simulator:1"))
    assert bars_of(store, "ABC", "1m")[0]["volume"] == 3_000
    assert store.redis.strlen(f"tw:ring:A:ABC:{CLOSE // MINUTE % 32}") < 50_000


def rest_bars(*bars_: tuple[int, float, float, float, float, float]) -> np.ndarray[Any, Any]:
    """Minute bars: start, open, high, low, close, volume."""
    found = np.zeros(len(bars_), parts.BAR)
    found["vwap"] = found["day_vwap"] = np.nan
    for row, (start, *figures) in zip(found, bars_, strict=True):
        row["start"], row["end"], row["session"], row["trades"] = start, start + MINUTE, 1, 3
        for name, value in zip(("open", "high", "low", "close", "volume"), figures, strict=True):
            row[name] = value
    return found


def test_minutes_from_rest_fill_what_was_not_seen_and_merge_by_extremes(store: Store) -> None:
    begin(store)
    feed_in(("aggregate", batch([bar("ABC", CLOSE - MINUTE + 30_000, 5, 8, 4, 7, 100, vw=6)])))
    version = store.changes_since(0).version
    rest = rest_bars((CLOSE - 2 * MINUTE, 3, 4, 2, 3, 50), (CLOSE - MINUTE, 3, 7, 1, 6, 300))
    assert put_minutes(store, "simulator:1", 20240311, "ABC", rest)
    first, second = bars_of(store, "ABC", "1m")
    assert (first["open"], first["volume"], first["trades"]) == (3, 50, 3)
    # The feed saw the minute in part, and not its end.
    assert (second["open"], second["high"], second["low"], second["close"]) == (3, 8, 1, 6)
    assert (second["volume"], second["vwap"]) == (300, 6)
    changes = store.changes_since(version)
    assert changes.chunks == {(b"ABC", "R", CLOSE // MINUTE - 2), (b"ABC", "R", CLOSE // MINUTE - 1)}
    assert read_chunks(store, sorted(changes.chunks))[0].tolist() == [0, 1]
    # Again, with the first corrected and one more.
    put_minutes(store, "simulator:1", 20240311, "ABC", rest_bars((CLOSE - 2 * MINUTE, 3, 5, 2, 3, 60)))
    put_minutes(store, "simulator:1", 20240311, "ABC", rest_bars((CLOSE - 9 * MINUTE, 3, 5, 2, 3, 70)))
    assert [one["volume"] for one in bars_of(store, "ABC", "1m")] == [70, 60, 300]


def test_minutes_from_rest_are_of_one_source_and_day(store: Store) -> None:
    begin(store)
    rest = rest_bars((CLOSE, 3, 4, 2, 3, 50))
    assert not put_minutes(store, "simulator:2", 20240311, "ABC", rest)
    assert put_minutes(store, "simulator:1", 20240312, "ABC", rest, packed_row(day=20240312.0))
    assert not put_minutes(store, "simulator:1", 20240311, "ABC", rest)
    feed_in(("aggregate", batch([bar("ABC", CLOSE, 5, 6, 4, 5)])))
    assert bars_of(store, "ABC", "1m")[0]["volume"] == 50


def packed_row(**figures: float) -> bytes:
    return np.array([figures.get(name, np.nan) for name in parts.BAR_COLUMNS], "<f8").tobytes()


def test_what_rest_says_of_a_row_is_put_together_by_extremes(store: Store) -> None:
    begin(store)
    now = {"day": 20240311.0, "s": 5.0, "close": 2.0, "pre_high": 9.0, "pre_low": 4.0, "first_s": 3.0, "first_o": 1.0}
    then = {"day": 20240311.0, "s": 4.0, "close": 7.0, "pre_high": 8.0, "pre_low": 3.0, "first_s": 2.0, "first_o": 6.0}
    for figures in (now, then | {"accumulated": 10.0}):
        put_minutes(store, "simulator:1", 20240311, "ABC", rest_bars(), packed_row(**figures))
    kept = dict(zip(parts.BAR_COLUMNS, parts.figures(store.redis.hget(parts.SEEDED, "ABC")).tolist(), strict=True))
    want = {
        "s": 5.0,
        "close": 2.0,
        "pre_high": 9.0,
        "pre_low": 3.0,
        "first_s": 2.0,
        "first_o": 6.0,
        "accumulated": 10.0,
    }
    assert {name: kept[name] for name in want} == want


def test_five_minutes_are_put_together_of_minutes_by_rest_and_events(store: Store) -> None:
    rest = rest_bars((CLOSE, 3, 9, 2, 4, 50), (CLOSE + MINUTE, 4, 5, 1, 5, 25))
    (found,) = minute_bars({"R": rest}, 5)
    assert (found["open"], found["high"], found["low"], found["close"], found["volume"]) == (3, 9, 1, 5, 75)
    assert (found["start"], found["end"], found["trades"]) == (CLOSE, CLOSE + 5 * MINUTE, 6)


# -- to clients -------------------------------------------------------------------------------------------------------


def test_bars_are_answered_oldest_first_and_a_limit_gives_the_newest(store: Store) -> None:
    assert snapshot(store, "bars:1m:ABC") is None
    feed_bars(store, *(bar("ABC", CLOSE + n * MINUTE, 5, 6, 4, 5, n + 1, vw=5, n=n + 1) for n in range(3)))
    for key, volumes in (("1s", [1, 2, 3]), ("1m", [1, 2, 3]), ("5m", [6])):
        assert [one["volume"] for one in msgspec.json.decode(snapshot(store, f"bars:{key}:ABC") or b"")] == volumes
    assert [one["volume"] for one in msgspec.json.decode(snapshot(store, "bars:1m:ABC", 2) or b"")] == [2, 3]
    assert snapshot(store, "bars:2m:ABC") is snapshot(store, "bars:1m:ABC", 0) is None


def test_bars_go_out_as_they_change_where_somebody_listens(store: Store, valkey: EmbeddedValkey) -> None:
    begin(store)
    said, version = BarMessages(), store.changes_since(0).version

    def heard() -> list[tuple[str, int, float]]:
        nonlocal version
        store.interest.told(int(store.redis.get(INTEREST) or 0))
        store.interest.refresh()
        changes = store.changes_since(version)
        version = changes.version
        messages = said.of(store, changes)
        payloads = [msgspec.json.decode(message.payload) for message in messages]
        return [(m.key, p["start_timestamp"] - CLOSE, p["volume"]) for m, p in zip(messages, payloads, strict=True)]

    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as pubsub:
        pubsub.subscribe("bars:1s:ABC", "bars:5m:ABC")
        for _ in range(2):
            assert pubsub.get_message(timeout=5.0)["type"] == "subscribe"
        store.redis.incr(INTEREST)
        feed_in(("aggregate", batch([bar(symbol, CLOSE, 5, 6, 4, 5, 10) for symbol in ("ABC", "XYZ")])))
        assert heard() == [("bars:1s:ABC", 0, 10), ("bars:5m:ABC", 0, 10)]
        feed_in(("aggregate", batch([bar("ABC", CLOSE + 1_000, 5, 6, 4, 5, 1)], seq=9)))
        assert heard() == [("bars:1s:ABC", 1_000, 1), ("bars:5m:ABC", 0, 11)]
        feed_in(("aggregate", batch([bar("ABC", CLOSE, 5, 6, 4, 5, 20)], seq=10)))
        assert heard() == [("bars:1s:ABC", 0, 20), ("bars:5m:ABC", 0, 21)]
        assert heard() == []
