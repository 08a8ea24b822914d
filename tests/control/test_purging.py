"""What is given up on purpose: the events of a purged queue, and parts of the cache."""

from typing import Any

import kombu
import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User

from control.operations.purging import purge
from processors.accounts import accounts
from processors.redis_broker import PREFIX, broker_client, depth
from processors.store import Store, default_store
from project import queues
from project.embedded import EmbeddedValkey
from tests.control.api_callers import Api
from tests.processors.accounting import TTL_MS, now_ms
from tests.processors.feeding import batch, begin
from tests.services import wait_until

SOURCE = "simulator:1"


def always() -> bool:
    return True


@pytest.fixture
def operator(db: None) -> Api:
    user = User.objects.create_user("olga")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="control"))
    return Api(user)


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    store = default_store()
    begin(store)
    return store


def publish(feed: str, numbers: range, events: int = 10) -> None:
    """Put batches into a queue as the listener does, though not over its way."""
    from processors.tasks import FEED_TASKS

    for number in numbers:
        one = batch([b"{}"] * events, SOURCE, seq=number, received_at=now_ms(), name=f"batch-{number}")
        headers = {
            queues.HEADER_EVENTS: events,
            queues.HEADER_SOURCE: SOURCE,
            queues.HEADER_FEED: feed,
            queues.HEADER_BATCH: one.id,
            queues.HEADER_RECEIVED: one.received_at,
        }
        FEED_TASKS[feed].apply_async((one,), queue=feed, headers=headers)


def overflowed(store: Store, feed: str) -> int:
    return accounts(store, SOURCE, TTL_MS)[feed]["overflowed"]


def test_a_purged_queue_is_empty_and_each_of_its_events_counted_once(store: Store, operator: Api) -> None:
    publish("quotes", range(25))
    publish("trades", range(100, 103))
    # A worker has settled one already: its message came twice.
    store.settle(SOURCE, "batch-3", "quotes", "processed", 10, now_ms())
    status, done = operator("POST", "/operations/queues.purge", {"queue": "quotes"})
    assert (status, done["state"], done["target"]) == (200, "done", "quotes")
    assert done["before"] == {"messages": 25}
    assert done["after"] == {"messages": 0, "purged": 25, "events": 240}
    client = broker_client()
    assert (depth(client, "quotes"), depth(client, "trades")) == (0, 3)
    terms = accounts(store, SOURCE, TTL_MS)["quotes"]
    assert (terms["overflowed"], terms["processed"], terms["duplicate"]) == (240, 10, 10)
    status, done = operator("POST", "/operations/queues.purge", {"queue": "quotes"})
    assert (status, done["after"]["purged"]) == (200, 0)


def test_jobs_that_are_given_up_are_no_events(store: Store, operator: Api) -> None:
    broker_client().lpush(PREFIX + queues.JOBS, b'{"headers":{"task":"processors.jobs.seed_day"}}')
    status, done = operator("POST", "/operations/queues.purge", {"queue": "jobs"})
    assert (status, done["after"]) == (200, {"messages": 0, "purged": 1, "events": 0})


def test_a_purge_ends_when_its_time_is_over_and_says_what_is_left(store: Store) -> None:
    publish("trades", range(250))
    patience = iter([True, False])
    found = purge(store, "trades", lambda: next(patience))
    assert (found.waiting, found.messages, found.events) == (250, 100, 1_000)
    assert depth(broker_client(), "trades") == 150


def test_over_rabbitmq_what_waits_is_counted_and_what_a_worker_holds_is_left_to_it(
    store: Store, rabbitmq: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "CELERY_BROKER_URL", rabbitmq)
    monkeypatch.setattr(settings, "BROKER_IS_REDIS", False)
    queues.declare(rabbitmq, TTL_MS)
    with kombu.Connection(rabbitmq) as connection:
        channel: Any = connection.channel()

        def counted() -> Any:
            return channel.queue_declare("quotes", passive=True).message_count

        send(channel, 12)
        wait_until(lambda: counted() == 12, what="twelve messages")
        held = channel.basic_get("quotes")
        found = purge(store, "quotes", always)
        assert (found.waiting, found.messages, found.events) == (11, 11, 77)
        assert counted() == 0
        assert overflowed(store, "quotes") == 77
        # Its worker dies: the broker hands it out again.
        channel.basic_reject(held.delivery_tag, requeue=True)
        wait_until(lambda: counted() == 1, what="the message's return")
        assert purge(store, "quotes", always).events == 7
        assert channel.queue_declare(queues.DEAD_LETTERS, passive=True).message_count == 0


def send(channel: Any, messages: int) -> None:
    producer = kombu.Producer(channel, kombu.Exchange("quotes", durable=True), "quotes")
    for number in range(messages):
        headers = {
            queues.HEADER_EVENTS: 7,
            queues.HEADER_SOURCE: SOURCE,
            queues.HEADER_FEED: "quotes",
            queues.HEADER_BATCH: f"batch-{number}",
            queues.HEADER_RECEIVED: now_ms(),
        }
        producer.publish({}, headers=headers)


def test_a_part_of_the_cache_goes_and_nothing_else(store: Store, operator: Api) -> None:
    ours = {b"unknown:1", b"unknown:2", b"tw:raw:unknown"}
    others = {b"scanners:top_volume", b"tw:spent:x", b"broker:quotes", b"tw:unknown:3", b"unknowns"}
    for key in ours | others:
        store.redis.set(key, 1)
    status, done = operator("POST", "/operations/cache.clear", {"prefix": "unknown:"})
    assert (status, done["after"]) == (200, {"removed": 3})
    left = set(store.redis.keys("*"))
    assert not left & ours
    assert others < left
    assert b"tw:source" in left


def test_no_part_that_can_be_cleared_holds_what_the_system_lives_by(store: Store) -> None:
    from control.operations.cache import CLEARABLE

    publish("quotes", range(2))
    for key in ("tw:rest:api.massive.com:wait", "tw:rest:calls:api.massive.com", "tw:lease:listener"):
        store.redis.set(key, 1)
    vital = set(store.redis.keys("*"))
    for known in CLEARABLE.values():
        for pattern in known.patterns:
            assert not vital & set(store.redis.keys(pattern)), pattern
