"""The queues between listener and processors: their names, bounds and dead letters, and what to do when one differs.

Durable classic queues with transient messages work on RabbitMQ 3.10 to 4.x. A message that expires or is pushed out by
a newer one goes to one counting queue with its headers, from where `processors.dead_letters` counts it by reason.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from amqp.exceptions import NotFound, PreconditionFailed
from kombu import Connection, Exchange, Queue

# One queue a feed, named as kuhl-haus-mdp names them.
FEEDS: Final = ("aggregate", "trades", "quotes", "halts", "news", "unknown")
# Recordings at full speed and benchmarks that must lose nothing: no message lives shortly here, and the listener waits
# for credit instead (design rule 7).
LOSSLESS: Final = "lossless"
SCANS: Final = "scans"
JOBS: Final = "jobs"
DEAD_LETTERS: Final = "dead_letters"
FEED_WORKER_QUEUES: Final = (*FEEDS, LOSSLESS)
# What waits here is worthless within seconds, and what goes missing is counted as lost: deleting such a queue does no
# harm. The others hold work that nobody would do again.
_SHORT_LIVED: Final = frozenset((*FEEDS, SCANS))

# At full rate a feed makes some 20 batches a second, at low rates some 200: five seconds of either fit five times.
MAX_BATCHES: Final = 5_000
MAX_BYTES: Final = 256 * 1024 * 1024
# Task headers, read by whoever must account for a batch without opening its body.
HEADER_EVENTS: Final = "tw_events"
HEADER_SOURCE: Final = "tw_source"
HEADER_FEED: Final = "tw_feed"
HEADER_BATCH: Final = "tw_batch"
HEADER_RECEIVED: Final = "tw_received_at"
# Of the batches that are followed (`processors.batch_traces`): when they were handed to the broker, epoch microseconds;
# whether they are measured, not only logged; and W3C's own header.
HEADER_PUBLISHED: Final = "tw_published_at"
HEADER_MEASURED: Final = "tw_measured"
HEADER_TRACE: Final = "traceparent"

_dead_exchange = Exchange("tapewatch.dead", type="fanout", durable=True)


def _direct(name: str, arguments: dict[str, object]) -> Queue:
    return Queue(name, Exchange(name, type="direct", durable=True), routing_key=name, queue_arguments=arguments)


def feed_queue(name: str, ttl_ms: int) -> Queue:
    """The queue of one feed: `ttl_ms` to live, bounded, oldest dropped first, dead-lettered for counting."""
    return _direct(
        name,
        {
            "x-message-ttl": ttl_ms,
            "x-max-length": MAX_BATCHES,
            "x-max-length-bytes": MAX_BYTES,
            "x-overflow": "drop-head",
            "x-dead-letter-exchange": _dead_exchange.name,
        },
    )


def dead_letter_queue() -> Queue:
    """Where expired and overflowed batches wait to be counted."""
    return Queue(
        DEAD_LETTERS,
        _dead_exchange,
        queue_arguments={"x-max-length-bytes": MAX_BYTES, "x-overflow": "drop-head"},
    )


def all_queues(ttl_ms: int) -> tuple[Queue, ...]:
    """Every queue that a worker may consume, in the order of `FEEDS`, then the slow ones."""
    return (
        *(feed_queue(name, ttl_ms) for name in FEEDS),
        _direct(LOSSLESS, {}),
        # A scan that comes late is replaced by the next. One engine at a time gets all, and another when it ends.
        _direct(SCANS, {"x-message-ttl": ttl_ms, "x-max-length": 10, "x-single-active-consumer": True}),
        _direct(JOBS, {}),
    )


class QueueHoldsWork(Exception):
    """A queue that has to be declared anew holds messages that must not be lost; the text says what to do."""


def declare(url: str, ttl_ms: int, redeclare: bool = False) -> list[str]:
    """Declare every queue on an AMQP broker.

    Args:
        url: The broker's address.
        ttl_ms: A feed message's time to live.
        redeclare: Delete and declare anew a queue that exists with other arguments.

    Returns:
        The names of the queues that differ (or differed, with `redeclare`).

    Raises:
        kombu.exceptions.OperationalError: The broker cannot be reached.
        amqp.exceptions.AMQPError: It refuses us.
        QueueHoldsWork: A queue differs that is not empty and whose messages do not expire.
    """
    differing: list[str] = []
    with _connected(url) as connection:
        for queue in (dead_letter_queue(), *all_queues(ttl_ms)):
            try:
                with connection.channel() as channel:
                    queue(channel).declare()
            except PreconditionFailed:
                differing.append(queue.name)
                if redeclare:
                    _renew(connection, queue)
    return differing


def differences(url: str, ttl_ms: int) -> dict[str, str]:
    """The queues of an AMQP broker that differ from what is configured, with a sentence each; nothing is changed.

    Raises:
        kombu.exceptions.OperationalError: The broker cannot be reached.
        amqp.exceptions.AMQPError: It refuses us.
    """
    found: dict[str, str] = {}
    with _connected(url) as connection:
        for queue in (dead_letter_queue(), *all_queues(ttl_ms)):
            try:
                with connection.channel() as channel:
                    # Asked for first: declaring one that is not there would make it.
                    queue(channel).queue_declare(passive=True)
                    queue(channel).queue_declare()
            except NotFound:
                continue
            except PreconditionFailed as error:
                found[queue.name] = refusal(error) or str(error)
    return found


_INEQUIVALENT = re.compile(
    r"arg '(?P<argument>.+)' for queue '(?P<queue>.+)' in .*: received (?P<new>.+) but current is (?P<old>.+)"
)


def refusal(error: BaseException) -> str | None:
    """In a sentence what RabbitMQ says (406) of a queue that exists with other arguments, and what to do about it.

    Returns:
        None for any other error.
    """
    if not isinstance(error, PreconditionFailed):
        return None
    said = _INEQUIVALENT.search(str(error))
    if said is None:
        return None
    name = said["queue"]
    return (
        f"The queue {name} exists with {said['argument']} {said['old']}, configured is {said['new']}: "
        f"`manage.py up` declares it anew; without it, stop what uses it and run `rabbitmqctl delete_queue {name}`."
    )


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    with Connection(url, connect_timeout=2) as connection:
        # kombu's own pause before it tries again is two seconds.
        connection.ensure_connection(max_retries=1, interval_start=0)
        yield connection


def _renew(connection: Any, queue: Queue) -> None:
    try:
        with connection.channel() as channel:
            queue(channel).delete(if_empty=queue.name not in _SHORT_LIVED)
    except PreconditionFailed as error:
        raise QueueHoldsWork(
            f"The queue {queue.name} has to be declared anew, and holds messages that would be lost: let the workers "
            f"that know it finish them, or give them up with `rabbitmqctl delete_queue {queue.name}`."
        ) from error
    with connection.channel() as channel:
        queue(channel).declare()
