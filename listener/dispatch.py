"""Batches → queue: the publisher's thread, and the listener's side of the accounts.

A batch is accounted for as published before it is sent, in one atomic step with the listener's other terms. So whatever
dies between here and the table, a batch that did not arrive shows up as lost, and none is counted out of nothing.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, sleep, time
from typing import Any

import redis
from amqp.exceptions import AMQPError, MessageNacked
from celery import Celery
from kombu.exceptions import OperationalError

from listener.batching import BatchLimits, Buffer, FeedCount
from listener.events import Batch
from processors.redis_broker import trim
from processors.store import Store, listener_accounts_key, open_key
from processors.tasks import FEED_TASKS
from project import queues

log = logging.getLogger(__name__)

# What a broker that is away, blocked or failing raises, whichever transport speaks to it.
_BROKER_ERRORS = (OperationalError, OSError, AMQPError, MessageNacked, redis.RedisError)
_CONFIRM_TIMEOUT_S = 2.0
_RETRY_S = 0.2
_IDLE_REPORT_S = 0.25
# In lossless mode: how many batches may wait at the broker before the listener stops publishing for a while.
_CREDIT = 64
# With a Redis broker nothing bounds a queue but the listener.
_TRIM_EVERY_S = 0.5


@dataclass(slots=True)
class PublisherHealth:
    """What the publisher says about itself, for the listener's report."""

    broker_error: str = ""
    cache_error: str = ""


