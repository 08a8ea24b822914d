"""What REST tells of the simulated companies beside prices: shares sold short, and dividends."""

import datetime as dt
from typing import Any, Final

import numpy as np

from listener.simulator.trading_days import TradingCalendar
from listener.simulator.universe import STREAM_COMPANIES, UNIT, Universe, stream

Row = dict[str, Any]

# FINRA publishes a settlement's figures some eight trading days later.
_PUBLISHED_AFTER: Final = dt.timedelta(12)
_SETTLEMENTS: Final = 12
_DAYS_BACK: Final = 150
_SHORT_VOLUME_DAYS: Final = 60
_MID_MONTH: Final = 15
_PAYERS: Final = 0.4
_QUARTERS: Final = 9
_QUARTER: Final = dt.timedelta(91)


class Companies:
    """Each symbol's figures as of a date; the same for a seed, whenever they are asked for.

    Args:
        universe: The symbols.
        calendar: The trading days.
    """

    def __init__(self, universe: Universe, calendar: TradingCalendar) -> None:
        self._universe, self._calendar = universe, calendar

    def short_interest(self, ticker: str, today: dt.date, average_volume: float) -> list[Row]:
        """Shares sold short and not bought back, twice a month, newest first; none of an unknown symbol.

        Args:
            ticker: The symbol.
            today: As of when.
            average_volume: Shares a day.
        """
        at = self._universe.index.get(ticker)
        if at is None:
            return []
        rng = self._random(at)
        short = float(self._universe.free_float[at]) * rng.uniform(0.005, 0.25)
        rows: list[Row] = []
        for date in self._settlements(today):
            shares = round(short * (1 + 0.2 * np.sin(date.toordinal() / 40 + at)))
            volume = max(1, round(average_volume))
            rows.append(
                {
                    "ticker": ticker,
                    "settlement_date": date.isoformat(),
                    "short_interest": shares,
                    "avg_daily_volume": volume,
                    "days_to_cover": max(1.0, round(shares / volume, 2)),
                }
            )
        return rows

    def short_volume(self, ticker: str, today: dt.date, average_volume: float) -> list[Row]:
        """Shares sold short off the exchanges by day, newest first; arguments as of `short_interest`."""
        at = self._universe.index.get(ticker)
        if at is None:
            return []
        rng = self._random(at)
        rows: list[Row] = []
        for day in self._calendar.before(today, _SHORT_VOLUME_DAYS):
            total = round(average_volume * rng.uniform(0.25, 0.6))
            short = round(total * rng.uniform(0.3, 0.65))
            exempt = round(short * 0.01)
            rows.append(
                {
                    "ticker": ticker,
                    "date": day.date.isoformat(),
                    "total_volume": total,
                    "short_volume": short,
                    "exempt_volume": exempt,
                    "non_exempt_volume": short - exempt,
                    "short_volume_ratio": round(100 * short / total, 2) if total else 0.0,
                }
            )
        return rows

    def dividends(self, ticker: str, today: dt.date) -> list[Row]:
        """Dividends in cash, newest first, one that is declared already among them; most companies pay none.

        Args:
            ticker: The symbol.
            today: As of when.
        """
        at = self._universe.index.get(ticker)
        if at is None:
            return []
        rng = self._random(at)
        if rng.random() > _PAYERS:
            return []
        amount = round(int(self._universe.price[at]) / UNIT * rng.uniform(0.001, 0.012), 4)
        # One lies ahead, on a day of the quarter that is the symbol's own.
        ahead = today + dt.timedelta((at * 37 - today.toordinal()) % _QUARTER.days)
        rows: list[Row] = []
        for number in range(_QUARTERS):
            ex = self._calendar.next(ahead - number * _QUARTER - dt.timedelta(1)).date
            rows.append(
                {
                    "id": f"D{ex.toordinal()}{ticker}",
                    "ticker": ticker,
                    "ex_dividend_date": ex.isoformat(),
                    "declaration_date": (ex - dt.timedelta(100)).isoformat(),
                    "record_date": ex.isoformat(),
                    "pay_date": (ex + dt.timedelta(14)).isoformat(),
                    "cash_amount": amount,
                    "split_adjusted_cash_amount": amount,
                    "currency": "USD",
                    "frequency": 4,
                    "distribution_type": "recurring",
                }
            )
        return rows

    def _settlements(self, today: dt.date) -> list[dt.date]:
        """The settlement dates whose figures are out, newest first: the middle and the end of each month."""
        dates: list[dt.date] = []
        later: dt.date | None = None
        for day in self._calendar.before(today - _PUBLISHED_AFTER, _DAYS_BACK):
            date = day.date
            is_last = later is not None and later.month != date.month
            is_middle = later is not None and date.day <= _MID_MONTH < later.day
            if is_last or is_middle:
                dates.append(date)
            later = date
        return dates[:_SETTLEMENTS]

    def _random(self, at: int) -> np.random.Generator:
        return stream(self._universe.seed, STREAM_COMPANIES, at)
