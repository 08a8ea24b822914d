"""The engine's tick: what it reads, ranks and publishes, and who may."""

from typing import Any

import msgspec
import pytest
import redis

from control.models import Scanner
from processors.reference.state import REFERENCE_COLUMNS, ReferenceState, put_reference
from processors.scanning.board_messages import Message
from processors.scanning.engine import Engine
from processors.scanning.publishing import Edition, Publisher
from processors.snapshots import snapshot
from processors.store import (
    INTEREST,
    LISTENER_STATE,
    SCANS_LEASE,
    STATUS,
    VERSION,
    Store,
)
from project.embedded import EmbeddedValkey
from tests.processors.engines import OPEN, board, engine_of, heard, scanner, trades
from tests.processors.feeding import at, bar, batch, begin, feed_in, quote, soon
from tests.services import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("only_our_scanners")]


def test_boards_are_ranked_stored_for_three_days_and_published(store: Store, listening: Any) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    scanner("dear", "price > 2", limit=2)
    scanner("cheap", order_by="price", descending=False)
    trades(store, ("A", 1.0), ("B", 2.0), ("C", 3.0), ("D", 4.0), ("E", 5.0))
    assert engine_of(store).tick()
    assert board(store, "dear") == ["E", "D"]
    assert board(store, "cheap") == ["A", "B", "C", "D", "E"]
    assert 3 * 86_400_000 - 10_000 < store.redis.pttl("scanners:dear") <= 3 * 86_400_000
    published = heard(listening)
    (rows,) = published["scanners:dear"]
    assert [(row["rank"], row["symbol"], row["price"]) for row in rows] == [(1, "E", 5), (2, "D", 4)]
    assert (rows[0]["session"], rows[0]["trading_day"], rows[0]["complete"]) == ("regular", "2024-03-11", True)
    assert msgspec.json.decode(store.redis.get("scanners:dear")) == rows


def test_a_second_tick_shows_what_changed(store: Store) -> None:
    begin(store)
    scanner("all")
    engine = engine_of(store)
    assert engine.tick()
    assert board(store, "all") == []
    trades(store, ("A", 1.0))
    assert engine.tick()
    assert board(store, "all") == ["A"]
    trades(store, ("B", 2.0))
    feed_in(("aggregate", batch([bar("A", OPEN + 5_000, 3, 3, 3, 3)])))
    assert engine.tick()
    assert board(store, "all") == ["A", "B"]


def test_a_broken_scanner_does_not_stop_the_others(store: Store) -> None:
    begin(store)
    for slug, where in (("broken", "prise > 1"), ("worse", "price >"), ("good", "price > 0")):
        scanner(slug, where)
    scanner("no_order", order_by="")
    trades(store, ("A", 1.0))
    engine = engine_of(store)
    assert engine.tick()
    assert engine.tick()
    assert board(store, "good") == ["A"]
    assert (board(store, "broken"), board(store, "worse"), board(store, "no_order")) == (None, None, None)


def test_a_scanner_that_changes_appears_or_goes_does_so_at_the_next_tick(store: Store, listening: Any) -> None:
    begin(store)
    trades(store, ("A", 1.0), ("B", 2.0))
    changing = scanner("changing", "price > 1")
    engine = engine_of(store)
    engine.tick()
    assert board(store, "changing") == ["B"]
    Scanner.objects.filter(pk=changing.pk).update(where="price < 2")
    scanner("new")
    engine.tick()
    assert board(store, "changing") == ["A"]
    assert board(store, "new") == ["B", "A"]
    Scanner.objects.filter(pk=changing.pk).update(enabled=False)
    Scanner.objects.filter(slug="new").delete()
    engine.tick()
    assert (board(store, "changing"), board(store, "new")) == ([], [])
    assert heard(listening)["scanners:changing"][-1] == []
    engine.tick()
    assert "scanners:changing" not in heard(listening)


def test_a_mended_scanner_works_and_a_broken_edit_empties_its_board(store: Store) -> None:
    begin(store)
    trades(store, ("A", 1.0))
    edited = scanner("edited")
    engine = engine_of(store)
    for where, symbols in (("", ["A"]), ("prise > 1", []), ("price > 0", ["A"])):
        Scanner.objects.filter(pk=edited.pk).update(where=where)
        engine.tick()
        assert board(store, "edited") == symbols


def test_one_engine_publishes_and_another_takes_over_after_it(store: Store) -> None:
    begin(store)
    scanner("all")
    trades(store, ("A", 1.0))
    first, second = engine_of(store), engine_of(store)
    assert first.tick()
    assert not second.tick()
    assert 0 < store.redis.pttl(SCANS_LEASE) <= 1_000
    trades(store, ("B", 2.0))
    assert not second.tick()
    assert board(store, "all") == ["A"]
    store.redis.delete(SCANS_LEASE)  # as when the first one's three seconds are over
    assert second.tick()
    assert board(store, "all") == ["B", "A"]
    assert not first.tick()
    trades(store, ("C", 3.0))
    store.redis.delete(SCANS_LEASE)
    assert first.tick()
    assert board(store, "all") == ["C", "B", "A"]


