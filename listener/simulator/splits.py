"""The simulated market's stock splits: about one a trading day, each symbol rarely."""

import datetime as dt
from functools import lru_cache
from typing import Any, Final

import numpy as np

from listener.simulator.trading_days import TradingCalendar
from listener.simulator.universe import STREAM_UNIVERSE, Floats, Universe, stream

# Days from one split of a symbol to its next, at least.
_LEAST_DAYS: Final = 100
_FORWARD: Final = (1.0, 2.0)
_REVERSE: Final = (10.0, 1.0)
Row = dict[str, Any]


class SplitPlan:
    """Which symbol splits on which trading day; of any day, before the run and after it.

    Args:
        universe: The symbols.
        calendar: The trading days: no split takes effect on another.
    """

    def __init__(self, universe: Universe, calendar: TradingCalendar) -> None:
        rng = stream(universe.seed, STREAM_UNIVERSE, len(universe), 1)
        self._universe, self._calendar = universe, calendar
        self._turns = rng.permutation(max(len(universe), _LEAST_DAYS))
        self._forward = rng.random(len(self._turns)) < 0.5
        self.factors = lru_cache(maxsize=64)(self._factors)

    def on(self, date: dt.date) -> tuple[int, float, float] | None:
        """The split that takes effect on a date: symbol, old shares, new shares."""
        turn = date.toordinal() % len(self._turns)
        symbol = int(self._turns[turn])
        if symbol >= len(self._universe) or self._calendar.day(date) is None:
            return None
        return (symbol, *(_FORWARD if self._forward[turn] else _REVERSE))

    def _factors(self, shares_of: dt.date, into: dt.date) -> Floats:
        """By symbol: how many shares of the day `into` one share of the day `shares_of` is."""
        factors = np.ones(len(self._universe))
        date, last = min(shares_of, into), max(shares_of, into)
        while date < last:
            date += dt.timedelta(1)
            if (split := self.on(date)) is not None:
                factors[split[0]] *= split[2] / split[1]
        return factors if shares_of <= into else 1 / factors

    def rows(self, first: dt.date, last: dt.date) -> list[Row]:
        """Massive's objects of the splits from `first` to `last`, newest first."""
        rows: list[Row] = []
        for ordinal in range(last.toordinal(), first.toordinal() - 1, -1):
            date = dt.date.fromordinal(ordinal)
            if (split := self.on(date)) is None:
                continue
            symbol, old, new = split
            ticker = self._universe.tickers[symbol]
            rows.append(
                {
                    "id": f"S{ordinal}{ticker}",
                    "ticker": ticker,
                    "execution_date": date.isoformat(),
                    "split_from": old,
                    "split_to": new,
                    "adjustment_type": "forward_split" if new > old else "reverse_split",
                    "historical_adjustment_factor": old / new,
                }
            )
        return rows
