"""Bars of one kind and day of one symbol, and what is read from them: minutes, windows, new extremes, crosses."""

from bisect import bisect_right, insort
from dataclasses import dataclass
from typing import Any

from tests.independent.times import session_of

_BUCKET = 5_000
_MINUTE = 60_000


@dataclass
class Bar:
    """A bar over [start, end); a price that nobody knows is None."""

    start: int
    end: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float
    vwap: float | None
    day_vwap: float | None


class Bars:
    """Bars by start: a later one of the same start takes the earlier's place."""

    def __init__(self) -> None:
        self.by_start: dict[int, Bar] = {}
        self.starts: list[int] = []
        self._minutes: dict[int, Bar] = {}
        self._ascending: list[Bar] = []
        self._stale: set[int] = set()
        self._in_minute: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self.starts)

    def put(self, bar: Bar) -> None:
        minute = bar.start // _MINUTE * _MINUTE
        if bar.start not in self.by_start:
            insort(self.starts, bar.start)
            insort(self._in_minute.setdefault(minute, []), bar.start)
        self.by_start[bar.start] = bar
        self._stale.add(minute)

    def minutes(self) -> list[Bar]:
        """Minute bars, ascending."""
        if self._stale:
            for minute in self._stale:
                self._minutes[minute] = _together(minute, [self.by_start[start] for start in self._in_minute[minute]])
            self._stale.clear()
            self._ascending = [self._minutes[minute] for minute in sorted(self._minutes)]
        return self._ascending

    def volume(self, first: int, last: int) -> float:
        """Shares of the bars in five-second buckets `first` to `last`, both included."""
        total = 0.0
        index = bisect_right(self.starts, (last + 1) * _BUCKET)
        while index > 0:
            index -= 1
            bar = self.by_start[self.starts[index]]
            bucket = (bar.end - 1) // _BUCKET
            if bucket < first:
                break
            if bucket <= last:
                total += bar.volume
        return total

    def close_by(self, bucket: int) -> float | None:
        """The close of the newest bar in that five-second bucket or an earlier one."""
        index = bisect_right(self.starts, (bucket + 1) * _BUCKET)
        while index > 0:
            index -= 1
            bar = self.by_start[self.starts[index]]
            if (bar.end - 1) // _BUCKET <= bucket and bar.close is not None:
                return bar.close
        return None


def _together(minute: int, bars: list[Bar]) -> Bar:
    opens = [bar.open for bar in bars if bar.open is not None]
    closes = [bar.close for bar in bars if bar.close is not None]
    highs = [bar.high for bar in bars if bar.high is not None]
    lows = [bar.low for bar in bars if bar.low is not None]
    return Bar(
        minute,
        minute + _MINUTE,
        opens[0] if opens else None,
        max(highs, default=None),
        min(lows, default=None),
        closes[-1] if closes else None,
        sum(bar.volume for bar in bars),
        None,
        bars[-1].day_vwap,
    )


def extremes(minutes: list[Bar]) -> dict[str, Any]:
    """Which minutes set new extremes: counts and last times in the regular session, last times in any session."""
    found: dict[str, Any] = {"hod_count": 0, "lod_count": 0, "hod_at": None, "lod_at": None}
    found |= {"new_high_at": None, "new_low_at": None}
    highest: dict[str | None, float] = {}
    lowest: dict[str | None, float] = {}
    for minute in minutes:
        session = session_of(minute.start)
        if minute.high is not None:
            if session in highest and minute.high > highest[session]:
                found["new_high_at"] = minute.start
                if session == "regular":
                    found["hod_count"] += 1
                    found["hod_at"] = minute.start
            highest[session] = max(minute.high, highest.get(session, minute.high))
        if minute.low is not None:
            if session in lowest and minute.low < lowest[session]:
                found["new_low_at"] = minute.start
                if session == "regular":
                    found["lod_count"] += 1
                    found["lod_at"] = minute.start
            lowest[session] = min(minute.low, lowest.get(session, minute.low))
    return found


def last_cross(minutes: list[Bar], clock: int) -> int | None:
    """The end of the last minute to close on the other side of the day's VWAP than the one before."""
    before, crossed_at = 0, None
    for minute in minutes:
        if minute.end > clock or minute.day_vwap is None or minute.close is None:
            continue
        side = (minute.close > minute.day_vwap) - (minute.close < minute.day_vwap)
        if side == 0:
            continue
        if before and side != before:
            crossed_at = minute.end
        before = side
    return crossed_at
