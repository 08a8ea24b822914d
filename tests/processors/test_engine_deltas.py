"""The engine's deltas: what one tick makes of a board, for who listens to its changes alone."""

from time import time
from typing import Any

import msgspec
import pytest
import redis

from processors.store import BOARDS, INTEREST, PATTERNS, SCANS_LEASE, Store
from project.embedded import EmbeddedValkey
from tests.processors.engines import OPEN, engine_of, heard, scanner, trades
from tests.processors.feeding import begin
from tests.services import wait_until
from widgets.fanout.boards import LiveBoard

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("only_our_scanners")]


def test_a_board_whose_deltas_somebody_follows_says_where_it_stands_at_once_and_then_every_five_seconds(
    store: Store, listening: Any
) -> None:
    begin(store)
    scanner("all")
    trades(store, ("A", 1.0))
    engine = engine_of(store)
    engine.tick()
    store.redis.zadd(PATTERNS, {"tw:delta:*": time() + 60})
    store.redis.incr(INTEREST)
    heard(listening)
    said = []
    stands = {"version": int(store.redis.hget(BOARDS, "all"))}
    for _ in range(6):
        engine.tick()
        said.append(heard(listening).get("tw:delta:scanners:all", []))
    assert said == [[stands], [], [], [], [stands], []]


def test_deltas_make_of_one_board_the_next(store: Store, valkey: EmbeddedValkey) -> None:
    begin(store)
    scanner("all", "price > 0.5", limit=3)
    engine = engine_of(store)
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as one:
        one.subscribe("tw:delta:scanners:all")
        wait_until(lambda: one.get_message(timeout=0.1), what="the subscription")
        store.redis.incr(INTEREST)
        engine.tick()
        while one.get_message(timeout=0.05):
            pass
        live = LiveBoard()
        live.reset(int(store.redis.hget(BOARDS, "all")), store.redis.get("scanners:all"))
        deltas: list[Any] = []
        for step in (("A", 1.0), ("B", 2.0)), (("B", 3.0),), (("C", 1.5), ("D", 2.5)), (("A", 9.0),), (("B", 0.4),):
            trades(store, *step, t=OPEN + len(deltas))
            if len(deltas) == 3:
                # Another engine goes on from what this one left.
                store.redis.delete(SCANS_LEASE)
                engine = engine_of(store)
            engine.tick()
            while (message := one.get_message(timeout=0.05)) is not None:
                assert live.take(message["data"])
                if "base" in (said := msgspec.json.decode(message["data"])):
                    deltas.append(said)
            rows = msgspec.json.decode(store.redis.get("scanners:all"))
            assert msgspec.json.decode(live.snapshot()) == rows
            if step == (("B", 3.0),):
                # Its price and what follows from it, nothing else.
                assert {"symbol", "price", "price_at"} <= set(deltas[-1]["upsert"][0]) < set(rows[0])
    assert len(deltas) == 5
    assert deltas[-1]["base"] + 1 == int(store.redis.hget(BOARDS, "all"))
