"""Trades by symbol: last, first and first regular print, session extremes, volume, notional.

A trade's conditions decide what it updates; one outside the trading day changes nothing but the newest print.
"""

from functools import lru_cache
from math import nan
from typing import Final

from listener.events import Batch, Trade, event_ms
from processors import parts, wire
from processors.conditions import REGULAR, UpdateRule, update_rule
from processors.merge import Gate, Kept, Listeners, Merge, Reader, finer, text
from processors.sessions import DayLookup, TradingDay

_trades = Reader(Trade)
_CHANNEL: Final = "stocks:trades:"
_CENTS_OF_CENTS: Final = 10_000
# A trade of more dollars is none; what a script adds up in doubles stays exact.
_MOST_WORTH: Final = 1e11

_rule_of: Final = lru_cache(maxsize=4_096)(update_rule)


class _Row:
    """What the trades of one symbol and day come to."""

    __slots__ = ("count", "day", "extremes", "first", "last", "notional", "regular", "volume")

    def __init__(self, day: int) -> None:
        self.day = day
        # Order and price; none yet.
        self.last: tuple[parts.Order, float] | None = None
        self.first: tuple[parts.Order, float] | None = None
        self.regular: tuple[parts.Order, float] | None = None
        self.extremes = [nan] * 6
        self.volume = self.count = self.notional = 0

    def add(self, order: parts.Order, trade: Trade, session: int, rule: UpdateRule) -> None:
        price = trade.p
        if rule.updates_open_close:
            if self.last is None or order > self.last[0]:
                self.last = (order, price)
            if self.first is None or order < self.first[0]:
                self.first = (order, price)
            if session == 1 and (self.regular is None or order < self.regular[0]):
                self.regular = (order, price)
        if rule.updates_high_low:
            extremes, high = self.extremes, 2 * session
            # NaN compares false: none yet.
            if not price <= extremes[high]:
                extremes[high] = price
            if not price >= extremes[high + 1]:
                extremes[high + 1] = price
        if rule.updates_volume:
            size = int(trade.s)
            self.volume += size
            self.notional += round(price * _CENTS_OF_CENTS) * size
        self.count += 1

    def packed(self) -> bytes:
        """The columns of `parts.TRADE_COLUMNS`."""
        prints = (self.last, self.first, self.regular)
        orders = [(*print_[0], print_[1]) if print_ else _NONE for print_ in prints]
        return parts.pack_trades(
            *(self.day, *orders[0], *orders[1], *orders[2]),
            *(*self.extremes, self.volume, self.count, self.notional),
        )


_NONE: Final = (nan,) * 5


def merge_trades(batch: Batch, listeners: Listeners, days: DayLookup) -> Merge:
    """A row of figures for each symbol that traded within a trading day, and the newest print of each."""
    merge = Merge("trades")
    gate = Gate(batch)
    known, first, last = gate.known, gate.first, gate.latest
    somebody = listeners.any_of(_CHANNEL)
    rows: dict[str, _Row] = {}
    prints: Kept = {}
    day: TradingDay | None = None
    for number, raw, trade in zip(*_trades.usable(batch, merge), strict=True):
        symbol, at = trade.sym, trade.t
        rest = 0
        if symbol not in known or not first <= at <= last:
            if problem := gate.problem(symbol, at):
                merge.refuse(problem, raw)
                continue
            at, rest = event_ms(at), finer(at)
        if trade.p * trade.s >= _MOST_WORTH:
            merge.refuse(f"{trade.s:g} shares at {trade.p:g} are no trade", raw)
            continue
        if at > merge.newest:
            merge.newest = at
        order = (at, rest, trade.q, number)
        kept = prints.get(symbol)
        if kept is None or order > kept[0]:
            prints[symbol] = (order, raw)
        if somebody and listeners.wanted(channel := _CHANNEL + symbol):
            merge.messages += (channel, wire.TRADE.of(raw).decode())
        if day is None or not day.start <= at < day.end:
            day = days.find(at)
            if day is None:
                continue
        row = rows.get(symbol)
        if row is None or row.day != day.number:
            if row is not None and row.day > day.number:
                continue  # the row has begun a newer day
            row = rows[symbol] = _Row(day.number)
        row.add(order, trade, day.session_index(at), _rule_of(trade.c) if trade.c else REGULAR)
    merge.applied = len(batch.events) - len(merge.failed)
    newest = [parts.keep(order, text(raw)) for order, raw in prints.values()]
    merge.entries = [parts.TRADES, parts.NEWEST_TRADES, list(rows), list(prints), newest]
    merge.figures = b"".join([row.packed() for row in rows.values()])
    return merge
