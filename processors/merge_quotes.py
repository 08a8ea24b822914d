"""Quotes, price bands and halts: the newest of each symbol."""

from listener.events import Batch, Luld, Quote, event_ms
from processors import parts, wire
from processors.merge import Gate, Kept, Listeners, Merge, Reader, finer, latest, text

_quotes = Reader(Quote)
_bands = Reader(Luld)
_CHANNEL = "stocks:quotes:"


def merge_quotes(batch: Batch, listeners: Listeners) -> Merge:
    """The newest quote of each symbol; older ones of the batch are conflated away, for those who listen too."""
    merge = Merge("latest")
    gate = Gate(batch)
    numbers, raws, quotes = _quotes.usable(batch, merge)
    known, first, last = gate.known, gate.first, gate.latest
    newest: dict[str, tuple[int, int, int, int]] = {}
    newest_at = 0
    for index, quote in enumerate(quotes):
        symbol, at = quote.sym, quote.t
        rest = 0
        kept = newest.get(symbol)
        if (kept is None and symbol not in known) or not first <= at <= last:
            if problem := gate.problem(symbol, at):
                merge.refuse(problem, raws[index])
                continue
            at, rest = event_ms(at), finer(at)
        if at > newest_at:
            newest_at = at
        order = (at, rest, quote.q, index)
        if kept is None or order > kept:
            newest[symbol] = order
    merge.applied = len(batch.events) - len(merge.failed)
    merge.newest = newest_at
    somebody = listeners.any_of(_CHANNEL)
    merge.entries = [parts.QUOTES, True]
    for symbol, (at, rest, sequence, index) in newest.items():
        merge.entries += (symbol, parts.keep((at, rest, sequence, numbers[index]), text(raws[index])))
        if somebody and listeners.wanted(channel := _CHANNEL + symbol):
            merge.messages += (channel, wire.QUOTE.of(raws[index]).decode())
    return merge


def merge_halts(batch: Batch, listeners: Listeners) -> Merge:
    """The newest price band or halt of each symbol; every one of them is published."""
    merge = Merge("latest")
    gate = Gate(batch)
    newest: Kept = {}
    for number, raw, band in zip(*_bands.usable(batch, merge), strict=True):
        if problem := gate.problem(band.T, band.t):
            merge.refuse(problem, raw)
            continue
        order = (event_ms(band.t), finer(band.t), band.q, number)
        merge.newest = max(merge.newest, order[0])
        if listeners.wanted(channel := f"stocks:luld:{band.T}"):
            merge.messages += (channel, wire.LULD.of(raw).decode())
        if band.T not in newest or order > newest[band.T][0]:
            newest[band.T] = (order, raw)
    merge.applied = len(batch.events) - len(merge.failed)
    return latest(merge, parts.HALTS, newest)
