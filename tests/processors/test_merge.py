"""One batch into the table: exactly once, of the present source only, and the last word of corrected bars."""

import threading
from typing import Any

import msgspec
import redis

from processors import parts
from processors.accounts import accounts
from processors.changes import Changes
from processors.store import CHANGED, INTEREST, OF_A_SOURCE, SOURCE, Store
from processors.symbols.rows import row_of
from project.embedded import EmbeddedValkey
from tests.processors.feeding import Event, at, bar, batch, begin, feed_in, quote, soon, terms, trade

MORNING = at("2024-03-11 08:00:00.000")
OPEN = at("2024-03-11 09:30:00.000")
NEXT_DAY = at("2024-03-12 08:00:00.000")
HALF_HOUR = 1_800_000


def row(store: Store, symbol: str = "ABC") -> dict[str, Any]:
    found = row_of(store, symbol)
    assert found is not None
    return found


def feed_bars(store: Store, *bars: Event) -> None:
    """Bars in order of processing, each its own batch; `n` is its receipt number."""
    begin(store)
    for given_bar in bars:
        number = given_bar.pop("n", 1)
        feed_in(("aggregate", batch([given_bar], seq=number)))


# -- corrected bars ---------------------------------------------------------------------------------------------------


def test_a_correction_takes_back_an_extreme_that_no_other_bar_has(store: Store) -> None:
    feed_bars(
        store,
        bar("ABC", MORNING, 5, 6, 4, 5, n=1),
        bar("ABC", MORNING + 1_000, 5, 99, 1, 5, n=2),
        bar("ABC", MORNING + 1_000, 5, 5, 5, 5, n=3),
    )
    assert (row(store)["pre_high"], row(store)["pre_low"]) == (6, 4)


def test_an_earlier_version_that_is_processed_late_changes_no_extreme(store: Store) -> None:
    feed_bars(store, bar("ABC", MORNING, 5, 6, 4, 5, n=2), bar("ABC", MORNING, 5, 99, 1, 7, n=1))
    assert (row(store)["pre_high"], row(store)["pre_low"], row(store)["price"]) == (6, 4, 5)


def test_what_left_the_ring_keeps_its_extremes_when_a_later_bar_is_corrected(store: Store) -> None:
    feed_bars(
        store,
        bar("ABC", MORNING, 5, 9, 2, 5, n=1),
        bar("ABC", MORNING + HALF_HOUR, 5, 99, 1, 5, n=2),
        bar("ABC", MORNING + HALF_HOUR, 5, 6, 4, 5, n=3),
    )
    assert (row(store)["pre_high"], row(store)["pre_low"]) == (9, 2)


def test_a_bar_too_late_for_the_ring_counts_for_extremes_and_is_not_forgotten(store: Store) -> None:
    feed_bars(
        store,
        bar("ABC", MORNING + HALF_HOUR, 5, 99, 1, 5, n=2),
        bar("ABC", MORNING, 5, 9, 2, 5, n=1),
        bar("ABC", MORNING + HALF_HOUR, 5, 6, 4, 5, n=3),
    )
    assert (row(store)["pre_high"], row(store)["pre_low"], row(store)["price"]) == (9, 2, 5)


def test_a_correction_leaves_the_extremes_of_other_sessions_alone(store: Store) -> None:
    feed_bars(
        store,
        bar("ABC", OPEN - 1_000, 5, 8, 3, 5, n=1),
        bar("ABC", OPEN, 5, 99, 1, 5, n=2),
        bar("ABC", OPEN, 5, 6, 4, 5, n=3),
    )
    assert (row(store)["pre_high"], row(store)["regular_high"], row(store)["day_high"]) == (8, 6, 8)


def test_several_bars_in_one_second_are_corrected_each_for_itself(store: Store) -> None:
    feed_bars(
        store,
        bar("ABC", OPEN, 5, 9, 4, 5, n=1),
        bar("ABC", OPEN + 500, 5, 8, 4, 5, n=2),
        bar("ABC", OPEN, 5, 6, 4, 5, n=3),
    )
    assert row(store)["regular_high"] == 8
    feed_in(("aggregate", batch([bar("ABC", OPEN + 500, 5, 5, 5, 5)], seq=4)))
    assert row(store)["regular_high"] == 6


