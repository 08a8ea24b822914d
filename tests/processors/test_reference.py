"""Reference data: loaded for the day that the table is of, kept, adjusted; whatever the vendor does."""

import logging
from time import time

import msgspec
import pytest
from pytest_django import Settings

from control.models import FeedSettings
from processors.jobs import refresh_reference
from processors.reference import (
    Kind,
    ReferenceState,
    reference_state,
    refresh,
)
from processors.reference.cache import Cache
from processors.reference.state import put_reference
from processors.reference.vendor import Vendor, VendorError
from processors.store import REFERENCE, SOURCE, Store
from processors.symbols.rows import row_of
from tests.processors.feeding import at, batch, begin, feed_in, quote, trade
from tests.processors.reference_data import begin_live, let_time_pass, row, state
from tests.processors.vendor_server import (
    CONDITIONS,
    FLOAT,
    GROUPED,
    RATIOS,
    SPLITS,
    TICKERS,
    VendorServer,
)


def test_a_night_of_quotes_leaves_the_day_its_previous_day(store: Store, vendor: VendorServer) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    feed_in(("trades", batch([trade("ABC", at("2024-03-11 16:00:00.000"), 11.0)])))
    assert refresh(store, vendor.url, "key") > 0
    feed_in(("quotes", batch([quote("ABC", at("2024-03-12 02:00:00.000"), 11.0, 12.0)])))
    assert refresh(store, vendor.url, "key") == 0
    found = row_of(store, "ABC")
    assert found is not None
    assert (found["trading_day"], found["prev_day_close"]) == ("2024-03-11", 8)
    feed_in(("trades", batch([trade("ABC", at("2024-03-12 04:00:00.000"), 12.0)])))
    assert refresh(store, vendor.url, "key") > 0
    found = row_of(store, "ABC")
    assert found is not None
    assert (found["trading_day"], found["prev_day_close"]) == ("2024-03-12", 11)


def test_a_source_that_begins_after_the_close_gets_the_next_days_previous_day(
    store: Store, vendor: VendorServer
) -> None:
    begin(store, clock=at("2024-03-08 21:00:00.000"))
    assert refresh(store, vendor.url, "key") > 0
    assert vendor.dates().count("2024-03-08") == 1
    assert state(store).day == 20240311
    assert refresh(store, vendor.url, "key") == 0
    feed_in(("trades", batch([trade("ABC", at("2024-03-11 04:00:00.000"), 12.0)])))
    # The bars of a day that has just ended may not have been its last.
    assert refresh(store, vendor.url, "key") > 0
    assert vendor.dates().count("2024-03-08") == 2
    assert len(set(vendor.dates())) == len(vendor.dates()) - 1 == 30
    assert refresh(store, vendor.url, "key") == 0


def test_other_markets_have_no_previous_day(store: Store, vendor: VendorServer) -> None:
    begin(store, "live:crypto:real-time", clock=at("2024-03-11 12:00:00.000"))
    store.redis.hset(SOURCE, "newest", at("2024-03-11 12:00:00.000"))
    assert refresh(store, vendor.url, "key") == 0
    assert vendor.asked == []


def test_while_it_cannot_be_loaded_the_previous_day_is_unknown_and_not_another_days(
    store: Store, vendor: VendorServer
) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    feed_in(("trades", batch([trade("ABC", at("2024-03-11 16:00:00.000"), 11.0)])))
    refresh(store, vendor.url, "key")
    feed_in(("trades", batch([trade("ABC", at("2024-03-12 04:00:00.000"), 12.0)])))
    assert refresh(store, "http://127.0.0.1:1", "key") == 0
    found = row_of(store, "ABC")
    assert found is not None
    assert (found["trading_day"], found["prev_day_close"]) == ("2024-03-12", None)
    assert "127.0.0.1:1" in state(store).missing["splits"]
    assert state(store).missing["previous_day"] == "not loaded yet"
    assert refresh(store, vendor.url, "key") > 0
    assert row(store, "ABC")["prev_day_close"] == 11


