"""Batches → queue: the publisher's thread, and the listener's side of the accounts.

A round is what waits when the publisher is free. It is accounted for as published before it is sent, in one atomic step
with the listener's other terms. So whatever dies between here and the table, a batch that did not arrive shows up as
lost, and none is counted out of nothing.
"""

import logging
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from math import exp
from time import monotonic, sleep, time

import redis
from celery import Celery

from listener.batching import BatchLimits, Buffer
from listener.broker import BROKER_ERRORS, BrokerLink
from listener.events import Batch
from listener.following import Following
from listener.ledger import Ledger
from processors.accounts import GRACE_S
from processors.redis_broker import trim
from processors.store import Store
from project import queues

log = logging.getLogger(__name__)

_CONFIRM_TIMEOUT_S = 2.0
_RETRY_S = 0.2
_IDLE_REPORT_S = 0.25
# In lossless mode: how many batches may wait at the broker before the listener stops publishing for a while.
_CREDIT = 64
_CREDIT_POLL_S = 0.005
# With a Redis broker nothing bounds a queue but the listener.
_TRIM_EVERY_S = 0.5
# The rate, in events a second, from which on rounds are as far apart as a batch may be old.
_FULL_RATE = 50_000
_RATE_OVER_S = 1.0
_FOLD_EVERY_S = 10.0
# Seconds of receipt stay apart for so long after their events are lost or settled.
_FOLD_AFTER_S = 60


@dataclass(slots=True)
class PublisherHealth:
    """What the publisher says about itself, for the listener's report."""

    broker_error: str = ""
    cache_error: str = ""


class ListenerAccounts:
    """Writes this run's terms to the cache; keeps them while the cache is away."""

    def __init__(self, store: Store, buffer: Buffer, run: str) -> None:
        self.store, self._buffer, self._run = store, buffer, run
        # The present source's is the last; one before it still has something to tell.
        self._ledgers: list[Ledger] = []

    def count(self, taken: Iterable[tuple[str, Batch]] = ()) -> list[tuple[str, Batch]]:
        """Count a round as published.

        Returns:
            What is to be published of it: a batch whose source is over was forgotten with the rest.
        """
        source, counts = self._buffer.counts()
        if not source:
            return []
        if not self._ledgers or self._ledgers[-1].source != source:
            self._ledgers.append(Ledger(source, f"{self._run}-{secrets.token_hex(2)}"))
        ledger = self._ledgers[-1]
        ledger.counts = counts
        current = [(feed, batch) for feed, batch in taken if batch.source == source]
        for feed, batch in current:
            ledger.published(feed, batch)
        return current

    def write(self) -> None:
        """Bring the cache up to date, in one atomic step.

        Raises:
            redis.RedisError: The cache is away; nothing is forgotten.
        """
        for ledger in list(self._ledgers):
            ledger.write(self.store)
            if ledger is not self._ledgers[-1]:
                self._ledgers.remove(ledger)

    def fold(self, ttl_ms: int) -> None:
        """Fold what is long past into one figure a feed, so that the accounts stay small.

        Raises:
            redis.RedisError: The cache is away; it is done the next time.
        """
        if not self._ledgers:
            return
        ledger = self._ledgers[-1]
        before = int(time()) - ttl_ms // 1_000 - GRACE_S - _FOLD_AFTER_S
        self.store.fold_accounts(ledger.source, ledger.run, ledger.forget(before))


