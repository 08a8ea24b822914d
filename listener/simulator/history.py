"""The days before: daily figures drawn back from the run's first day, and those of the days it has finished."""

import datetime as dt
from functools import lru_cache

import numpy as np

from listener.simulator.figures import POST, PRE, REGULAR, DayFigures
from listener.simulator.pace import Pace
from listener.simulator.trading_days import TradingCalendar, TradingDay
from listener.simulator.universe import MARKET_DAY_VOLATILITY, STREAM_HISTORY, Floats, Ints, Universe, stream, to_tick

HISTORY_DAYS = 120
AVERAGE_DAYS = 30
_VOLUME = 1
# Share of a drawn day's shares by session.
_SHARES = ((PRE, 0.03), (REGULAR, 0.94), (POST, 0.03))


class History:
    """Daily figures of every trading day from `HISTORY_DAYS` before the run.

    Args:
        universe: The symbols; their prices are the closes of the day before `first`.
        calendar: The trading days.
        first: The run's first day.
        pace: How busy the market is.
    """

    def __init__(self, universe: Universe, calendar: TradingCalendar, first: TradingDay, pace: Pace) -> None:
        self._universe, self._calendar, self._pace = universe, calendar, pace
        self.first = first.date
        self._finished: dict[dt.date, DayFigures] = {}
        self._closes: dict[dt.date, Ints] = {}
        close = universe.price.astype(np.float64)
        for day in calendar.before(first.date, HISTORY_DAYS + 1):
            self._closes[day.date] = to_tick(close)
            rng = stream(universe.seed, STREAM_HISTORY, day.date.toordinal())
            market = rng.normal(0.0003, MARKET_DAY_VOLATILITY)
            move = universe.beta * market + universe.own_sigma * rng.standard_normal(len(universe))
            close = np.maximum(close / np.exp(move), 50.0)
        self._dates = sorted(self._closes)
        self._drawn = lru_cache(maxsize=8)(self._draw)

    def finish(self, figures: DayFigures, close_before: Ints) -> Ints:
        """Take over a day that is over; returns the closes to start the next day from, by symbol."""
        date = figures.day.date
        close = np.where(figures.close[REGULAR] > 0, figures.close[REGULAR], figures.last)
        self._closes[date] = np.where(close > 0, close, close_before)
        self._finished[date] = figures
        for old in [known for known in self._finished if known < date - dt.timedelta(HISTORY_DAYS)]:
            del self._finished[old], self._closes[old]
        return self._closes[date]

    def day(self, date: dt.date) -> DayFigures | None:
        """The figures of a past day, None when it was no trading day or is too long ago."""
        if date in self._finished:
            return self._finished[date]
        if date not in self._closes or date == self._dates[0]:
            return None
        return self._drawn(date)

    def shares_of(self, date: dt.date) -> dt.date:
        """The day in whose shares a day's figures are: its own if it was played, else the run's first."""
        return max(date, self.first)

    def close_before(self, date: dt.date) -> Ints:
        """Closes of the trading day before `date`, by symbol."""
        return self._closes[self._calendar.before(date, 1)[0].date]

    def average_volume(self, date: dt.date) -> Ints:
        """Mean shares of the last 30 days before `date`, by symbol."""
        days = [day.date for day in self._calendar.before(date, AVERAGE_DAYS)]
        total = np.zeros(len(self._universe), np.int64)
        for known in days:
            total += self._finished[known].volume if known in self._finished else self._volume(known)
        return total // len(days)

    def _volume(self, date: dt.date) -> Ints:
        rng = stream(self._universe.seed, STREAM_HISTORY, date.toordinal(), _VOLUME)
        business = np.exp(rng.normal(-0.06, 0.35, len(self._universe)))
        return np.maximum(100, self._pace.average_volume * business).astype(np.int64)

    def _draw(self, date: dt.date) -> DayFigures:
        universe, n = self._universe, len(self._universe)
        rng = stream(universe.seed, STREAM_HISTORY, date.toordinal(), 2)
        day = self._calendar.day(date)
        before = self._closes[self._dates[self._dates.index(date) - 1]].astype(np.float64)
        close = self._closes[date].astype(np.float64)
        sigma = universe.own_sigma
        opens = before * np.exp(0.35 * sigma * rng.standard_normal(n))
        after = close * np.exp(0.1 * sigma * rng.standard_normal(n))
        if day is None:
            raise ValueError(f"{date} is no trading day")
        figures = DayFigures.empty(day, n)
        volume = self._volume(date)
        ends = {PRE: (before, opens), REGULAR: (opens, close), POST: (close, after)}
        left = volume.copy()
        for session, share in _SHARES:
            part = left if session == POST else (volume * share).astype(np.int64)
            left = left - part
            self._add_session(figures, session, ends[session], part, rng)
        figures.official_open[:] = figures.open[REGULAR]
        return figures

    def _add_session(
        self, figures: DayFigures, session: int, ends: tuple[Floats, Floats], volume: Ints, rng: np.random.Generator
    ) -> None:
        first, last = to_tick(ends[0]), to_tick(ends[1])
        reach = np.abs(rng.normal(0.0, 0.4 if session == REGULAR else 0.1, (2, len(first)))) * self._universe.own_sigma
        high = np.maximum(to_tick(np.maximum(*ends) * np.exp(reach[0])), np.maximum(first, last))
        low = np.minimum(to_tick(np.minimum(*ends) * np.exp(-reach[1])), np.minimum(first, last))
        at = {PRE: figures.day.start, REGULAR: figures.day.open, POST: figures.day.close}[session]
        traded = np.flatnonzero(volume > 0)
        count = np.maximum(1, volume // self._pace.mean_size).astype(np.int64)
        middle = (first + high + low + last) // 4
        figures.add(
            at, traded, first[traded], high[traded], low[traded], last[traded], volume[traded],
            (middle * volume)[traded], count[traded], np.ones(len(traded), np.bool_),
        )  # fmt: skip
