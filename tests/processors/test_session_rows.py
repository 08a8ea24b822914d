"""Rows at the bells: what counts for which session and day, to the millisecond, in whatever order events land."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from listener.events import Batch
from processors.store import Store
from processors.symbols.rows import row_of
from tests.processors.feeding import Event, at, bar, batch, begin, feed_in, quote, trade

# The Fridays and Mondays about the two Sundays on which the clocks change, and the days of early closes.
FULL_DAYS = ("2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04")
EARLY_CLOSES = ("2024-11-29", "2024-07-03", "2024-12-24")
DAYS = [(day, "16:00:00", "20:00:00") for day in FULL_DAYS] + [(day, "13:00:00", "17:00:00") for day in EARLY_CLOSES]
SUNDAYS = ("2024-03-10", "2024-11-03")
HOLIDAYS = ("2024-03-29", "2024-11-28", "2024-12-25", "2025-01-09")
EXTREMES = ("pre_low", "pre_high", "regular_low", "regular_high", "post_low", "post_high")


def extremes(row: dict[str, Any] | None) -> tuple[Any, ...]:
    assert row is not None
    return tuple(row[name] for name in EXTREMES)


def bells(day: str, close: str, end: str) -> list[int]:
    return [at(f"{day} {clock}") for clock in ("04:00:00", "09:30:00", close, end)]


def feed_shuffled(feed: str, events: Sequence[Event], source: str, rng: random.Random) -> None:
    """Each event is received in its place, and merged in any, in batches of any size."""
    received = list(enumerate(events, 1))
    rng.shuffle(received)
    while received:
        some = sorted(received[: rng.randint(1, 3)], key=lambda pair: pair[0])
        received = received[len(some) :]
        feed_in(*((feed, batch([event], seq=seq, source=source)) for seq, event in some))


@pytest.mark.parametrize("shuffle", range(3))
@pytest.mark.parametrize(("day", "close", "end"), DAYS)
def test_a_print_counts_for_the_session_of_its_millisecond(
    store: Store, day: str, close: str, end: str, shuffle: int
) -> None:
    """The one a millisecond before a bell for the session that ends, the one at the bell for the next."""
    moments = [moment for bell in bells(day, close, end) for moment in (bell - 1, bell)]
    begin(store)
    prints = [trade("ABC", moment, 1.0 + number, 100) for number, moment in enumerate(moments)]
    feed_shuffled("trades", prints, "simulator:1", random.Random(shuffle))
    row = row_of(store, "ABC")
    assert extremes(row) == (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    assert row is not None
    # The first and the last lie outside the day.
    assert (row["trading_day"], row["accumulated_volume"], row["price"]) == (day, 600, 7.0)
    assert (row["day_open"], row["change_since_open"]) == (2.0, 3.0)


@pytest.mark.parametrize("shuffle", range(2))
@pytest.mark.parametrize(("day", "close", "end"), DAYS)
def test_a_bar_counts_for_the_session_that_it_starts_in(
    store: Store, day: str, close: str, end: str, shuffle: int
) -> None:
    starts = [start for bell in bells(day, close, end) for start in (bell - 1_000, bell)]
    begin(store)
    bars = [
        bar("ABC", start, price, price, price, price, 100, av=100 * number)
        for number, start in enumerate(starts)
        for price in [1.0 + number]
    ]
    feed_shuffled("aggregate", bars, "simulator:1", random.Random(shuffle))
    row = row_of(store, "ABC")
    assert extremes(row) == (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    assert row is not None
    assert (row["trading_day"], row["accumulated_volume"], row["price"]) == (day, 600, 7.0)


@pytest.mark.parametrize(("day", "close", "end"), [DAYS[1], DAYS[3], DAYS[4]])
def test_the_rows_session_turns_at_the_bell(store: Store, day: str, close: str, end: str) -> None:
    begin(store)
    names = ("closed", "pre", "regular", "post", "closed")
    feed_in(("trades", batch([trade("ABC", at(f"{day} 04:00:00"), 5.0)])))
    for bell, before, after in zip(bells(day, close, end), names, names[1:], strict=False):
        for moment, session in ((bell - 1, before), (bell, after)):
            feed_in(("quotes", batch([quote("ZZZ", moment, 1.0, 2.0)])))
            row = row_of(store, "ABC")
            assert row is not None
            if moment > at(f"{day} 04:00:00"):
                assert row["session"] == session


@pytest.mark.parametrize("shut", [*SUNDAYS, *HOLIDAYS, "2024-03-09"])
def test_prints_and_bars_of_a_day_without_trading_change_nothing(store: Store, shut: str) -> None:
    begin(store)
    feed_in(("trades", batch([trade("ABC", at("2024-03-08 15:00:00"), 5.0, 300)])))
    before = row_of(store, "ABC")
    # On the Sunday in autumn 01:30 comes twice.
    clocks = ("00:00:00", "01:30:00", "04:00:00", "09:30:00", "12:00:00", "16:00:00", "19:59:59.999")
    for clock in clocks:
        moment = at(f"{shut} {clock}")
        feed_in(
            ("trades", batch([trade("ABC", moment, 9.0, 100), trade("ABC", moment + 3_600_000, 8.0, 100)])),
            ("aggregate", batch([bar("ABC", moment // 1_000 * 1_000, 7.0, 7.5, 6.5, 7.0)])),
        )
    after = row_of(store, "ABC")
    assert before is not None
    assert after is not None
    # What follows the market's clock has moved on with it.
    for name in (
        *EXTREMES,
        "trading_day",
        "price",
        "price_at",
        "accumulated_volume",
        "day_open",
        "day_high",
        "day_low",
    ):
        assert after[name] == before[name], name


FRIDAY, MONDAY = "2024-03-08", "2024-03-11"


def _pieces() -> list[tuple[str, str, Batch]]:
    """Day, feed and batch: what two days bring, cut so that any piece can be the first of its day."""

    def made(seq: int, *events: Event) -> Batch:
        return batch(events, seq=seq, name=f"piece {seq}")

    def trades(day: str, price: float) -> list[Event]:
        return [trade("ABC", at(f"{day} {clock}"), price + n, 100) for n, clock in enumerate(("08:00:00", "09:30:00"))]

    return [
        (FRIDAY, "trades", made(1, *trades(FRIDAY, 10.0))),
        (FRIDAY, "aggregate", made(2, bar("ABC", at(f"{FRIDAY} 09:31:00"), 12.0, 13.0, 11.0, 12.5, op=11.0))),
        (MONDAY, "trades", made(3, *trades(MONDAY, 20.0))),
        (MONDAY, "aggregate", made(4, bar("ABC", at(f"{MONDAY} 09:31:00"), 22.0, 23.0, 21.5, 22.5, av=700))),
    ]


def _without_the_clock(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """A row without what the market's clock alone decides."""
    ignored = {"clock", "session", "complete", *(name for name in row or () if "_1m" in name or "_5m" in name)}
    return {name: value for name, value in row.items() if name not in ignored} if row is not None else None


