"""Price bands, halts and resumptions: the newest of each sort and symbol, whatever order they come in.

A halt ends by an event of its own (`LULD` with code 18) or by the time that Nasdaq Trader gives for it, so halt and
resumption are kept apart, and which of them stands is found when a row is read (`symbols/halts.py`).
"""

from collections import defaultdict
from typing import Final

from listener.events import Batch, Luld, TradeHalt, event_ms
from processors import parts, wire
from processors.merging.base import Gate, Kept, Listeners, Merge, Reader, finer, latest
from processors.merging.raw import RAW_KEY

# Massive's LULD indicators; the others go with bands that just stand.
_HALT: Final = 17
_REOPEN: Final = 18
_RAW: Final = RAW_KEY.format(market="stocks")
_ROW_PARTS: Final = frozenset({parts.BANDS, parts.HALT, parts.RESUME})

Event = Luld | TradeHalt
_events: Reader[Event] = Reader(Event)  # type: ignore[arg-type]  # a union is decoded like a class


def merge_halts(batch: Batch, listeners: Listeners) -> Merge:
    """The newest bands, halt and resumption of each symbol; every event of them is published.

    A listed halt does not move the market's clock: a delayed feed is a quarter of an hour behind it.
    """
    merge = Merge("latest")
    gate = Gate(batch)
    tables: defaultdict[str, Kept] = defaultdict(dict)
    for number, raw, event in zip(*_events.usable(batch, merge), strict=True):
        symbol = event.T if isinstance(event, Luld) else event.sym
        if problem := gate.problem(symbol, event.t):
            merge.refuse(problem, raw)
            continue
        at = event_ms(event.t)
        if isinstance(event, Luld):
            order = (at, finer(event.t), event.q, number)
            merge.newest = max(merge.newest, at)
            channel, names = f"stocks:luld:{symbol}", wire.LULD
        else:
            order = (at, 0, 0, number)
            channel, names = f"stocks:halt:{symbol}", wire.HALT
        if listeners.wanted(channel):
            merge.messages += (channel, names.of(raw).decode())
        for table, name in _places(event):
            kept = tables[table].get(name)
            if kept is None or order > kept[0]:
                tables[table][name] = (order, raw)
    merge.applied = len(batch.events) - len(merge.failed)
    for table, newest in tables.items():
        latest(merge, table, newest, is_row=table in _ROW_PARTS)
    return merge


def _places(event: Event) -> list[tuple[str, str]]:
    """Where an event is kept: table and field."""
    if isinstance(event, TradeHalt):
        places = [(_RAW, f"halt:{event.sym}"), (parts.HALT, event.sym)]
        # Ordered by its halt, as the other is: a time that is corrected, earlier or later, replaces the one before.
        return [*places, (parts.RESUME, event.sym)] if event.resume_at else places
    indicators = event.i or ()
    places = [(parts.HALTS, event.T)]
    if _HALT in indicators:
        places.append((parts.HALT, event.T))
    elif event.h and event.l and event.h > 0 and event.l > 0:
        places.append((parts.BANDS, event.T))
    if _REOPEN in indicators:
        places.append((parts.RESUME, event.T))
    return places
