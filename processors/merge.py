"""Batch → what one script call merges: values pre-merged by symbol, so that Redis does a symbol's work once a batch.

Every function here is pure: events in, a `Merge` out. What they put together by minimum, maximum, sum or the total
order (event time, sequence number, receipt) the scripts put together in the same way, so that any split of the events
into batches, in any order, gives the same table (design rule 3).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan
from typing import Any, Final

import msgspec

from listener.events import Bar, Batch, Luld, Quote, Trade, event_ms
from processors import parts, wire
from processors.conditions import REGULAR, update_rule
from processors.sessions import DayLookup

# What may stand in a channel's and a key's name; the symbols of all markets fit (O:SPY251219C00650000, BTC-USD,
# EUR/USD).
SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:/_-]{0,39}")
# A live event further ahead of its receipt than this is malformed (design rule 2).
_AHEAD_MS: Final = 60_000
_RING_SECONDS_MS: Final = (
    1_800_000  # half an hour of second bars can still be corrected; Massive corrects for 15 minutes
)
_RING_MINUTES_MS: Final = 57_600_000  # minute bars of the whole trading day
_CENTS_OF_CENTS: Final = 10_000
# Beyond these a number is no price, no volume, no trade: what a script adds up in doubles stays exact, and what fits no
# integer cannot stop a batch.
_MOST_PRICE: Final = 1e8
_MOST_SHARES: Final = 1e13
_MOST_WORTH: Final = 1e11
_MOST_SEQUENCE: Final = 2**53
_LAST_MS: Final = 4_102_444_800_000  # the year 2100

Wanted = Callable[[str], bool]


@dataclass(slots=True)
class Merge:
    """The argument of one script call.

    Attributes:
        script: Which script merges it, by its name in `lua/`.
        entries: The script's own argument.
        applied: Events that take part.
        newest: The newest event time among them, epoch milliseconds, 0 for none.
        messages: Channel, payload, channel, payload, …: published in the same atomic step.
        failed: What could not be used, in words, with the event.
    """

    script: str
    entries: list[Any]
    applied: int = 0
    newest: int = 0
    messages: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


class _Unusable(ValueError):
    """An event that says something impossible."""


def _check_price(value: float, name: str) -> None:
    if not 0 < value < _MOST_PRICE:
        raise _Unusable(f"{name} is {value}, no price")


def _check_shares(value: float | None, name: str) -> None:
    if value is not None and not 0 <= value < _MOST_SHARES:
        raise _Unusable(f"{name} is {value}, no number of shares")


def usable(batch: Batch, decode: Callable[[msgspec.Raw], Any], merge: Merge) -> list[tuple[int, msgspec.Raw, Any]]:
    """Receipt number, bytes and typed form of each event that can be read; the others go to `failed`."""
    result = []
    for number, raw in enumerate(batch.events, batch.seq):
        try:
            result.append((number, raw, decode(raw)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            merge.failed.append((str(error), str(bytes(raw), "utf-8", "replace")))
    return result


class _Gate:
    """Checks what all typed events share: a usable symbol, a time not ahead of its receipt, a sequence number."""

    def __init__(self, batch: Batch, merge: Merge) -> None:
        self._latest = batch.received_at + _AHEAD_MS if batch.source.startswith("live:") else _LAST_MS
        self._merge = merge
        self._known: set[str] = set()

    def pass_through(self, symbol: str, at: int, sequence: int = 0) -> None:
        if symbol not in self._known:
            if not SYMBOL.fullmatch(symbol):
                raise _Unusable(f"{symbol!r} is no symbol")
            self._known.add(symbol)
        if at > self._latest:
            raise _Unusable(f"its time, {at}, is over a minute ahead of its receipt")
        if at <= 0:
            raise _Unusable(f"its time, {at}, is none")
        if not 0 <= sequence < _MOST_SEQUENCE:
            raise _Unusable(f"its sequence number is {sequence}")

    def refuse(self, error: Exception, raw: msgspec.Raw) -> None:
        self._merge.failed.append((str(error), str(bytes(raw), "utf-8", "replace")))

    def accept(self, at: int) -> None:
        self._merge.applied += 1
        if at > self._merge.newest:
            self._merge.newest = at


_decode_trade = msgspec.json.Decoder(Trade).decode
_decode_bar = msgspec.json.Decoder(Bar).decode
_decode_quote = msgspec.json.Decoder(Quote).decode
_decode_luld = msgspec.json.Decoder(Luld).decode

# Positions in a trade row (parts.TRADE_COLUMNS).
_LAST, _FIRST, _REGULAR, _EXTREMES, _VOLUME, _COUNT, _NOTIONAL, _NEWEST = 1, 6, 11, 16, 22, 23, 24, 25


def merge_trades(batch: Batch, wanted: Wanted, days: DayLookup) -> Merge:
    """Trades by symbol: last, first and first regular print, session extremes, volume, notional.

    A trade's conditions decide what it updates; one outside the trading day changes nothing but the newest print.
    """
    merge = Merge("trades", [])
    gate = _Gate(batch, merge)
    rows: dict[str, dict[int, list[Any]]] = {}
    for number, raw, trade in usable(batch, _decode_trade, merge):
        at = event_ms(trade.t)
        try:
            gate.pass_through(trade.sym, at, trade.q)
            price = trade.p
            if not (0 < price < _MOST_PRICE and 0 <= trade.s < _MOST_SHARES and price * trade.s < _MOST_WORTH):
                raise _Unusable(f"{trade.s:g} shares at {price:g} are no trade")
        except _Unusable as error:
            gate.refuse(error, raw)
            continue
        gate.accept(at)
        finer = trade.t % 1_000_000 if trade.t > 100_000_000_000_000_000 else 0
        order = (at, finer, trade.q, number)
        day = days.find(at)
        key = day.number if day else 0
        by_day = rows.setdefault(trade.sym, {})
        row = by_day.get(key)
        if row is None:
            row = by_day[key] = [key, *[nan] * 21, 0, 0, 0, 0, 0, 0, 0, ""]
        if order > tuple(row[_NEWEST : _NEWEST + 4]):
            row[_NEWEST:] = [*order, str(bytes(raw), "utf-8")]
        if wanted(channel := f"stocks:trades:{trade.sym}"):
            merge.messages += [channel, wire.TRADE.of(raw).decode()]
        if day is None:
            continue
        rule = update_rule(trade.c) if trade.c else REGULAR
        session = day.session_index(at)
        if rule.updates_open_close:
            _keep_newest(row, _LAST, order, price)
            _keep_oldest(row, _FIRST, order, price)
            if session == 1:
                _keep_oldest(row, _REGULAR, order, price)
        if rule.updates_high_low:
            high, low = _EXTREMES + 2 * session, _EXTREMES + 2 * session + 1
            if not price <= row[high]:
                row[high] = price
            if not price >= row[low]:
                row[low] = price
        if rule.updates_volume:
            size = int(trade.s)
            row[_VOLUME] += size
            row[_NOTIONAL] += round(price * _CENTS_OF_CENTS) * size
        row[_COUNT] += 1
    merge.entries = [[symbol, row] for symbol, by_day in rows.items() for _, row in sorted(by_day.items())]
    return merge


def _keep_newest(row: list[Any], at: int, order: tuple[int, int, int, int], price: float) -> None:
    if row[at + 4] != row[at + 4] or order > tuple(row[at : at + 4]):
        row[at : at + 5] = [*order, price]


def _keep_oldest(row: list[Any], at: int, order: tuple[int, int, int, int], price: float) -> None:
    if row[at + 4] != row[at + 4] or order < tuple(row[at : at + 4]):
        row[at : at + 5] = [*order, price]


def merge_bars(batch: Batch, wanted: Wanted, days: DayLookup) -> Merge:
    """Second bars and minute bars, in order of receipt; the script keeps the two kinds apart."""
    second: list[Any] = [parts.SECOND_BARS, "tw:ring:A:", _RING_SECONDS_MS]
    minute: list[Any] = [parts.MINUTE_BARS, "tw:ring:AM:", _RING_MINUTES_MS]
    merge = Merge("bars", [second, minute])
    gate = _Gate(batch, merge)
    for number, raw, bar in usable(batch, _decode_bar, merge):
        start, end = event_ms(bar.s), event_ms(bar.e)
        try:
            gate.pass_through(bar.sym, end - 1)
            for value, name in ((bar.o, "its open"), (bar.h, "its high"), (bar.l, "its low"), (bar.c, "its close")):
                _check_price(value, name)
            for shares, name in ((bar.v, "its volume"), (bar.av, "the day's volume"), (bar.z, "its mean size")):
                _check_shares(shares, name)
            if bar.h < bar.l or not 0 < start < end:
                raise _Unusable("its high is below its low, or its end not after its start")
            if bar.op:
                _check_price(bar.op, "the official open")
        except _Unusable as error:
            gate.refuse(error, raw)
            continue
        gate.accept(end - 1)
        if wanted(channel := f"stocks:agg:{bar.sym}"):
            merge.messages += [channel, wire.AGG.of(raw).decode()]
        day = days.find(start)
        if day is None:
            continue
        (minute if bar.ev == "AM" else second).append(
            [
                *(bar.sym, day.number, day.session_index(start), start, end, number),
                *(bar.o, bar.h, bar.l, bar.c, bar.v),
                nan if bar.av is None else bar.av,
                bar.op or nan,
                str(bytes(raw), "utf-8"),
            ]
        )
    return merge


def merge_quotes(batch: Batch, wanted: Wanted) -> Merge:
    """The newest quote of each symbol; older ones of the batch are conflated away."""
    merge = Merge("latest", [])
    gate = _Gate(batch, merge)
    newest: dict[str, tuple[int, int, int, int, msgspec.Raw]] = {}
    for number, raw, quote in usable(batch, _decode_quote, merge):
        at = event_ms(quote.t)
        try:
            gate.pass_through(quote.sym, at, quote.q)
            bid, ask, bid_size, ask_size = quote.bp or 0, quote.ap or 0, quote.bs or 0, quote.as_ or 0
            if not (0 <= bid < _MOST_PRICE and 0 <= ask < _MOST_PRICE):
                raise _Unusable(f"its prices are {bid:g} and {ask:g}")
            if not (0 <= bid_size < _MOST_SHARES and 0 <= ask_size < _MOST_SHARES):
                raise _Unusable(f"its sizes are {bid_size:g} and {ask_size:g}")
        except _Unusable as error:
            gate.refuse(error, raw)
            continue
        gate.accept(at)
        finer = quote.t % 1_000_000 if quote.t > 100_000_000_000_000_000 else 0
        kept = newest.get(quote.sym)
        if kept is None or (at, finer, quote.q, number) > kept[:4]:
            newest[quote.sym] = (at, finer, quote.q, number, raw)
    return latest(merge, parts.QUOTES, newest, "stocks:quotes:", wire.QUOTE, wanted)


def merge_halts(batch: Batch, wanted: Wanted) -> Merge:
    """The newest price band or halt of each symbol; every one of them is published."""
    merge = Merge("latest", [])
    gate = _Gate(batch, merge)
    newest: dict[str, tuple[int, int, int, int, msgspec.Raw]] = {}
    for number, raw, luld in usable(batch, _decode_luld, merge):
        at = event_ms(luld.t)
        try:
            gate.pass_through(luld.T, at, luld.q)
        except _Unusable as error:
            gate.refuse(error, raw)
            continue
        gate.accept(at)
        finer = luld.t % 1_000_000 if luld.t > 100_000_000_000_000_000 else 0
        if wanted(channel := f"stocks:luld:{luld.T}"):
            merge.messages += [channel, wire.LULD.of(raw).decode()]
        kept = newest.get(luld.T)
        if kept is None or (at, finer, luld.q, number) > kept[:4]:
            newest[luld.T] = (at, finer, luld.q, number, raw)
    return latest(merge, parts.HALTS, newest, "", wire.LULD, wanted)


def latest(
    merge: Merge,
    key: str,
    newest: dict[str, tuple[int, int, int, int, msgspec.Raw]],
    prefix: str,
    names: wire.LongNames,
    wanted: Wanted,
    is_row: bool = True,
) -> Merge:
    merge.entries = [key, is_row]
    for symbol, (at, finer, sequence, number, raw) in newest.items():
        merge.entries.append([symbol, at, finer, sequence, number, str(bytes(raw), "utf-8")])
        if prefix and wanted(prefix + symbol):
            merge.messages += [prefix + symbol, names.of(raw).decode()]
    return merge
