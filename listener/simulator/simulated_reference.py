"""What REST tells of the simulated market: snapshots, bars, floats, ratios, details, news, splits, short sales."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from listener.simulator.companies import Companies
from listener.simulator.figures import NO_LOW, POST, PRE, REGULAR
from listener.simulator.history import History
from listener.simulator.names import SECTORS
from listener.simulator.news import day_news, noise
from listener.simulator.prints import CONDITIONS
from listener.simulator.simulated_bars import SimulatedBars, vwap
from listener.simulator.tape import DayTape
from listener.simulator.trading_days import TradingCalendar
from listener.simulator.universe import LISTINGS, Universe

_NEWS_DAYS: Final = 7
_SPLIT_DAYS: Final = 120
_FLOAT_AGE: Final = dt.timedelta(12)
_NO_DAY: Final = {"o": 0, "h": 0, "l": 0, "c": 0, "v": 0, "vw": 0}
_UNKNOWN_FLOAT: Final = 41  # one symbol in so many has no known float
Row = dict[str, Any]


class SimulatedReference(SimulatedBars):
    """Implements `rest.ReferenceData` over the running tape.

    Args:
        universe: The symbols.
        calendar: The trading days.
        history: The days before.
        tape: The day under way.
        now: The market's time, epoch ms.
    """

    def __init__(
        self, universe: Universe, calendar: TradingCalendar, history: History, tape: DayTape, now: int
    ) -> None:
        super().__init__(universe, calendar, history, tape)
        self.now = now
        self._companies = Companies(universe, calendar)
        self.begin_day(tape)

    def begin_day(self, tape: DayTape) -> None:
        """Turn to another day's tape."""
        self._tape = tape
        date = tape.day.date
        before = self.calendar.before(date, 1)[0].date
        self._previous = self._history.day(before)
        # What is known as of a date is told in the shares of that date, as in life.
        self._previous_shares = self.split_plan.factors(self._history.shares_of(before), before)
        self._overnight = self.split_plan.factors(before, date)
        self._float_shares = self.split_plan.factors(self._history.first, date - _FLOAT_AGE)
        self._shares = self.split_plan.factors(self._history.first, date)
        self._average_volume = self._history.average_volume(date)
        articles = day_news(self._universe, tape.plan)
        for day in self.calendar.before(date, _NEWS_DAYS):
            articles += noise(self._universe, day)
        self._news = sorted(articles, key=lambda article: str(article["published_utc"]), reverse=True)

    def clock(self) -> int:
        """The market's time, epoch ms."""
        return self.now

    def tickers(self) -> Sequence[str]:
        """All symbols."""
        return self._universe.tickers

    def snapshot(self, ticker: str) -> Row | None:
        """One ticker's snapshot; `day` is zero until the regular open, its range that of the regular session."""
        at = self._universe.index.get(ticker)
        if at is None:
            return None
        tape, figures, book, last = self._tape, self._tape.figures, self._tape.book, self._tape.last
        # As in life, overnight splits are left to the reader.
        close_before = int(tape.close_before[at]) * float(self._overnight[at])
        price = int(figures.last[at])
        volume, turnover = int(figures.volume[at]), int(figures.turnover[at])
        change = (price - close_before) / 10_000 if price else 0.0
        day: Row = _NO_DAY
        if self.now >= tape.day.open:
            low = int(figures.low[REGULAR, at])
            day = {
                "o": int(figures.official_open[at] or figures.open[REGULAR, at]) / 10_000,
                "h": int(figures.high[REGULAR, at]) / 10_000,
                "l": 0 if low == NO_LOW else low / 10_000,
                "c": price / 10_000,
                "v": volume,
                "vw": vwap(turnover, volume),
            }
        minute = tape.aggregator.last_minute
        o, h, low_, c, v, value, n, av = minute.columns[:, at].tolist()
        return {
            "ticker": ticker,
            "todaysChange": round(change, 4),
            "todaysChangePerc": round(100 * change * 10_000 / close_before, 4),
            "updated": max(int(last.at[at]), int(book.quoted_at[at])) * 1_000_000,
            "day": day,
            "min": {
                "av": max(av, volume), "t": int(minute.start[at]), "n": n, "o": o / 10_000, "h": h / 10_000,
                "l": low_ / 10_000, "c": c / 10_000, "v": v, "vw": vwap(value, v),
            },
            "prevDay": self._previous_day(at),
            "lastTrade": {
                "c": CONDITIONS[int(last.code[at])], "i": str(int(last.number[at])), "p": int(last.price[at]) / 10_000,
                "s": int(last.size[at]), "t": int(last.at[at]) * 1_000_000, "x": int(last.venue[at]),
            },
            "lastQuote": {
                "P": int(book.ask[at]) / 10_000, "S": int(book.ask_size[at]), "p": int(book.bid[at]) / 10_000,
                "s": int(book.bid_size[at]), "t": int(book.quoted_at[at]) * 1_000_000,
            },
        }  # fmt: skip

    def _previous_day(self, at: int) -> Row:
        figures = self._previous
        if figures is None or not figures.volume[at]:
            return _NO_DAY
        session = REGULAR if figures.open[REGULAR, at] else PRE if figures.open[PRE, at] else POST
        factor = float(self._previous_shares[at])
        volume = round(int(figures.volume[at]) * factor)
        return {
            "o": int(figures.open[session, at]) / factor / 10_000,
            "h": int(figures.high[session, at]) / factor / 10_000,
            "l": int(figures.low[session, at]) / factor / 10_000,
            "c": int(figures.close[session, at]) / factor / 10_000,
            "v": volume,
            "vw": vwap(int(figures.turnover[at]), volume),
        }

    def float_row(self, ticker: str) -> Row | None:
        """Free float; unknown for some symbols, as in life."""
        at = self._universe.index.get(ticker)
        if at is None or at % _UNKNOWN_FLOAT == _UNKNOWN_FLOAT - 1:
            return None
        shares, free = int(self._universe.shares[at]), int(self._universe.free_float[at])
        return {
            "ticker": ticker,
            "effective_date": (self._tape.day.date - _FLOAT_AGE).isoformat(),
            "free_float": round(free * float(self._float_shares[at])),
            "free_float_percent": round(100 * free / shares, 2),
        }

    def ratios_row(self, ticker: str) -> Row | None:
        """Average volume, market capitalisation, price and a few ratios."""
        at = self._universe.index.get(ticker)
        if at is None:
            return None
        overnight = float(self._overnight[at])
        price = int(self._tape.close_before[at]) * overnight / 10_000
        earnings = round(price * (0.08 - 0.0002 * (at % 500)), 2)
        return {
            "ticker": ticker,
            "cik": f"{1_000_000 + at:010d}",
            "date": self.calendar.before(self._tape.day.date, 1)[0].date.isoformat(),
            "price": price,
            "average_volume": int(int(self._average_volume[at]) / overnight),
            "market_cap": self._market_cap(at),
            "earnings_per_share": earnings,
            "price_to_earnings": round(price / earnings, 2) if earnings > 0 else None,
            "dividend_yield": 0.0,
        }

    def _market_cap(self, at: int) -> int:
        shares = int(self._universe.shares[at]) * float(self._shares[at])
        return round(int(self._tape.close_before[at]) / 10_000 * shares)

    def details(self, ticker: str) -> Row | None:
        """Name, listing, kind and shares."""
        universe = self._universe
        at = universe.index.get(ticker)
        if at is None:
            return None
        sector = SECTORS[int(universe.sector[at])]
        fund = bool(universe.is_fund[at])
        row: Row = {
            "ticker": ticker,
            "name": universe.names[at],
            "market": "stocks",
            "locale": "us",
            "primary_exchange": LISTINGS[int(universe.listing[at])][0],
            "type": "ETF" if fund else "CS",
            "active": True,
            "currency_name": "usd",
            "cik": f"{1_000_000 + at:010d}",
            "market_cap": self._market_cap(at),
            "share_class_shares_outstanding": round(int(universe.shares[at]) * float(self._shares[at])),
            "weighted_shares_outstanding": round(int(universe.shares[at]) * float(self._shares[at])),
            "description": f"{universe.names[at]} is listed in the simulated market only.",
            "list_date": (dt.date(1990, 1, 2) + dt.timedelta(at * 7919 % 12_000)).isoformat(),
            "round_lot": 100,
        }
        return (
            row if fund else row | {"sic_code": f"{1000 + 37 * int(universe.sector[at])}", "sic_description": sector[1]}
        )

    def news(self) -> Sequence[Row]:
        """What has been published up to the market's clock, newest first."""
        now = dt.datetime.fromtimestamp(self.now / 1_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return [article for article in self._news if article["published_utc"] <= now]

    def short_interest(self, ticker: str) -> Sequence[Row]:
        """Shares sold short and not bought back, newest first."""
        return self._companies.short_interest(ticker, self._tape.day.date, self._usual_volume(ticker))

    def short_volume(self, ticker: str) -> Sequence[Row]:
        """Shares sold short by day, newest first."""
        return self._companies.short_volume(ticker, self._tape.day.date, self._usual_volume(ticker))

    def dividends(self, ticker: str) -> Sequence[Row]:
        """Dividends, newest first."""
        return self._companies.dividends(ticker, self._tape.day.date)

    def _usual_volume(self, ticker: str) -> float:
        at = self._universe.index.get(ticker)
        return 0.0 if at is None else int(self._average_volume[at]) / float(self._overnight[at])

    def splits(self) -> Sequence[Row]:
        """Stock splits, newest first; one may take effect today."""
        today = self._tape.day.date
        return self.split_plan.rows(today - dt.timedelta(_SPLIT_DAYS), today)
