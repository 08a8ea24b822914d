"""One trading day as it is printed: trades, quotes, bands and bars, step by step.

Every step covers `STEP` milliseconds of market time and draws from a random stream of its own, so that what happens
depends on the seed, the start and the market's own past, never on the wall clock or on who listens.
"""

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np

from listener.simulator.auctions import plan_auctions
from listener.simulator.bar_rows import BarRows
from listener.simulator.bars import BAR_DELAY, Aggregator
from listener.simulator.book import Book, Quotes
from listener.simulator.luld import BandChange, Bands
from listener.simulator.opening import draw_day_so_far
from listener.simulator.pace import QUOTES_A_PRINT, Pace
from listener.simulator.plan import DayPlan
from listener.simulator.prints import (
    BIT_AVERAGE,
    BIT_FORM_T,
    BIT_ODD,
    BIT_OUT_OF_SEQUENCE,
    BIT_SWEEP,
    CLOSING,
    COUNTS_OPEN_CLOSE,
    OFFICIAL_CLOSE,
    OFFICIAL_OPEN,
    OPENING,
    REOPENING,
    VENUE_CUM,
    VENUE_IDS,
    Prints,
)
from listener.simulator.rhythm import intensity
from listener.simulator.trading_days import MINUTE, SECOND
from listener.simulator.universe import (
    MARKET_DAY_VOLATILITY,
    ODD_LOT_SHARE,
    STREAM_STEP,
    Floats,
    Ints,
    Universe,
    odd_lots,
    round_lots,
    stream,
    to_tick,
)

STEP: Final = 100
_AFTER_HOURS: Final = 3 * SECOND  # the last bars leave after the end of the day
_LATE_SHARE: Final = 0.0012
_LATE_MIN, _LATE_MAX = 3 * SECOND, 60 * SECOND
_FLATTER: Final = 0.85  # quotes are spread more evenly over symbols than trades
_FACTOR_A_SECOND: Final = MARKET_DAY_VOLATILITY / np.sqrt(390 * 60)
_NEVER: Final = np.int64(2**62)


@dataclass(slots=True)
class Step:
    """What is reported within one step, in the order of sending: prints and quotes by `seq`, halts after them, then
    bars.

    Attributes:
        start: Epoch ms.
        prints: Trades.
        quotes: Quotes.
        bands: Band changes with their sequence numbers.
        bars: Second and minute bars due.
    """

    start: int
    prints: Prints
    quotes: Quotes
    bands: list[tuple[BandChange, int]]
    bars: list[BarRows]


@dataclass(slots=True)
class LastPrints:
    """The last print of each symbol; parallel to the universe."""

    at: Ints
    price: Ints
    size: Ints
    code: Ints
    venue: Ints
    number: Ints


