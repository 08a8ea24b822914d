"""What a listener has to tell the cache about its events, and what it has told.

All figures are absolute, so that telling them twice changes nothing. A cache that comes back after a power cut without
its last second is told again: the figures of the last half minute are kept for that. One that comes back empty is told
the sum of all before, too, as published long ago: with their effects these events are lost.
"""

from time import monotonic

from listener.batching import FeedCount
from listener.events import Batch
from processors.accounts import LISTENER_TERMS
from processors.store import Store, listener_accounts_key, published_key

# Far longer than a cache takes to have on disk what it was told: it writes every second.
_TOLD_AGAIN_S = 30.0


class Ledger:
    """One run's figures for one source.

    Attributes:
        counts: The listener's terms by feed, as of now.
    """

    def __init__(self, source: str, run: str) -> None:
        self.source, self.run = source, run
        self.counts: dict[str, FeedCount] = {}
        self._published: dict[tuple[str, int], int] = {}
        self._untold: set[tuple[str, int]] = set()
        self._told_at: dict[tuple[str, int], float] = {}
        self._writes = 0
        # What is forgotten: up to which second, and how many events, by feed.
        self._forgotten = 0
        self._past: dict[str, int] = {}
        self._past_untold = False

    def published(self, feed: str, batch: Batch) -> None:
        """Count a batch under the second of its receipt."""
        key = (feed, max(batch.received_at // 1_000, self._forgotten))
        self._published[key] = self._published.get(key, 0) + len(batch.events)
        self._untold.add(key)

    def write(self, store: Store) -> None:
        """Bring the cache up to date; one that has lost something, or was told twice, is told everything again."""
        while not self._write(store):
            self._untold.update(self._published)
            self._past_untold = self._writes == 1

    def _write(self, store: Store) -> bool:
        listener = listener_accounts_key(self.source)
        now = monotonic()
        published = {key: self._published[key] for key in self._untold}
        if self._past_untold:
            published |= {(feed, 0): events for feed, events in self._past.items()}
        with store.redis.pipeline(transaction=True) as pipe:
            pipe.hset(listener, mapping=self._terms())
            if published:
                fields = {f"{self.run}:{feed}:{second}": events for (feed, second), events in published.items()}
                pipe.hset(published_key(self.source), mapping=fields)
            # Counts the writes: any other number than the next one says that the cache is not where we left it.
            pipe.hincrby(listener, f"{self.run}:all:writes", 1)
            *_, writes = pipe.execute()
        expected, self._writes = self._writes + 1, writes
        self._told_at.update(dict.fromkeys(self._untold, now))
        self._untold.clear()
        self._past_untold = False
        return bool(writes == expected)

    def _terms(self) -> dict[str, int]:
        return {
            f"{self.run}:{feed}:{term}": getattr(count, term)
            for feed, count in self.counts.items()
            for term in LISTENER_TERMS
        }

    def forget(self, before: int) -> int:
        """Forget seconds that the cache has long known, at most those before a second.

        Returns:
            The second before which nothing is told again, whatever comes late.
        """
        recently = monotonic() - _TOLD_AGAIN_S
        kept = [key for key in self._published if key in self._untold or self._told_at[key] > recently]
        self._forgotten = max(self._forgotten, min([before, *(second for _, second in kept)]))
        for key in [key for key in self._published if key[1] < self._forgotten]:
            self._past[key[0]] = self._past.get(key[0], 0) + self._published.pop(key)
            del self._told_at[key]
        return self._forgotten
