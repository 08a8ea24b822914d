"""A Redis broker's share of the work: it expires and bounds nothing itself, so the listener trims by length."""

import logging
from typing import Any

import msgspec
from django.conf import settings

from processors.store import Store, connect
from project import queues

log = logging.getLogger(__name__)

PREFIX = "broker:"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def broker_client() -> Any:
    """A client for the broker's Redis, which may be another than the cache."""
    return connect(settings.CELERY_BROKER_URL.replace("redis+socket://", "unix://", 1))


def depth(client: Any, queue: str) -> int:
    """Messages that wait in a queue."""
    return int(client.llen(PREFIX + queue))


def trim(store: Store) -> int:
    """Cut feed queues to their bound, oldest first, and count each batch's events as overflowed.

    Returns:
        How many batches went.
    """
    client = broker_client()
    gone = 0
    for queue in queues.FEEDS:
        excess = depth(client, queue) - queues.MAX_BATCHES
        if excess <= 0:
            continue
        # New messages come in at the left, workers take from the right.
        for raw in client.rpop(PREFIX + queue, excess) or []:
            headers = _decode(raw).get("headers", {})
            if queues.HEADER_BATCH in headers:
                gone += 1
                store.settle(
                    headers[queues.HEADER_SOURCE],
                    headers[queues.HEADER_BATCH],
                    headers[queues.HEADER_FEED],
                    "overflowed",
                    int(headers[queues.HEADER_EVENTS]),
                    int(headers[queues.HEADER_RECEIVED]),
                )
    if gone:
        log.warning("%d batches were cut off at the end of full queues", gone)
    return gone
