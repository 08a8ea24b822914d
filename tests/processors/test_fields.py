"""Every derived field against plain Python, over rows made by hand."""

from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.fields import BY_NAME, FIELDS, as_markdown
from processors.reference import REFERENCE_COLUMNS, REFERENCE_TEXTS
from processors.store import REFERENCE, Store
from processors.symbols.moment import Moment
from processors.symbols.rows import row_of
from processors.symbols.table import SymbolTable
from project.env import BASE_DIR
from tests.processors.feeding import Event, at, bar, batch, batches_of, begin, feed_in, quote, trade

PRE = at("2024-03-11 08:00:00.000")
OPEN = at("2024-03-11 09:30:00.000")
NAN = float("nan")


def put_reference(store: Store, **reference: Any) -> None:
    """Reference data of symbol ABC by column; what is not named is unknown."""
    values = [reference.get(name, NAN) for name in REFERENCE_COLUMNS]
    texts = [reference.get(name) for name in REFERENCE_TEXTS]
    store.redis.hset(REFERENCE, "ABC", msgspec.msgpack.encode([*values, *texts]))


def row(store: Store, *events: Event, **reference: Any) -> dict[str, Any]:
    begin(store)
    if reference:
        put_reference(store, **reference)
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


def test_volumes_are_compared_with_reference_data_and_unknown_without_it(store: Store) -> None:
    events = (trade("ABC", OPEN, 5.0, 600),)
    kept = row(
        store, *events, avg_volume=200.0, free_float=1_200.0, market_cap=3e9, name="Abc Inc", primary_exchange="XNAS"
    )
    assert (kept["relative_volume"], kept["float_rotation"], kept["relative_volume_tod"]) == (3, 0.5, None)
    assert (kept["name"], kept["primary_exchange"], kept["market_cap"]) == ("Abc Inc", "XNAS", 3e9)
    put_reference(store, avg_volume=0.0, free_float=0.0)
    again = row_of(store, "ABC")
    assert again is not None
    assert (again["avg_volume"], again["relative_volume"], again["float_rotation"]) == (0, None, None)
    assert (again["name"], again["market_cap"]) == (None, None)


def test_windows_of_a_row_decay_while_other_symbols_move_the_clock(store: Store) -> None:
    bars = [bar("ABC", OPEN + 60_000 * i, 5, 5, 5, 4.0 + i, 100 + i) for i in range(7)]
    kept = row(store, *bars)
    assert kept["clock"] == OPEN + 360_999
    assert (kept["volume_1m"], kept["volume_5m"], kept["price"]) == (106, 106 + 105 + 104 + 103 + 102, 10)
    assert kept["volume_spike"] == 106 / ((105 + 104 + 103 + 102 + 101) / 5)
    assert kept["change_1m_pct"] == pytest.approx(100 / 9)
    assert kept["change_5m_pct"] == 100
    assert kept["change_15m_pct"] is None
    feed_in(("quotes", batch([quote("XYZ", OPEN + 420_000, 1.0, 1.1)])))
    later = row_of(store, "ABC")
    assert later is not None
    assert (later["clock"], later["volume_1m"], later["change_1m_pct"]) == (OPEN + 420_000, 0, 0)
    assert (later["volume_spike"], later["volume_5m"]) == (0, 106 + 105 + 104 + 103)


def test_a_spike_over_nothing_is_unknown(store: Store) -> None:
    assert row(store, bar("ABC", OPEN, 5, 5, 5, 5))["volume_spike"] is None


def test_trades_and_notional_are_counted_by_the_window(store: Store) -> None:
    kept = row(store, trade("ABC", OPEN, 5.25, 10), trade("ABC", OPEN + 60_000, 2.0, 20), trade("ABC", OPEN, 9, c=[15]))
    assert [kept[f"trades_{window}"] for window in ("1m", "5m", "1h")] == [1, 2, 2]
    assert [kept[f"notional_{window}"] for window in ("1m", "5m", "1h")] == [40, 92.5, 92.5]


def luld(t: int, upper: float, lower: float, code: int) -> Event:
    return {"ev": "LULD", "T": "ABC", "h": upper, "l": lower, "i": [code], "z": 3, "t": t * 1_000_000, "q": t}


def test_the_distance_is_to_the_nearer_band(store: Store) -> None:
    kept = row(store, trade("ABC", OPEN, 10.0), luld(OPEN, 12.0, 9.5, 15))
    assert (kept["luld_upper"], kept["luld_lower"], kept["luld_distance_pct"]) == (12, 9.5, 5)
    assert (kept["halted"], kept["halt_reason"], kept["resume_expected_at"]) == (False, None, None)


def test_without_bands_there_is_no_distance(store: Store) -> None:
    assert row(store, trade("ABC", OPEN, 10.0))["luld_distance_pct"] is None