def test_bars_are_corrected_across_chunks_of_the_ring_whatever_lies_between(store: Store) -> None:
    minute = 60_000
    feed_bars(
        store,
        bar("ABC", MORNING, 5, 50, 1, 5, n=1),
        bar("ABC", MORNING + 500, 5, 40, 2, 5, n=2),
        bar("ABC", MORNING + 7 * minute, 5, 30, 3, 5, n=3),
        bar("ABC", MORNING + 15 * minute, 5, 20, 4, 5, n=4),
        bar("ABC", MORNING + 3 * minute, 5, 45, 2, 5, n=5),
        bar("ABC", MORNING, 5, 6, 5, 5, n=6),
        bar("ABC", MORNING + 3 * minute, 5, 6, 5, 5, n=7),
    )
    assert (row(store)["pre_high"], row(store)["pre_low"]) == (40, 2)
    feed_in(("aggregate", batch([bar("ABC", MORNING + 500, 5, 6, 5, 5)], seq=8)))
    assert (row(store)["pre_high"], row(store)["pre_low"]) == (30, 3)
    # The first minute leaves the ring; what it was corrected to settles.
    feed_in(("aggregate", batch([bar("ABC", MORNING + 16 * minute, 5, 6, 5, 5)], seq=9)))
    feed_in(("aggregate", batch([bar("ABC", MORNING + 7 * minute, 5, 7, 5, 5)], seq=10)))
    assert (row(store)["pre_high"], row(store)["pre_low"]) == (20, 4)


def test_a_symbols_second_bars_take_little_memory(store: Store) -> None:
    begin(store)
    # As many as a symbol has on average: one in eight seconds.
    bars = [bar("ABC", MORNING + second * 1_000, 5, 6, 4, 5) for second in range(0, 3_600, 8)]
    feed_in(("aggregate", batch(bars)))
    ring, day = (store.redis.keys(f"tw:{where}:A:ABC*") for where in ("ring", "day"))
    assert sum(store.redis.memory_usage(key) for key in ring) < 32 * 800
    assert sum(store.redis.memory_usage(key) for key in day) < 28 * 200


def test_the_first_event_of_a_newer_day_begins_the_row_anew(store: Store) -> None:
    begin(store)
    feed_in(
        ("trades", batch([trade("ABC", OPEN, 50.0, 500)])),
        ("aggregate", batch([bar("ABC", OPEN, 50, 60, 40, 55, av=9_000)])),
        ("trades", batch([trade("ABC", NEXT_DAY, 7.0, 10)], seq=2)),
    )
    kept = row(store)
    assert (kept["trading_day"], kept["price"], kept["accumulated_volume"]) == ("2024-03-12", 7, 10)
    assert (kept["day_open"], kept["regular_high"], kept["close"]) == (7, None, None)
    feed_in(("aggregate", batch([bar("ABC", OPEN + 1_000, 1, 99, 1, 9)], seq=3)))
    assert row(store) == kept


def test_minute_bars_of_the_whole_day_can_be_corrected_beside_second_bars(store: Store) -> None:
    early = at("2024-03-11 04:00:00.000")
    feed_bars(
        store,
        bar("ABC", early, 5, 99, 1, 5, ev="AM", n=1),
        bar("ABC", early, 5, 6, 4, 5, n=2),
        bar("ABC", at("2024-03-11 19:59:00.000"), 5, 7, 5, 6, ev="AM", n=3),
        bar("ABC", early, 5, 8, 3, 5, ev="AM", n=4),
    )
    kept = row(store)
    assert (kept["pre_high"], kept["pre_low"], kept["post_high"]) == (8, 3, 7)
    # The later close is the minute bar's; "the latest bar" is of the finer kind.
    assert (kept["price"], kept["start_timestamp"]) == (6, early)


# -- exactly once, of one source --------------------------------------------------------------------------------------


def test_a_redelivered_batch_changes_nothing_and_counts_as_duplicate(store: Store) -> None:
    begin(store)
    given_batch = batch([trade("ABC", OPEN, 5.0, 100), trade("ABC", OPEN, 6.0, 100)])
    feed_in(("trades", given_batch), ("trades", given_batch), ("trades", given_batch))
    assert row(store)["accumulated_volume"] == 200
    assert terms(store, "trades") == {"processed": 2, "duplicate": 4}


