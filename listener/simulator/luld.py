"""Limit-up-limit-down: price bands around a reference price, trading pauses, and reopenings.

After the plan of the US exchanges: the reference is the mean price of the last five minutes and follows it when they
are one percent apart; a symbol whose price stays at a band for 15 seconds is halted for five minutes.
"""

from typing import Final, NamedTuple

import numpy as np

from listener.simulator.book import Book
from listener.simulator.trading_days import MINUTE, SECOND, TradingDay
from listener.simulator.universe import UNIT, Floats, Ints, Universe, to_tick

INTRADAY, HALT, REOPEN, CHANGE, REPUBLISHED = 15, 17, 18, 21, 22
NO_BAND: Final = np.int64(2**62)
LIMIT_STATE: Final = 15 * SECOND
PAUSE: Final = 5 * MINUTE
# Pauses this late would run into the closing auction.
_LAST_PAUSE: Final = 10 * MINUTE
_FIRST_BANDS_OVER: Final = 45
_REPUBLISH_EVERY: Final = 15 * 60
_AVERAGE_SECONDS: Final = 300.0
_NASDAQ: Final = 0


class BandChange(NamedTuple):
    """A message about a symbol's bands; prices in ten-thousandths of a dollar, both 0 during a halt."""

    symbol: int
    upper: int
    lower: int
    indicator: int


class Pause(NamedTuple):
    """A trading pause: when it began, at which price, and when trading resumed, None until then."""

    symbol: int
    at: int
    price: float
    resumed_at: int | None


class Bands:
    """Bands, halts and reopenings of all symbols, advanced once a second.

    Args:
        universe: The symbols.
        book: Where bands and halts take effect.
        day: The trading day.
        at: The instant to start at, epoch ms; inside the regular session all bands stand already.

    Attributes:
        pauses: The day's pauses of symbols whose halts the stream does not tell.
    """

    def __init__(self, universe: Universe, book: Book, day: TradingDay, at: int) -> None:
        n = len(universe)
        self._universe, self._book, self._day = universe, book, day
        self._average = book.price.copy()
        self._reference = book.price.copy()
        self._limit_since = np.zeros(n, np.int64)
        self._turn = np.arange(n)
        self.halted_until = np.zeros(n, np.int64)
        self.pauses: list[Pause] = []
        book.upper[:], book.lower[:] = NO_BAND, 0
        if day.open < at < day.close:
            self._set(np.arange(n), at)

    def _width(self, symbols: Ints, at: int) -> Floats:
        reference = self._reference[symbols]
        tier_1 = self._universe.tier_1[symbols]
        width = np.where(tier_1, 0.05, 0.10)
        width = np.where(reference <= 3 * UNIT, 0.20, width)
        width = np.where(reference < 0.75 * UNIT, np.minimum(0.75, 0.15 * UNIT / reference), width)
        if at >= self._day.close - 25 * MINUTE:
            width = np.where(tier_1 | (reference <= 3 * UNIT), 2 * width, width)
        return np.asarray(width)

    def _set(self, symbols: Ints, at: int) -> None:
        width = self._width(symbols, at)
        self._book.upper[symbols] = to_tick(self._reference[symbols] * (1 + width))
        self._book.lower[symbols] = to_tick(self._reference[symbols] * (1 - width))

    def _changes(self, symbols: Ints, indicator: int) -> list[BandChange]:
        upper, lower = self._book.upper[symbols].tolist(), self._book.lower[symbols].tolist()
        return [BandChange(*row, indicator) for row in zip(symbols.tolist(), upper, lower, strict=True)]

    def _listed_on_nasdaq(self, symbol: int) -> bool:
        return int(self._universe.listing[symbol]) == _NASDAQ

    def each_second(self, at: int, rng: np.random.Generator) -> tuple[list[BandChange], Ints]:
        """Advance to the whole second `at` (epoch ms).

        Returns:
            What to publish, and the symbols that reopen now.
        """
        book, day = self._book, self._day
        none = np.zeros(0, np.int64)
        if at < day.open or at > day.close:
            return [], none
        if at == day.close:
            book.upper[:], book.lower[:] = NO_BAND, 0
            over = np.flatnonzero(book.halted)
            book.halted[:] = False
            self._resumed(over, at)
            return [], over
        self._average += (book.price - self._average) / _AVERAGE_SECONDS
        since_open = (at - day.open) // SECOND
        if since_open < _FIRST_BANDS_OVER:
            first = np.flatnonzero(self._turn % _FIRST_BANDS_OVER == since_open)
            self._average[first] = self._reference[first] = book.price[first]
            self._set(first, at)
            return self._changes(first, INTRADAY), none
        changes: list[BandChange] = []
        reopening = np.flatnonzero(book.halted & (self.halted_until <= at))
        if len(reopening):
            self._reopen(reopening, at, rng)
            changes += [
                change if self._listed_on_nasdaq(change.symbol) else change._replace(indicator=CHANGE)
                for change in self._changes(reopening, REOPEN)
            ]
        moved = np.flatnonzero((np.abs(self._average - self._reference) >= 0.01 * self._reference) & ~book.halted)
        if len(moved):
            self._reference[moved] = self._average[moved]
            self._set(moved, at)
            changes += self._changes(moved, CHANGE)
        if at == day.close - 25 * MINUTE:
            self._set(self._turn, at)
        turn = np.flatnonzero((self._turn % _REPUBLISH_EVERY == since_open % _REPUBLISH_EVERY) & ~book.halted)
        changes += self._changes(turn, REPUBLISHED)
        changes += self._halts(at)
        return changes, reopening

    def _reopen(self, symbols: Ints, at: int, rng: np.random.Generator) -> None:
        book = self._book
        book.halted[symbols] = False
        self._resumed(symbols, at)
        price = book.price[symbols] * np.exp(rng.normal(0.0, 0.04, len(symbols)))
        self._reference[symbols] = self._average[symbols] = price
        self._set(symbols, at)
        book.reprice(symbols, price, at)

    def _resumed(self, symbols: Ints, at: int) -> None:
        over = set(symbols.tolist())
        self.pauses = [
            pause._replace(resumed_at=at) if pause.resumed_at is None and pause.symbol in over else pause
            for pause in self.pauses
        ]

    def _halts(self, at: int) -> list[BandChange]:
        book = self._book
        at_limit = ((book.price >= book.upper) | (book.price <= book.lower)) & ~book.halted
        self._limit_since = np.where(at_limit, np.where(self._limit_since == 0, at, self._limit_since), 0)
        if at > self._day.close - _LAST_PAUSE:
            return []
        pausing = np.flatnonzero(at_limit & (at - self._limit_since >= LIMIT_STATE))
        book.halted[pausing] = True
        self._limit_since[pausing] = 0
        self.halted_until[pausing] = at + PAUSE
        self.pauses += [
            Pause(symbol, at, float(book.price[symbol]), None)
            for symbol in pausing.tolist()
            if not self._listed_on_nasdaq(symbol)
        ]
        return [
            BandChange(symbol, 0, 0, HALT if self._listed_on_nasdaq(symbol) else CHANGE) for symbol in pausing.tolist()
        ]
