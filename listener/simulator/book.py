"""The best bid and offer of every symbol: a price that moves when looked at, and the quotes around it."""

from dataclasses import dataclass

import numpy as np

from listener.simulator.prints import LIT_IDS
from listener.simulator.trading_days import MINUTE
from listener.simulator.universe import Bools, Floats, Ints, Universe, tick_of
from listener.simulator.wire import QuoteEvent

_REGULAR_SESSION = 390 * MINUTE
# A millisecond outside regular hours moves prices this much less (as a share of the variance).
_EXTENDED_VARIANCE = 0.12
_FAR = np.int64(2**62)


@dataclass(slots=True)
class Quotes:
    """Quotes in the order in which they are sent; parallel arrays.

    Attributes:
        symbol: Index into the universe.
        at: Event time, epoch ms.
        bid: Ten-thousandths of a dollar.
        ask: Ten-thousandths of a dollar.
        bid_size: Round lots.
        ask_size: Round lots.
        bid_venue: Massive's exchange id.
        ask_venue: Massive's exchange id.
        seq: Sequence number.
    """

    symbol: Ints
    at: Ints
    bid: Ints
    ask: Ints
    bid_size: Ints
    ask_size: Ints
    bid_venue: Ints
    ask_venue: Ints
    seq: Ints

    def __len__(self) -> int:
        return len(self.symbol)


def quote_events(quotes: Quotes, universe: Universe) -> list[QuoteEvent]:
    """The quotes as Massive's `Q` events, in the same order."""
    tickers = universe.tickers
    columns = (
        quotes.symbol, quotes.bid_venue, quotes.bid, quotes.bid_size, quotes.ask_venue, quotes.ask, quotes.ask_size,
        quotes.at, quotes.seq, universe.tape[quotes.symbol],
    )  # fmt: skip
    return [
        QuoteEvent(tickers[symbol], bx, bid / 10_000, bs, ax, ask / 10_000, size, 1, at, seq, tape)
        for symbol, bx, bid, bs, ax, ask, size, at, seq, tape in zip(*(c.tolist() for c in columns), strict=True)
    ]