@pytest.mark.parametrize(("after_ms", "minutes"), [(0, 5), (1, 5), (300_000, 5), (300_001, 10), (600_001, 15)])
def test_a_pause_is_counted_down_five_minutes_at_a_time(store: Store, after_ms: int, minutes: int) -> None:
    kept = row(store, trade("ABC", OPEN, 10.0), luld(OPEN + 5, 0.0, 0.0, 17), quote("XYZ", OPEN + 5 + after_ms, 1, 2))
    assert (kept["halted"], kept["halt_reason"], kept["halted_at"]) == (True, "LULD pause", OPEN + 5)
    assert kept["resume_expected_at"] == OPEN + 5 + minutes * 60_000


def test_a_resumption_ends_a_halt_and_another_halt_begins_anew(store: Store) -> None:
    story = (trade("ABC", OPEN, 10.0), luld(OPEN + 5, 0.0, 0.0, 17), luld(OPEN + 300_000, 11.0, 9.0, 18))
    kept = row(store, *story)
    assert (kept["halted"], kept["resumed_at"], kept["resume_expected_at"]) == (False, OPEN + 300_000, None)
    assert (kept["halt_reason"], kept["halted_at"]) == ("LULD pause", OPEN + 5)
    feed_in(("halts", batch([luld(OPEN + 400_000, 0.0, 0.0, 17)])))
    again = row_of(store, "ABC")
    assert again is not None
    assert (again["halted"], again["resume_expected_at"]) == (True, OPEN + 700_000)


def test_an_announced_resumption_ends_a_halt_when_its_time_has_come(store: Store) -> None:
    listed = {"ev": "HALT", "sym": "ABC", "t": OPEN, "reason": "T1", "market": "NYSE", "resume_at": OPEN + 90_000}
    kept = row(store, trade("ABC", OPEN, 10.0), listed)
    assert (kept["halted"], kept["halt_reason"], kept["resumed_at"]) == (True, "News pending", None)
    assert kept["resume_expected_at"] == OPEN + 90_000
    feed_in(("quotes", batch([quote("XYZ", OPEN + 90_000, 1.0, 1.1)])))
    later = row_of(store, "ABC")
    assert later is not None
    assert (later["halted"], later["resumed_at"], later["resume_expected_at"]) == (False, OPEN + 90_000, None)


def test_a_halt_of_the_day_before_is_not_todays(store: Store) -> None:
    kept = row(store, luld(OPEN - 86_400_000, 0.0, 0.0, 17), trade("ABC", OPEN, 10.0))
    assert (kept["halted"], kept["halted_at"], kept["halt_reason"]) == (False, None, None)


def article(name: str, published: str) -> Event:
    return {"id": name, "title": name, "published_utc": published, "tickers": ["ABC"]}


def test_five_pillars_stand_where_each_has_its_reason(store: Store) -> None:
    reference = {"free_float": 20e6, "avg_volume": 20.0, "prev_day_close": 4.0}
    events = (
        trade("ABC", OPEN, 4.4, 100),
        article("n1", "2024-03-11T09:00:00Z"),
        article("n2", "2024-03-10T09:00:00Z"),
    )
    kept = row(store, *events[:1], **reference)
    assert (kept["pillars"], kept["news_count_24h"], kept["last_news_at"]) == (4, 0, None)
    feed_in(("news", batch([article("n1", "2024-03-11T09:00:00Z"), article("n2", "2024-03-10T09:00:00Z")])))
    told = row_of(store, "ABC")
    assert told is not None
    assert (told["pillars"], told["news_count_24h"]) == (5, 1)
    assert told["last_news_at"] == at("2024-03-11 05:00:00.000")


def test_a_row_knows_only_what_its_own_day_brought(store: Store) -> None:
    tomorrow = at("2024-03-12 04:00:00.000")
    kept = row(
        store, bar("ABC", OPEN, 5, 9, 1, 5, 700), bar("ABC", OPEN + 60_000, 5, 10, 1, 5), trade("ABC", tomorrow, 6.0)
    )
    assert (kept["trading_day"], kept["day_high"], kept["hod_count"], kept["volume_5m"]) == ("2024-03-12", 6, 0, 100)
    assert (kept["new_high_at"], kept["change_15m_pct"], kept["close"]) == (None, None, None)


def test_the_documentation_is_what_the_fields_say() -> None:
    printed = StringIO()
    call_command("fields", stdout=printed)
    assert printed.getvalue() == as_markdown()
    page = Path(BASE_DIR) / "docs" / "fields.md"
    assert page.read_text(encoding="utf-8") == as_markdown(), "run `python manage.py fields > docs/fields.md`"
    call_command("fields", "--json", stdout=(as_json := StringIO()))
    assert [field["name"] for field in msgspec.json.decode(as_json.getvalue())] == list(BY_NAME)


def test_a_table_without_rows_has_every_column() -> None:
    empty = SymbolTable().rows(Moment(0, None, "closed", whole_day=False))
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
