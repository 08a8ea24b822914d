"""A market's rows at any moment, from the events received so far."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tests.independent.bars import extremes, last_cross
from tests.independent.day import Day, Event
from tests.independent.halts import Halts
from tests.independent.times import day_of, milliseconds, minute_of_day, session_of

Row = dict[str, Any]
_REFERENCE = (
    *("prev_day_open", "prev_day_high", "prev_day_low", "prev_day_close", "prev_day_volume", "prev_day_vwap"),
    *("avg_volume", "free_float", "market_cap", "name", "primary_exchange"),
)
_BAR = {
    "volume": "v",
    "vwap": "vw",
    "aggregate_vwap": "a",
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "average_size": "z",
    "start_timestamp": "s",
    "end_timestamp": "e",
}
# What `table` gives: what a row has of its own events, whatever the moment.
_OWN = (
    *("trading_day", "price", "price_at", "day_open", "day_high", "day_low", "accumulated_volume"),
    *("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low"),
    *("official_open_price", "change_since_open"),
)


class Market:
    """Everything received so far, in the order of receipt.

    Args:
        begins: When the source began; a day is complete that it saw from its first minute on.

    Attributes:
        clock: The newest event time.
        reference: Reference data by symbol.
        usual_volume: Accumulated volume of a symbol that is usual by a minute of the day; None where unknown.
    """

    def __init__(self, begins: int = 0) -> None:
        self.clock = 0
        self._begins = begins
        self.reference: dict[str, dict[str, Any]] = {}
        self.usual_volume: Callable[[str, int], float | None] = lambda symbol, minute: None
        self.days: dict[str, Day] = {}
        self._quotes: dict[str, tuple[tuple[int, int, int], Event]] = {}
        self._halts: dict[str, Halts] = {}
        self._articles: dict[str, dict[str, int]] = {}
        self._newest_article = 0
        self._received = 0

    def take(self, event: Event) -> None:
        """Take in the next event."""
        self._received += 1
        kind = event["ev"]
        symbol = event["T"] if kind == "LULD" else event["sym"]
        at = event["e"] - 1 if kind in ("A", "AM") else milliseconds(event["t"])
        if at > self.clock and kind != "HALT":  # the list of halts runs ahead of a delayed feed
            self.clock = at
        if kind == "Q":
            order = (at, event.get("q", 0), self._received)
            if symbol not in self._quotes or order > self._quotes[symbol][0]:
                self._quotes[symbol] = (order, event)
        elif kind in ("LULD", "HALT"):
            self._halts.setdefault(symbol, Halts()).take(event, self._received)
        elif kind in ("T", "A", "AM"):
            at = event["t"] if kind == "T" else event["s"]
            session, date = session_of(at), day_of(at)
            if session is None:
                return
            day = self.days.get(symbol)
            if day is None or date > day.date:
                day = self.days[symbol] = Day(date)
            if date < day.date:
                return
            if kind == "T":
                day.trade(event, self._received, session)
            else:
                day.bar(event, self._received)

    def take_all(self, frames: Iterable[tuple[int, list[Event]]]) -> None:
        """Take in frames, each with its time of receipt."""
        for _, events in frames:
            for event in events:
                self.take(event)

    def read(self, article: dict[str, Any]) -> None:
        """Take in an article; one that is known changes nothing."""
        published = int(datetime.fromisoformat(article["published_utc"]).timestamp() * 1_000)
        self._newest_article = max(self._newest_article, published)
        for symbol in article["tickers"]:
            self._articles.setdefault(symbol, {}).setdefault(article["id"], published)

    def rows(self) -> list[Row]:
        """The rows of the clock's trading day, by symbol; between days those of the newest."""
        newest = max((day.date for day in self.days.values()), default="")
        date = day_of(self.clock) if session_of(self.clock) else newest
        return [self.row(symbol) for symbol, day in sorted(self.days.items()) if day.date == date]

    def row(self, symbol: str) -> Row:
        """Every field of a symbol that has one, at the market's clock."""
        day, clock = self.days[symbol], self.clock
        row: Row = {"symbol": symbol, "trading_day": day.date, "clock": clock, "complete": self._is_complete(day)}
        row["session"] = session_of(clock) or "closed"
        row |= self._of_the_day(day)
        reference = self.reference.get(symbol, {})
        row |= {name: reference.get(name) for name in _REFERENCE}
        row |= _changes(row, day.first_price("regular"))
        row |= self._windows(day, row["price"])
        row |= self._quoted(symbol)
        row |= self._halts.get(symbol, Halts()).fields(clock, row["price"])
        row |= self._volumes(symbol, row)
        row |= self._news(symbol)
        row["pillars"] = pillars(row)
        return row

    def _is_complete(self, day: Day) -> bool:
        return day_of(self._begins) < day.date or minute_of_day(self._begins) <= 0

    def _of_the_day(self, day: Day) -> Row:
        found: Row = dict(day.extremes())
        found["price_at"], found["price"] = day.last_price() or (None, None)
        found["day_open"] = day.first_price()
        traded = day.volume if day.trades else None
        accumulated, official = day.accumulated, day.official
        found["accumulated_volume"] = accumulated.get("A", accumulated.get("AM", traded))
        official_open = official.get("A") or official.get("AM")
        found["official_open_price"] = official_open[1] if official_open else None
        latest = day.latest_bar() or {}
        return found | {name: latest.get(short) for name, short in _BAR.items()}

    def _windows(self, day: Day, price: float | None) -> Row:
        clock, bars = self.clock, day.best_bars()
        now = clock // 5_000
        found: Row = {}
        anything = bool(len(bars)) or day.trades > 0
        for minutes in (1, 5):
            volume = bars.volume(now - 12 * minutes + 1, now)
            found[f"volume_{minutes}m"] = volume if anything else None
        mean = bars.volume(now - 71, now - 12) / 5
        found["volume_spike"] = found["volume_1m"] / mean if mean else None
        for minutes in (1, 5, 15):
            before = bars.close_by(now - 12 * minutes)
            found[f"change_{minutes}m_pct"] = percent(price, before)
        for name, what in (("trades", 0), ("notional", 2)):
            divisor = 10_000 if what == 2 else 1
            for window, length, count in (("1m", 5_000, 12), ("5m", 5_000, 60), ("1h", 60_000, 60)):
                figure = day.of_activity(what, length, clock // length, count)
                found[f"{name}_{window}"] = figure / divisor if what == 2 else figure
        minutes_ = bars.minutes()
        return found | extremes(minutes_) | {"vwap_crossed_at": last_cross(minutes_, clock)}

    def _quoted(self, symbol: str) -> Row:
        if symbol not in self._quotes:
            return dict.fromkeys(("bid", "ask", "bid_size", "ask_size", "spread_pct"))
        quote = self._quotes[symbol][1]
        bid, ask = quote.get("bp") or None, quote.get("ap") or None
        spread = (ask - bid) / ((ask + bid) / 2) * 100 if bid and ask else None
        return {"bid": bid, "ask": ask, "bid_size": quote.get("bs"), "ask_size": quote.get("as"), "spread_pct": spread}

    def _volumes(self, symbol: str, row: Row) -> Row:
        accumulated = row["accumulated_volume"]
        usual = self.usual_volume(symbol, minute_of_day(self.clock))

        def against(volume: float | None) -> float | None:
            return accumulated / volume if accumulated is not None and volume else None

        return {
            "relative_volume": against(row["avg_volume"]),
            "float_rotation": against(row["free_float"]),
            "relative_volume_tod": against(usual),
        }

    def _news(self, symbol: str) -> Row:
        # What is a day and an hour older than the newest article is forgotten.
        since = self._newest_article - 90_000_000
        published = [at for at in self._articles.get(symbol, {}).values() if since <= at <= self.clock]
        within_a_day = [at for at in published if at > self.clock - 86_400_000]
        return {"news_count_24h": len(within_a_day), "last_news_at": max(published, default=None)}


def percent(price: float | None, base: float | None) -> float | None:
    """How far a price lies from a base, in percent of the base."""
    return (price - base) / base * 100 if price is not None and base else None


def _changes(row: Row, regular_open: float | None) -> Row:
    price, close = row["price"], row["prev_day_close"]
    opened_at = row["official_open_price"] or regular_open
    base = opened_at or row["day_open"]
    change = price - base if price is not None and base is not None else None
    return {
        "change": price - close if price is not None and close is not None else None,
        "pct_change": percent(price, close),
        "change_since_open": change,
        "pct_change_since_open": change / base * 100 if change is not None and base else None,
        "gap_pct": percent(opened_at or price, close),
        "vwap_distance_pct": percent(price, row["aggregate_vwap"]),
    }


def pillars(row: Row) -> int:
    """How many of the five pillars stand."""
    relative = row["relative_volume"] if row["relative_volume_tod"] is None else row["relative_volume_tod"]
    return sum(
        (
            row["price"] is not None and 2 <= row["price"] <= 20,
            row["free_float"] is not None and row["free_float"] <= 20e6,
            row["pct_change"] is not None and row["pct_change"] >= 10,
            relative is not None and relative >= 5,
            row["news_count_24h"] >= 1,
        )
    )


def table(events: Iterable[Event]) -> dict[str, Row]:
    """Rows by symbol, each of the newest trading day that the symbol has, from events in the order of their receipt."""
    market = Market()
    for event in events:
        market.take(event)
    found = {}
    for symbol, day in market.days.items():
        row = market.row(symbol)
        names = [*_OWN, *(_BAR if day.latest_bar() else ())]
        names += ("bid", "ask", "bid_size", "ask_size") if row["bid"] or row["ask"] else ()
        found[symbol] = {name: row[name] for name in names}
    return found
