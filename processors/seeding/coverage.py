"""What of the trading day the source has seen: from when on, where the feed had gaps, and which symbols are filled up.

The listener writes the gaps in market time; `seed.py` fills symbols up from REST and notes until when it did. Both go
with the source.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from processors.reference import day_of
from processors.sessions import TradingDay
from processors.store import Source, Store

# A recording begins with its first event, not at 04:00 sharp.
_RECORDING_SLACK_MS: Final = 60_000
# Gaps closer to each other than this are one: what is filled up is whole minutes.
_NEAR_MS: Final = 60_000
_MOST_GAPS: Final = 200
LIFE_S: Final = 4 * 86_400
ENDLESS: Final = 2**62


class Gap(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Market time that the feed did not bring, [start, end) in epoch milliseconds.

    Attributes:
        start: Up to here everything had come.
        end: From here on everything came again; `ENDLESS` while nothing has.
    """

    start: int
    end: int = ENDLESS

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self.end == ENDLESS


_decode_gaps: Final = msgspec.json.Decoder(tuple[Gap, ...]).decode
# Of the newest source: what was read, and what was made of it.
_remembered: Final[dict[str, tuple[object, frozenset[str]]]] = {}


def gaps_key(source: str) -> str:
    """JSON list of the feed's gaps, [start, end] each, written by the listener alone."""
    return f"tw:gaps:{source}"


def seeded_key(source: str) -> str:
    """Hash of symbol → until when all that was missing is filled up, epoch milliseconds."""
    return f"tw:seeded:{source}"


def seeded_version_key(source: str) -> str:
    """A number that every change of the seeded symbols makes another."""
    return f"tw:seeded:version:{source}"


def with_gap(gaps: Iterable[Gap], gap: Gap) -> tuple[Gap, ...]:
    """Gaps in order with another one among them; near ones are joined, and where there are too many the nearest."""
    joined: list[Gap] = []
    for each in sorted((*gaps, gap)):
        if joined and each.start - joined[-1].end < _NEAR_MS:
            joined[-1] = Gap(joined[-1].start, max(joined[-1].end, each.end))
        else:
            joined.append(each)
    while len(joined) > _MOST_GAPS:
        at = min(range(1, len(joined)), key=lambda index: joined[index].start - joined[index - 1].end)
        joined[at - 1 : at + 1] = [Gap(joined[at - 1].start, joined[at].end)]
    return tuple(joined)


def read_gaps(store: Store, source: str) -> tuple[Gap, ...]:
    """The gaps of a source, in order."""
    raw = store.redis.get(gaps_key(source))
    return _decode_gaps(raw) if raw else ()


def write_gaps(store: Store, source: str, gaps: Iterable[Gap]) -> None:
    """Put down the gaps of a source; only the listener that reads it does."""
    store.redis.set(gaps_key(source), msgspec.json.encode(tuple(gaps)), ex=LIFE_S)


def missing(source: Source, gaps: Iterable[Gap], day: TradingDay) -> tuple[Gap, ...]:
    """What of a trading day the source has not seen, in order; nothing when it saw it whole.

    The time of a live market is the wall's, unless it is delayed: a source that was declared later than it began has
    lost its cache. Of others the listener marks that as a gap.
    """
    is_timely = source.kind == "live" and not source.id.endswith(":delayed")
    begun = max(source.clock, source.since) if is_timely else source.clock
    slack = _RECORDING_SLACK_MS if source.kind == "recording" else 0
    spans = with_gap(gaps, Gap(0, begun)) if begun > day.start + slack else tuple(gaps)
    return tuple(
        Gap(max(span.start, day.start), min(span.end, day.end))
        for span in spans
        if span.start < day.end and span.end > day.start
    )


def coverage(store: Store, source: Source, day: TradingDay | None) -> tuple[bool, frozenset[str]]:
    """What rows of a day can be relied upon: one small read, unless something has changed.

    Args:
        store: The cache.
        source: The present source.
        day: The trading day; None, between days: the one whose rows stand.

    Returns:
        Whether the day was seen whole; where it was not, the symbols that have been filled up since.
    """
    day = day or day_of(source)
    if day is None:
        return False, frozenset()
    raw, version = store.redis.mget(gaps_key(source.id), seeded_version_key(source.id))
    spans = missing(source, _decode_gaps(raw) if raw else (), day)
    if not spans:
        return True, frozenset()
    key = (spans, version)
    known = _remembered.get(source.id)
    if known is None or known[0] != key:
        until = spans[-1].end
        kept = store.redis.hgetall(seeded_key(source.id)) if version else {}
        seeded = frozenset(symbol.decode() for symbol, filled in kept.items() if int(filled) >= until)
        _remembered.clear()
        known = _remembered[source.id] = (key, seeded)
    return False, known[1]
