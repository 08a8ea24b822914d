"""Latency from feed to cache: probes among the events, seen when the merge that holds them publishes them.

A merge publishes in the same atomic script that writes the table, so a probe is seen when it is in the cache. What the
observer needs to be scheduled and to read the message counts against the system.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import time_ns
from typing import Any, TypedDict

import redis

from control.bench.stream import CHANNELS, PROBE_SYMBOLS, probe_sent_us
from processors.store import INTEREST, connect

_WAIT_S = 0.2


class Latency(TypedDict):
    """Milliseconds; None where nothing was seen."""

    p50: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    samples: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One probe: its event type, when it was sent and when it was published, epoch microseconds."""

    kind: str
    sent: int
    published: int


class ProbeObserver(threading.Thread):
    """Listens to the probes' channels until it is stopped.

    Args:
        url: The cache's address.
    """

    def __init__(self, url: str) -> None:
        super().__init__(name="probes", daemon=True)
        # As in `Store`: the library types every answer as bytes or str; this connection gives bytes.
        self._redis: Any = connect(url)
        self._over = threading.Event()
        self._seen: list[Seen] = []

    def run(self) -> None:
        try:
            self._listen()
        except redis.RedisError:
            # The cache ends before this thread does; one that dies earlier is noticed by whoever runs it.
            return

    def _listen(self) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.subscribe(*(channel + symbol for channel in CHANNELS.values() for symbol in PROBE_SYMBOLS))
            # As a hub does: workers ask again which channels somebody listens to.
            self._redis.incr(INTEREST)
            while not self._over.is_set():
                message = subscription.get_message(timeout=_WAIT_S)
                if message is not None:
                    kind, sent = probe_sent_us(message["data"])
                    self._seen.append(Seen(kind, sent, time_ns() // 1_000))

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.join(2 * _WAIT_S)

    def between(self, begin: int, end: int) -> list[Seen]:
        """The probes sent in a span of time, epoch microseconds."""
        return [seen for seen in self._seen if begin <= seen.sent <= end]


def latency(seen: Iterable[Seen]) -> Latency:
    """Percentiles by nearest rank."""
    values = sorted((probe.published - probe.sent) / 1_000 for probe in seen)
    return Latency(
        p50=_rank(values, 0.5),
        p99=_rank(values, 0.99),
        p99_9=_rank(values, 0.999),
        max=_rank(values, 1.0),
        samples=len(values),
    )


def _rank(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    return round(values[max(0, -int(-share * len(values) // 1) - 1)], 2)
