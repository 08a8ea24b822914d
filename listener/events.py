"""Massive's events: which feed each type belongs to, their typed forms, and the batch that carries them.

Source of names and units: Massive's WebSocket documentation. Times of bars, trades and quotes are milliseconds since
the epoch, those of LULD nanoseconds; `event_ms` brings both to milliseconds.
"""

from typing import Annotated, Final, NamedTuple

import msgspec


class Route(NamedTuple):
    """Where events of a type go.

    Attributes:
        feed: A queue's name.
        kind: The middle of the channel and key, `{market}:{kind}:{SYM}`.
    """

    feed: str
    kind: str


# Every type in the client's map of all markets; what is not here goes to `unknown`. `aggregate` takes what Massive
# computes (bars, values of indices, fair market values), `trades` prints, `quotes` bids and offers and books of them,
# `halts` what exchanges say of the trading itself: price bands, halts, auctions out of balance.
ROUTES: Final[dict[str, Route]] = {
    **dict.fromkeys(("A", "AM", "XA", "XAS", "CA", "CAS"), Route("aggregate", "agg")),
    **dict.fromkeys(("V", "LV"), Route("aggregate", "value")),
    "FMV": Route("aggregate", "fmv"),
    **dict.fromkeys(("T", "XT"), Route("trades", "trades")),
    **dict.fromkeys(("Q", "XQ", "C"), Route("quotes", "quotes")),
    "XL2": Route("quotes", "book"),
    "LULD": Route("halts", "luld"),
    "HALT": Route("halts", "halt"),  # of our own making: see `TradeHalt`
    "NOI": Route("halts", "noi"),
}
FEED_OF: Final[dict[str, str]] = {event_type: route.feed for event_type, route in ROUTES.items()}


def market_of(source: str) -> str:
    """The market of a source id: `live:crypto:…` carries crypto, simulator and recordings carry stocks."""
    kind, _, rest = source.partition(":")
    return rest.partition(":")[0] if kind == "live" else "stocks"


# What is no price, no number of shares, no time or sequence number is no event: checked as it is decoded. Beyond these
# bounds a sum in doubles would not stay exact.
MOST_PRICE: Final = 1e8
MOST_SHARES: Final = 1e13
Price = Annotated[float, msgspec.Meta(gt=0, lt=MOST_PRICE)]
MaybePrice = Annotated[float, msgspec.Meta(ge=0, lt=MOST_PRICE)]  # 0 stands for none
Shares = Annotated[float, msgspec.Meta(ge=0, lt=MOST_SHARES)]
Time = Annotated[int, msgspec.Meta(gt=0)]
Sequence = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


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


class TimedHead(Head, frozen=True, gc=False):
    """What orders the events of a symbol where nothing else in them is looked at: a head with its time."""

    t: Time | None = None
    e: Time | None = None
    s: object = None  # a bar's start, a trade's size
    q: Sequence = 0

    @property
    def at(self) -> int | None:
        """A known type's time, in the unit that it came in: a bar's last moment, or the start of one without an end."""
        if ROUTES[self.ev].kind != "agg":
            return self.t
        if self.e is not None:
            return self.e - 1
        return self.s if isinstance(self.s, int) else None


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
    s: Time
    e: Time
    o: Price
    h: Price
    l: Price  # noqa: E741 - Massive's name
    c: Price
    v: Shares
    av: Shares | None = None
    op: MaybePrice | None = None
    vw: float | None = None
    a: float | None = None
    z: Shares | None = None


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One print (`T`)."""

    sym: str
    p: Price
    t: Time
    s: Shares = 0
    q: Sequence = 0
    c: tuple[int, ...] | None = None


class Quote(msgspec.Struct, frozen=True, gc=False):
    """A best bid and offer (`Q`). Sizes are round lots or shares as the feed gives them."""

    sym: str
    t: Time
    q: Sequence = 0
    bp: MaybePrice | None = None
    ap: MaybePrice | None = None
    bs: Shares | None = None
    as_: Shares | None = msgspec.field(name="as", default=None)


class Luld(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="LULD"):
    """Price bands and halts (`LULD`); its ticker is `T`, its time nanoseconds."""

    T: str
    t: Time
    q: Sequence = 0
    h: float | None = None
    l: float | None = None  # noqa: E741 - Massive's name
    i: list[int] | None = None


class TradeHalt(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="HALT"):
    """A halt on any exchange as Nasdaq Trader lists it (`HALT`): no event of Massive's, see `listener.trade_halts`.

    Attributes:
        sym: The symbol.
        t: When trading stopped, epoch milliseconds, like the times below.
        reason: Nasdaq Trader's code, such as `LUDP`.
        resume_quote_at: When quoting resumes, once that is known.
        resume_at: When trading resumes, once that is known.
        pause_price: The price that a volatility pause was called at.
        market: The listing exchange, in Nasdaq Trader's words.
    """

    sym: str
    t: Time
    reason: str = ""
    resume_quote_at: Time | None = None
    resume_at: Time | None = None
    pause_price: MaybePrice | None = None
    market: str = ""


def event_ms(t: int) -> int:
    """A time in milliseconds, whatever its unit: seconds, milli-, micro- or nanoseconds, told apart by magnitude."""
    if t < 100_000_000_000:  # seconds: until the year 5138
        return t * 1_000
    if t < 100_000_000_000_000:
        return t
    if t < 100_000_000_000_000_000:
        return t // 1_000
    return t // 1_000_000
