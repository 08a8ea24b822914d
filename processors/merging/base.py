"""Batch → what one script call merges: values pre-merged by symbol, so that Redis does a symbol's work once a batch.

Every function is pure: events in, a `Merge` out. What they put together by minimum, maximum, sum or the total order
(event time, sequence number, receipt) the scripts put together in the same way, so that any split of the events into
batches, in any order, gives the same table (design rule 3). Here is what all feeds share; each has a module of its own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from listener.events import Batch, event_ms
from processors import parts

# What may stand in a channel's and a key's name; the symbols of all markets fit (O:SPY251219C00650000, BTC-USD,
# EUR/USD).
SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:/_-]{0,39}")
# A live event further ahead of its receipt than this is malformed (design rule 2).
_AHEAD_MS: Final = 60_000
# From 1973 to 2100: times in other units lie far outside.
_FIRST_MS: Final = 100_000_000_000
_LAST_MS: Final = 4_102_444_800_000
_MICROSECONDS: Final = 100_000_000_000_000
_NANOSECONDS: Final = 100_000_000_000_000_000
_MOST_KNOWN: Final = 100_000


class Listeners(Protocol):
    """Who listens to what (`processors.store.Interest`)."""

    def wanted(self, channel: str) -> bool:
        """Whether somebody listens to a channel."""
        ...

    def any_of(self, prefix: str) -> bool:
        """Whether somebody listens to some channel that begins so."""
        ...


@dataclass(slots=True)
class Merge:
    """The argument of one script call.

    Attributes:
        script: Which script merges it, by its name in `lua/`.
        entries: The script's own argument.
        figures: Little-endian doubles that belong to the entries.
        applied: Events that take part.
        newest: The newest event time among them, epoch milliseconds, 0 for none.
        messages: Channel, payload, channel, payload, …: published in the same atomic step.
        failed: What could not be used, in words, with the event.
    """

    script: str
    entries: list[Any] = field(default_factory=list)
    figures: bytes = b""
    applied: int = 0
    newest: int = 0
    messages: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, reason: str, raw: msgspec.Raw) -> None:
        """Count an event that cannot be used."""
        self.failed.append((reason, text(raw)))


def text(raw: msgspec.Raw) -> str:
    """An event's bytes as text, without what nobody can read."""
    return str(bytes(raw), "utf-8", "replace")


E = TypeVar("E")


class Reader(Generic[E]):
    """Typed events of a batch.

    Args:
        kind: The struct that an event is decoded to.
    """

    def __init__(self, kind: type[E]) -> None:
        self._all = msgspec.json.Decoder(list[kind]).decode  # type: ignore[valid-type]  # a type made while running
        self._one = msgspec.json.Decoder(kind).decode

    def all(self, batch: Batch) -> Sequence[E]:
        """Every event of a batch.

        Raises:
            msgspec.DecodeError: One of them cannot be read.
        """
        return self._all(b"".join((b"[", b",".join(batch.events), b"]")))

    def usable(self, batch: Batch, merge: Merge) -> tuple[Sequence[int], Sequence[msgspec.Raw], Sequence[E]]:
        """Receipt numbers, bytes and typed forms of the events that can be read; the others are refused."""
        try:
            return range(batch.seq, batch.seq + len(batch.events)), batch.events, self.all(batch)
        except _UNREADABLE:
            # Something in it is malformed: one by one, to find it and to keep its neighbours.
            numbers, raws, events = [], [], []
            for number, raw in enumerate(batch.events, batch.seq):
                try:
                    events.append(self._one(raw))
                except _UNREADABLE as error:
                    merge.refuse(str(error), raw)
                else:
                    numbers.append(number)
                    raws.append(raw)
            return numbers, raws, events


_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Gate:
    """What all typed events must pass: a usable symbol, a time not ahead of its receipt.

    The quick test is the caller's own: the symbol in `known`, the time from `first` to `latest`. What does not pass it
    is asked of `problem`, which learns new symbols and knows other units of time.
    """

    first: Final = _FIRST_MS
    known: Final[set[str]] = set()

    def __init__(self, batch: Batch) -> None:
        self.latest: Final = batch.received_at + _AHEAD_MS if batch.source.startswith("live:") else _LAST_MS

    def problem(self, symbol: str, at: int) -> str:
        """Why an event cannot be used, in words; empty when it can."""
        if symbol not in self.known:
            if not SYMBOL.fullmatch(symbol):
                return f"{symbol!r} is no symbol"
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            self.known.add(symbol)
        if at <= 0:
            return f"its time, {at}, is none"
        if event_ms(at) > self.latest:
            return f"its time, {at}, is over a minute ahead of its receipt"
        return ""


def finer(at: int) -> int:
    """What milliseconds cannot say of a time in micro- or nanoseconds, in nanoseconds."""
    if at < _MICROSECONDS:
        return 0
    return at % 1_000 * 1_000 if at < _NANOSECONDS else at % 1_000_000


Kept = dict[str, tuple[parts.Order, msgspec.Raw]]


def latest(merge: Merge, key: str, newest: Kept, is_row: bool = True) -> Merge:
    """Let a symbol's newest event stand in a table; one merge can fill several.

    Args:
        merge: Of the script `latest`.
        key: The table.
        newest: By symbol, each with its order.
        is_row: Whether it changes the symbol's row.
    """
    entries: list[Any] = [key, is_row]
    for symbol, (order, raw) in newest.items():
        entries += (symbol, parts.keep(order, text(raw)))
    merge.entries.append(entries)
    return merge