class DayTape:
    """Prints one trading day from an instant on.

    Args:
        universe: The symbols.
        plan: The day.
        pace: How busy the market is.
        close_before: Close of the day before by symbol, ten-thousandths of a dollar.
        start: Where to start, epoch ms; what came before is drawn by the shortcut of `opening`.
    """

    def __init__(self, universe: Universe, plan: DayPlan, pace: Pace, close_before: Ints, start: int) -> None:
        self.universe, self.plan, self.day = universe, plan, plan.day
        self.close_before = close_before
        self._pace = pace
        self.now = max(self.day.start, min(start, self.day.end + _AFTER_HOURS)) // SECOND * SECOND
        self._opening, self._closing = plan_auctions(universe, plan, pace.average_volume)
        self.so_far = draw_day_so_far(universe, plan, self._opening, close_before, self.now, pace)
        self.figures = self.so_far.figures
        self.book = Book(universe, self.so_far.price, self.now)
        self.bands = Bands(universe, self.book, self.day, self.now)
        self.aggregator = Aggregator(self.figures, self.now)
        n = len(universe)
        self._base = universe.activity * plan.business
        self._extended = self._base * plan.extended
        self._base_flat, self._extended_flat = self._base**_FLATTER, self._extended**_FLATTER
        self._trade_cum = self._quote_cum = np.zeros(n)
        self._trades_a_step = self._quotes_a_step = 0.0
        self._first_quote = np.full(n, _NEVER)
        self._late: list[tuple[int, int, Prints]] = []
        begun = int((self.now - self.day.start) / MINUTE * float(pace.trades_a_minute.sum()))
        self._seq, self._number = 1 + 5 * begun, 1 + begun
        last = np.where(self.figures.last > 0, self.figures.last, close_before)
        self.last = LastPrints(
            np.full(n, self.now - SECOND), last, np.full(n, 100), *(np.zeros(n, np.int64) for _ in range(3))
        )
        self.last.venue[:] = universe.exchange

    @property
    def over(self) -> bool:
        """Whether everything of the day has been reported."""
        return self.now >= self.day.end + _AFTER_HOURS

    def step(self) -> Step:
        """The next `STEP` milliseconds."""
        start, end = self.now, self.now + STEP
        self.now = end
        rng = stream(self.universe.seed, STREAM_STEP, start // STEP)
        bands: list[BandChange] = []
        reopening = np.zeros(0, np.int64)
        if start < self.day.end and start % SECOND == 0:
            bands, reopening = self._each_second(start, rng)
        opening_bands = [(change, self._next_seq()) for change in bands if change.upper]
        quotes, prints = self._trade(start, end, reopening, rng)
        late = self._due(end)
        self.aggregator.add(prints)
        if late is not None:
            self.aggregator.add_late(late)
            prints = Prints.join([prints, late])
        last = self.last
        last.at[prints.symbol], last.price[prints.symbol], last.size[prints.symbol] = (
            prints.at,
            prints.price,
            prints.size,
        )
        last.code[prints.symbol], last.venue[prints.symbol] = prints.code, prints.venue
        last.number[prints.symbol] = prints.number
        halts = [(change, self._next_seq()) for change in bands if not change.upper]
        bars = self.aggregator.flush(end - BAR_DELAY) if (end - BAR_DELAY) % SECOND == 0 else []
        return Step(start, prints, quotes, opening_bands + halts, bars)

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _each_second(self, at: int, rng: np.random.Generator) -> tuple[list[BandChange], Ints]:
        book, bursts = self.book, self.plan.bursts
        regular = self.day.open <= at < self.day.close
        active = bursts.active(at)
        factor_move = _FACTOR_A_SECOND * float(rng.standard_normal()) * (1.0 if regular else 0.35)
        book.pass_second(at, regular, factor_move, bursts.symbol[active], bursts.drift[active] * SECOND)
        crowd = np.ones(len(self.universe))
        np.maximum.at(crowd, bursts.symbol[active], bursts.business[active])
        changes, reopening = self.bands.each_second(at, rng)
        if any(not change.upper for change in changes):
            self._hurry_late({change.symbol for change in changes if not change.upper}, at)
        trading = ~book.halted
        trades = (self._base if regular else self._extended) * crowd * trading
        quotes = (self._base_flat if regular else self._extended_flat) * crowd**_FLATTER * trading
        self._trade_cum, self._quote_cum = np.cumsum(trades), np.cumsum(quotes)
        busy = float(intensity(self.day, np.array([at]))[0]) * float(self._pace.trades_a_minute.sum()) / MINUTE * STEP
        self._trades_a_step = busy * float(self._trade_cum[-1])
        self._quotes_a_step = busy * QUOTES_A_PRINT * float(self._quote_cum[-1] / self._base_flat.sum())
        return changes, reopening

    def _trade(self, start: int, end: int, reopening: Ints, rng: np.random.Generator) -> tuple[Quotes, Prints]:
        open_ = start < self.day.end
        traded = _draw(self._trade_cum, self._trades_a_step * open_, rng)
        quoted = _draw(self._quote_cum, self._quotes_a_step * open_, rng)
        crosses = self._crosses(start, end, reopening)
        # A cross is quoted first, so that it prints at a price that the market has seen.
        quoted = np.concatenate([crosses.symbol, quoted])
        quoted_at = np.concatenate(
            [np.full(len(crosses), start), start + np.sort(rng.integers(0, STEP, len(quoted) - len(crosses)))]
        )
        traded_at = start + np.sort(rng.integers(0, STEP, len(traded)))
        book = self.book
        before = book.inner_bid[traded], book.inner_ask[traded]
        regular = self.day.open <= start < self.day.close
        touched = np.unique(quoted)
        book.move(touched, start, regular, rng)
        self._first_quote[quoted[::-1]] = quoted_at[::-1]
        moved = traded_at >= self._first_quote[traded]
        self._first_quote[touched] = _NEVER
        bid = np.where(moved, book.inner_bid[traded], before[0])
        ask = np.where(moved, book.inner_ask[traded], before[1])
        quotes = book.quote(quoted, quoted_at, rng)
        prints = self._print(traded, traded_at, bid, ask, regular, rng)
        if len(crosses):
            crosses.price[:] = np.clip(
                to_tick(book.price[crosses.symbol]), book.inner_bid[crosses.symbol], book.inner_ask[crosses.symbol]
            )
            official = crosses.code == OFFICIAL_OPEN
            self.figures.official_open[crosses.symbol[official]] = crosses.price[official]
            prints = Prints.join([prints, crosses])
            prints = prints.take(np.argsort(prints.at, kind="stable"))
        self._number_all(prints, quotes)
        self._hold_back(prints, rng)
        return quotes, prints

    def _crosses(self, start: int, end: int, reopening: Ints) -> Prints:
        parts = [(reopening, np.full(len(reopening), start + 1), np.full(len(reopening), 1_000), REOPENING)]
        for auction, code, official in (
            (self._opening, OPENING, OFFICIAL_OPEN),
            (self._closing, CLOSING, OFFICIAL_CLOSE),
        ):
            symbols, at, size = auction.between(start, end)
            parts += [(symbols, at, size, code), (symbols, at, size, official)]
        symbol = np.concatenate([part[0] for part in parts])
        zeros = np.zeros((3, len(symbol)), np.int64)
        return Prints(
            symbol=symbol,
            at=np.concatenate([part[1] for part in parts]),
            price=zeros[0],
            size=np.concatenate([part[2] for part in parts]),
            code=np.repeat([part[3] for part in parts], [len(part[0]) for part in parts]),
            venue=self.universe.exchange[symbol],
            number=zeros[1],
            seq=zeros[2],
        )

    def _print(self, symbol: Ints, at: Ints, bid: Ints, ask: Ints, regular: bool, rng: np.random.Generator) -> Prints:
        count = len(symbol)
        side, lot, kind, venue = rng.random((4, count))
        middle = (bid + ask) // 2
        # Seven in eight print at the bid or the ask, the rest in between.
        price = np.where(side < 0.44, bid, np.where(side < 0.88, ask, middle))
        odd = lot < ODD_LOT_SHARE
        scale = self._pace.size_scale
        size = np.where(odd, odd_lots(rng, count), round_lots(rng, self.universe.size_factor[symbol] * scale))
        venues = VENUE_IDS[np.searchsorted(VENUE_CUM, venue)]
        code = (
            BIT_SWEEP * (kind < 0.25)
            + BIT_ODD * odd
            + (0 if regular else BIT_FORM_T)
            + BIT_AVERAGE * (kind > 0.998)
            + BIT_OUT_OF_SEQUENCE * ((kind > 0.9955) & (kind < 0.9965))
        )
        zeros = np.zeros((2, count), np.int64)
        return Prints(symbol, at, price, size, code.astype(np.int64), venues, zeros[0], zeros[1])

    def _number_all(self, prints: Prints, quotes: Quotes) -> None:
        """Sequence numbers over prints and quotes by event time, a quote before a print of the same instant."""
        order = np.argsort(np.concatenate([quotes.at, prints.at]), kind="stable")
        seq = np.empty(len(order), np.int64)
        seq[order] = np.arange(self._seq + 1, self._seq + 1 + len(order))
        self._seq += len(order)
        quotes.seq, prints.seq = seq[: len(quotes)], seq[len(quotes) :]
        prints.number = np.arange(self._number + 1, self._number + 1 + len(prints))
        self._number += len(prints)

    def _hold_back(self, prints: Prints, rng: np.random.Generator) -> None:
        """Beside a few prints another is made that will be reported late."""
        beside = (rng.random(len(prints)) < _LATE_SHARE) & COUNTS_OPEN_CLOSE[prints.code] & (prints.code < OPENING)
        for index in np.flatnonzero(beside & (prints.at < self.day.end - _LATE_MAX - SECOND)).tolist():
            held = prints.take(np.array([index]))
            self._number += 1
            held.number[:] = self._number
            held.code |= BIT_OUT_OF_SEQUENCE
            report_at = int(held.at[0]) + int(rng.integers(_LATE_MIN, _LATE_MAX))
            heapq.heappush(self._late, (report_at, self._number, held))

    def _hurry_late(self, symbols: set[int], at: int) -> None:
        """Report what is held back for `symbols` at once: they halt, and nothing is printed in a halt."""
        self._late = [
            (at if int(held.symbol[0]) in symbols else report_at, number, held)
            for report_at, number, held in self._late
        ]
        heapq.heapify(self._late)

    def _due(self, until: int) -> Prints | None:
        due = []
        while self._late and self._late[0][0] < until:
            held = heapq.heappop(self._late)[2]
            held.seq[:] = self._next_seq()
            due.append(held)
        return Prints.join(due) if due else None


def _draw(cumulative: Floats, expected: float, rng: np.random.Generator) -> Ints:
    count = int(rng.poisson(expected))
    return np.asarray(np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right"), np.int64)