def test_the_first_event_of_a_newer_day_begins_the_row_anew_wherever_it_lands(store: Store) -> None:
    """After every piece, in all orders, the row is that of the newest day alone, as if no other had been."""
    expected: dict[frozenset[str], Any] = {}

    def alone(pieces: Sequence[tuple[str, str, Batch]]) -> dict[str, Any] | None:
        newest = max(day for day, _, _ in pieces)
        of_newest = [piece for piece in pieces if piece[0] == newest]
        key = frozenset(one.id for _, _, one in of_newest)
        if key not in expected:
            begin(store, f"alone:{len(expected)}")
            for _, feed, one in of_newest:
                feed_in((feed, _of(one, f"alone:{len(expected)}")))
            expected[key] = _without_the_clock(row_of(store, "ABC"))
        found: dict[str, Any] | None = expected[key]
        return found

    for number, order in enumerate(itertools.permutations(_pieces())):
        wanted = [alone(order[: length + 1]) for length in range(len(order))]
        source = f"simulator:{number}"
        begin(store, source)
        for (_, feed, one), want in zip(order, wanted, strict=True):
            feed_in((feed, _of(one, source)))
            assert _without_the_clock(row_of(store, "ABC")) == want, (number, one.id)


def _of(one: Batch, source: str) -> Batch:
    """The same batch as part of a source."""
    return Batch(f"{source} {one.id}", source, one.seq, one.received_at, one.events)


@pytest.mark.parametrize("clock", ["04:00:00.000", "03:59:59.999"])
def test_a_day_begins_at_four_to_the_millisecond(store: Store, clock: str) -> None:
    begin(store)
    feed_in(("trades", batch([trade("ABC", at(f"{FRIDAY} 19:59:59.999"), 5.0)], seq=1)))
    feed_in(("trades", batch([trade("ABC", at(f"{MONDAY} {clock}"), 6.0)], seq=2)))
    row = row_of(store, "ABC")
    assert row is not None
    begins = clock == "04:00:00.000"
    assert (row["trading_day"], row["price"]) == ((MONDAY, 6.0) if begins else (FRIDAY, 5.0))
    assert (row["pre_high"], row["post_high"]) == ((6.0, None) if begins else (None, 5.0))


def test_quotes_may_come_at_any_time_and_outlast_the_night(store: Store) -> None:
    begin(store)
    feed_in(
        ("trades", batch([trade("ABC", at(f"{FRIDAY} 15:00:00"), 5.0)])),
        ("quotes", batch([quote("ABC", at("2024-03-10 12:00:00"), 4.9, 5.1)])),
        ("trades", batch([trade("ABC", at(f"{MONDAY} 04:00:00"), 6.0)])),
    )
    row = row_of(store, "ABC")
    assert row is not None
    assert (row["trading_day"], row["bid"], row["ask"], row["price"]) == (MONDAY, 4.9, 5.1, 6.0)