def test_a_batch_of_more_symbols_than_a_command_takes_is_merged_whole(store: Store) -> None:
    begin(store)
    symbols = [f"S{number}" for number in range(8_000)]
    feed_in(
        ("quotes", batch([quote(symbol, OPEN, 4.0, 5.0) for symbol in symbols])),
        ("trades", batch([trade(symbol, OPEN, 5.0) for symbol in symbols])),
        ("aggregate", batch([bar(symbol, OPEN, 5, 6, 4, 5) for symbol in symbols])),
        ("trades", batch([trade(symbol, OPEN + 1, 6.0) for symbol in symbols], seq=2)),
    )
    assert terms(store, "trades") == {"processed": 16_000}
    for symbol in (symbols[0], symbols[6_999], symbols[7_000], symbols[-1]):
        kept = row(store, symbol)
        assert (kept["price"], kept["bid"], kept["high"]) == (5.0, 4.0, 6.0)  # the bar's close is the later one
    assert len(store.changes_since(0).rows) == 8_000


def test_who_has_fallen_behind_the_changes_reads_every_symbol(store: Store) -> None:
    begin(store)
    version = store.changes_since(0).version
    feed_in(("quotes", batch([quote("OLD", OPEN, 4.0, 5.0)])), ("trades", batch([trade("NEW", OPEN, 5.0)])))
    assert store.changes_since(version).rows == {b"NEW", b"OLD"}
    assert store.changes_since(version + 1).rows == {b"NEW"}
    assert store.changes_since(version + 2) == Changes(version + 2)
    store.redis.xtrim(CHANGED, maxlen=1, approximate=False)
    everything = store.changes_since(version)
    assert everything.everything
    assert everything.rows == {b"NEW", b"OLD"}
    assert everything.trades == {b"NEW"}


