"""What REST tells of a recording: what its reference and news lines hold, and nothing else."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from listener.simulator.series import BarSeries
from listener.simulator.trading_days import TradingCalendar, new_york_ms, new_york_time

Row = dict[str, Any]
_PREVIOUS: Final = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vw": "vwap"}
_NO_DAY: Final = dict.fromkeys(_PREVIOUS, 0)


class RecordedReference:
    """Implements `rest.ReferenceData` over the reference and news lines read so far.

    Args:
        calendar: The trading days around the recording.
        clock: Tells the replay's time, epoch ms.
    """

    def __init__(self, calendar: TradingCalendar, clock: Callable[[], int]) -> None:
        self.calendar = calendar
        self._clock = clock
        self._symbols: dict[str, Row] = {}
        # The trading day that the reference lines are of: the one under way when the last came, or the next.
        self._day: dt.date | None = None
        self._articles: list[Row] = []

    def learn(self, reference: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over a reference line; later values replace earlier ones field by field."""
        now = self._clock()
        date = new_york_time(now).date()
        latest = self.calendar.latest(date)
        self._day = latest.date if latest.date == date and now < latest.end else self.calendar.next(date).date
        for symbol, fields in reference.items():
            self._symbols.setdefault(symbol, {}).update(fields)

    def publish(self, article: Row) -> None:
        """Take over a news line."""
        self._articles.append(article)

    def clock(self) -> int:
        """The replay's time, epoch ms."""
        return self._clock()

    def tickers(self) -> Sequence[str]:
        """Symbols with reference data."""
        return list(self._symbols)

    def _previous_day(self, symbol: str) -> Row | None:
        fields = self._symbols.get(symbol, {})
        day = {short: fields.get(f"prev_day_{name}") for short, name in _PREVIOUS.items()}
        known = {short: value for short, value in day.items() if value is not None}
        return known or None

    def snapshot(self, ticker: str) -> Row | None:
        """The previous day; the day itself comes with the frames."""
        if ticker not in self._symbols:
            return None
        return {
            "ticker": ticker,
            "todaysChange": 0,
            "todaysChangePerc": 0,
            "updated": 0,
            "day": _NO_DAY,
            "min": {**_NO_DAY, "av": 0, "t": 0, "n": 0},
            "prevDay": self._previous_day(ticker) or _NO_DAY,
        }

    def grouped(self, date: dt.date, adjusted: bool) -> list[Row]:
        """The previous day's bars, as the reference lines adjusted them; of any other day there are none."""
        if self._day is None or date != self.calendar.before(self._day, 1)[0].date:
            return []
        start = new_york_ms(date, 16)
        days = ((symbol, self._previous_day(symbol)) for symbol in self._symbols)
        return [{"T": symbol, **day, "t": start} for symbol, day in days if day is not None]

    def minutes(self, ticker: str, date: dt.date, adjusted: bool) -> BarSeries:
        """None: a recording holds no bars but those of its frames."""
        return BarSeries.empty()

    def seconds(self, ticker: str, date: dt.date, adjusted: bool) -> BarSeries:
        """None, as for minutes."""
        return BarSeries.empty()

    def daily(self, ticker: str, first: dt.date, last: dt.date, adjusted: bool) -> BarSeries:
        """None, as for minutes."""
        return BarSeries.empty()

    def float_row(self, ticker: str) -> Row | None:
        """Free float, where a reference line told it."""
        return self._row(ticker, ("free_float",))

    def ratios_row(self, ticker: str) -> Row | None:
        """Average volume and market capitalisation, where a reference line told either."""
        return self._row(ticker, ("avg_volume", "market_cap"), {"avg_volume": "average_volume"})

    def details(self, ticker: str) -> Row | None:
        """Name, listing and market capitalisation, as far as reference lines told them."""
        if ticker not in self._symbols:
            return None
        row = self._row(ticker, ("name", "primary_exchange", "market_cap")) or {"ticker": ticker}
        return row | {"market": "stocks", "locale": "us", "active": True}

    def _row(self, ticker: str, names: tuple[str, ...], renamed: Mapping[str, str] | None = None) -> Row | None:
        fields = self._symbols.get(ticker, {})
        known = {(renamed or {}).get(name, name): fields[name] for name in names if fields.get(name) is not None}
        return {"ticker": ticker, **known} if known else None

    def news(self) -> Sequence[Row]:
        """The articles read so far, newest first."""
        return sorted(self._articles, key=lambda article: str(article.get("published_utc", "")), reverse=True)

    def splits(self) -> Sequence[Row]:
        """None."""
        return []

    def short_interest(self, ticker: str) -> Sequence[Row]:
        """None, as for splits."""
        return []

    def short_volume(self, ticker: str) -> Sequence[Row]:
        """None, as for splits."""
        return []

    def dividends(self, ticker: str) -> Sequence[Row]:
        """None, as for splits."""
        return []