class ListenerAccounts:
    """Writes this run's terms to the cache; keeps them while the cache is away."""

    def __init__(self, store: Store, buffer: Buffer, run: str) -> None:
        self.store, self._buffer, self._run = store, buffer, run
        self._open: dict[tuple[str, str, int], int] = {}

    def intend(self, feed: str, batch: Batch) -> bool:
        """Count a batch as published; False when it must not be, because its source is over."""
        if not self._buffer.published(feed, batch):
            return False
        key = (batch.source, feed, batch.received_at // 1_000)
        self._open[key] = self._open.get(key, 0) + len(batch.events)
        return True

    def write(self) -> None:
        """Bring the cache up to date, in one atomic step.

        Raises:
            redis.RedisError: The cache is away; nothing is forgotten.
        """
        source, counts = self._buffer.counts()
        if not source:
            return
        with self.store.redis.pipeline(transaction=True) as pipe:
            pipe.hset(listener_accounts_key(source), mapping=_flat(self._run, counts))
            for (owner, feed, second), events in self._open.items():
                pipe.hincrby(open_key(owner), f"{feed}:{second}", events)
            pipe.execute()
        self._open.clear()


def _flat(run: str, counts: dict[str, FeedCount]) -> dict[str, int]:
    terms = ("received", "malformed", "dropped", "buffered", "published")
    return {f"{run}:{feed}:{term}": getattr(count, term) for feed, count in counts.items() for term in terms}


class Publisher(threading.Thread):
    """Takes batches from the buffer and publishes them with confirms; never in the socket's way.

    Attributes:
        failed: The unexpected error that ended the thread, if one did.
    """

    def __init__(self, app: Celery, buffer: Buffer, accounts: ListenerAccounts, limits: BatchLimits) -> None:
        super().__init__(name="publisher", daemon=True)
        self.health = PublisherHealth()
        self.failed: Exception | None = None
        self._app, self._buffer, self._accounts, self._limits = app, buffer, accounts, limits
        self._connection: Any = None
        self._producer: Any = None
        self._over = threading.Event()
        self._credit_checked = 0
        self._trimmed = 0.0

    def stop(self, timeout: float) -> None:
        """Publish what is left, as far as it can be done in `timeout` seconds, and end."""
        self._buffer.close()
        self.join(timeout)
        self._over.set()
        self.join(1.0)

    def run(self) -> None:
        try:
            self._publish_all()
        except Exception as error:  # whoever owns this thread raises it: the process ends and is started again
            log.exception("the publisher ended")
            self.failed = error
        finally:
            self._disconnect()

    def _publish_all(self) -> None:
        while not self._over.is_set():
            taken = self._buffer.take(_IDLE_REPORT_S)
            if taken is None:
                self._report()
                if self._buffer.closed:
                    break
                continue
            feed, batch = taken
            if self._accounts.intend(feed, batch):
                self._report()
                self._publish_until_done(feed, batch)

    def _report(self) -> None:
        try:
            self._accounts.write()
            self.health.cache_error = ""
        except redis.RedisError as error:
            self.health.cache_error = str(error)

    def _publish_until_done(self, feed: str, batch: Batch) -> None:
        """Publish a batch; while the broker is away try again, as long as the batch is worth it."""
        deadline = batch.received_at / 1_000 + self._limits.ttl_ms / 1_000
        while not self._over.is_set():
            try:
                if self._limits.lossless:
                    self._wait_for_credit()
                self._publish(feed, batch)
                self.health.broker_error = ""
                self._trim()
                return
            except _BROKER_ERRORS as error:
                if not self.health.broker_error:
                    log.warning("broker unreachable, publishing waits: %s", _short(error))
                self.health.broker_error = _short(error)
                self._disconnect()
                if not self._limits.lossless and time() > deadline:
                    # Whether it arrived is not known: it is settled by a worker, or shows as lost.
                    return
                self._report()
                sleep(_RETRY_S)

    def _publish(self, feed: str, batch: Batch) -> None:
        """The one place where feed tasks are sent."""
        if self._producer is None:
            self._connect()
        options: dict[str, Any] = {"queue": queues.LOSSLESS if self._limits.lossless else feed}
        if not self._limits.lossless:
            options["expires"] = datetime.fromtimestamp((batch.received_at + self._limits.ttl_ms) / 1_000, UTC)
        FEED_TASKS[feed].apply_async(
            args=(batch,),
            producer=self._producer,
            retry=False,
            argsrepr="",
            kwargsrepr="",
            confirm_timeout=_CONFIRM_TIMEOUT_S,
            headers={
                queues.HEADER_EVENTS: len(batch.events),
                queues.HEADER_SOURCE: batch.source,
                queues.HEADER_FEED: feed,
                queues.HEADER_BATCH: batch.id,
                queues.HEADER_RECEIVED: batch.received_at,
            },
            **options,
        )

    def _connect(self) -> None:
        self._connection = self._app.connection_for_write()
        self._connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=5)
        self._producer = self._app.amqp.Producer(self._connection, auto_declare=True)

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:  # noqa: BLE001 - a dead connection may fail in any way while it is put away
                log.debug("broker connection ended with %s", error)

    def _wait_for_credit(self) -> None:
        """Wait until the workers have caught up with what is published."""
        self._credit_checked += 1
        if self._credit_checked % (_CREDIT // 2):
            return
        if self._producer is None:
            self._connect()
        deadline = monotonic() + 300
        while not self._over.is_set() and monotonic() < deadline:
            with self._connection.channel() as channel:
                queue: Any = self._app.amqp.queues[queues.LOSSLESS](channel)
                if queue.queue_declare(passive=True).message_count < _CREDIT:
                    return
            sleep(0.002)

    def _trim(self) -> None:
        """Bound the queues of a broker that does not do it itself, and count what is cut off."""
        if self._limits.lossless or not self._app.conf.broker_url.startswith("redis"):
            return
        if monotonic() - self._trimmed >= _TRIM_EVERY_S:
            self._trimmed = monotonic()
            try:
                trim(self._accounts.store)
            except redis.RedisError as error:
                log.warning("the broker's queues could not be cut to their bounds: %s", _short(error))


def _short(error: BaseException) -> str:
    """An error in a line, without the addresses and passwords that a transport may put in."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}"[:200]
