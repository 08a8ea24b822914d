"""What one symbol's trades and bars of one trading day come to, kept up with each event in the order of receipt."""

from collections import defaultdict
from typing import Any

from tests.independent.bars import Bar, Bars
from tests.independent.times import may, session_of

Event = dict[str, Any]
# Time, trade before second bar before minute bar, sequence number, receipt.
Order = tuple[int, int, int, int]
SESSIONS = ("pre", "regular", "post")


class Day:
    """One symbol's day.

    Attributes:
        date: Its New York date.
        last, first, regular: The last, the first and the first regular eligible print, with their order.
        activity: Prints, shares and ten-thousandths of a dollar by length of a bucket (ms) and its number.
        bars: By kind: `A`, `AM`, and `T`, put together from trades.
        given: The bars of each kind as they came, replaced ones too.
    """

    def __init__(self, date: str) -> None:
        self.date = date
        self.last: tuple[Order, float] | None = None
        self.first: tuple[Order, float] | None = None
        self.regular: tuple[Order, float] | None = None
        self.traded: dict[str, list[float]] = {}
        self.trades = 0
        self.volume = 0
        self.activity: dict[int, dict[int, list[int]]] = {5_000: {}, 60_000: {}}
        self.bars = {"A": Bars(), "AM": Bars(), "T": Bars()}
        self.came: dict[str, dict[int, tuple[int, Event]]] = {"A": {}, "AM": {}}
        self.accumulated: dict[str, float] = {}
        self.official: dict[str, tuple[tuple[int, int], float]] = {}
        self._seconds: dict[int, list[Event]] = defaultdict(list)

    def trade(self, trade: Event, number: int, session: str) -> None:
        at, price = trade["t"], trade["p"]
        self.trades += 1
        if may(trade, "last"):
            late = ((at, 2, trade.get("q", 0), number), price)
            early = ((at, 0, trade.get("q", 0), number), price)
            self.last = max(self.last or late, late)
            self.first = min(self.first or early, early)
            if session == "regular":
                self.regular = min(self.regular or early, early)
        if may(trade, "extremes"):
            seen = self.traded.setdefault(session, [price, price])
            seen[:] = max(seen[0], price), min(seen[1], price)
        if may(trade, "volume"):
            size = int(trade["s"])
            self.volume += size
            for length, buckets in self.activity.items():
                bucket = buckets.setdefault(at // length, [0, 0, 0])
                bucket[0] += 1
                bucket[1] += size
                bucket[2] += round(price * 10_000) * size
        if not self.came["A"] and not self.came["AM"]:
            # Once real bars have come, nobody looks at those put together from trades.
            self._seconds[at // 1_000].append({**trade, "#": number})
            if (bar := _of_trades(at // 1_000 * 1_000, self._seconds[at // 1_000])) is not None:
                self.bars["T"].put(bar)

    def bar(self, bar: Event, number: int) -> None:
        kind, start = bar["ev"], bar["s"]
        self.came[kind][start] = (number, bar)
        prices = (bar["o"], bar["h"], bar["l"], bar["c"])
        self.bars[kind].put(Bar(start, bar["e"], *prices, bar["v"], bar.get("vw"), bar.get("a")))
        if bar.get("av") is not None:
            # The greatest that any bar gave, replaced or not: the day's volume never goes down.
            self.accumulated[kind] = max(self.accumulated.get(kind, bar["av"]), bar["av"])
        if bar.get("op"):
            given = ((start, number), bar["op"])
            self.official[kind] = max(self.official.get(kind, given), given)

    def best_bars(self) -> Bars:
        """The bars of the best kind that there is."""
        return next((bars for bars in self.bars.values() if len(bars)), self.bars["T"])

    def latest_bar(self) -> Event | None:
        """The latest bar as it came."""
        came = self.came["A"] or self.came["AM"]
        if not came:
            return None
        bars = self.bars["A"] if self.came["A"] else self.bars["AM"]
        return came[bars.starts[-1]][1]

    def last_price(self) -> tuple[int, float] | None:
        """Time and price of the last eligible print or bar close."""
        prices = [self.last] if self.last else []
        for kind, rank in (("A", 1), ("AM", 0)):
            if self.came[kind]:
                number, bar = self.came[kind][self.bars[kind].starts[-1]]
                prices.append(((bar["e"] - 1, rank, 0, number), bar["c"]))
        return (max(prices)[0][0], max(prices)[1]) if prices else None

    def first_price(self, session: str | None = None) -> float | None:
        """The first eligible print or bar open, of the day or of the regular session."""
        print_ = self.first if session is None else self.regular
        prices = [print_] if print_ else []
        for kind, rank in (("A", 1), ("AM", 2)):
            starts = self.bars[kind].starts
            start = next((s for s in starts if session is None or session_of(s) == session), None)
            if start is not None:
                number, bar = self.came[kind][start]
                prices.append(((start, rank, 0, number), bar["o"]))
        return min(prices)[1] if prices else None

    def extremes(self) -> dict[str, float | None]:
        """Highs and lows by session, from eligible trades and from the bars as they stand."""
        highs = {session: [seen[0]] for session, seen in self.traded.items()}
        lows = {session: [seen[1]] for session, seen in self.traded.items()}
        for kind in ("A", "AM"):
            for minute in self.bars[kind].minutes():
                session = session_of(minute.start)
                assert session is not None
                assert minute.high is not None
                assert minute.low is not None
                highs.setdefault(session, []).append(minute.high)
                lows.setdefault(session, []).append(minute.low)
        found: dict[str, float | None] = {}
        for session in SESSIONS:
            found[f"{session}_high"] = max(highs.get(session, []), default=None)
            found[f"{session}_low"] = min(lows.get(session, []), default=None)
        found["day_high"] = max((high for each in highs.values() for high in each), default=None)
        found["day_low"] = min((low for each in lows.values() for low in each), default=None)
        return found

    def of_activity(self, what: int, length: int, last: int, count: int) -> int:
        """Prints (0) or ten-thousandths of a dollar (2) in the `count` buckets that end with number `last`."""
        buckets = self.activity[length]
        return sum(buckets[number][what] for number in range(last - count + 1, last + 1) if number in buckets)


def _of_trades(start: int, trades: list[Event]) -> Bar | None:
    """The bar of one second's trades; None when none of them counts for anything."""
    prints = sorted(((t["t"], t.get("q", 0), t["#"]), t["p"]) for t in trades if may(t, "last"))
    seen = [t["p"] for t in trades if may(t, "extremes")]
    sizes = [int(t["s"]) for t in trades if may(t, "volume")]
    if not prints and not seen and not sizes:
        return None
    return Bar(
        start,
        start + 1_000,
        prints[0][1] if prints else None,
        max(seen, default=None),
        min(seen, default=None),
        prints[-1][1] if prints else None,
        sum(sizes),
        None,
        None,
    )