def test_only_who_has_the_turn_writes(store: Store) -> None:
    begin(store)
    mine, others = Publisher(store, "mine"), Publisher(store, "another's")
    board = Edition([Message("scanners:x", 1_000, b"[]")])
    before = mine.standing()
    store.redis.set(SCANS_LEASE, "another's")
    assert not mine.publish("simulator:1", before, board)
    store.redis.delete(SCANS_LEASE)
    assert not mine.publish("simulator:0", before, board)
    assert store.redis.get("scanners:x") is None
    # The lease ran out in a long tick, and nobody took it.
    assert mine.publish("simulator:1", before, board)
    assert store.redis.get(SCANS_LEASE) == b"mine"
    assert mine.publish("simulator:1", before, board)
    # It ran out, somebody took a turn and ended: what this one knows is no longer what stands.
    store.redis.delete(SCANS_LEASE)
    assert others.publish("simulator:1", others.standing(), Edition([Message("scanners:x", 1_000, b"[1]")]))
    store.redis.delete(SCANS_LEASE)
    assert not mine.publish("simulator:1", before, board)
    assert store.redis.get("scanners:x") == b"[1]"
    assert mine.publish("simulator:1", mine.standing(), board)


def test_a_new_source_empties_the_boards(store: Store) -> None:
    begin(store, "simulator:1")
    scanner("all")
    trades(store, ("A", 1.0))
    engine = engine_of(store)
    engine.tick()
    begin(store, "simulator:2")
    assert board(store, "all") is None
    engine.tick()
    assert board(store, "all") == []
    trades(store, ("B", 1.0), source="simulator:2")
    engine.tick()
    assert board(store, "all") == ["B"]


def test_after_the_cache_was_lost_the_same_source_begins_anew(store: Store) -> None:
    begin(store)
    scanner("all")
    engine = engine_of(store)
    for number in range(5):
        trades(store, (f"OLD{number}", 1.0))
    engine.tick()
    store.redis.flushall()
    engine.tick()
    assert board(store, "all") is None
    begin(store)
    trades(store, ("NEW", 1.0))
    assert engine.tick()
    assert board(store, "all") == ["NEW"]


def test_a_cache_that_lost_its_last_moments_is_read_anew(store: Store) -> None:
    begin(store)
    scanner("all")
    engine = engine_of(store)
    for number in range(5):
        trades(store, (f"OLD{number}", 1.0))
    engine.tick()
    store.redis.set(VERSION, 2)
    trades(store, ("NEW", 2.0))
    engine.tick()
    assert (board(store, "all") or [])[0] == "NEW"


def test_a_newer_trading_day_leaves_yesterdays_rows_out(store: Store) -> None:
    begin(store)
    scanner("all")
    trades(store, ("A", 1.0), ("B", 1.0))
    engine = engine_of(store)
    engine.tick()
    trades(store, ("B", 2.0), t=at("2024-03-12 04:00:00.000"))
    engine.tick()
    assert board(store, "all") == ["B"]


def test_between_two_days_the_last_one_stays(store: Store) -> None:
    begin(store)
    scanner("all")
    trades(store, ("A", 1.0))
    feed_in(("quotes", batch([quote("A", at("2024-03-11 20:30:00.000"), 1, 2)])))
    engine_of(store).tick()
    assert board(store, "all") == ["A"]
    assert msgspec.json.decode(store.redis.get(STATUS))["session"] == "closed"


def test_reference_data_is_taken_in_when_it_comes(store: Store) -> None:
    begin(store)
    scanner("up", "pct_change > 0", "pct_change")
    trades(store, ("A", 6.0))
    engine = engine_of(store)
    engine.tick()
    assert board(store, "up") == []
    state, texts = ReferenceState("simulator:1", 20240311, 1, 1.0), ["Company", "XNAS"]
    put_reference(store, state, {"A": msgspec.msgpack.encode([4.0] * len(REFERENCE_COLUMNS) + texts)})
    engine.tick()
    assert board(store, "up") == ["A"]
    # A symbol that appears later has its previous day as well.
    put_reference(store, state, {"B": msgspec.msgpack.encode([1.0] * len(REFERENCE_COLUMNS) + texts)})
    trades(store, ("B", 6.0))
    engine.tick()
    assert board(store, "up") == ["B", "A"]


def test_rows_are_published_as_quotes_where_somebody_listens(
    store: Store, listening: Any, valkey: EmbeddedValkey
) -> None:
    begin(store)
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as one:
        one.subscribe("quote:A")
        wait_until(lambda: store.redis.pubsub_numsub("quote:A")[0][1] == 1, what="the subscription")
        store.redis.incr(INTEREST)
        trades(store, ("A", 1.0), ("B", 1.0))
        engine = engine_of(store)
        engine.tick()
        published = heard(listening)
        assert [row["price"] for row in published["quote:A"]] == [1]
        assert "quote:B" not in published
        engine.tick()
        assert "quote:A" not in heard(listening)


