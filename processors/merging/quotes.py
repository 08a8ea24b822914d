"""Quotes: the newest of each symbol."""

from typing import Any

from listener.events import Batch, Quote, event_ms
from processors import parts, wire
from processors.merging.base import Gate, Listeners, Merge, Reader, finer, text

_quotes = Reader(Quote)
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
    entries: list[Any] = [parts.QUOTES, True]
    for symbol, (at, rest, sequence, index) in newest.items():
        entries += (symbol, parts.keep((at, rest, sequence, numbers[index]), text(raws[index])))
        if somebody and listeners.wanted(channel := _CHANNEL + symbol):
            merge.messages += (channel, wire.QUOTE.of(raws[index]).decode())
    merge.entries.append(entries)
    return merge
