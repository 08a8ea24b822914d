"""What alerts were worth: how far the price moved after each of them, and what that comes to by rule."""

import heapq
from collections.abc import Sequence
from statistics import fmean, median
from typing import Final

import msgspec
import polars as pl

from processors.scanning.alerts import Alert
from processors.sessions import DayLookup

_MINUTES: Final = (1, 5, 15)
CLOSE: Final = "close"
HORIZONS: Final = (*(f"{minutes}m" for minutes in _MINUTES), CLOSE)
_MINUTE_MS: Final = 60_000
# Of a percentage: more digits than prices have say nothing.
_DIGITS: Final = 4


class Outcome(msgspec.Struct, frozen=True):
    """An alert and what became of it.

    Attributes:
        id, rule, kind, symbol, at, price, note: As in `alerts.Alert`.
        told_at: The market's clock when it was given, epoch milliseconds.
        moves: By `HORIZONS`: percent of the price, so long after `told_at` and at the close of the regular session
            (16:00 New York); None where that lies outside the recording, or before the alert.
    """

    id: str
    rule: str
    kind: str
    symbol: str
    at: int
    told_at: int
    price: float | None
    note: str
    moves: dict[str, float | None]


class Spread(msgspec.Struct, frozen=True):
    """Moves after so long: how many are known; mean and median in percent; the share, 0 to 1, that went up."""

    count: int
    mean: float | None = None
    median: float | None = None
    share_up: float | None = None


class RuleSummary(msgspec.Struct, frozen=True):
    """What the alerts of one rule come to, by `HORIZONS`."""

    rule: str
    alerts: int
    after: dict[str, Spread]


class Outcomes:
    """Follows alerts from one look at the market to the next. The price at a time is the last that was seen by then.

    Attributes:
        found: The alerts so far, in the order they were given.
    """

    def __init__(self) -> None:
        self.found: list[Outcome] = []
        self._days = DayLookup()
        # When a move is due, which alert's, after what; the earliest first.
        self._due: list[tuple[int, int, str]] = []
        self._rows: pl.DataFrame | None = None

    def look(self, clock: int, rows: pl.DataFrame, alerts: Sequence[Alert]) -> None:
        """Take in the next look.

        Args:
            clock: The market's, epoch milliseconds.
            rows: The table at that time.
            alerts: Those given then.
        """
        self._settle(clock - 1)
        self._rows = rows
        self._settle(clock)
        for alert in alerts:
            index = len(self.found)
            names = (alert.id, alert.rule, alert.kind, alert.symbol, alert.at, clock, alert.price, alert.note)
            self.found.append(Outcome(*names, dict.fromkeys(HORIZONS)))
            for minutes in _MINUTES:
                heapq.heappush(self._due, (clock + minutes * _MINUTE_MS, index, f"{minutes}m"))
            day = self._days.find(clock)
            if day is not None and clock < day.close:
                heapq.heappush(self._due, (day.close, index, CLOSE))

    def _settle(self, until: int) -> None:
        if self._rows is None or not self._due or self._due[0][0] > until:
            return
        prices = dict(zip(self._rows["symbol"].to_list(), self._rows["price"].to_list(), strict=True))
        while self._due and self._due[0][0] <= until:
            _, index, horizon = heapq.heappop(self._due)
            alert = self.found[index]
            price = prices.get(alert.symbol)
            if alert.price and price is not None:
                alert.moves[horizon] = round((price - alert.price) / alert.price * 100, _DIGITS)


def summary(rule: str, found: Sequence[Outcome]) -> RuleSummary:
    """What the alerts of a rule come to."""
    alerts = [each for each in found if each.rule == rule]
    after = {}
    for horizon in HORIZONS:
        moves = [move for each in alerts if (move := each.moves[horizon]) is not None]
        after[horizon] = _spread(moves)
    return RuleSummary(rule, len(alerts), after)


def _spread(moves: list[float]) -> Spread:
    if not moves:
        return Spread(0)
    up = sum(move > 0 for move in moves) / len(moves)
    return Spread(len(moves), round(fmean(moves), _DIGITS), round(median(moves), _DIGITS), round(up, _DIGITS))
