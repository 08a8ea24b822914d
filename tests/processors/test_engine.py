"""The engine's tick: what it reads, ranks and publishes, and who may."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis

from control.models import Scanner
from processors.engine import Engine
from processors.reference import REFERENCE_COLUMNS, ReferenceState
from processors.store import INTEREST, LISTENER_STATE, REFERENCE, REFERENCE_STATE, SCANS_LEASE, STATUS, VERSION, Store
from project.embedded import EmbeddedValkey
from tests.processors.feeding import at, bar, batch, begin, feed_in, quote, soon, trade
from tests.services import wait_until

pytestmark = pytest.mark.django_db

OPEN = at("2024-03-11 09:30:00.000")


@pytest.fixture(autouse=True)
def only_our_scanners(db: None) -> None:
    Scanner.objects.all().delete()


@pytest.fixture
def listening(valkey: EmbeddedValkey) -> Iterator[Any]:
    """A subscription to everything, from before the test on."""
    patterns = ("scanners:*", "quote:*", "status")
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as pubsub:
        pubsub.psubscribe(*patterns)
        for _ in patterns:
            assert pubsub.get_message(timeout=5.0)["type"] == "psubscribe"
        yield pubsub


def heard(listening: Any) -> dict[str, list[Any]]:
    """What was published so far, by channel."""
    messages: dict[str, list[Any]] = {}
    while (message := listening.get_message(timeout=0.05)) is not None:
        messages.setdefault(message["channel"].decode(), []).append(msgspec.json.decode(message["data"]))
    return messages


def scanner(slug: str, where: str = "", order_by: str = "price", **more: Any) -> Scanner:
    return Scanner.objects.create(slug=slug, name=slug, where=where, order_by=order_by, **more)


def board(store: Store, slug: str) -> list[str] | None:
    """The symbols of a stored board."""
    raw = store.redis.get(f"scanners:{slug}")
    return [row["symbol"] for row in msgspec.json.decode(raw)] if raw is not None else None


def trades(store: Store, *pairs: tuple[str, float], t: int = OPEN, source: str = "simulator:1") -> None:
    feed_in(("trades", batch([trade(symbol, t, price) for symbol, price in pairs], source=source)))


def test_boards_are_ranked_stored_for_three_days_and_published(store: Store, listening: Any) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    scanner("dear", "price > 2", limit=2)
    scanner("cheap", order_by="price", descending=False)
    trades(store, ("A", 1.0), ("B", 2.0), ("C", 3.0), ("D", 4.0), ("E", 5.0))
    assert Engine(store).tick()
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
    engine = Engine(store)
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
    engine = Engine(store)
    assert engine.tick()
    assert engine.tick()
    assert board(store, "good") == ["A"]
    assert (board(store, "broken"), board(store, "worse"), board(store, "no_order")) == (None, None, None)


def test_a_scanner_that_changes_appears_or_goes_does_so_at_the_next_tick(store: Store, listening: Any) -> None:
    begin(store)
    trades(store, ("A", 1.0), ("B", 2.0))
    changing = scanner("changing", "price > 1")
    engine = Engine(store)
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
    engine = Engine(store)
    for where, symbols in (("", ["A"]), ("prise > 1", []), ("price > 0", ["A"])):
        Scanner.objects.filter(pk=edited.pk).update(where=where)
        engine.tick()
        assert board(store, "edited") == symbols


def test_one_engine_publishes_and_another_takes_over_after_it(store: Store) -> None:
    begin(store)
    scanner("all")
    trades(store, ("A", 1.0))
    first, second = Engine(store), Engine(store)
    assert first.tick()
    assert not second.tick()
    assert 0 < store.redis.pttl(SCANS_LEASE) <= 3_000
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


def test_who_lost_the_lease_meanwhile_publishes_nothing(store: Store) -> None:
    begin(store)
    store.redis.set(SCANS_LEASE, "another")
    assert not store.publish_boards("mine", "simulator:1", [("scanners:x", 1_000, b"[]")])
    store.redis.set(SCANS_LEASE, "mine")
    assert not store.publish_boards("mine", "simulator:0", [("scanners:x", 1_000, b"[]")])
    assert store.redis.get("scanners:x") is None
    assert store.publish_boards("mine", "simulator:1", [("scanners:x", 1_000, b"[]")])
    assert store.redis.get("scanners:x") == b"[]"


def test_a_new_source_empties_the_boards(store: Store) -> None:
    begin(store, "simulator:1")
    scanner("all")
    trades(store, ("A", 1.0))
    engine = Engine(store)
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
    engine = Engine(store)
    for number in range(5):
        trades(store, (f"OLD{number}", 1.0))
    engine.tick()
    store.redis.flushall()
    assert not engine.tick()
    begin(store)
    trades(store, ("NEW", 1.0))
    assert engine.tick()
    assert board(store, "all") == ["NEW"]


def test_a_cache_that_lost_its_last_moments_is_read_anew(store: Store) -> None:
    begin(store)
    scanner("all")
    engine = Engine(store)
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
    engine = Engine(store)
    engine.tick()
    trades(store, ("B", 2.0), t=at("2024-03-12 04:00:00.000"))
    engine.tick()
    assert board(store, "all") == ["B"]


def test_between_two_days_the_last_one_stays(store: Store) -> None:
    begin(store)
    scanner("all")
    trades(store, ("A", 1.0))
    feed_in(("quotes", batch([quote("A", at("2024-03-11 20:30:00.000"), 1, 2)])))
    Engine(store).tick()
    assert board(store, "all") == ["A"]
    assert msgspec.json.decode(store.redis.get(STATUS))["session"] == "closed"


def test_reference_data_is_taken_in_when_it_comes(store: Store) -> None:
    begin(store)
    scanner("up", "pct_change > 0", "pct_change")
    trades(store, ("A", 6.0))
    engine = Engine(store)
    engine.tick()
    assert board(store, "up") == []
    store.redis.hset(REFERENCE, "A", msgspec.msgpack.encode([4.0] * len(REFERENCE_COLUMNS)))
    store.redis.set(REFERENCE_STATE, msgspec.json.encode(ReferenceState("simulator:1", 20240311, 1, 1.0)))
    engine.tick()
    assert board(store, "up") == ["A"]
    # A symbol that appears later has its previous day as well.
    store.redis.hset(REFERENCE, "B", msgspec.msgpack.encode([1.0] * len(REFERENCE_COLUMNS)))
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
        engine = Engine(store)
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
    Engine(store).tick()
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
    Engine(store).tick()
    status = msgspec.json.decode(store.redis.get(STATUS))
    assert status["feed"] == {"state": "stopped", "since": 0, "reason": "No listener is running."}
    assert (status["session"], status["trading_day"], status["newest_event_at"]) == ("closed", None, None)
    assert (status["market_clock"], status["delay_ms"]) == (at("2024-03-10 12:00:00.000"), None)


def test_before_any_source_nothing_is_published(store: Store, listening: Any) -> None:
    scanner("all")
    assert not Engine(store).tick()
    assert heard(listening) == {}