@pytest.mark.django_db(transaction=True)
def test_it_comes_from_the_feed_that_was_chosen_and_the_vendors_key_does_not_go_there(
    store: Store, vendor: VendorServer, settings: Settings
) -> None:
    settings.MASSIVE_API_KEY, settings.MASSIVE_REST_URL, settings.MASSIVE_SECURE = "hush", "", False
    FeedSettings.objects.update_or_create(defaults={"feed": vendor.address})
    begin(store, clock=at("2024-03-12 12:00:00.000"))
    refresh_reference()
    assert vendor.dates()[0] == "2024-03-11"
    assert vendor.keys == {settings.SIMULATOR_KEY}


def test_another_run_of_the_real_market_costs_no_call_and_a_simulators_data_is_its_own(
    store: Store, vendor: VendorServer
) -> None:
    vendor.tables[FLOAT] = [{"ticker": "ABC", "free_float": 7}]
    begin_live(store, run=1)
    refresh(store, vendor.url, "key")
    calls = len(vendor.asked)
    begin_live(store, run=2)
    assert reference_state(store) is None
    assert refresh(store, vendor.url, "key") == 0
    assert (row(store, "ABC")["free_float"], state(store).source, state(store).symbols) == (7, "live:stocks:2", 1)
    assert len(vendor.asked) == calls
    begin(store, "simulator:1", clock=at("2024-03-12 08:00:00.000"))
    refresh(store, vendor.url, "key")
    assert len(vendor.asked) == 2 * calls


def test_from_the_second_day_on_older_sessions_are_there_and_nothing_is_said_to_be_missing(
    store: Store, vendor: VendorServer
) -> None:
    begin_live(store, "2024-03-11 08:00:00.000")
    refresh(store, vendor.url, "key")
    days = len(vendor.dates())
    feed_in(("trades", batch([trade("ABC", at("2024-03-12 04:00:00.000"), 12.0)], source="live:stocks:1")))
    refresh(store, vendor.url, "key")
    assert vendor.dates()[days:] == ["2024-03-11"]
    # A recording takes reference data only once they are settled.
    assert (state(store).day, state(store).missing, state(store).settled) == (20240312, {}, True)


def test_what_a_recording_learns_as_it_is_played_is_asked_for_again(store: Store, vendor: VendorServer) -> None:
    source = begin(store, "recording:1", clock=at("2024-03-12 08:00:00.000"))
    refresh(store, vendor.url, "key")
    assert refresh(store, vendor.url, "key") == 0
    vendor.tables[FLOAT] = [{"ticker": "ABC", "free_float": 7}]
    cache = Cache(store.redis, source, vendor.url)
    cache.put_kind("float", msgspec.structs.replace(cache.kinds()["float"], at=time() - 60))
    assert refresh(store, vendor.url, "key") == 1
    assert row(store, "ABC")["free_float"] == 7


def test_a_rate_limit_is_kept_and_nothing_is_asked_twice(store: Store, vendor: VendorServer) -> None:
    vendor.calls_left = 5
    begin_live(store)
    assert refresh(store, vendor.url, "key") == 5
    assert row(store, "ABC")["prev_day_close"] == 11
    assert 50 < state(store).waits_until - time() <= 60
    assert state(store).missing["average_volume"] == "the vendor asked to wait"
    assert not state(store).settled
    for _ in range(3):
        assert refresh(store, vendor.url, "key") == 0
    assert len(vendor.asked) == 6
    for _ in range(10):
        vendor.calls_left = 5
        let_time_pass(store, vendor)
        refresh(store, vendor.url, "key")
    assert state(store).missing == {}
    assert len(vendor.dates()) - len(set(vendor.dates())) <= 6  # those that were refused come again
    assert vendor.count(FLOAT) == vendor.count(SPLITS) == 1