class Pace:
    """How far rounds are apart: the farther the more comes, so that batches grow and quotes conflate."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s, self._rate = longest_s, 0.0

    def pause(self, events: int, elapsed: float) -> float:
        """Seconds from the begin of a round to that of the next.

        Args:
            events: How many the round holds.
            elapsed: Seconds since the last round began.
        """
        elapsed = max(elapsed, 1e-6)
        self._rate += (events / elapsed - self._rate) * (1 - exp(-elapsed / _RATE_OVER_S))
        return self._longest_s * min(1.0, self._rate / _FULL_RATE)


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
        self._following = Following()
        self._link: BrokerLink | None = None
        self._over = threading.Event()
        self._trimmed = self._folded = 0.0

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
            self._disconnect(in_order=self.failed is None)

    def _publish_all(self) -> None:
        pace = Pace(self._limits.max_age_ms / 1_000)
        last = monotonic()
        while not self._over.is_set():
            taken = self._buffer.take(_IDLE_REPORT_S)
            began = monotonic()
            batches = {batch.id: (feed, batch) for feed, batch in self._accounts.count(taken)}
            self._report()
            if not taken and self._buffer.closed:
                break
            self._publish_round(batches)
            self._keep_small()
            pause = pace.pause(sum(len(batch.events) for _, batch in taken), began - last)
            last = began
            if not self._buffer.closed:
                sleep(max(0.0, began + pause - monotonic()))

    def _report(self) -> None:
        try:
            self._accounts.write()
            self.health.cache_error = ""
        except redis.RedisError as error:
            self.health.cache_error = str(error)

    def _publish_round(self, batches: dict[str, tuple[str, Batch]]) -> None:
        """Publish; what the broker refuses or leaves unanswered again, as long as it is worth it.

        A batch that arrives twice is applied once, and one that is given up either arrived or shows as lost.
        """
        while batches and not self._over.is_set():
            try:
                if self._link is None:
                    self._link = BrokerLink(self._app, self._limits.ttl_ms, self._limits.lossless, self._following)
                if self._limits.lossless:
                    self._wait_for_credit(self._link)
                self._link.send(batches)
                self._wait_for_answers(self._link)
                problem = f"{len(batches)} batches were refused" if batches else ""
            except BROKER_ERRORS as error:
                problem = queues.refusal(error) or _short(error)
                self._disconnect()
            if problem and not self.health.broker_error:
                log.warning("publishing waits for the broker: %s", problem)
            self.health.broker_error = problem
            if not self._limits.lossless:
                worthless = time() * 1_000 - self._limits.ttl_ms
                for key in [key for key, (_, batch) in batches.items() if batch.received_at < worthless]:
                    del batches[key]
            if batches:
                self._accounts.count()
                self._report()
                sleep(_RETRY_S)

    def _wait_for_answers(self, link: BrokerLink) -> None:
        deadline = monotonic() + _CONFIRM_TIMEOUT_S
        while not link.wait(_IDLE_REPORT_S) and not self._over.is_set():
            if link.blocked:
                # It will take what is on its way to it as soon as it has memory or disk again.
                self.health.broker_error = "it is blocked: its memory or its disk is full"
                deadline = monotonic() + _CONFIRM_TIMEOUT_S
            elif monotonic() > deadline:
                raise TimeoutError(f"it has confirmed nothing for {_CONFIRM_TIMEOUT_S:g} s")
            self._accounts.count()
            self._report()

    def _wait_for_credit(self, link: BrokerLink) -> None:
        """Wait until the workers have caught up with what is published."""
        reported = monotonic()
        while link.depth(queues.LOSSLESS) >= _CREDIT and not self._over.is_set():
            sleep(_CREDIT_POLL_S)
            if monotonic() - reported > _IDLE_REPORT_S:
                reported = monotonic()
                self._accounts.count()
                self._report()

    def _disconnect(self, in_order: bool = False) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close(in_order)

    def _keep_small(self) -> None:
        """Fold the accounts, and bound the queues of a broker that does not do it itself."""
        now = monotonic()
        trims = not self._limits.lossless and self._app.conf.broker_url.startswith("redis")
        try:
            if now - self._folded >= _FOLD_EVERY_S:
                self._folded = now
                self._accounts.fold(self._limits.ttl_ms)
            if trims and now - self._trimmed >= _TRIM_EVERY_S:
                self._trimmed = now
                trim(self._accounts.store)
        except redis.RedisError as error:
            log.warning("accounts and queues could not be cut to their bounds: %s", _short(error))


def _short(error: BaseException) -> str:
    """An error in a line, without the addresses and passwords that a transport may put in."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}"[:200]
