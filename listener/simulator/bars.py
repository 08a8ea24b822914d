"""Second and minute bars: the exact aggregation of the tape's own prints.

The rule, which anyone can recompute from the stream:

- A print belongs to the second and the minute of its event time, whenever it is reported.
- Sale conditions decide by `processors.merging.conditions.UPDATE_RULES` what it counts for. Form T (12) does not count
  against a print: it stands only on prints outside regular hours, of which Massive makes bars as of any other.
- `v`, `vw` and `z` are of the prints that count for volume; `h` and `l` of those that count for high and low or for
  open and close; `o` and `c` are the first and last, by event time, of those that count for open and close.
- A bar is sent only where at least one print counts for open and close. Volume of other seconds shows in the next `av`.
- `av` and `a` are volume and volume-weighted price of the day's prints with event times before the bar's end.
- A bar is sent `BAR_DELAY` after its end. A print reported later than that has the bar sent again, corrected, by the
  next second; bars after it are not sent again, though their `av` was short of that print.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from listener.simulator.bar_rows import BarRows, LastMinutes
from listener.simulator.figures import DayFigures
from listener.simulator.prints import COUNTS_HIGH_LOW, COUNTS_OPEN_CLOSE, COUNTS_VOLUME, Prints
from listener.simulator.trading_days import MINUTE, SECOND
from listener.simulator.universe import Ints

BAR_DELAY: Final = 1_200
NONE: Final = np.int64(2**62)  # a low before any print
# Late prints are reported within a minute; seconds older than this are kept only for REST, and only so many rows.
_SECONDS_KEPT_ROWS: Final = 500_000
_SECONDS_KEPT_MIN: Final = 70


@dataclass(slots=True)
class _Minute:
    """The minute under way; arrays have one element a symbol."""

    start: int
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    turnover: Ints
    count: Ints

    @classmethod
    def empty(cls, start: int, n: int) -> "_Minute":
        zeros = [np.zeros(n, np.int64) for _ in range(7)]
        zeros[2][:] = NONE
        return cls(start, *zeros)

    def add(self, rows: BarRows) -> None:
        at = rows.symbol
        self.volume[at] += rows.volume
        self.turnover[at] += rows.turnover
        self.count[at] += rows.count
        self.high[at] = np.maximum(self.high[at], rows.high)
        self.low[at] = np.minimum(self.low[at], rows.low)
        priced = at[rows.priced]
        self.open[priced] = np.where(self.open[priced] == 0, rows.open[rows.priced], self.open[priced])
        self.close[priced] = rows.close[rows.priced]

    def rows(self, figures: DayFigures) -> BarRows:
        at = np.flatnonzero(self.count > 0)
        return BarRows(
            self.start, MINUTE, at, self.open[at], self.high[at], self.low[at], self.close[at], self.volume[at],
            self.turnover[at], self.count[at], self.close[at] > 0, figures.volume[at].copy(),
            figures.turnover[at].copy(),
        )  # fmt: skip


@dataclass(slots=True)
class Aggregator:
    """Makes the bars of one trading day.

    Attributes:
        figures: The day so far; the aggregator keeps it up to date.
        now: The instant from which prints come, epoch ms, a whole second; later the end of the last second aggregated.
        minutes: The minute bars of the run, oldest first.
        seconds: The newest second bars, oldest first.
        seconds_since: The instant from which `seconds` is complete, epoch ms.
        last_minute: The last minute bar of each symbol.
    """

    figures: DayFigures
    now: int
    minutes: list[BarRows] = field(default_factory=list)
    seconds: deque[BarRows] = field(default_factory=deque)
    _pending: dict[int, list[Prints]] = field(default_factory=dict)
    _minute: _Minute | None = None
    _again: list[tuple[BarRows, int]] = field(default_factory=list)
    _second_rows: int = 0
    seconds_since: int = field(init=False)
    last_minute: LastMinutes = field(init=False)

    def __post_init__(self) -> None:
        self.seconds_since = self.now
        self.last_minute = LastMinutes.empty(len(self.figures.volume))

    def add(self, prints: Prints) -> None:
        """Take prints of one second that were reported in time."""
        if len(prints):
            self._pending.setdefault(int(prints.at[0]) // SECOND * SECOND, []).append(prints)

    def add_late(self, prints: Prints) -> None:
        """Take prints reported up to a minute late, which never count for open and close."""
        for index in range(len(prints)):
            one = prints.take(np.array([index]))
            second = int(one.at[0]) // SECOND * SECOND
            if second >= self.now:
                self._pending.setdefault(second, []).append(one)
                continue
            symbol, at, price, size, code = (int(column[0]) for column in one.columns()[:5])
            self.figures.add_late(symbol, at, price, size, code)
            for rows in (*self._recent_seconds(second), *self._recent_minutes(second)):
                if COUNTS_VOLUME[code]:
                    rows.add_to_day(symbol, price, size)
                if rows.start <= second < rows.start + rows.length:
                    row = rows.add_late(symbol, price, size, code)
                    if row is not None:
                        self._again.append((rows, row))
            minute = self._minute
            if minute is not None and minute.start <= second:
                if COUNTS_VOLUME[code]:
                    minute.volume[symbol] += size
                    minute.turnover[symbol] += price * size
                    minute.count[symbol] += 1
                if COUNTS_HIGH_LOW[code]:
                    minute.high[symbol] = max(minute.high[symbol], price)
                    minute.low[symbol] = min(minute.low[symbol], price)

    def minute_under_way(self) -> BarRows | None:
        """The minute not yet over, as far as it has been aggregated."""
        return self._minute.rows(self.figures) if self._minute is not None else None

    def _recent_seconds(self, since: int) -> list[BarRows]:
        found = []
        for rows in reversed(self.seconds):
            if rows.start < since:
                break
            found.append(rows)
        return found

    def _recent_minutes(self, since: int) -> list[BarRows]:
        return [rows for rows in self.minutes[-3:] if rows.start + MINUTE > since]

    def flush(self, until: int) -> list[BarRows]:
        """The bars due: of the seconds and minutes that end by `until` (epoch ms), and those to be sent again.

        Returns:
            Rows that may hold symbols without a bar (`priced` is false).
        """
        due: list[BarRows] = []
        while self.now + SECOND <= until:
            second = self.now
            self.now += SECOND
            parts = self._pending.pop(second, None)
            if parts:
                rows = self._aggregate(second, Prints.join(parts))
                self._keep(rows)
                due.append(rows)
            if self._minute is not None and self.now >= self._minute.start + MINUTE:
                minute = self._minute.rows(self.figures)
                self._minute = None
                self.minutes.append(minute)
                self.last_minute.update(minute)
                due.append(minute)
        if self._again:
            due.extend(rows.only(row) for rows, row in self._again)
            self._again.clear()
        return due

    def _keep(self, rows: BarRows) -> None:
        if self._minute is None:
            self._minute = _Minute.empty(rows.start // MINUTE * MINUTE, len(self.figures.volume))
        self._minute.add(rows)
        self.seconds.append(rows)
        self._second_rows += len(rows.symbol)
        while self._second_rows > _SECONDS_KEPT_ROWS and len(self.seconds) > _SECONDS_KEPT_MIN:
            dropped = self.seconds.popleft()
            self._second_rows -= len(dropped.symbol)
            self.seconds_since = dropped.start + SECOND

    def _aggregate(self, second: int, prints: Prints) -> BarRows:
        # By symbol, within a symbol by event time; prints of one instant stay in the order of their report.
        order = np.argsort(prints.symbol * SECOND + (prints.at - second), kind="stable")
        symbol, price, code = prints.symbol[order], prints.price[order], prints.code[order]
        size = prints.size[order] * COUNTS_VOLUME[code]
        first = np.flatnonzero(np.r_[True, symbol[1:] != symbol[:-1]])
        position = np.arange(len(symbol))
        priced = COUNTS_OPEN_CLOSE[code]
        ranged = COUNTS_HIGH_LOW[code]
        opens = np.minimum.reduceat(np.where(priced, position, NONE), first)
        closes = np.maximum.reduceat(np.where(priced, position, -1), first)
        has_bar = closes >= 0
        at = symbol[first]
        volume = np.add.reduceat(size, first)
        turnover = np.add.reduceat(price * size, first)
        rows = BarRows(
            start=second,
            length=SECOND,
            symbol=at,
            open=price[np.where(has_bar, opens, 0)],
            high=np.maximum.reduceat(np.where(ranged, price, 0), first),
            low=np.minimum.reduceat(np.where(ranged, price, NONE), first),
            close=price[np.where(has_bar, closes, 0)],
            volume=volume,
            turnover=turnover,
            count=np.add.reduceat(COUNTS_VOLUME[code].astype(np.int64), first),
            priced=has_bar,
            day_volume=self.figures.volume[at] + volume,
            day_turnover=self.figures.turnover[at] + turnover,
        )
        self.figures.add(
            rows.start, at, rows.open, rows.high, rows.low, rows.close, volume, turnover, rows.count, has_bar
        )
        return rows
