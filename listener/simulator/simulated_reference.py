"""What REST tells of the simulated market: snapshots, bars, floats, ratios, details, news, splits."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from listener.simulator.figures import NO_LOW, POST, PRE, REGULAR
from listener.simulator.history import History
from listener.simulator.names import SECTORS
from listener.simulator.news import day_news, noise
from listener.simulator.prints import CONDITIONS
from listener.simulator.simulated_bars import SimulatedBars, vwap
from listener.simulator.tape import DayTape
from listener.simulator.trading_days import TradingCalendar
from listener.simulator.universe import LISTINGS, STREAM_UNIVERSE, Universe, stream

_NEWS_DAYS: Final = 7
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
        self.begin_day(tape)

    def begin_day(self, tape: DayTape) -> None:
        """Turn to another day's tape."""
        self._tape = tape
        date = tape.day.date
        self._previous = self._history.day(self.calendar.before(date, 1)[0].date)
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
        close_before = int(tape.close_before[at])
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
        volume = int(figures.volume[at])
        return {
            "o": int(figures.open[session, at]) / 10_000,
            "h": int(figures.high[session, at]) / 10_000,
            "l": int(figures.low[session, at]) / 10_000,
            "c": int(figures.close[session, at]) / 10_000,
            "v": volume,
            "vw": vwap(int(figures.turnover[at]), volume),
        }

    def float_row(self, ticker: str) -> Row | None:
        """Free float; unknown for some symbols, as in life."""
        at = self._universe.index.get(ticker)
        if at is None or at % _UNKNOWN_FLOAT == _UNKNOWN_FLOAT - 1:
            return None
        shares, free = int(self._universe.shares[at]), int(self._universe.free_float[at])
        date = (self._tape.day.date - dt.timedelta(12)).isoformat()
        return {
            "ticker": ticker,
            "effective_date": date,
            "free_float": free,
            "free_float_percent": round(100 * free / shares, 2),
        }

    def ratios_row(self, ticker: str) -> Row | None:
        """Average volume, market capitalisation, price and a few ratios."""
        at = self._universe.index.get(ticker)
        if at is None:
            return None
        price = int(self._tape.close_before[at]) / 10_000
        earnings = round(price * (0.08 - 0.0002 * (at % 500)), 2)
        return {
            "ticker": ticker,
            "cik": f"{1_000_000 + at:010d}",
            "date": self.calendar.before(self._tape.day.date, 1)[0].date.isoformat(),
            "price": price,
            "average_volume": int(self._average_volume[at]),
            "market_cap": round(price * int(self._universe.shares[at])),
            "earnings_per_share": earnings,
            "price_to_earnings": round(price / earnings, 2) if earnings > 0 else None,
            "dividend_yield": 0.0,
        }

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
            "market_cap": round(int(self._tape.close_before[at]) / 10_000 * int(universe.shares[at])),
            "share_class_shares_outstanding": int(universe.shares[at]),
            "weighted_shares_outstanding": int(universe.shares[at]),
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

    def splits(self) -> Sequence[Row]:
        """A few splits of the last weeks; bars of the days before are adjusted for them already."""
        rng = stream(self._universe.seed, STREAM_UNIVERSE, len(self._universe), 1)
        days = self.calendar.before(self._tape.day.date, 40)
        count = max(1, len(self._universe) // 1_000)
        return [
            {
                "id": f"S{symbol}",
                "ticker": self._universe.tickers[symbol],
                "execution_date": days[offset].date.isoformat(),
                "split_from": 1.0 if forward else 10.0,
                "split_to": 2.0 if forward else 1.0,
                "adjustment_type": "forward_split" if forward else "reverse_split",
                "historical_adjustment_factor": 0.5 if forward else 10.0,
            }
            for symbol, offset, forward in zip(
                rng.integers(0, len(self._universe), count).tolist(),
                rng.integers(1, 40, count).tolist(),
                (rng.random(count) < 0.5).tolist(),
                strict=True,
            )
        ]
