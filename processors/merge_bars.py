"""Second bars and minute bars, in order of receipt; the script keeps the two kinds apart."""

from math import nan
from typing import Any, Final

import msgspec

from listener.events import Bar, Batch, event_ms
from processors import parts, wire
from processors.merge import Gate, Listeners, Merge, Reader, text
from processors.sessions import DayLookup

_bars = Reader(Bar)
_CHANNEL: Final = "stocks:agg:"
_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60_000
# Chunks of 60 bars that can still be corrected: Massive corrects second bars for 15 minutes; minute bars are kept for
# the whole trading day.
_SECOND_CHUNKS: Final = 16
_MINUTE_CHUNKS: Final = 16


class _Group:
    """Bars of one kind on their way into the script."""

    def __init__(self, *head: str | int) -> None:
        self._head = head
        self.symbols: list[str] = []
        self.bars: list[str] = []
        self.figures: list[bytes] = []

    def add(self, bar: Bar, order: parts.Order, raw: msgspec.Raw, figures: tuple[float, ...]) -> None:
        self.symbols.append(bar.sym)
        self.bars.append(parts.keep(order, text(raw)))
        self.figures.append(parts.pack_bar(*figures))

    def entry(self) -> list[Any]:
        return [*self._head, self.symbols, self.bars]


def merge_bars(batch: Batch, listeners: Listeners, days: DayLookup) -> Merge:
    """Every bar with its figures (`parts.BAR_FIGURES`); one outside the trading day changes nothing."""
    merge = Merge("bars")
    gate = Gate(batch)
    seconds = _Group(parts.SECOND_BARS, parts.NEWEST_SECOND_BARS, "tw:ring:A:", _SECOND_MS, _SECOND_CHUNKS)
    minutes = _Group(parts.MINUTE_BARS, parts.NEWEST_MINUTE_BARS, "tw:ring:AM:", _MINUTE_MS, _MINUTE_CHUNKS)
    somebody = listeners.any_of(_CHANNEL)
    for number, raw, bar in zip(*_bars.usable(batch, merge), strict=True):
        start, end = event_ms(bar.s), event_ms(bar.e)
        problem = gate.problem(bar.sym, end - 1)
        if bar.h < bar.l or not start < end:
            problem = problem or "its high is below its low, or its end not after its start"
        if problem:
            merge.refuse(problem, raw)
            continue
        merge.newest = max(merge.newest, end - 1)
        if somebody and listeners.wanted(channel := _CHANNEL + bar.sym):
            merge.messages += (channel, wire.AGG.of(raw).decode())
        day = days.find(start)
        if day is None:
            continue
        figures = (
            *(day.number, day.session_index(start), start, number, _known(bar.av), bar.op or nan),
            *(end, bar.o, bar.h, bar.l, bar.c, bar.v, _known(bar.vw), _known(bar.a), _known(bar.z)),
        )
        (minutes if bar.ev == "AM" else seconds).add(bar, (start, 0, 0, number), raw, figures)
    merge.applied = len(batch.events) - len(merge.failed)
    merge.entries = [seconds.entry(), minutes.entry()]
    merge.figures = b"".join(seconds.figures + minutes.figures)
    return merge


def _known(value: float | None) -> float:
    return nan if value is None else value
