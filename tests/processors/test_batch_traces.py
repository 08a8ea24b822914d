"""What a worker tells of followed batches, and the figures that are made of it."""

from time import time
from typing import Any

import pytest
import redis
from structlog.contextvars import get_contextvars

from control.batch_latency import batch_latency
from processors.batch_traces import DELIVERED, MERGED, TRACED, Delivered, Merged, delivered, noting, now_us, taken
from processors.store import Store
from processors.tasks import process_trades
from project import queues
from tests.processors.feeding import as_anew, batch, begin, soon, trade

_HEADERS = {queues.HEADER_PUBLISHED: 1_000_000, queues.HEADER_MEASURED: True}


def _note(store: Store, key: str, *notes: Merged | Delivered) -> None:
    for note in notes:
        for command in noting(key, note):
            store.redis.execute_command(*command)


def test_a_batch_is_told_of_after_its_messages(store: Store) -> None:
    begin(store)
    print_at = soon()
    with store.redis.pubsub() as pubsub:
        for channel in ("stocks:trades:AAPL", TRACED):
            pubsub.subscribe(channel)
            assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        as_anew(store)
        followed = batch([trade("AAPL", print_at, 10.0)], name="a" * 32)
        process_trades.apply(args=(followed,), headers=_HEADERS).get()
        heard = [pubsub.get_message(timeout=5) for _ in range(2)]
    assert [message["channel"] for message in heard] == [b"stocks:trades:AAPL", TRACED.encode()]
    note = delivered(heard[1]["data"], now_us())
    assert note is not None
    assert note.feed == "trades"
    assert 0 <= note.socket < 10_000
    assert batch_latency(store.redis).stages["queue_to_merge"].batches == 1


@pytest.mark.parametrize(
    ("source", "name"), [("simulator:2", "superseded"), ("simulator:1", "duplicate")], ids=["superseded", "duplicate"]
)
def test_a_batch_that_changes_nothing_is_not_measured(store: Store, source: str, name: str) -> None:
    begin(store)
    given = batch([trade("AAPL", soon(), 10.0)], source=source, name=name)
    if name == "duplicate":
        process_trades(given)
    process_trades.apply(args=(given,), headers=_HEADERS).get()
    assert batch_latency(store.redis).stages == {}


def test_a_batch_is_named_in_all_that_is_said_meanwhile(store: Store) -> None:
    given = batch([trade("AAPL", soon(), 10.0)], name="b" * 32)
    with taken(store.redis, None, "trades", given):
        assert get_contextvars() == {"batch": "b" * 32, "feed": "trades"}
    with pytest.raises(ZeroDivisionError), taken(store.redis, None, "trades", given):
        1 / 0  # noqa: B018
    assert get_contextvars() == {}


def test_nobody_waits_for_a_cache_that_is_away(store: Store) -> None:
    class Away:
        def pipeline(self, **options: Any) -> Any:
            raise redis.ConnectionError("it is away")

    with taken(Away(), _HEADERS, "trades", batch([])) as work:
        work.outcome = "applied"


def test_figures_are_of_the_last_minute_by_stage_and_feed(store: Store) -> None:
    now = round(time() * 1_000)
    _note(store, MERGED, *(Merged(now - 100, "trades", 1.0, 2.0 * number, 0.5) for number in range(100)))
    _note(store, MERGED, Merged(now - 100, "quotes", -4.0, 0.0, 0.0), Merged(now - 61_000, "quotes", 9e9, 9e9, 9e9))
    _note(store, DELIVERED, Delivered(now - 100, "trades", 3.0, 20.0))
    latency = batch_latency(store.redis, now)
    assert set(latency.feeds) == {"trades", "quotes"}
    way = latency.feeds["trades"]["queue_to_merge"]
    assert (way.p50, way.p99, way.max, way.batches) == (98.5, 196.5, 198.5, 100)
    assert latency.stages["frame_to_queue"].batches == 101
    assert latency.feeds["trades"]["frame_to_socket"].p99 == 20.0
    # Clocks of two hosts that differ: it shows.
    assert latency.feeds["quotes"]["frame_to_queue"].p50 == -4.0
    assert "merge_to_socket" not in latency.feeds["quotes"]


def test_notes_take_little_room_however_many_there_are(store: Store) -> None:
    with store.redis.pipeline() as pipe:
        for _ in range(3_000):
            for command in noting(DELIVERED, Delivered(round(time() * 1_000), "aggregate", 1.25, 20.75)):
                pipe.execute_command(*command)
        pipe.execute()
    assert store.redis.llen(DELIVERED) == 2_000
    assert 0 < store.redis.pttl(DELIVERED) <= 120_000
    assert store.redis.memory_usage(DELIVERED, samples=0) < 150_000