def test_the_status_says_what_time_it_is_and_how_the_feed_does(store: Store, listening: Any) -> None:
    begin(store, clock=OPEN)
    report = {"state": "live", "since": 5, "reason": "Subscribed to T.*.", "feed": "x", "buffered_bytes": 0}
    store.redis.set(LISTENER_STATE, msgspec.json.encode(report))
    trades(store, ("A", 1.0), t=OPEN + 500)
    engine_of(store).tick()
    (status,) = heard(listening)["status"]
    assert 0 < store.redis.pttl(STATUS) <= 10_000
    assert msgspec.json.decode(store.redis.get(STATUS)) == status
    assert abs(status["at"] - (soon() - 3_600_000)) < 5_000
    assert status["feed"] == {"state": "live", "since": 5, "reason": "Subscribed to T.*."}
    expected = {"market_clock": OPEN + 500, "newest_event_at": OPEN + 500, "session": "regular", "kind": "simulator"}
    expected |= {"trading_day": "2024-03-11", "source": "simulator:1", "speed": 1.0}
    assert {name: status[name] for name in expected} == expected
    assert 0 <= status["delay_ms"] < 5_000


def test_without_a_listener_and_events_the_status_says_so(store: Store) -> None:
    begin(store, clock=at("2024-03-10 12:00:00.000"))
    engine_of(store).tick()
    status = msgspec.json.decode(store.redis.get(STATUS))
    assert status["feed"] == {"state": "stopped", "since": 0, "reason": "No listener is running."}
    assert (status["session"], status["trading_day"], status["newest_event_at"]) == ("closed", None, None)
    assert (status["market_clock"], status["delay_ms"]) == (at("2024-03-10 12:00:00.000"), None)


def test_before_any_source_the_status_says_so_and_boards_say_nothing(store: Store, listening: Any) -> None:
    scanner("all")
    engine = engine_of(store)
    assert engine.tick()
    assert engine.tick()
    messages = heard(listening)
    assert set(messages) == {"status"}
    status = messages["status"][1]
    assert (status["source"], status["kind"], status["market_clock"], status["delay_ms"]) == ("", "", None, None)
    assert status["feed"]["state"] == "stopped"
    begin(store)
    assert engine.tick()
    assert board(store, "all") == []


def test_the_status_goes_out_once_a_second_and_names_what_fails(store: Store, listening: Any) -> None:
    begin(store)
    scanner("broken", "prise > 1")
    trades(store, ("A", 1.0))
    now = 5.0
    engine = Engine(store, lambda: now)
    for step in range(9):
        now = 5.0 + step * 0.25
        assert engine.tick()
    first, *others, last = heard(listening)["status"]
    assert len(others) == 1
    assert list(first["scans"]["failing"]) == ["broken"]
    assert "price" in first["scans"]["failing"]["broken"]
    assert (first["scans"]["slow"], last["scans"]["failing"]) == ([], first["scans"]["failing"])
    assert last["scans"]["tick_ms"] >= 0


def test_each_board_is_ranked_at_its_own_tick(store: Store) -> None:
    begin(store)
    scanner("quick", tick_ms=250)
    scanner("slow", tick_ms=1_000)
    now = 5.0
    engine = Engine(store, lambda: now)
    seen = []
    for step, symbol in enumerate("ABCDEF"):
        # The base tick comes early or late.
        now = 5.0 + step * 0.25 + (0.05 if step % 2 else -0.02)
        trades(store, (symbol, 1.0))
        engine.tick()
        seen.append((len(board(store, "quick") or []), len(board(store, "slow") or [])))
    assert seen == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 5), (6, 5)]


def test_a_board_that_stays_as_it_is_is_said_again_after_five_seconds_only(store: Store, listening: Any) -> None:
    begin(store)
    scanner("all")
    trades(store, ("A", 1.0))
    engine = engine_of(store)
    counts = []
    for _ in range(7):
        engine.tick()
        messages = heard(listening)
        counts.append((len(messages.get("scanners:all", [])), len(messages.get("tw:delta:scanners:all", []))))
    assert counts == [(1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (1, 0), (0, 0)]


def test_the_first_ten_of_the_main_boards_come_in_one_message(store: Store, listening: Any) -> None:
    begin(store)
    for slug in ("top_gainers", "top_volume", "small_cap_gappers", "mine"):
        scanner(slug)
    trades(store, *((f"S{number:02d}", float(number)) for number in range(1, 13)))
    engine = engine_of(store)
    engine.tick()
    (lists,) = heard(listening)["top_10_lists"]
    assert list(lists) == ["top_volume", "top_gainers", "small_cap_gappers"]
    assert [(row["rank"], row["symbol"]) for row in lists["top_gainers"]] == [
        (rank, f"S{13 - rank:02d}") for rank in range(1, 11)
    ]
    assert msgspec.json.decode(snapshot(store, "top_10_lists") or b"") == lists
    engine.tick()
    assert "top_10_lists" not in heard(listening)
