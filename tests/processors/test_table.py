"""The symbol table against the independent computation: whatever the batches, their order and their repetitions."""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from listener.events import Batch
from processors.accounts import accounts
from processors.store import Store
from processors.symbols.rows import row_of
from tests import independent
from tests.processors.feeding import Event, at, bar, batches_of, begin, feed_in, quote, trade

Pairs = list[tuple[str, Batch]]


@pytest.fixture(scope="module")
def real_frames(real_day: Path) -> list[list[Event]]:
    return list(independent.frames(real_day))


@pytest.fixture(scope="module")
def real_batches(real_day: Path) -> Pairs:
    with gzip.open(real_day) as lines:
        return batches_of((line[line.index(b"[") : line.rindex(b"]") + 1] for line in lines), 1_000, "recording:real")


def differences(store: Store, rows: dict[str, dict[str, Any]]) -> list[tuple[str, str, Any, Any]]:
    """Symbol, field, what it should be and what it is, wherever they differ."""
    found = []
    for symbol, row in rows.items():
        kept = row_of(store, symbol) or {}
        found += [(symbol, name, wanted, kept.get(name)) for name, wanted in row.items() if kept.get(name) != wanted]
    return found


def test_the_real_day_in_order_equals_the_independent_computation(
    store: Store, real_rows: dict[str, dict[str, Any]], real_batches: Pairs
) -> None:
    begin(store, "recording:real")
    feed_in(*real_batches)
    assert set(real_rows) == {"AIG", "BAC", "IBM", "SPY"}
    assert differences(store, real_rows) == []


def test_the_real_day_shuffled_and_partly_twice_gives_the_same_table(
    store: Store, real_rows: dict[str, dict[str, Any]], real_batches: Pairs
) -> None:
    begin(store, "recording:real")
    chance = random.Random(7)
    shuffled = [*real_batches, *chance.sample(real_batches, 60)]
    chance.shuffle(shuffled)
    feed_in(*shuffled)
    assert differences(store, real_rows) == []
    terms = accounts(store, "recording:real", 5_000)
    assert sum(feed["processed"] for feed in terms.values()) == 638_619
    assert sum(feed["duplicate"] for feed in terms.values()) > 0


# Two trading days, and moments about which something changes: outside the day, first and last of each session.
_DAYS = ("2024-03-11", "2024-03-12")
_TIMES = ("03:59:59.999", "04:00:00.000", "09:29:59.999", "09:30:00.000", "09:30:00.001", "15:59:59.999")
_LATER = ("16:00:00.000", "19:59:59.999", "20:00:00.000")
_CORRECTED = ("09:29:58.000", "09:29:59.000", "09:29:59.500", "09:30:00.000", "09:30:00.250", "09:30:01.000")
# Bars that are sent once: earlier ones of the same place in the ring as corrected ones, and far later ones.
_ONCE = ("03:59:59.000", "04:00:00.000", "08:00:00.000", "08:30:01.000", "16:00:07.000", "19:59:55.000", "20:00:07.000")
_MINUTES = ("04:00:00.000", "09:29:00.000", "09:30:00.000", "16:00:00.000", "19:59:00.000")
_CONDITIONS = (0, 2, 5, 10, 12, 15, 16, 32, 37, 38, 999)

_symbols = st.sampled_from(("ABC", "XYZ"))
_days = st.sampled_from(_DAYS)
# Few values, so that ties are common; exact in binary, so that sums are.
_prices = st.integers(4, 16).map(lambda quarters: quarters / 4)
_shares = st.integers(0, 500)


def _moments(times: tuple[str, ...]) -> st.SearchStrategy[int]:
    return st.builds(lambda day, time: at(f"{day} {time}"), _days, st.sampled_from(times))


def _bars(times: tuple[str, ...], kind: str) -> st.SearchStrategy[Event]:
    def build(symbol: str, s: int, prices: list[float], av: int | None, op: float | None, v: int) -> Event:
        low, one, other, high = sorted(prices)
        more = {"av": av, "op": op, "ev": kind, "vw": one, "a": other, "z": v}
        return bar(symbol, s, one, high, low, other, v, **more)

    four = st.lists(_prices, min_size=4, max_size=4)
    volumes = st.one_of(st.none(), st.integers(0, 10_000))
    opens = st.one_of(st.none(), st.just(0.0), _prices)
    return st.builds(build, _symbols, _moments(times), four, volumes, opens, _shares)


_trades = st.builds(
    lambda symbol, t, p, s, q, c: trade(symbol, t, p, s, q=q, c=c),
    *(_symbols, _moments((*_TIMES, *_LATER)), _prices, st.one_of(_shares, st.just(1.5)), st.integers(0, 2)),
    st.lists(st.sampled_from(_CONDITIONS), max_size=2),
)
_quotes = st.builds(
    lambda symbol, t, bid, ask, q: quote(symbol, t, bid, ask, q=q),
    *(_symbols, _moments((*_TIMES, *_LATER)), st.one_of(st.none(), st.just(0.0), _prices), _prices, st.integers(0, 1)),
)


@st.composite
def _recordings(draw: st.DrawFn) -> list[Event]:
    kinds = (_trades, _bars(_CORRECTED, "A"), _bars(_ONCE, "A"), _bars(_MINUTES, "AM"), _quotes)
    events: list[Event] = draw(st.lists(st.one_of(*kinds), min_size=1, max_size=40))
    once = {at(f"{day} {time}") for day in _DAYS for time in _ONCE}
    seen: set[tuple[str, int]] = set()
    kept = []
    for event in events:
        if event["ev"] == "A" and event["s"] in once:
            if (event["sym"], event["s"]) in seen:
                continue
            seen.add((event["sym"], event["s"]))
        kept.append(event)
    return kept


@pytest.fixture
def sources() -> Iterator[str]:
    """Source ids, each new."""
    return (f"simulator:{number}" for number in range(10_000_000))


@given(events=_recordings(), size=st.integers(1, 7), data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_order_and_redelivery_of_a_recording_gives_the_same_table(
    store: Store, sources: Iterator[str], events: list[Event], size: int, data: st.DataObject
) -> None:
    source = next(sources)
    begin(store, source)
    pairs = batches_of([events], size, source)
    repeated = [pair for pair in pairs if data.draw(st.booleans())]
    feed_in(*data.draw(st.permutations([*pairs, *repeated])))
    assert differences(store, independent.table(events)) == []
    terms = accounts(store, source, 5_000)
    assert sum(feed["processed"] for feed in terms.values()) == len(events)
    assert sum(feed["duplicate"] for feed in terms.values()) == sum(len(again.events) for _, again in repeated)
    assert {feed: terms[feed]["failed"] for feed in terms} == dict.fromkeys(terms, 0)
