"""What a feed worker has done so far, counted beside its work."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, perf_counter
from typing import Any, Final

from listener.events import Batch

_MINUTE_S: Final = 60.0
# Of a busy minute the newest merges say it as well as all of them.
_MOST_MERGES: Final = 2_000


class Durations:
    """How long the last minute's runs of something took, in milliseconds."""

    def __init__(self) -> None:
        self._runs: deque[tuple[float, float]] = deque(maxlen=_MOST_MERGES)

    def add(self, milliseconds: float) -> None:
        """Take note of one."""
        self._runs.append((monotonic(), milliseconds))

    def summary(self) -> dict[str, float | None]:
        """`last`, `p50`, `p99` and `max`; None when there was none within the last minute."""
        since = monotonic() - _MINUTE_S
        runs = self._runs.copy()
        of_the_minute = sorted(milliseconds for at, milliseconds in runs if at >= since)
        if not of_the_minute:
            return {"last": None, "p50": None, "p99": None, "max": None}
        last = len(of_the_minute) - 1
        return {
            "last": round(runs[-1][1], 2),
            "p50": round(of_the_minute[round(0.5 * last)], 2),
            "p99": round(of_the_minute[round(0.99 * last)], 2),
            "max": round(of_the_minute[last], 2),
        }


class FeedWork:
    """Batches and events merged by this process since it began."""

    def __init__(self) -> None:
        self._batches = 0
        self._events: Counter[str] = Counter()
        self._busy_s = 0.0
        self._merges = Durations()
        self._last_received_at: dict[str, int] = {}

    @contextmanager
    def on(self, feed: str, batch: Batch) -> Iterator[None]:
        """Count a batch while it is worked on, whatever comes of it."""
        began = perf_counter()
        self._last_received_at[feed] = batch.received_at
        try:
            yield
        finally:
            took = perf_counter() - began
            self._busy_s += took
            self._batches += 1
            self._events[feed] += len(batch.events)
            self._merges.add(took * 1_000)

    def figures(self) -> dict[str, Any]:
        """`batches`, `events` by feed and `busy_s`, all since the process began; `last_received_at` by feed, of the
        batch taken last, epoch ms; `merge_ms` of the last minute's batches."""
        return {
            "batches": self._batches,
            "events": dict(self._events),
            "busy_s": round(self._busy_s, 3),
            "last_received_at": dict(self._last_received_at),
            "merge_ms": self._merges.summary(),
        }


feed_work: Final = FeedWork()
