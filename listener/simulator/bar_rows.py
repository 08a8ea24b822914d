"""Bars of one span as columns, and as Massive's events."""

from dataclasses import dataclass

import numpy as np

from listener.simulator.prints import COUNTS_HIGH_LOW, COUNTS_VOLUME
from listener.simulator.trading_days import SECOND
from listener.simulator.universe import Bools, Floats, Ints, Universe
from listener.simulator.wire import BarEvent, MinuteBarEvent


@dataclass(slots=True)
class BarRows:
    """Bars of one span, one row a symbol that printed, by symbol; parallel arrays.

    Attributes:
        start: Start of the span, epoch ms.
        length: Length of the span, ms.
        symbol: Sorted indices into the universe.
        open: Ten-thousandths of a dollar; as are high, low, close. Meaningless where `priced` is false.
        volume: Shares.
        turnover: Sum of price times size.
        count: Prints that count for volume.
        priced: Whether a print counted for open and close, so that there is a bar.
        day_volume: Shares of the day before the span's end.
        day_turnover: Sum of price times size of the day before the span's end.
    """

    start: int
    length: int
    symbol: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    turnover: Ints
    count: Ints
    priced: Bools
    day_volume: Ints
    day_turnover: Ints

    def row_of(self, symbol: int) -> int | None:
        """The row of a symbol, None when it has none."""
        row = int(np.searchsorted(self.symbol, symbol))
        return row if row < len(self.symbol) and self.symbol[row] == symbol else None

    def add_late(self, symbol: int, price: int, size: int, code: int) -> int | None:
        """Merge a print reported late; returns the row of the bar to send again, None when there is no bar."""
        row = self.row_of(symbol)
        if row is None:
            return None
        if COUNTS_VOLUME[code]:
            self.volume[row] += size
            self.turnover[row] += price * size
            self.count[row] += 1
        if COUNTS_HIGH_LOW[code]:
            self.high[row] = max(self.high[row], price)
            self.low[row] = min(self.low[row], price)
        return row if self.priced[row] else None

    def add_to_day(self, symbol: int, price: int, size: int) -> None:
        """Count a print reported late, from this span or an earlier one, to the day so far."""
        row = self.row_of(symbol)
        if row is not None:
            self.day_volume[row] += size
            self.day_turnover[row] += price * size

    def only(self, row: int) -> "BarRows":
        """One row of them, as it is now."""
        at = slice(row, row + 1)
        return BarRows(
            self.start, self.length, self.symbol[at], self.open[at], self.high[at], self.low[at], self.close[at],
            self.volume[at], self.turnover[at], self.count[at], self.priced[at], self.day_volume[at],
            self.day_turnover[at],
        )  # fmt: skip


@dataclass(slots=True)
class LastMinutes:
    """The last minute bar of each symbol; `start` is 0 where there was none."""

    start: Ints
    columns: Ints

    @classmethod
    def empty(cls, n: int) -> "LastMinutes":
        """No bars of `n` symbols yet."""
        return cls(np.zeros(n, np.int64), np.zeros((8, n), np.int64))

    def update(self, rows: BarRows) -> None:
        """Take over the bars of a minute: open, high, low, close, volume, turnover, count, day's volume."""
        at = rows.symbol[rows.priced]
        self.start[at] = rows.start
        columns = (rows.open, rows.high, rows.low, rows.close, rows.volume, rows.turnover, rows.count, rows.day_volume)
        for target, column in zip(self.columns, columns, strict=True):
            target[at] = column[rows.priced]


def bar_events(rows: BarRows, universe: Universe, official_open: Ints) -> list[BarEvent]:
    """The bars among `rows` as Massive's `A` or `AM` events, by symbol.

    Args:
        rows: Bars of a second or a minute.
        universe: The symbols.
        official_open: By symbol, ten-thousandths of a dollar, 0 where there is none yet.
    """
    kind = BarEvent if rows.length == SECOND else MinuteBarEvent
    at = rows.symbol[rows.priced]
    volume, day_volume, count = (column[rows.priced] for column in (rows.volume, rows.day_volume, rows.count))
    columns: list[Ints | Floats] = [
        at, volume, day_volume, np.round(rows.turnover[rows.priced] / (volume * 10_000), 4), rows.open[rows.priced],
        rows.close[rows.priced], rows.high[rows.priced], rows.low[rows.priced],
        np.round(rows.day_turnover[rows.priced] / (day_volume * 10_000), 4), volume // count, official_open[at],
    ]  # fmt: skip
    tickers, start, end = universe.tickers, rows.start, rows.start + rows.length
    return [
        kind(
            tickers[symbol], v, av, vw, o / 10_000, c / 10_000, h / 10_000, low / 10_000, a, z, start, end,
            f"{v}.0", f"{av}.0", op / 10_000 if op else None,
        )
        for symbol, v, av, vw, o, c, h, low, a, z, op in zip(*(column.tolist() for column in columns), strict=True)
    ]  # fmt: skip
