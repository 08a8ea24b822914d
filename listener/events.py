"""Massive's events: which feed each type belongs to, their typed forms, and the batch that carries them.

Source of names and units: Massive's WebSocket documentation. Times of bars, trades and quotes are milliseconds since
the epoch, those of LULD nanoseconds; `event_ms` brings both to milliseconds.
"""

from typing import Final

import msgspec

# Event type → feed (a queue's name). The client's map of all markets; what is not here goes to `unknown`.
FEED_OF: Final[dict[str, str]] = {
    **dict.fromkeys(("A", "AM", "XA", "XAS", "CA", "CAS"), "aggregate"),
    **dict.fromkeys(("T", "XT"), "trades"),
    **dict.fromkeys(("Q", "XQ", "C"), "quotes"),
    "LULD": "halts",
}


class Head(msgspec.Struct, frozen=True, gc=False):
    """What the listener looks at: the type and whichever field names the symbol."""

    ev: str
    sym: str | None = None
    T: str | None = None
    pair: str | None = None
    p: object = None  # forex quotes name their pair here, trades their price

    @property
    def symbol(self) -> str | None:
        """The event's symbol, or None when it names none."""
        if self.ev == "LULD":
            return self.T or self.sym
        if self.ev == "C" and isinstance(self.p, str):
            return self.p
        return self.sym or self.pair or self.T


class Batch(msgspec.Struct, frozen=True):
    """Events of one feed on their way to a worker: the body of a feed task.

    Attributes:
        id: Unique; an event's effect is tied to it, so that a redelivery changes nothing.
        source: The run of a feed that the events belong to (design rule 2).
        seq: Receipt number of the first event; it grows with every event of the feed, across restarts.
        received_at: When the oldest of the events was received, epoch milliseconds.
        events: Massive's own JSON objects, untouched.
    """

    id: str
    source: str
    seq: int
    received_at: int
    events: list[msgspec.Raw]


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A second or minute bar (`A`, `AM`) over [s, e)."""

    ev: str
    sym: str
    s: int
    e: int
    o: float
    h: float
    l: float  # noqa: E741 - Massive's name
    c: float
    v: float
    av: float | None = None
    op: float | None = None
    vw: float | None = None
    a: float | None = None
    z: float | None = None
    otc: bool | None = None


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One print (`T`)."""

    sym: str
    p: float
    t: int
    s: float = 0
    q: int = 0
    c: list[int] | None = None


class Quote(msgspec.Struct, frozen=True, gc=False):
    """A best bid and offer (`Q`). Sizes are round lots or shares as the feed gives them."""

    sym: str
    t: int
    q: int = 0
    bp: float | None = None
    ap: float | None = None
    bs: float | None = None
    as_: float | None = msgspec.field(name="as", default=None)


class Luld(msgspec.Struct, frozen=True, gc=False):
    """Price bands and halts (`LULD`); its ticker is `T`, its time nanoseconds."""

    T: str
    t: int
    q: int = 0
    h: float | None = None
    l: float | None = None  # noqa: E741 - Massive's name
    i: list[int] | None = None


def event_ms(t: int) -> int:
    """A time in milliseconds, whatever its unit: seconds, milli-, micro- or nanoseconds, told apart by magnitude."""
    if t < 100_000_000_000:  # seconds: until the year 5138
        return t * 1_000
    if t < 100_000_000_000_000:
        return t
    if t < 100_000_000_000_000_000:
        return t // 1_000
    return t // 1_000_000
