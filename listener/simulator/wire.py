"""Massive's JSON: events as structs whose field order and names are those of the wire."""

import msgspec

encode = msgspec.json.Encoder().encode


class TradeEvent(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="T", omit_defaults=True):
    """A print. `t`, `pt`, `trft` in milliseconds; `trfi` and `trft` only for prints from a trade reporting facility."""

    sym: str
    x: int
    i: str
    z: int
    p: float
    s: int
    ds: str
    c: tuple[int, ...]
    t: int
    pt: int
    q: int
    trfi: int | None = None
    trft: int | None = None


class QuoteEvent(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="Q"):
    """A best bid and offer; sizes in round lots, `t` in milliseconds."""

    sym: str
    bx: int
    bp: float
    bs: int
    ax: int
    ap: float
    as_: int = msgspec.field(name="as")
    c: int
    t: int
    q: int
    z: int


class BarEvent(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="A", omit_defaults=True):
    """A second bar over [s, e), milliseconds."""

    sym: str
    v: int
    av: int
    vw: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 - Massive's name
    a: float
    z: int
    s: int
    e: int
    dv: str
    dav: str
    op: float | None = None


class MinuteBarEvent(BarEvent, frozen=True, gc=False, tag="AM"):
    """A minute bar over [s, e), milliseconds."""


class LuldEvent(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="LULD"):
    """Price bands; its symbol is `T`, its time `t` nanoseconds."""

    T: str
    h: float
    l: float  # noqa: E741 - Massive's name
    i: tuple[int, ...]
    z: int
    t: int
    q: int

    @property
    def sym(self) -> str:
        """The symbol, as in the other events."""
        return self.T


Event = TradeEvent | QuoteEvent | BarEvent | MinuteBarEvent | LuldEvent
TYPE_OF: dict[type, str] = {TradeEvent: "T", QuoteEvent: "Q", BarEvent: "A", MinuteBarEvent: "AM", LuldEvent: "LULD"}
