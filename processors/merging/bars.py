"""Second bars and minute bars, in order of receipt; the script keeps the two kinds apart."""

from math import nan
from typing import Any, Final

import msgspec

from listener.events import Bar, Batch, event_ms
from processors import parts, wire
from processors.merging.base import Gate, Listeners, Merge, Reader, text
from processors.sessions import DayLookup

_bars = Reader(Bar)
_CHANNEL: Final = "stocks:agg:"
_MINUTE_MS: Final = 60_000
# A symbol's ring of bars has 32 chunks: half an hour of second bars, which Massive corrects for 15 minutes; minute bars
# of the whole trading day. No chunk lies in two sessions, nor in two days.
_SECONDS_CHUNK_MS: Final = _MINUTE_MS
_MINUTES_CHUNK_MS: Final = 30 * _MINUTE_MS


class _Group:
    """Bars of one kind on their way into the script."""

    def __init__(self, table: str, newest: str, kind: str, chunk_ms: int) -> None:
        self._head = (table, newest, kind, chunk_ms)
        self._name = f"|{kind}|"
        self.symbols: list[str] = []
        self.bars: list[str] = []
        self.figures: list[bytes] = []
        self.minutes: set[str] = set()

    def add(self, bar: Bar, start: int, number: int, raw: msgspec.Raw, figures: tuple[float, ...]) -> None:
        self.symbols.append(bar.sym)
        self.bars.append(parts.keep((start, 0, 0, number), text(raw)))
        self.figures.append(parts.pack_bar(*figures))
        self.minutes.add(f"{bar.sym}{self._name}{start // _MINUTE_MS}")

    def entry(self) -> list[Any]:
        return [*self._head, self.symbols, self.bars]


def merge_bars(batch: Batch, listeners: Listeners, days: DayLookup) -> Merge:
    """Every bar with its figures (`parts.BAR_FIGURES`); one outside the trading day changes nothing."""
    merge = Merge("bars")
    gate = Gate(batch)
    seconds = _Group(parts.SECOND_BARS, parts.NEWEST_SECOND_BARS, "A", _SECONDS_CHUNK_MS)
    minutes = _Group(parts.MINUTE_BARS, parts.NEWEST_MINUTE_BARS, "AM", _MINUTES_CHUNK_MS)
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
            *(day.number, day.session_index(start), _known(bar.av), bar.op or nan, start, number),
            *(end, bar.o, bar.h, bar.l, bar.c, bar.v, _known(bar.vw), _known(bar.a), _known(bar.z)),
        )
        (minutes if bar.ev == "AM" else seconds).add(bar, start, number, raw, figures)
    merge.applied = len(batch.events) - len(merge.failed)
    merge.entries = [seconds.entry(), minutes.entry(), " ".join(seconds.minutes | minutes.minutes)]
    merge.figures = b"".join(seconds.figures + minutes.figures)
    return merge


def _known(value: float | None) -> float:
    return nan if value is None else value
