"""A trading day in figures: what each symbol did so far, by session."""

from dataclasses import dataclass, field

import numpy as np

from listener.simulator.prints import COUNTS_HIGH_LOW, COUNTS_VOLUME
from listener.simulator.trading_days import TradingDay
from listener.simulator.universe import Bools, Ints

PRE, REGULAR, POST = range(3)
NO_LOW = np.int64(2**62)


def _by_session(n: int) -> Ints:
    return np.zeros((3, n), np.int64)


@dataclass(slots=True)
class DayFigures:
    """Figures of one day; prices in ten-thousandths of a dollar, 0 (low: `NO_LOW`) where nothing counted yet.

    Attributes:
        day: The trading day.
        open: Shape (3 sessions, symbols), as are high, low, close, session_volume and count.
        volume: Shares of the whole day by symbol.
        turnover: Sum of price times size of the whole day by symbol.
        official_open: By symbol.
        last: The last close by symbol over all sessions.
    """

    day: TradingDay
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    session_volume: Ints
    count: Ints
    volume: Ints
    turnover: Ints
    official_open: Ints
    last: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.last = np.zeros(len(self.volume), np.int64)

    @classmethod
    def empty(cls, day: TradingDay, n: int) -> "DayFigures":
        """The figures at the start of a day."""
        low = np.full((3, n), NO_LOW)
        flat = [np.zeros(n, np.int64) for _ in range(3)]
        return cls(day, _by_session(n), _by_session(n), low, *(_by_session(n) for _ in range(3)), *flat)

    def session_index(self, at: int) -> int:
        """Which row of the session figures `at` (epoch ms) belongs to."""
        return PRE if at < self.day.open else REGULAR if at < self.day.close else POST

    def add(
        self, at: int, symbols: Ints, opens: Ints, high: Ints, low: Ints, close: Ints, volume: Ints, turnover: Ints,
        count: Ints, priced: Bools,
    ) -> None:  # fmt: skip
        """Count a span that begins at `at`; `symbols` are unique, the other arrays parallel to them."""
        session = self.session_index(at)
        self.volume[symbols] += volume
        self.turnover[symbols] += turnover
        self.session_volume[session, symbols] += volume
        self.count[session, symbols] += count
        self.high[session, symbols] = np.maximum(self.high[session, symbols], high)
        self.low[session, symbols] = np.minimum(self.low[session, symbols], low)
        with_price = symbols[priced]
        before = self.open[session, with_price]
        self.open[session, with_price] = np.where(before == 0, opens[priced], before)
        self.close[session, with_price] = close[priced]
        self.last[with_price] = close[priced]

    def add_late(self, symbol: int, at: int, price: int, size: int, code: int) -> None:
        """Count one print reported late, which never counts for open and close."""
        session = self.session_index(at)
        if COUNTS_VOLUME[code]:
            self.volume[symbol] += size
            self.turnover[symbol] += price * size
            self.session_volume[session, symbol] += size
            self.count[session, symbol] += 1
        if COUNTS_HIGH_LOW[code]:
            self.high[session, symbol] = max(self.high[session, symbol], price)
            self.low[session, symbol] = min(self.low[session, symbol], price)
