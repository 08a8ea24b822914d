"""Every derived field against plain Python, over rows made by hand."""

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors import parts
from processors.fields import BY_NAME, FIELDS
from processors.reference import REFERENCE_COLUMNS, ReferenceState
from processors.rows import is_complete, row_of
from processors.sessions import trading_day
from processors.store import REFERENCE, REFERENCE_STATE, Source, Store
from processors.table import SymbolTable
from tests.processors.feeding import Event, at, bar, batches_of, begin, feed_in, quote, trade

PRE = at("2024-03-11 08:00:00.000")
OPEN = at("2024-03-11 09:30:00.000")
NAN = float("nan")


def put_reference(store: Store, source: str = "simulator:1", /, **previous: float) -> None:
    """Previous-day values of symbol ABC by column; what is not named is unknown."""
    values = [previous.get(name, NAN) for name in REFERENCE_COLUMNS]
    store.redis.hset(REFERENCE, "ABC", msgspec.msgpack.encode(values))
    store.redis.set(REFERENCE_STATE, msgspec.json.encode(ReferenceState(source, 20240311, 1, 0.0)))


def row(store: Store, *events: Event, **previous: float) -> dict[str, Any]:
    begin(store)
    if previous:
        put_reference(store, **previous)
    feed_in(*batches_of([events], 100, "simulator:1"))
    found = row_of(store, "ABC")
    assert found is not None
    return found


def test_a_row_has_every_field_and_only_these(store: Store) -> None:
    assert list(row(store, trade("ABC", PRE, 5.0))) == [field.name for field in FIELDS]
    assert len(BY_NAME) == len(FIELDS)


def test_without_a_previous_day_what_needs_it_is_unknown(store: Store) -> None:
    kept = row(store, trade("ABC", PRE, 5.0), bar("ABC", PRE, 5, 6, 4, 5))
    unknown = ("change", "pct_change", "gap_pct", *REFERENCE_COLUMNS)
    assert {name: kept[name] for name in unknown} == dict.fromkeys(unknown)
    assert kept["change_since_open"] == 0


def test_before_the_open_the_gap_follows_the_price(store: Store) -> None:
    kept = row(store, trade("ABC", PRE, 5.0), trade("ABC", PRE + 1, 6.0), prev_day_close=4.0)
    assert (kept["gap_pct"], kept["pct_change"], kept["change"]) == (50, 50, 2)
    assert (kept["change_since_open"], kept["pct_change_since_open"]) == (1, 20)


def test_after_the_open_the_gap_stays_at_the_first_regular_print(store: Store) -> None:
    events = (trade("ABC", PRE, 5.0), trade("ABC", OPEN, 6.0), trade("ABC", OPEN + 5, 9.0))
    kept = row(store, *events, prev_day_close=4.0)
    assert (kept["gap_pct"], kept["pct_change"], kept["change_since_open"]) == (50, 125, 3)


def test_the_official_open_goes_before_the_first_regular_print(store: Store) -> None:
    events = (trade("ABC", OPEN, 6.0), bar("ABC", OPEN, 6, 8, 6, 8, op=5.0, a=4.0))
    kept = row(store, *events, prev_day_close=4.0)
    assert (kept["official_open_price"], kept["gap_pct"], kept["change_since_open"]) == (5, 25, 3)
    assert kept["vwap_distance_pct"] == 100
    assert kept["pct_change_since_open"] == 60


def test_trades_alone_make_prices_extremes_and_volume(store: Store) -> None:
    kept = row(store, trade("ABC", PRE, 5.0, 10), trade("ABC", OPEN, 7.0, 20), trade("ABC", OPEN + 1, 6.0, 30))
    assert (kept["price"], kept["price_at"], kept["day_open"]) == (6, OPEN + 1, 5)
    assert (kept["pre_high"], kept["regular_high"], kept["regular_low"], kept["post_high"]) == (5, 7, 6, None)
    assert (kept["day_high"], kept["day_low"], kept["accumulated_volume"]) == (7, 5, 60)
    assert (kept["close"], kept["vwap"], kept["start_timestamp"], kept["bid"]) == (None, None, None, None)


def test_bars_alone_make_prices_extremes_and_volume(store: Store) -> None:
    events = (bar("ABC", PRE, 5, 6, 4, 5.5, 70, av=70), bar("ABC", OPEN, 7, 9, 6, 8, 30, av=100, vw=7.5, a=6.5, z=15))
    kept = row(store, *events)
    assert (kept["price"], kept["price_at"], kept["day_open"]) == (8, OPEN + 999, 5)
    assert (kept["day_high"], kept["day_low"], kept["accumulated_volume"]) == (9, 4, 100)
    assert (kept["open"], kept["high"], kept["low"], kept["close"], kept["volume"]) == (7, 9, 6, 8, 30)
    assert (kept["vwap"], kept["aggregate_vwap"], kept["average_size"]) == (7.5, 6.5, 15)
    assert (kept["start_timestamp"], kept["end_timestamp"]) == (OPEN, OPEN + 1_000)