def test_changes_are_told_by_kind_so_that_quotes_make_nobody_read_trades(store: Store) -> None:
    begin(store)
    feed_in(("trades", batch([trade("ABC", OPEN, 5.0)])))
    version = store.changes_since(0).version
    feed_in(("quotes", batch([quote("ABC", OPEN, 4.0, 5.0)])))
    quotes = store.changes_since(version)
    assert quotes.parts == {parts.QUOTES: frozenset({b"ABC"})}
    assert not quotes.trades | quotes.chunks
    assert set(store.read_changed(quotes)) == {parts.QUOTES}
    feed_in(("aggregate", batch([bar("ABC", OPEN, 5, 6, 4, 5), bar("XYZ", OPEN, 5, 6, 4, 5, ev="AM")])))
    store.mark_changed("reference", ["ABC", "XYZ"])
    changes = store.changes_since(quotes.version)
    assert changes.parts == {parts.SECOND_BARS: frozenset({b"ABC"}), parts.MINUTE_BARS: frozenset({b"XYZ"})}
    assert changes.chunks == {(b"ABC", "A", OPEN // 60_000), (b"XYZ", "AM", OPEN // 60_000)}
    assert changes.reference == {b"ABC", b"XYZ"}
    assert changes.version == quotes.version + 2


def test_a_batch_of_both_kinds_of_bars_is_one_batch_in_the_accounts(store: Store) -> None:
    begin(store)
    given_batch = batch([bar("ABC", OPEN, 5, 6, 4, 5), bar("ABC", OPEN, 5, 6, 4, 5, ev="AM")])
    feed_in(("aggregate", given_batch), ("aggregate", given_batch))
    assert terms(store, "aggregate") == {"processed": 2, "duplicate": 2}
    assert accounts(store, "simulator:1", 5_000)["aggregate"]["in_flight"] == -2


def test_a_batch_that_was_applied_cannot_be_disposed_of_as_well(store: Store) -> None:
    begin(store)
    given_batch = batch([bar("ABC", OPEN, 5, 6, 4, 5)])
    feed_in(("aggregate", given_batch))
    assert not store.settle(given_batch.source, given_batch.id, "aggregate", "expired_broker", 1, 0)
    assert terms(store, "aggregate") == {"processed": 1, "duplicate": 1}


def test_a_batch_that_was_disposed_of_is_not_applied_any_more(store: Store) -> None:
    begin(store)
    given_batch = batch([trade("ABC", OPEN, 5.0)])
    assert store.settle(given_batch.source, given_batch.id, "trades", "expired_broker", 1, given_batch.received_at)
    feed_in(("trades", given_batch))
    assert row_of(store, "ABC") is None


def test_a_batch_of_an_earlier_source_changes_nothing_and_is_counted_there(store: Store) -> None:
    begin(store, "simulator:1")
    begin(store, "simulator:2")
    feed_in(("trades", batch([trade("ABC", OPEN, 5.0)], source="simulator:1")))
    assert row_of(store, "ABC") is None
    assert terms(store, "trades", "simulator:1") == {"expired_age": 1}
    assert terms(store, "trades", "simulator:2") == {}


def test_a_batch_that_is_too_old_is_not_applied_and_counted_once(store: Store) -> None:
    begin(store)
    given_batch = batch([trade("ABC", OPEN, 5.0)], received_at=soon() - 3_600_000 - 5_500)
    feed_in(("trades", given_batch), ("trades", given_batch))
    assert row_of(store, "ABC") is None
    assert terms(store, "trades") == {"expired_age": 1, "duplicate": 1}


def test_a_new_source_finds_nothing_of_the_last_one_and_leaves_other_keys_alone(store: Store) -> None:
    begin(store, "simulator:1")
    feed_in(
        ("trades", batch([trade("ABC", OPEN, 5.0)])),
        ("aggregate", batch([bar("ABC", OPEN, 5, 6, 4, 5)])),
        ("quotes", batch([quote("ABC", OPEN, 4.0, 5.0)])),
        ("halts", batch([{"ev": "LULD", "T": "ABC", "h": 6.0, "l": 4.0, "t": OPEN * 1_000_000, "q": 1}])),
        ("unknown", batch([{"ev": "FMV", "sym": "ABC"}])),
        ("news", batch([{"id": "n1", "title": "x", "published_utc": "2024-03-11T12:00:00Z", "tickers": ["ABC"]}])),
        ("trades", batch([b'{"ev":"T"}'])),
    )
    client = store.redis
    for prefix in OF_A_SOURCE:
        client.set(f"{prefix}:test", 1) if not client.exists(prefix) else None
    for key in ("broker:trades", "django.sessions:1", "tw:accounts:simulator:1:kept", "celery"):
        client.set(key, 1)
    version = int(client.get("tw:version"))
    assert begin(store, "simulator:2", clock=OPEN).newest == 0
    left = {key.decode() for key in client.keys("*")}
    assert not [key for key in left if key.startswith(OF_A_SOURCE)]
    assert {"broker:trades", "django.sessions:1", "celery", "tw:accounts:simulator:1:kept", "tw:source"} <= left
    assert int(client.get("tw:version")) > version
    source = store.source()
    assert source is not None
    assert (source.id, source.newest, source.market_clock) == ("simulator:2", 0, OPEN)


def test_clearing_many_keys_is_one_atomic_step(store: Store) -> None:
    begin(store, "simulator:1")
    with store.redis.pipeline(transaction=False) as pipe:
        for number in range(12_000):
            pipe.set(f"bars:1m:S{number}", 1)
        pipe.execute()
    begin(store, "simulator:2")
    assert not list(store.redis.scan_iter("bars:*", count=20_000))


def test_declaring_the_present_source_again_keeps_its_table(store: Store) -> None:
    begin(store)
    feed_in(("trades", batch([trade("ABC", OPEN, 5.0)])))
    since = store.redis.hget(SOURCE, "since")
    begin(store)
    assert row(store)["price"] == 5
    assert store.redis.hget(SOURCE, "since") == since


def test_a_lost_cache_is_declared_anew_and_takes_events_again(store: Store) -> None:
    begin(store)
    feed_in(("trades", batch([trade("ABC", OPEN, 5.0)])))
    store.redis.flushall()
    # Between the loss and the listener's next report nobody knows the source.
    feed_in(("trades", batch([trade("ABC", OPEN + 1, 6.0)], seq=2)))
    assert terms(store, "trades") == {"expired_age": 1}
    begin(store)
    feed_in(("trades", batch([trade("ABC", OPEN + 2, 7.0)], seq=3)))
    assert row(store)["price"] == 7
    assert terms(store, "trades") == {"expired_age": 1, "processed": 1}


def test_a_merge_that_the_cache_refuses_is_counted_as_failed(store: Store, valkey: EmbeddedValkey) -> None:
    begin(store)
    store.redis.set("tw:table:quotes", "no hash")
    given_batch = batch([quote("ABC", OPEN, 4.0, 5.0)])
    feed_in(("quotes", given_batch))
    assert terms(store, "quotes") == {"failed": 1}
    assert valkey.ready()


def test_messages_go_out_for_channels_that_somebody_listens_to_alone(store: Store, valkey: EmbeddedValkey) -> None:
    begin(store)
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as pubsub:
        pubsub.subscribe("stocks:trades:ABC", "stocks:quotes:ABC")
        for _ in range(2):
            assert pubsub.get_message(timeout=5.0)["type"] == "subscribe"
        store.redis.incr(INTEREST)
        band = {"ev": "LULD", "T": "ABC", "h": 6.0, "l": 4.0, "t": OPEN * 1_000_000, "q": 1}
        feed_in(("halts", batch([band])))  # any merge tells that interest changed
        events = [trade("ABC", OPEN, 1.0), trade("XYZ", OPEN, 2.0), trade("ABC", OPEN + 1, 3.0)]
        feed_in(("trades", given_batch := batch(events)), ("trades", given_batch))
        feed_in(("quotes", batch([quote("ABC", OPEN + n, 1.0 + n, 9.0) for n in range(3)])))
        heard = []
        while (message := pubsub.get_message(timeout=0.1)) is not None:
            heard.append((message["channel"].decode(), msgspec.json.decode(message["data"])))
    assert [(name, value.get("price"), value.get("bid_price")) for name, value in heard] == [
        ("stocks:trades:ABC", 1, None),
        ("stocks:trades:ABC", 3, None),
        ("stocks:quotes:ABC", None, 3),
    ]


def test_the_market_clock_is_the_newest_event_time_and_never_goes_back(store: Store) -> None:
    begin(store, clock=MORNING)
    feed_in(("trades", batch([trade("ABC", OPEN, 5.0), trade("ABC", MORNING, 4.0)])))
    feed_in(("quotes", batch([quote("ABC", MORNING, 4, 5)])))
    source = store.source()
    assert source is not None
    assert source.market_clock == OPEN


def test_prints_outside_every_trading_day_make_no_row(store: Store) -> None:
    begin(store)
    saturday = at("2024-03-09 12:00:00.000")
    feed_in(("trades", batch([trade("ABC", saturday, 5.0)])), ("quotes", batch([quote("ABC", saturday, 4, 5)])))
    assert row_of(store, "ABC") is None


def test_an_unknown_condition_counts_like_a_regular_sale(store: Store) -> None:
    begin(store)
    feed_in(("trades", batch([trade("ABC", OPEN, 5.0, 10, c=[999])])))
    assert (row(store)["price"], row(store)["accumulated_volume"]) == (5, 10)


def test_a_print_after_the_close_that_may_not_count_does_not(store: Store) -> None:
    begin(store)
    evening = at("2024-03-11 16:20:00.000")
    events = [trade("SPY", OPEN, 167.0, 100), trade("SPY", evening, 168.9, 1_002_411, c=[2])]
    feed_in(("trades", batch(events)))
    kept = row(store, "SPY")
    assert (kept["price"], kept["day_high"], kept["accumulated_volume"]) == (167, 167, 1_002_511)


def test_a_batch_waits_for_a_cache_that_is_away(store: Store, valkey: EmbeddedValkey) -> None:
    begin(store)
    given_batch = batch([trade("ABC", OPEN, 5.0)], received_at=soon() - 3_600_000)
    valkey.kill()
    worker = threading.Thread(target=feed_in, args=(("trades", given_batch),))
    worker.start()
    worker.join(0.3)
    assert worker.is_alive()
    valkey.start()
    worker.join(5.0)
    assert not worker.is_alive()
    # The cache came back empty: until the listener declares the source again its batches are of none.
    assert terms(store, "trades") == {"expired_age": 1}