def test_what_the_key_may_not_have_stays_unknown_is_said_once_and_keeps_nothing_else(
    store: Store, vendor: VendorServer, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.failures[FLOAT] = (403, {})
    vendor.tables[RATIOS] = [{"ticker": "ABC", "market_cap": 5.0, "average_volume": 9}]
    vendor.tables[TICKERS] = [{"ticker": "ABC", "name": "Abc, Inc.", "primary_exchange": "XNYS"}]
    begin_live(store)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            refresh(store, vendor.url, "s3cret")
            let_time_pass(store, vendor)
    assert [record.getMessage() for record in caplog.records] == [
        "reference data: float cannot be loaded: not entitled: 403 because"
    ]
    assert state(store).missing == {"float": "not entitled: 403 because"}
    assert state(store).settled
    found = row(store, "ABC")
    assert found["free_float"] != found["free_float"]
    assert (found["market_cap"], found["name"], found["primary_exchange"]) == (5.0, "Abc, Inc.", "XNYS")
    assert vendor.keys == {"s3cret"}
    assert not any("s3cret" in asked or "apiKey" in asked for asked in vendor.asked)


def test_pages_that_came_are_kept_and_the_rest_is_asked_for_where_it_broke_off(
    store: Store, vendor: VendorServer
) -> None:
    vendor.page = 2
    vendor.tables[FLOAT] = [{"ticker": name, "free_float": place} for place, name in enumerate("ABCDE")]
    vendor.tables[FLOAT][1] = {"ticker": "B", "free_float": "many"}
    begin_live(store)
    with Vendor(vendor.url, "key") as client:
        page = client.page(FLOAT, {})
    assert page.cursor == {"cursor": "2"}
    vendor.asked.clear()
    # The third call of the run is for the second page.
    vendor.calls_left = 3
    refresh(store, vendor.url, "key")
    assert row(store, "A")["free_float"] == 0.0
    assert store.redis.hget(REFERENCE, "C") is None
    vendor.calls_left = 1_000
    let_time_pass(store, vendor)
    refresh(store, vendor.url, "key")
    assert [row(store, name)["free_float"] for name in "ACDE"] == [0.0, 2.0, 3.0, 4.0]
    assert store.redis.hget(REFERENCE, "B") is None  # it cannot be read; its neighbours can
    floats = [asked.partition("?")[2] for asked in vendor.asked if asked.startswith(FLOAT)]
    assert floats == ["limit=5000&sort=ticker.asc", "cursor=2", "cursor=2", "cursor=4"]


def test_an_answer_that_never_ends_is_given_up(vendor: VendorServer) -> None:
    vendor.failures[FLOAT] = (0, {})
    with Vendor(vendor.url, "key", call_s=0.15) as client:
        with pytest.raises(VendorError, match=r"no whole answer within 0\.15 s"):
            client.page(FLOAT, {})
        assert client.page(RATIOS, {}).cursor == {}


def test_one_bad_day_keeps_no_other(store: Store, vendor: VendorServer) -> None:
    vendor.failures[f"{GROUPED}/2024-03-05"] = (500, {})
    begin_live(store)
    refresh(store, vendor.url, "key")
    assert len(set(vendor.dates())) == 30
    assert state(store).missing == {"average_volume": "500 because"}
    assert row(store, "ABC")["avg_volume"] == 1_000


def test_a_new_symbol_is_asked_for_when_it_trades_and_one_that_nobody_knows_but_once(
    store: Store, vendor: VendorServer
) -> None:
    vendor.tables[TICKERS] = [{"ticker": "ABC", "name": "Abc"}]
    begin_live(store)
    refresh(store, vendor.url, "key")
    calls = len(vendor.asked)
    vendor.tables[FLOAT + "/"] = [{"ticker": "NEW", "free_float": 0}]
    vendor.tables[TICKERS + "/"] = [{"ticker": "NEW", "name": "New", "primary_exchange": "XNAS", "market_cap": 3}]
    trades = [trade(name, at("2024-03-12 09:00:00.000"), 10.0) for name in ("ABC", "NEW", "ZZNO")]
    feed_in(("trades", batch(trades, source="live:stocks:1")))
    version = store.changes_since(0).version
    assert refresh(store, vendor.url, "key") == 4
    assert [path.partition("?")[0] for path in vendor.asked[calls:]] == [
        FLOAT, RATIOS, f"{TICKERS}/NEW", f"{TICKERS}/ZZNO",
    ]  # fmt: skip
    found = row(store, "NEW")
    assert (found["free_float"], found["market_cap"], found["name"]) == (0.0, 3.0, "New")
    assert store.redis.hget(REFERENCE, "ZZNO") is None
    assert store.changes_since(version).reference == {b"NEW"}
    assert refresh(store, vendor.url, "key") == 0


def test_while_new_symbols_cannot_be_loaded_no_call_is_wasted_on_them(store: Store, vendor: VendorServer) -> None:
    begin_live(store)
    refresh(store, vendor.url, "key")
    vendor.failures[f"{TICKERS}/"] = (500, {})
    feed_in(("trades", batch([trade("NEW", at("2024-03-12 09:00:00.000"), 10.0)], source="live:stocks:1")))
    calls = len(vendor.asked)
    for _ in range(3):
        refresh(store, vendor.url, "key")
    assert [path.partition("?")[0] for path in vendor.asked[calls:]] == [FLOAT, RATIOS, f"{TICKERS}/NEW"]


def test_figures_of_a_source_that_is_over_are_nobodys(store: Store) -> None:
    begin(store)
    assert not put_reference(store, ReferenceState("simulator:0", 20240312, 1, 1.0), {"ABC": b"x"})
    assert not store.redis.exists(REFERENCE)
    assert put_reference(store, ReferenceState("simulator:1", 20240312, 1, 1.0), {"ABC": b"x", "DEF": b"y"})
    version = store.changes_since(0).version
    assert put_reference(store, ReferenceState("simulator:1", 20240312, 1, 2.0), {"ABC": b"z"}, ["DEF"])
    assert store.changes_since(version).reference == {b"ABC", b"DEF"}
    assert store.redis.hgetall(REFERENCE) == {b"ABC": b"z"}


def test_an_answer_stands_until_its_day_its_time_or_its_night_is_over() -> None:
    kind = Kind(day=20240312, at=1_000.0, whole=True)
    assert not kind.is_due(20240312, True, 1_059.0, 60.0)
    assert kind.is_due(20240312, True, 1_060.0, 60.0)
    assert kind.is_due(20240313, True, 1_001.0, 60.0)
    early = msgspec.structs.replace(kind, early=True)
    assert not early.is_due(20240312, False, 1_001.0, 60.0)
    assert early.is_due(20240312, True, 1_001.0, 60.0)
    failed = msgspec.structs.replace(kind, whole=False, again_at=1_010.0)
    assert not failed.is_due(20240312, True, 1_009.0, 60.0)
    assert failed.is_due(20240312, True, 1_010.0, 60.0)


def test_the_vendors_conditions_are_kept_for_every_process(store: Store, vendor: VendorServer) -> None:
    rules = {"updates_high_low": False, "updates_open_close": False, "updates_volume": True}
    vendor.tables[CONDITIONS] = [
        {"id": 99, "data_types": ["trade"], "update_rules": {"consolidated": rules}},
        {"id": 98, "data_types": ["nbbo"], "update_rules": {"consolidated": rules}},
        {"id": 97, "data_types": ["trade"]},
    ]
    begin_live(store)
    refresh(store, vendor.url, "key")
    assert msgspec.json.decode(store.redis.get("tw:conditions")) == {"99": [False, False, True]}