def test_a_trade_goes_before_a_bar_of_the_same_moment(store: Store) -> None:
    later = (trade("ABC", OPEN + 999, 5.0), bar("ABC", OPEN, 7, 9, 6, 8))
    assert row(store, *later)["price"] == 5
    earlier = (trade("ABC", OPEN + 998, 5.0), bar("ABC", OPEN, 7, 9, 6, 8))
    store.redis.flushall()
    assert row(store, *earlier)["price"] == 8


def test_zero_is_no_price_of_a_quote(store: Store) -> None:
    kept = row(store, trade("ABC", OPEN, 5.0), quote("ABC", OPEN, 0.0, 6.0))
    assert (kept["bid"], kept["ask"], kept["spread_pct"]) == (None, 6, None)


def test_the_spread_is_in_percent_of_the_middle(store: Store) -> None:
    kept = row(store, trade("ABC", OPEN, 5.0), quote("ABC", OPEN, 3.0, 5.0))
    assert (kept["spread_pct"], kept["bid_size"], kept["ask_size"]) == (50, 3, 4)


def test_a_previous_close_of_zero_gives_no_percentage(store: Store) -> None:
    kept = row(store, trade("ABC", OPEN, 5.0), prev_day_close=0.0)
    assert (kept["change"], kept["pct_change"], kept["gap_pct"]) == (5, None, None)


def test_prints_that_may_not_count_make_a_row_without_a_price(store: Store) -> None:
    kept = row(store, trade("ABC", OPEN, 5.0, 10, c=[2]), prev_day_close=4.0)
    assert (kept["price"], kept["price_at"], kept["day_high"], kept["accumulated_volume"]) == (None, None, None, 10)
    assert (kept["change"], kept["change_since_open"], kept["gap_pct"]) == (None, None, None)


def test_reference_data_of_another_source_is_not_shown(store: Store) -> None:
    begin(store)
    put_reference(store, "simulator:0", prev_day_close=4.0)
    feed_in(*batches_of([[trade("ABC", OPEN, 5.0)]], 100, "simulator:1"))
    kept = row_of(store, "ABC")
    assert kept is not None
    assert kept["prev_day_close"] is None


def test_a_symbol_whose_reference_vanished_is_unknown_again() -> None:
    table = SymbolTable()
    part = parts.pack_trades(20240311.0, *[1.0] * (len(parts.TRADE_COLUMNS) - 1))
    nothing: list[bytes | None] = [None]
    kept = dict.fromkeys(parts.PARTS, nothing)
    table.put([b"ABC"], {**kept, parts.TRADES: [part]})
    table.put_reference({b"ABC": msgspec.msgpack.encode([4.0] * len(REFERENCE_COLUMNS))})
    assert table.rows(None, "regular", True)["prev_day_close"].to_list() == [4]
    table.put_reference({})
    assert table.rows(None, "regular", True)["prev_day_close"].to_list() == [None]


def test_a_row_is_complete_when_its_day_was_seen_from_the_start() -> None:
    day = trading_day(date(2024, 3, 11))
    assert day is not None
    for kind, late, complete in (
        *(("live", 0, True), ("live", 1, False), ("simulator", 1, False)),
        *(("recording", 60_000, True), ("recording", 60_001, False)),
    ):
        assert is_complete(Source("x", kind, day.start + late, 1.0, lossless=False), day) is complete
    assert not is_complete(Source("x", "live", 0, 1.0, lossless=False), None)


def test_a_table_without_rows_has_every_column() -> None:
    empty = SymbolTable().rows(None, "closed", False)
    assert (empty.height, empty.columns) == (0, [field.name for field in FIELDS])


@given(
    price=st.floats(0.0001, 1e6),
    previous=st.one_of(st.none(), st.floats(0.0001, 1e6)),
    opened=st.one_of(st.none(), st.floats(0.0001, 1e6)),
    vwap=st.one_of(st.none(), st.floats(0.0001, 1e6)),
    bid=st.one_of(st.none(), st.floats(0.0001, 1e6)),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_derived_fields_equal_their_formulas(
    store: Store, price: float, previous: float | None, opened: float | None, vwap: float | None, bid: float | None
) -> None:
    store.redis.flushall()
    events = (bar("ABC", OPEN, price, price, price, price, op=opened, a=vwap), quote("ABC", OPEN, bid, price))
    kept = row(store, *events, **({} if previous is None else {"prev_day_close": previous}))

    def percent(part: float | None, whole: float | None) -> Any:
        return None if part is None or not whole else pytest.approx(part / whole * 100, rel=1e-9, abs=1e-9)

    def less(whole: float | None, part: float | None) -> float | None:
        return None if whole is None or part is None else whole - part

    started = opened if opened is not None else price
    assert kept["change"] == less(price, previous)
    assert kept["pct_change"] == percent(less(price, previous), previous)
    assert kept["change_since_open"] == price - started
    assert kept["pct_change_since_open"] == percent(price - started, started)
    assert kept["gap_pct"] == percent(less(started, previous), previous)
    assert kept["vwap_distance_pct"] == percent(less(price, vwap), vwap)
    assert kept["spread_pct"] == percent(less(price, bid), None if bid is None else (price + bid) / 2)