class Book:
    """Prices and quotes; arrays have one element a symbol.

    A symbol's price moves only when the tape touches it, by what has gathered since the last touch: the market's
    factor times its beta, its own random walk over that time, and the pull of its bursts. `inner_bid` and `inner_ask`
    are where it trades; `bid` and `ask`, what was last quoted, are never inside them.

    Args:
        universe: The symbols.
        price: Prices to start from, ten-thousandths of a dollar.
        at: The instant they hold for, epoch ms.
    """

    def __init__(self, universe: Universe, price: Floats, at: int) -> None:
        n = len(universe)
        self._beta = universe.beta
        self._half_spread = universe.half_spread
        # Variance of the log price a millisecond of the regular session.
        self._variance = universe.own_sigma**2 * 0.85 / _REGULAR_SESSION
        self.price = price.copy()
        # Milliseconds of regular trading, in which those outside regular hours count for little.
        self._clock, self._clock_at, self._clock_rate = 0.0, at, 1.0
        self._factor = 0.0
        self._pull = np.zeros(n)
        self._clock_seen, self._factor_seen, self._pull_seen = np.zeros(n), np.zeros(n), np.zeros(n)
        self.upper = np.full(n, _FAR)
        self.lower = np.zeros(n, dtype=np.int64)
        self.halted: Bools = np.zeros(n, dtype=np.bool_)
        self.inner_bid = np.zeros(n, dtype=np.int64)
        self.inner_ask = np.zeros(n, dtype=np.int64)
        self._set_inner(np.arange(n), 1.0)
        self.bid, self.ask = self.inner_bid.copy(), self.inner_ask.copy()
        self.bid_size = np.ones(n, dtype=np.int64)
        self.ask_size = np.ones(n, dtype=np.int64)
        self.quoted_at = np.full(n, at, dtype=np.int64)

    def pass_second(self, at: int, regular: bool, factor_move: float, pulled: Ints, pulls: Floats) -> None:
        """Let a second pass that begins at `at` (epoch ms).

        Args:
            at: Epoch ms.
            regular: Whether it is one of the regular session.
            factor_move: Log move of the market's factor.
            pulled: Symbols in a burst; repeats add up.
            pulls: Their log moves in this second.
        """
        self._clock = self._time(at)
        self._clock_at, self._clock_rate = at, 1.0 if regular else _EXTENDED_VARIANCE
        self._factor += factor_move
        np.add.at(self._pull, pulled, pulls)

    def _time(self, at: int) -> float:
        return self._clock + (at - self._clock_at) * self._clock_rate

    def move(self, symbols: Ints, at: int, regular: bool, rng: np.random.Generator) -> None:
        """Move the prices of `symbols` (unique indices) on to `at` (epoch ms) and set where they trade."""
        variance = self._variance[symbols] * (self._time(at) - self._clock_seen[symbols])
        log_move = (
            self._beta[symbols] * (self._factor - self._factor_seen[symbols])
            + np.sqrt(variance) * rng.standard_normal(len(symbols))
            + self._pull[symbols]
            - self._pull_seen[symbols]
        )
        self._put(symbols, self.price[symbols] * np.exp(log_move), at, 1.0 if regular else 2.5)

    def reprice(self, symbols: Ints, price: Floats, at: int) -> None:
        """Put `symbols` at new prices as of `at` (epoch ms), as after a halt; what had gathered is spent."""
        self._put(symbols, price, at, 1.0)

    def _put(self, symbols: Ints, price: Floats, at: int, width: float) -> None:
        self.price[symbols] = np.maximum(price, 50.0)
        self._clock_seen[symbols] = self._time(at)
        self._factor_seen[symbols] = self._factor
        self._pull_seen[symbols] = self._pull[symbols]
        self._set_inner(symbols, width)

    def _set_inner(self, symbols: Ints, width: float) -> None:
        price = self.price[symbols]
        tick = tick_of(price)
        half = self._half_spread[symbols] * width * price
        bid = ((price - half) // tick).astype(np.int64) * tick
        ask = np.maximum(np.ceil((price + half) / tick).astype(np.int64) * tick, bid + tick)
        # Nothing is quoted through a limit-up-limit-down band.
        upper, lower = self.upper[symbols], self.lower[symbols]
        ask = np.minimum(ask, upper)
        bid = np.maximum(np.minimum(bid, ask - tick), np.maximum(lower, tick))
        self.inner_bid[symbols] = bid
        self.inner_ask[symbols] = np.maximum(ask, bid + tick)

    def quote(self, symbols: Ints, at: Ints, rng: np.random.Generator) -> Quotes:
        """Quote `symbols` (in the order of `at`, epoch ms; repeats allowed) at or one tick outside where they trade."""
        count = len(symbols)
        chance = rng.random((4, count))
        tick = tick_of(self.inner_bid[symbols])
        bid = self.inner_bid[symbols]
        bid = np.where((chance[0] < 0.15) & (bid - tick >= self.lower[symbols]), np.maximum(bid - tick, tick), bid)
        ask = self.inner_ask[symbols] + tick * (chance[1] < 0.15)
        ask = np.minimum(ask, np.maximum(self.upper[symbols], self.inner_ask[symbols]))
        sizes = (1 + 12 * chance[2:] ** 3).astype(np.int64)
        venues = rng.integers(0, 8, (2, count))
        quotes = Quotes(
            symbols, at, bid, ask, sizes[0], sizes[1], LIT_IDS[venues[0]], LIT_IDS[venues[1]], np.zeros(count, np.int64)
        )
        # Of several quotes of one symbol the last assignment stays, which is the latest.
        self.bid[symbols], self.ask[symbols] = bid, ask
        self.bid_size[symbols], self.ask_size[symbols] = sizes[0], sizes[1]
        self.quoted_at[symbols] = at
        return quotes
