"""A Redis broker's queues, trimmed by length."""

from datetime import UTC, datetime
from time import time

import msgspec
import pytest
from django.conf import settings

from listener.batching import BatchLimits
from listener.dispatch import ListenerAccounts, Publisher
from processors.redis_broker import PREFIX, broker_client, depth, trim
from processors.store import Store
from project import queues
from project.celery import app
from tests.processors.accounting import (
    TTL_MS,
    buffer,
    frame,
    now_ms,
    terms,
)
from tests.processors.feeding import begin
from tests.services import wait_until


def test_a_full_queue_of_a_redis_broker_is_cut_at_its_oldest_end_and_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.BROKER_IS_REDIS
    monkeypatch.setattr(queues, "MAX_BATCHES", 3)
    begin(store)
    of = buffer()
    for second in range(5):
        of.add(frame(10, first=second * 10), now_ms())
    publisher = Publisher(app, of, ListenerAccounts(store, of, "run"), BatchLimits(10, 20, 1_000_000, TTL_MS))
    publisher.start()
    client = broker_client()
    try:
        wait_until(lambda: terms(store).get("published") == 50, what="publishing")
        wait_until(lambda: depth(client, "trades") in (3, 4, 5), what="the batches' arrival")
    finally:
        publisher.stop(2.0)
    trim(store)
    assert depth(client, "trades") == 3
    found = terms(store)
    assert (found["overflowed"], found["in_flight"]) == (20, 30)
    # The newest three are left, the oldest of them next for a worker (at the right).
    messages = [msgspec.json.decode(raw) for raw in client.lrange(PREFIX + "trades", 0, -1)]
    received = [message["headers"][queues.HEADER_EVENTS] for message in messages]
    assert received == [10, 10, 10]
    expires = {datetime.fromisoformat(message["headers"]["expires"]).astimezone(UTC) for message in messages}
    assert all(0 < expiry.timestamp() - time() < TTL_MS / 1_000 for expiry in expires)


def test_short_queues_of_a_redis_broker_are_left_alone(store: Store) -> None:
    broker_client().lpush(PREFIX + "trades", b'{"headers":{}}')
    assert trim(store) == 0
    assert depth(broker_client(), "trades") == 1
