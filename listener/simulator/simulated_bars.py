"""The simulated market's bars of any day: as printed since the start of the run, before it drawn to fit the figures."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

import numpy as np

from listener.simulator.bar_rows import BarRows
from listener.simulator.figures import NO_LOW, POST, PRE, REGULAR, DayFigures
from listener.simulator.history import History
from listener.simulator.rhythm import intensity
from listener.simulator.series import BarSeries, split
from listener.simulator.splits import SplitPlan
from listener.simulator.tape import DayTape
from listener.simulator.trading_days import MINUTE, SECOND, TradingCalendar, new_york_ms
from listener.simulator.universe import STREAM_MINUTES, Floats, Ints, Universe, stream, to_tick

Row = dict[str, Any]


def vwap(turnover: int, volume: int) -> float:
    """Volume-weighted price in dollars, 0 without volume."""
    return round(turnover / (volume * 10_000), 4) if volume else 0.0


def daily_columns(figures: DayFigures) -> tuple[Ints, Ints, Ints, Ints]:
    """Open, high, low, close of a day by symbol: of the regular session, else of another; 0 without any."""
    pick = np.where(figures.open[REGULAR] > 0, REGULAR, np.where(figures.open[PRE] > 0, PRE, POST))
    at = np.arange(len(pick))
    low = figures.low[pick, at]
    return figures.open[pick, at], figures.high[pick, at], np.where(low == NO_LOW, 0, low), figures.close[pick, at]


class SimulatedBars:
    """Daily, minute and second bars.

    Args:
        universe: The symbols.
        calendar: The trading days.
        history: The days before.
        tape: The day under way.
    """

    def __init__(self, universe: Universe, calendar: TradingCalendar, history: History, tape: DayTape) -> None:
        self._universe, self._history, self._tape = universe, history, tape
        self.calendar = calendar
        self.split_plan = SplitPlan(universe, calendar)

    def after_splits(self, close: Ints, date: dt.date) -> Ints:
        """The closes of the day under way, by symbol, in the shares of a later date."""
        return to_tick(close / self.split_plan.factors(self._tape.day.date, date))

    def _figures(self, date: dt.date) -> DayFigures | None:
        return self._tape.figures if date == self._tape.day.date else self._history.day(date)

    def _factors(self, date: dt.date, adjusted: bool) -> Floats:
        """By symbol: shares of today, or of the date, for each share of the date's figures."""
        return self.split_plan.factors(self._history.shares_of(date), self._tape.day.date if adjusted else date)

    def grouped(self, date: dt.date, adjusted: bool) -> list[Row]:
        """Daily bars of all symbols that traded; of the day under way only when it is over."""
        if date == self._tape.day.date and not self._tape.over:
            return []
        figures = self._figures(date)
        if figures is None:
            return []
        start = new_york_ms(date, 16)
        factors = self._factors(date, adjusted)
        prices = (column / factors for column in daily_columns(figures))
        volume = np.rint(figures.volume * factors).astype(np.int64)
        columns = (*prices, volume, figures.turnover, figures.count.sum(axis=0))
        rows = zip(self._universe.tickers, *(column.tolist() for column in columns), strict=True)
        return [
            {
                "T": ticker, "v": v, "vw": vwap(value, v), "o": o / 10_000, "c": c / 10_000, "h": h / 10_000,
                "l": low / 10_000, "t": start, "n": n,
            }
            for ticker, o, h, low, c, v, value, n in rows
            if v and o
        ]  # fmt: skip

    def daily(self, ticker: str, first: dt.date, last: dt.date, adjusted: bool) -> BarSeries:
        """Daily bars from `first` to `last`, the day under way as far as it went."""
        at = self._universe.index.get(ticker)
        today = self._tape.day
        parts: list[BarSeries] = []
        days = [*self.calendar.before(today.date, 200)[::-1], today]
        for day in days if at is not None else []:
            figures = self._figures(day.date) if first <= day.date <= last else None
            if figures is None or not figures.volume[at]:
                continue
            opens, high, low, close = (int(column[at]) for column in daily_columns(figures))
            volume, turnover = int(figures.volume[at]), int(figures.turnover[at])
            count = int(figures.count[:, at].sum())
            bar = BarSeries.of([(new_york_ms(day.date, 0), opens, high, low, close, volume, turnover, count)])
            parts.append(bar.in_other_shares(float(self._factors(day.date, adjusted)[at])))
        return BarSeries.join(parts)

    def minutes(self, ticker: str, date: dt.date, adjusted: bool) -> BarSeries:
        """Minute bars of a symbol's day: drawn so that they add up to the day's figures, then as they were printed."""
        return self._in_shares(ticker, date, adjusted, self._minutes(ticker, date))

    def _in_shares(self, ticker: str, date: dt.date, adjusted: bool, bars: BarSeries) -> BarSeries:
        if not len(bars):
            return bars
        return bars.in_other_shares(float(self._factors(date, adjusted)[self._universe.index[ticker]]))

    def _minutes(self, ticker: str, date: dt.date) -> BarSeries:
        at, figures = self._universe.index.get(ticker), self._figures(date)
        if at is None or figures is None:
            return BarSeries.empty()
        if date != self._tape.day.date:
            day = figures.day
            return BarSeries.join(
                [
                    self._drawn_minutes(figures, at, start, end, _session_bar(figures, session, at))
                    for session, (start, end) in enumerate(
                        ((day.start, day.open), (day.open, day.close), (day.close, day.end))
                    )
                ]
            )
        parts = [
            self._drawn_minutes(
                figures,
                at,
                cell.start,
                cell.end,
                (*_row(at, cell.open, cell.high, cell.low, cell.close, cell.volume, cell.count),),
            )
            for cell in self._tape.so_far.cells
            if cell.volume[at]
        ]
        under_way = self._tape.aggregator.minute_under_way()
        printed = [*self._tape.aggregator.minutes, *([under_way] if under_way is not None else [])]
        return BarSeries.join([*parts, _printed(printed, at)])

    def seconds(self, ticker: str, date: dt.date, adjusted: bool) -> BarSeries:
        """Second bars of a symbol's day: the newest as printed, those before drawn into their minutes."""
        return self._in_shares(ticker, date, adjusted, self._seconds(ticker, date))

    def _seconds(self, ticker: str, date: dt.date) -> BarSeries:
        at = self._universe.index.get(ticker)
        minutes = self._minutes(ticker, date)
        printed, cutoff = BarSeries.empty(), 2**62
        if at is None:
            return printed
        if date == self._tape.day.date:
            aggregator = self._tape.aggregator
            cutoff = -(-aggregator.seconds_since // MINUTE) * MINUTE
            printed = _printed(aggregator.seconds, at).between(cutoff, 2**62)
        parts = []
        for start, opens, high, low, close, volume, _, count in zip(
            *(column.tolist() for column in minutes.between(0, cutoff).columns()), strict=True
        ):
            rng = stream(self._universe.seed, STREAM_MINUTES, at, start // MINUTE)
            slots = start + np.arange(60) * SECOND
            parts.append(split(rng, (opens, high, low, close, volume, count), slots, np.ones(60)))
        return BarSeries.join([*parts, printed])

    def _drawn_minutes(self, figures: DayFigures, at: int, start: int, end: int, bar: tuple[int, ...]) -> BarSeries:
        rng = stream(self._universe.seed, STREAM_MINUTES, at, start // MINUTE, 1)
        slots = np.arange(start, end, MINUTE)
        return split(rng, bar, slots, intensity(figures.day, slots + MINUTE // 2))


def _row(at: int, *columns: Ints) -> list[int]:
    return [int(column[at]) for column in columns]


def _session_bar(figures: DayFigures, session: int, at: int) -> tuple[int, ...]:
    columns = (figures.open, figures.high, figures.low, figures.close, figures.session_volume, figures.count)
    bar = tuple(int(column[session, at]) for column in columns)
    # Shares that printed only in odd lots have no price of their own; they leave no bar.
    return bar if bar[0] else (0, 0, 0, 0, 0, 0)


def _printed(bars: Iterable[BarRows], at: int) -> BarSeries:
    rows = []
    for bar in bars:
        row = bar.row_of(at)
        if row is not None and bar.priced[row]:
            columns = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.turnover, bar.count)
            rows.append((bar.start, *(int(column[row]) for column in columns)))
    return BarSeries.of(rows)
