"""Emptying a queue message by message, so that the events of each batch are accounted for before it is gone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from django.conf import settings

from processors import redis_broker
from processors.store import Store
from project import queues
from project.broker import asking_connection

_TERM: Final = "overflowed"
_AT_ONCE: Final = 100
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Purged:
    """Attributes:
    waiting: Messages that waited at the beginning.
    messages: Messages that are gone.
    events: Events of batches among them.
    """

    waiting: int
    messages: int
    events: int


def purge(store: Store, queue: str, goes_on: Callable[[], bool]) -> Purged:
    """Take what waits in a queue now; what comes meanwhile stays.

    Args:
        store: The cache, in which the events are settled.
        queue: Its name.
        goes_on: Asked before each message; False ends it early.

    Raises:
        kombu.exceptions.OperationalError: The broker cannot be reached.
        redis.RedisError: The cache cannot; then nothing more is taken.
    """
    return (_purge_redis if settings.BROKER_IS_REDIS else _purge_amqp)(store, queue, goes_on)


def _purge_amqp(store: Store, queue: str, goes_on: Callable[[], bool]) -> Purged:
    messages = events = 0
    with asking_connection(settings.CELERY_BROKER_URL) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        channel: Any = connection.channel()
        waiting = int(channel.queue_declare(queue, passive=True).message_count)
        while messages < waiting and goes_on():
            message = channel.basic_get(queue, no_ack=False)
            if message is None:
                break
            # Settled first: what comes back to the queue because of a failure here counts as a duplicate then.
            events += _settle(store, message.headers)
            channel.basic_ack(message.delivery_tag)
            messages += 1
    return Purged(waiting, messages, events)


def _purge_redis(store: Store, queue: str, goes_on: Callable[[], bool]) -> Purged:
    client = redis_broker.broker_client()
    waiting = redis_broker.depth(client, queue)
    messages = events = 0
    while messages < waiting and goes_on():
        # New ones come in at the left. What is taken and cannot be counted, because the cache fails, shows as lost.
        taken = client.rpop(redis_broker.PREFIX + queue, min(_AT_ONCE, waiting - messages)) or []
        events += sum(_settle(store, _decode(raw).get("headers", {})) for raw in taken)
        messages += len(taken)
        if not taken:
            break
    return Purged(waiting, messages, events)


def _settle(store: Store, headers: dict[str, Any]) -> int:
    if queues.HEADER_BATCH not in headers:
        return 0
    events = int(headers[queues.HEADER_EVENTS])
    counted = store.settle(
        headers[queues.HEADER_SOURCE],
        headers[queues.HEADER_BATCH],
        headers[queues.HEADER_FEED],
        _TERM,
        events,
        int(headers[queues.HEADER_RECEIVED]),
    )
    return events if counted else 0
