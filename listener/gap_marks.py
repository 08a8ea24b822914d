"""What of the market's time the feed did not bring, written down for who fills it up (`processors.seeding.coverage`).

A gap begins where the table's events end, and ends with the first event that comes again. Bars are held for two
seconds, and the channels of a new connection begin one after the other, so both ends are set some seconds further out.
Events that were dropped or that expired in numbers leave a gap, too.
"""

import threading
from time import monotonic
from typing import Final

import msgspec
from django.conf import settings

from listener.events import event_ms
from processors.accounts import accounts
from processors.seeding.coverage import ENDLESS, Gap, read_gaps, with_gap, write_gaps
from processors.store import Source, Store

# Of market time at the speed of life.
_SLACK_MS: Final = 5_000
# What is found missing in the accounts was received at most so long ago: its time to live, and ten seconds of grace.
_LOOKS_BACK_MS: Final = 20_000
_COUNTS_EVERY_S: Final = 2.0
# Fewer events hardly ever hold an extreme, and would cost the whole market its completeness for minutes.
_IN_NUMBERS: Final = 100
# Quotes and the rest make no bars.
_FEEDS: Final = ("aggregate", "trades")
_MISSED: Final = ("dropped", "expired_broker", "expired_worker", "expired_age", "overflowed", "lost")
# A live event cannot be further ahead of its receipt.
_AHEAD_MS: Final = 60_000


class _Timed(msgspec.Struct, frozen=True, gc=False):
    t: int | None = None
    e: int | None = None


_decode: Final = msgspec.json.Decoder(list[_Timed]).decode


def newest_time(frame: str | bytes) -> int:
    """The newest event time in a frame, epoch milliseconds; 0 when it tells none."""
    try:
        events = _decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    return max((event_ms(at) for event in events for at in (event.t, event.e) if at and at > 0), default=0)


class GapMarks:
    """The marks of one listener. Every method but `hear` asks the cache, and may raise `redis.RedisError`.

    Args:
        store: The cache.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._source: Source | None = None
        self._open = False
        self._heard = 0
        self._missed: int | None = None
        self._counted_at = 0.0
        # Marked by the threads of whoever declares the source.
        self._marking = threading.Lock()

    def connecting(self, source: Source, is_new: bool) -> None:
        """Mark what a connection that is about to be made cannot bring any more.

        Args:
            source: The source, declared already.
            is_new: Whether its table begins with this connection. A recording is played from then on.
        """
        with self._marking:
            self._source = source
            if is_new:
                self._missed = None
            if is_new and source.kind == "recording":
                return
            present = self._store.source()
            seen = source.clock if is_new or present is None else present.market_clock - self._market_ms(_SLACK_MS)
            self._begin(seen)

    def cache_lost(self, source: Source) -> None:
        """Mark that the table begins anew in the middle of a connection."""
        with self._marking:
            self._source, self._missed = source, None
            self._begin(source.clock)

    def _begin(self, at: int) -> None:
        assert self._source is not None  # noqa: S101 - set by whoever calls
        self._heard, self._open = 0, True
        self._add(Gap(at))

    def _add(self, gap: Gap) -> None:
        assert self._source is not None  # noqa: S101 - set by whoever calls
        write_gaps(self._store, self._source.id, with_gap(read_gaps(self._store, self._source.id), gap))

    def _market_ms(self, ms: int) -> int:
        """So many milliseconds at the source's speed."""
        return int(ms * max(1.0, self._source.speed if self._source is not None else 1.0))

    def hear(self, frame: str | bytes, received_at: int) -> None:
        """Take note of the first event time after a gap; costs nothing at other times."""
        if not self._open or self._heard or self._source is None:
            return
        at = newest_time(frame)
        self._heard = min(at, received_at + _AHEAD_MS) if self._source.kind == "live" else at

    def write(self) -> None:
        """End a gap that is over, and begin one where events are missing in numbers."""
        with self._marking:
            source = self._source
            if source is None:
                return
            if self._open and self._heard:
                end = self._heard + self._market_ms(_SLACK_MS)
                gaps = read_gaps(self._store, source.id)
                ended = tuple(Gap(gap.start, max(gap.start, end)) if gap.end == ENDLESS else gap for gap in gaps)
                write_gaps(self._store, source.id, ended)
                self._open = False
            if not source.lossless and monotonic() - self._counted_at >= _COUNTS_EVERY_S:
                self._counted_at = monotonic()
                self._count(source)

    def _count(self, source: Source) -> None:
        feeds = accounts(self._store, source.id, settings.MESSAGE_TTL_MS)
        missed = sum(feeds[feed][term] for feed in _FEEDS for term in _MISSED)
        before, self._missed = self._missed, missed
        present = self._store.source()
        if before is not None and missed - before >= _IN_NUMBERS and present is not None and present.newest:
            back, slack = self._market_ms(_LOOKS_BACK_MS), self._market_ms(_SLACK_MS)
            self._add(Gap(present.newest - back, present.newest + slack))
