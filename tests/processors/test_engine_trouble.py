"""The engine when the database or the cache is away, or came back as it was before."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import sleep

import pytest
from django.db import DatabaseError, InterfaceError

from processors import tasks
from processors.scanning.boards import ScannerRow
from processors.scanning.engine import Engine
from processors.scanning.ticks import Rules
from processors.store import ALERTS_OUTBOX, INTEREST, RULE_STATES, SCANS_LEASE, Store, connect
from project.embedded import EmbeddedValkey
from tests.processors.engines import OPEN, board, entered, trades
from tests.processors.feeding import at, bar, batch, begin, feed_in
from tests.services import wait_until

RULES = Rules((ScannerRow("all", "", "price", limit=500, alert_on="enter", cooldown_s=0),))


def engine_with(store: Store, rules: Callable[[], Rules]) -> Engine:
    """An engine by whose clock a second goes by from tick to tick."""
    seconds = count(1_000.0)
    return Engine(store, lambda: next(seconds), rules)


def raising(error: Exception) -> Callable[[], Rules]:
    def rules() -> Rules:
        raise error

    return rules


@pytest.mark.parametrize("error", [DatabaseError("away"), InterfaceError("connection already closed")])
def test_an_engine_that_never_read_a_scanner_leaves_boards_and_rules_alone(store: Store, error: Exception) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    trades(store, ("A", 1.0))
    assert Engine(store, rules=lambda: RULES).tick()
    store.redis.delete(SCANS_LEASE)
    rules = raising(error)
    later = engine_with(store, lambda: rules())
    assert later.tick()
    assert (board(store, "all"), store.redis.hlen(RULE_STATES)) == (["A"], 1)
    rules = lambda: RULES  # noqa: E731
    trades(store, ("B", 2.0))
    assert later.tick()
    assert (board(store, "all"), entered(store)) == (["B", "A"], ["B"])


def test_a_database_that_fails_slowly_is_not_asked_at_every_tick(store: Store) -> None:
    begin(store)
    now, asked = 5.0, list[float]()

    def rules() -> Rules:
        asked.append(now)
        if len(asked) == 1:
            return RULES
        sleep(0.03)
        raise DatabaseError("away")

    engine = Engine(store, lambda: now, rules)
    for step in range(6):
        now = 5.0 + step * 0.25
        trades(store, (f"S{step}", 1.0 + step), t=OPEN + step)
        assert engine.tick()
    assert asked == [5.0, 5.25, 5.75, 6.25]
    assert (board(store, "all") or [])[0] == "S4"


def test_what_a_refused_tick_had_to_say_is_said_by_the_next(store: Store, valkey: EmbeddedValkey) -> None:
    begin(store)
    turned_away = False

    def rules() -> Rules:
        if turned_away:
            store.redis.set(SCANS_LEASE, "another")
        return RULES

    engine = engine_with(store, rules)
    channels = ["quote:A", "bars:1s:A"]
    with connect(valkey.url) as client, client.pubsub() as pubsub:
        pubsub.subscribe(*channels)
        for _ in channels:
            wait_until(lambda: pubsub.get_message(timeout=0.1), what="the subscription")
        store.redis.incr(INTEREST)
        assert engine.tick()
        feed_in(("aggregate", batch([bar("A", OPEN, 1, 1, 1, 1)])))
        turned_away = True
        assert not engine.tick()
        assert pubsub.get_message(timeout=0.05) is None
        turned_away = False
        store.redis.delete(SCANS_LEASE)
        assert engine.tick()
        heard = [pubsub.get_message(timeout=1.0)["channel"].decode() for _ in channels]
        assert sorted(heard) == sorted(channels)


def test_the_only_rule_switched_off_and_on_again_begins_silently(store: Store) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    rules = RULES
    engine = engine_with(store, lambda: rules)
    engine.tick()
    rules = Rules()
    trades(store, ("A", 1.0))
    engine.tick()
    rules = RULES
    engine.tick()
    trades(store, ("B", 1.0))
    engine.tick()
    assert entered(store) == ["B"]


def test_alerts_that_the_database_will_never_see_are_said(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    engine = engine_with(store, lambda: RULES)
    assert engine.tick()
    for _ in range(10):
        store.redis.rpush(ALERTS_OUTBOX, *(b"{}" for _ in range(5_000)))
    trades(store, ("A", 1.0), ("B", 1.0))
    assert engine.tick()
    assert entered(store) == ["A", "B"]
    assert store.redis.llen(ALERTS_OUTBOX) == 50_000
    assert "the database does not take alerts: 2 more will not be in the history" in caplog.text


def test_a_cache_that_went_back_and_on_again_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    server = EmbeddedValkey(tmp_path / "v.sock", folder)
    with server, connect(server.url) as client:
        store = Store(client)
        monkeypatch.setattr(tasks, "default_store", lambda: store)
        begin(store)
        trades(store, ("KEPT", 1.0))
        engine = engine_with(store, lambda: RULES)
        assert engine.tick()
        # What a power cut leaves: not the last second.
        shutil.copytree(folder, tmp_path / "before")
        for number in range(3):
            trades(store, (f"LOST{number}", 2.0))
        assert engine.tick()
        server.kill()
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "before", folder)
        server.start()
        # By the next tick as many batches came as were lost, and one more.
        for number in range(4):
            trades(store, (f"NEW{number}", 3.0 + number))
        # The first one finds that somebody else's publications stand.
        engine.tick()
        assert engine.tick()
        assert board(store, "all") == ["NEW3", "NEW2", "NEW1", "NEW0", "KEPT"]
