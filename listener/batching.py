"""Events → batches: the bounded buffer between the socket, which never waits, and the publisher.

Batches leave when the publisher is free, all that wait in one round; while it is not, events collect to at most
`max_events` or `max_age_ms` a batch. The bound is in bytes: when it is reached the oldest batch of the fullest feed
goes first, so that a flood of one feed takes nothing from the others. Every event put in is counted until it is
published or dropped, by feed (design rule 5).
"""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from listener.events import Batch
from listener.sorting import SortedFrame
from project.queues import FEEDS

# A slice keeps some 100 bytes of Python objects alive beside its own.
_EVENT_OVERHEAD = 100
# What is handed out at once, so that what the publisher holds is bounded too.
_ROUND_BATCHES = 32
_ROUND_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much may collect. `max_bytes` bounds the buffer, the other two a batch."""

    max_events: int
    max_age_ms: int
    max_bytes: int
    ttl_ms: int
    lossless: bool = False


@dataclass(slots=True)
class FeedCount:
    """The listener's terms of the accounts for one feed, in events: `received` is the sum of the other four."""

    received: int = 0
    malformed: int = 0
    dropped: int = 0
    buffered: int = 0
    published: int = 0


@dataclass(slots=True)
class _Open:
    """A batch that is still collecting."""

    seq: int
    received_at: int
    events: list[msgspec.Raw] = field(default_factory=list)
    size: int = 0


class Buffer:
    """Collects events by feed and hands them out as batches, fairly by feed. Safe between two threads.

    `add` never blocks. `take` waits for a batch; what it hands out counts as published from then on.

    Receipt numbers grow with every event and never lag behind the clock in microseconds: they order events, across
    restarts too, and tell when each was received.
    """

    def __init__(self, limits: BatchLimits, first_seq: int, now_ms: Callable[[], int] | None = None) -> None:
        """
        Args:
            limits: Bounds of batch and buffer.
            first_seq: Receipt number of the first event; greater than any that an earlier run gave out.
            now_ms: The wall clock, epoch milliseconds.
        """
        self._limits = limits
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._waiting: dict[str, deque[_Open]] = {feed: deque() for feed in FEEDS}
        self._bytes = dict.fromkeys(FEEDS, 0)
        self._counts = {feed: FeedCount() for feed in FEEDS}
        self._seq = first_seq
        self._turn = 0
        self._source = ""
        self._closed = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def full(self) -> bool:
        """Whether a lossless listener must stop reading for a while."""
        return sum(self._bytes.values()) >= self._limits.max_bytes // 2

    def begin_source(self, source: str) -> None:
        """Drop and forget what belongs to an earlier source; the accounts start anew, as its table does."""
        with self._changed:
            if source == self._source:
                return
            self._source = source
            for feed in FEEDS:
                self._waiting[feed].clear()
                self._bytes[feed] = 0
                self._counts[feed] = FeedCount()

    def add(self, frame: SortedFrame, received_at: int) -> None:
        """Take a sorted frame in. Never blocks, whatever the broker does.

        Args:
            frame: Events by feed, and what was malformed.
            received_at: When the frame was received, epoch milliseconds.
        """
        with self._changed:
            for bad in frame.malformed:
                count = self._counts[bad.feed]
                count.received += 1
                count.malformed += 1
            mean_size = _mean_size(frame)
            for feed, events in frame.events.items():
                self._append(feed, events, received_at, mean_size)
            if not self._limits.lossless:
                while sum(self._bytes.values()) > self._limits.max_bytes:
                    self._drop(max(FEEDS, key=self._bytes.__getitem__))
            self._changed.notify()

    def _append(self, feed: str, events: list[msgspec.Raw], received_at: int, mean_size: int) -> None:
        waiting, limit = self._waiting[feed], self._limits.max_events
        count = self._counts[feed]
        count.received += len(events)
        count.buffered += len(events)
        start = 0
        while start < len(events):
            if (
                not waiting
                or len(waiting[-1].events) >= limit
                or received_at - waiting[-1].received_at > self._limits.max_age_ms
            ):
                self._seq = max(self._seq, received_at * 1_000)
                waiting.append(_Open(self._seq, received_at))
            batch = waiting[-1]
            part = events[start : start + limit - len(batch.events)]
            size = (mean_size + _EVENT_OVERHEAD) * len(part)
            batch.events.extend(part)
            batch.size += size
            self._bytes[feed] += size
            self._seq += len(part)
            start += len(part)

    def _drop(self, feed: str) -> None:
        batch = self._waiting[feed].popleft()
        self._bytes[feed] -= batch.size
        self._counts[feed].buffered -= len(batch.events)
        self._counts[feed].dropped += len(batch.events)

    def take(self, timeout: float) -> list[tuple[str, Batch]]:
        """What waits, oldest first and the feeds in turn, as far as it fits in one round; from now on it is published.

        Batches older than their time to live are dropped and counted on the way.

        Args:
            timeout: How long to wait for the first batch, in seconds.

        Returns:
            Feeds and batches; none when none came in time, or the buffer is closed.
        """
        deadline = time.monotonic() + timeout
        taken: list[tuple[str, Batch]] = []
        size = 0
        with self._changed:
            while (feed := self._next_feed()) is None:
                remaining = deadline - time.monotonic()
                if self._closed or remaining <= 0:
                    return taken
                self._changed.wait(remaining)
            while feed is not None:
                batch = self._waiting[feed].popleft()
                events = len(batch.events)
                self._bytes[feed] -= batch.size
                self._counts[feed].buffered -= events
                self._counts[feed].published += events
                taken.append((feed, Batch(uuid.uuid4().hex, self._source, batch.seq, batch.received_at, batch.events)))
                size += batch.size
                if len(taken) == _ROUND_BATCHES or size >= _ROUND_BYTES:
                    break
                feed = self._next_feed()
        return taken

    def _next_feed(self) -> str | None:
        """A feed that has a batch, in turn."""
        now, limits = self._now_ms(), self._limits
        for offset in range(len(FEEDS)):
            feed = FEEDS[(self._turn + offset) % len(FEEDS)]
            waiting = self._waiting[feed]
            while waiting and not limits.lossless and now - waiting[0].received_at > limits.ttl_ms:
                self._drop(feed)
            if waiting:
                self._turn = (self._turn + offset + 1) % len(FEEDS)
                return feed
        return None

    def counts(self) -> tuple[str, dict[str, FeedCount]]:
        """The source, and a copy of the terms of every feed for it, all of one moment."""
        with self._changed:
            return self._source, {
                feed: FeedCount(c.received, c.malformed, c.dropped, c.buffered, c.published)
                for feed, c in self._counts.items()
            }

    def buffered_bytes(self) -> int:
        """What waits, in bytes."""
        return sum(self._bytes.values())

    def close(self) -> None:
        """Let a waiting `take` hand out what is left at once, and then return None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _mean_size(frame: SortedFrame) -> int:
    """Bytes an event, rounded up; a frame that says how long it is spares asking each of them."""
    events = sum(map(len, frame.events.values()))
    size = frame.size
    if size is None:
        size = sum(len(raw) for raws in frame.events.values() for raw in raws)
    return -(-size // max(1, events))
