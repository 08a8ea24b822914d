"""The queues between listener and processors: their names, bounds and dead letters.

Durable classic queues with transient messages work on RabbitMQ 3.10 to 4.x. A message that expires or is pushed out by
a newer one goes to one counting queue with its headers, from where `processors.dead_letters` counts it by reason.
"""

from typing import Final

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

# At 200,000 events a second a feed makes some 200 batches a second: five seconds of the busiest feed fit five times.
MAX_BATCHES: Final = 5_000
MAX_BYTES: Final = 256 * 1024 * 1024
# Task headers, read by whoever must account for a batch without opening its body.
HEADER_EVENTS: Final = "tw_events"
HEADER_SOURCE: Final = "tw_source"
HEADER_FEED: Final = "tw_feed"
HEADER_BATCH: Final = "tw_batch"
HEADER_RECEIVED: Final = "tw_received_at"

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
        # A scan that comes late is replaced by the next.
        _direct(SCANS, {"x-message-ttl": ttl_ms, "x-max-length": 10}),
        _direct(JOBS, {}),
    )


def declare(url: str, ttl_ms: int, redeclare: bool = False) -> list[str]:
    """Declare every queue on an AMQP broker.

    Args:
        url: The broker's address.
        ttl_ms: A feed message's time to live.
        redeclare: Delete and declare anew a feed queue that exists with other arguments (RabbitMQ answers 406).

    Returns:
        The names of the queues that differ (or differed, with `redeclare`).

    Raises:
        kombu.exceptions.OperationalError: The broker cannot be reached.
    """
    differing: list[str] = []
    with Connection(url, connect_timeout=5) as connection:
        for queue in (dead_letter_queue(), *all_queues(ttl_ms)):
            try:
                with connection.channel() as channel:
                    queue(channel).declare()
            except connection.channel_errors as error:
                if getattr(error, "code", None) != 406:
                    raise
                differing.append(queue.name)
                if redeclare:
                    with connection.channel() as channel:
                        queue(channel).delete()
                        queue(channel).declare()
    return differing
