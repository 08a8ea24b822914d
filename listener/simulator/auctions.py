"""The listing exchanges' opening and closing auctions."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from listener.simulator.plan import DayPlan
from listener.simulator.rhythm import CLOSING_SHARE, OPENING_SHARE
from listener.simulator.trading_days import MINUTE, SECOND
from listener.simulator.universe import STREAM_PLAN, Floats, Ints, Universe, stream

# A symbol with fewer prints a day than this opens and closes without an auction.
_AUCTION_MIN_TRADES: Final = 400.0
_AUCTIONS: Final = 2


@dataclass(frozen=True)
class Auction:
    """One auction of the day, its crosses ordered by time; parallel arrays.

    Attributes:
        symbol: Index into the universe.
        at: Epoch ms.
        size: Shares.
    """

    symbol: Ints
    at: Ints
    size: Ints

    def between(self, start: int, end: int) -> tuple[Ints, Ints, Ints]:
        """Symbols, times and sizes of the crosses in [start, end)."""
        part = slice(*np.searchsorted(self.at, (start, end)).tolist())
        return self.symbol[part], self.at[part], self.size[part]

    def size_of_all(self, n: int) -> Ints:
        """The crosses' sizes by symbol, 0 for those without."""
        sizes = np.zeros(n, np.int64)
        sizes[self.symbol] = self.size
        return sizes


def plan_auctions(universe: Universe, plan: DayPlan, average_volume: Floats) -> tuple[Auction, Auction]:
    """The opening and closing auctions of a day.

    Nasdaq opens at once, the others symbol by symbol over a minute; the close is over within ten seconds.

    Args:
        universe: The symbols.
        plan: The day.
        average_volume: Shares on an average day, by symbol.
    """
    rng = stream(universe.seed, STREAM_PLAN, plan.day.date.toordinal(), _AUCTIONS)
    n = len(universe)
    shares = average_volume * np.minimum(plan.business, 8.0)
    taking_part = universe.average_trades >= _AUCTION_MIN_TRADES
    nasdaq = universe.listing == 0
    spread_out = rng.random(n)
    opens = plan.day.open + np.where(nasdaq, 1.5 * SECOND, MINUTE) * spread_out**2
    closes = plan.day.close + 10 * SECOND * spread_out**2
    noise = np.exp(rng.normal(0.0, 0.5, (2, n)))
    return (
        _auction(opens, OPENING_SHARE * shares * noise[0], np.flatnonzero(taking_part)),
        _auction(closes, CLOSING_SHARE * shares * noise[1], np.flatnonzero(taking_part)),
    )


def _auction(at: Floats, size: Floats, symbols: Ints) -> Auction:
    order = symbols[np.argsort(at[symbols], kind="stable")]
    return Auction(order, at[order].astype(np.int64), np.maximum(100, size[order] // 100 * 100).astype(np.int64))
