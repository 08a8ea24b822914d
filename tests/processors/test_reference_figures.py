"""Reference figures: in today's shares and dollars, averaged, as the vendor tells them."""

import asyncio
from datetime import date
from typing import Any

import pytest

from processors.reference import refresh
from processors.reference.daily import DailyBars
from processors.reference.rows import average_volumes
from processors.store import REFERENCE, Store
from processors.symbols.rows import row_of
from tests.listener.market_server import KEY, market_at, rest_client, serving
from tests.processors.feeding import at, batch, begin, feed_in, trade
from tests.processors.reference_data import begin_live, let_time_pass, row, state
from tests.processors.vendor_server import FLOAT, RATIOS, SPLITS, VendorServer, bar


def test_a_reverse_split_effective_today_is_no_gap(store: Store, vendor: VendorServer) -> None:
    def split(ticker: str, day: str, old: float, new: float) -> dict[str, Any]:
        return {"ticker": ticker, "execution_date": day, "split_from": old, "split_to": new}

    vendor.daily = lambda day, adjusted: [bar(symbol, 0.5, 40_000) for symbol in ("REV", "FWD", "OLD", "SOON")]
    vendor.tables[SPLITS] = [
        split("REV", "2024-03-12", 10, 1),
        split("FWD", "2024-03-12", 1, 2),
        # In force when the previous day was printed, but not on the days before it.
        split("OLD", "2024-03-11", 10, 1),
        split("SOON", "2024-03-13", 10, 1),
        {"ticker": "REV", "execution_date": "2024-03-12", "split_from": 0, "split_to": 1},
    ]
    vendor.tables[FLOAT] = [
        {"ticker": name, "free_float": 1_000, "effective_date": "2024-03-08"} for name in ("REV", "OLD")
    ]
    vendor.tables[FLOAT] += [{"ticker": "FWD", "free_float": 1_000, "effective_date": "2024-03-12"}]
    begin_live(store)
    refresh(store, vendor.url, "key")
    feed_in(("trades", batch([trade("REV", at("2024-03-12 08:30:00.000"), 5.0)], source="live:stocks:1")))
    found = row_of(store, "REV")
    assert found is not None
    assert (found["prev_day_close"], found["gap_pct"], found["pct_change"]) == (5.0, 0.0, 0.0)
    assert (found["free_float"], found["float_rotation"], found["relative_volume"]) == (100, 1.0, 100 / 4_000)
    values = {name: row(store, name) for name in ("REV", "FWD", "OLD", "SOON")}
    assert {name: each["prev_day_volume"] for name, each in values.items()} == {
        "REV": 4_000, "FWD": 80_000, "OLD": 40_000, "SOON": 40_000,
    }  # fmt: skip
    assert values["FWD"]["prev_day_close"] == 0.25
    assert values["OLD"]["prev_day_close"] == 0.5
    assert values["REV"]["avg_volume"] == pytest.approx(4_000)
    assert values["OLD"]["avg_volume"] == pytest.approx((40_000 + 29 * 4_000) / 30)
    # A float is of its own date.
    assert {name: values[name]["free_float"] for name in ("REV", "OLD", "FWD")} == {
        "REV": 100,
        "OLD": 100,
        "FWD": 1_000,
    }


def test_where_splits_are_not_known_the_vendor_adjusts_the_previous_day(store: Store, vendor: VendorServer) -> None:
    vendor.daily = lambda day, adjusted: [bar("REV", 5.0 if adjusted else 0.5)]
    vendor.failures[SPLITS] = (403, {})
    begin_live(store)
    refresh(store, vendor.url, "key")
    assert row(store, "REV")["prev_day_close"] == 5.0
    assert refresh(store, vendor.url, "key") == 0
    vendor.failures.clear()
    vendor.tables[SPLITS] = [{"ticker": "REV", "execution_date": "2024-03-12", "split_from": 10, "split_to": 1}]
    let_time_pass(store, vendor)
    assert refresh(store, vendor.url, "key") == 2
    assert row(store, "REV")["prev_day_close"] == 5.0
    assert not state(store).missing


def test_the_average_is_of_sessions_with_trades_and_the_vendors_where_there_are_too_few(
    store: Store, vendor: VendorServer
) -> None:
    volumes = {"2024-03-11": {"ABC": 100, "ONE": 70}, "2024-03-08": {"ABC": 300, "OUT": 10}, "2024-02-01": {"ABC": 200}}
    vendor.daily = lambda day, adjusted: [
        bar(name, 1.0, volume) for name, volume in volumes.get(day.isoformat(), {"NIL": 0}).items()
    ]
    vendor.tables[RATIOS] = [{"ticker": "ONE", "average_volume": 55}]
    begin_live(store)
    refresh(store, vendor.url, "key")
    assert row(store, "ABC")["avg_volume"] == 200
    assert row(store, "ONE")["avg_volume"] == 55
    assert store.redis.hget(REFERENCE, "OUT") is None  # nothing of it is known but a day long ago
    last = [DailyBars(date(2024, 3, day), True, {"ABC": [1.0] * 4 + [float(day), 1.0]}) for day in (1, 4)]
    assert average_volumes(last) == {"ABC": 2.5}
    assert DailyBars.unpack(last[0].date, True, last[0].packed()) == last[0]


async def test_the_simulated_market_is_known_as_its_own_rest_tells_it(store: Store) -> None:
    market = market_at("09:00", symbols=150)
    today = market.tape.day.date
    split = next(row for row in market.reference.splits() if row["execution_date"] == today.isoformat())
    begin(store, market.source().source, clock=market.now, kind="simulator")
    async with serving(market) as address:
        assert await asyncio.to_thread(refresh, store, f"http://{address}", KEY) == 35
        assert await asyncio.to_thread(refresh, store, f"http://{address}", KEY) == 0

        def told() -> tuple[dict[str, Any], list[Any], Any]:
            client = rest_client(address)
            closes = {each.ticker: each for each in client.get_grouped_daily_aggs("2026-11-19")}
            days = client.get_aggs(split["ticker"], 1, "day", "2026-09-01", "2026-11-19")
            return closes, list(days), client.get_ticker_details(split["ticker"])

        bars, days, details = await asyncio.to_thread(told)
    for ticker, each in bars.items():
        found = row(store, ticker)
        assert found["prev_day_close"] == pytest.approx(each.close)
        assert found["prev_day_volume"] == pytest.approx(each.volume, abs=10)
    at_index = market.universe.index[split["ticker"]]
    found = row(store, split["ticker"])
    assert found["prev_day_close"] == pytest.approx(int(market.tape.close_before[at_index]) / 10_000)
    assert found["avg_volume"] == pytest.approx(sum(day.volume for day in days[-30:]) / 30, rel=1e-3)
    assert found["free_float"] == pytest.approx(int(market.universe.free_float[at_index]), abs=10)
    assert (found["name"], found["primary_exchange"]) == (details.name, details.primary_exchange)
    assert found["market_cap"] == details.market_cap
    assert (state(store).symbols, state(store).missing, state(store).settled) == (150, {}, True)
