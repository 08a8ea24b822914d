"""Bars of one symbol in time order, and how they are split and joined."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from listener.simulator.universe import Floats, Ints, tick_of


@dataclass(frozen=True, slots=True)
class BarSeries:
    """Bars of one symbol, oldest first; parallel arrays.

    Attributes:
        start: Epoch ms.
        open: Ten-thousandths of a dollar; as are high, low, close.
        volume: Shares.
        turnover: Sum of price times size.
        count: Prints.
    """

    start: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    turnover: Ints
    count: Ints

    def __len__(self) -> int:
        return len(self.start)

    def columns(self) -> tuple[Ints, ...]:
        """The columns in the order of the attributes."""
        return (self.start, self.open, self.high, self.low, self.close, self.volume, self.turnover, self.count)

    @classmethod
    def empty(cls) -> Self:
        """No bars."""
        return cls(*(np.zeros(0, np.int64) for _ in range(8)))

    @classmethod
    def of(cls, rows: list[tuple[int, ...]]) -> Self:
        """Bars from rows of (start, open, high, low, close, volume, turnover, count)."""
        return cls(*np.array(rows, np.int64).T) if rows else cls.empty()

    @classmethod
    def join(cls, parts: list["BarSeries"]) -> Self:
        """The bars of `parts`, one after the other."""
        return (
            cls(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))
            if parts
            else cls.empty()
        )

    def between(self, start: int, end: int) -> Self:
        """The bars that start in [start, end)."""
        inside = (self.start >= start) & (self.start < end)
        return type(self)(*(column[inside] for column in self.columns()))

    def in_other_shares(self, factor: float) -> Self:
        """The bars after a split that makes `factor` shares of one."""
        if factor == 1.0:
            return self
        prices = np.array([self.open, self.high, self.low, self.close])
        opens, high, low, close = np.rint(prices / factor).astype(np.int64)
        volume = np.rint(self.volume * factor).astype(np.int64)
        return type(self)(self.start, opens, high, low, close, volume, self.turnover, self.count)

    def merged(self, starts: Ints) -> Self:
        """Bars with equal `starts` (one for each bar, ascending) made one."""
        if not len(self):
            return self
        first = np.flatnonzero(np.r_[True, starts[1:] != starts[:-1]])
        last = np.r_[first[1:], len(starts)] - 1
        return type(self)(
            starts[first],
            self.open[first],
            np.maximum.reduceat(self.high, first),
            np.minimum.reduceat(self.low, first),
            self.close[last],
            np.add.reduceat(self.volume, first),
            np.add.reduceat(self.turnover, first),
            np.add.reduceat(self.count, first),
        )


def split(rng: np.random.Generator, bar: tuple[int, ...], slots: Ints, weights: Floats) -> BarSeries:
    """Shorter bars whose aggregation is `bar`, exactly.

    Args:
        rng: Decides where the volume falls and how the price wanders.
        bar: (open, high, low, close, volume, count), prices in ten-thousandths of a dollar.
        slots: Starts of the shorter spans, epoch ms, ascending.
        weights: How busy each slot is; not all 0.
    """
    opens, high, low, close, volume, count = bar
    if volume <= 0 or not len(slots):
        return BarSeries.empty()
    used = min(len(slots), int(np.count_nonzero(weights)), max(1, count), volume)
    at = np.sort(rng.choice(len(slots), size=used, replace=False, p=weights / weights.sum()))
    shares = rng.gamma(1.5, weights[at] + 1e-9)
    edges = np.floor(np.cumsum(shares) / shares.sum() * (volume - used)).astype(np.int64)
    edges[-1] = volume - used
    volumes = np.diff(edges, prepend=0) + 1
    counts = np.maximum(1, volumes * count // volume)
    # A bridge from open to close that keeps within the bar; then the extremes are put where it came nearest to them.
    steps = np.cumsum(rng.standard_normal(used)) * max(high - low, 1) / (2 * np.sqrt(used))
    ramp = np.arange(1, used + 1) / used
    tick = int(tick_of(np.array([low]))[0])
    path = np.rint((opens + (close - opens) * ramp + steps - steps[-1] * ramp) / tick).astype(np.int64) * tick
    path = np.clip(path, low, high)
    path[-1] = close
    start = np.r_[opens, path[:-1]]
    highs, lows = np.maximum(start, path), np.minimum(start, path)
    highs[np.argmax(highs)] = high
    lows[np.argmin(lows)] = low
    middle = (start + highs + lows + path) // 4
    return BarSeries(slots[at], start, highs, lows, path, volumes, middle * volumes, counts)
