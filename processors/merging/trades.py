"""Trades by symbol: last, first and first regular print, session extremes, volume, notional; how much by time; bars.

A trade's conditions decide what it updates; one outside the trading day changes nothing but the newest print.
"""

from collections.abc import Mapping
from math import nan
from typing import Final

from listener.events import Batch, Trade, event_ms
from processors import parts, wire
from processors.merging.base import Gate, Kept, Listeners, Merge, Reader, finer, text
from processors.merging.conditions import REGULAR, UpdateRule, rule_of
from processors.sessions import DayLookup, TradingDay

_trades = Reader(Trade)
_CHANNEL: Final = "stocks:trades:"
_CENTS_OF_CENTS: Final = 10_000
# A trade of more dollars is none; what a script adds up in doubles stays exact.
_MOST_WORTH: Final = 1e11
_FIVE_SECONDS_MS: Final = 5_000
_FIVES_A_MINUTE: Final = 12
_SECOND_MS: Final = 1_000

# A print's order and price.
_Print = tuple[parts.Order, float]


class _Second:
    """A bar of one second, put together from the trades of one symbol."""

    __slots__ = ("close", "count", "high", "low", "notional", "open", "volume")

    def __init__(self) -> None:
        self.open: _Print | None = None
        self.close: _Print | None = None
        self.high = self.low = nan
        self.volume = self.count = self.notional = 0

    def packed(self, row: int, second: int) -> bytes:
        """The columns of `parts.TRADED_BAR`, behind the number of the row of figures."""
        open_, close = ((*print_[0], print_[1]) if print_ else _NONE for print_ in (self.open, self.close))
        figures = (self.high, self.low, self.volume, self.notional, self.count)
        return parts.pack_traded(row, second * _SECOND_MS, *open_, *close, *figures)


class _Row:
    """What the trades of one symbol and day come to."""

    __slots__ = ("count", "day", "extremes", "first", "fives", "last", "notional", "regular", "seconds", "volume")

    def __init__(self, day: int, *, has_bars: bool) -> None:
        self.day = day
        self.last: _Print | None = None
        self.first: _Print | None = None
        self.regular: _Print | None = None
        self.extremes = [nan] * 6
        self.volume = self.count = self.notional = 0
        # Trades, volume and notional by bucket of five seconds.
        self.fives: dict[int, list[int]] = {}
        self.seconds: dict[int, _Second] | None = None if has_bars else {}

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
            notional = round(price * _CENTS_OF_CENTS) * size
            self.volume += size
            self.notional += notional
            bucket = order[0] // _FIVE_SECONDS_MS
            five = self.fives.get(bucket)
            if five is None:
                self.fives[bucket] = [1, size, notional]
            else:
                five[0] += 1
                five[1] += size
                five[2] += notional
        self.count += 1
        if self.seconds is not None:
            self._add_to_second(self.seconds, order, trade, rule)

    def _add_to_second(self, seconds: dict[int, _Second], order: parts.Order, trade: Trade, rule: UpdateRule) -> None:
        if not any(rule):
            return
        second = seconds.setdefault(order[0] // _SECOND_MS, _Second())
        price = trade.p
        if rule.updates_open_close:
            if second.open is None or order < second.open[0]:
                second.open = (order, price)
            if second.close is None or order > second.close[0]:
                second.close = (order, price)
        if rule.updates_high_low:
            second.high = second.high if price <= second.high else price
            second.low = second.low if price >= second.low else price
        if rule.updates_volume:
            size = int(trade.s)
            second.volume += size
            second.notional += round(price * _CENTS_OF_CENTS) * size
            second.count += 1

    def packed(self, number: int, older: list[bytes]) -> bytes:
        """The columns of `parts.TRADE_COLUMNS`.

        Args:
            number: Which row of the batch's it is, from 1.
            older: Takes the buckets that are not the newest of their length, packed.
        """
        prints = (self.last, self.first, self.regular)
        orders = [(*print_[0], print_[1]) if print_ else _NONE for print_ in prints]
        newest = self._newest_buckets(number, older)
        return parts.pack_trades(
            *(self.day, *orders[0], *orders[1], *orders[2]),
            *(*self.extremes, self.volume, self.count, self.notional),
            *newest,
        )

    def _newest_buckets(self, number: int, older: list[bytes]) -> tuple[float, ...]:
        """The newest bucket of five seconds and of a minute, each with its figures."""
        fives = self.fives
        if not fives:
            return _NO_BUCKETS
        if len(fives) == 1:
            ((bucket, figures),) = fives.items()
            return (bucket, *figures, bucket // _FIVES_A_MINUTE, *figures)
        minutes: dict[int, list[int]] = {}
        for bucket, figures in fives.items():
            minute = minutes.setdefault(bucket // _FIVES_A_MINUTE, [0, 0, 0])
            for index, figure in enumerate(figures):
                minute[index] += figure
        newest: list[float] = []
        for first_slot, slots, buckets in (
            (0, parts.FIVE_SECONDS, fives),
            (parts.FIVE_SECONDS, parts.MINUTES, minutes),
        ):
            last = max(buckets)
            newest += (last, *buckets.pop(last))
            older += [
                parts.pack_older(number, first_slot, slots, bucket, *figures) for bucket, figures in buckets.items()
            ]
        return tuple(newest)


_NONE: Final = (nan,) * 5
_NO_BUCKETS: Final = (nan,) * 8
_NOTHING: Final[Mapping[str, int]] = {}


def merge_trades(batch: Batch, listeners: Listeners, days: DayLookup, covered: Mapping[str, int] = _NOTHING) -> Merge:
    """A row of figures for each symbol that traded within a trading day, and the newest print of each.

    Args:
        batch: Trades.
        listeners: Who listens to what.
        days: Finds trading days.
        covered: By symbol, a day (`TradingDay.number`) for which it is known to have bars of its own; of others the
            trades are put together to bars by the second.
    """
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
            row = rows[symbol] = _Row(day.number, has_bars=covered.get(symbol, 0) >= day.number)
        row.add(order, trade, day.session_index(at), rule_of(trade.c) if trade.c else REGULAR)
    merge.applied = len(batch.events) - len(merge.failed)
    newest = [parts.keep(order, text(raw)) for order, raw in prints.values()]
    older: list[bytes] = []
    figures = [row.packed(number, older) for number, row in enumerate(rows.values(), 1)]
    traded = [
        second.packed(number, at)
        for number, row in enumerate(rows.values(), 1)
        if row.seconds
        for at, second in row.seconds.items()
    ]
    merge.entries = [parts.TRADES, parts.NEWEST_TRADES, list(rows), list(prints), newest, len(older), len(traded)]
    merge.figures = b"".join([*figures, *older, *traded])
    return merge
