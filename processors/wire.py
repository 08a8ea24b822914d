"""Massive's events under the long names that clients get (design, "Cache keys and channels")."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

# A moment that says where on Earth it was: another could not be compared.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_NULL: Final = msgspec.Raw(b"null")


class Agg(msgspec.Struct):
    """A bar over [start, end), epoch milliseconds; it is sent again when it is corrected."""

    ev: str = msgspec.field(name="event_type")
    sym: str = msgspec.field(name="symbol")
    v: float = msgspec.field(name="volume")
    av: float | None = msgspec.field(name="accumulated_volume")
    op: float | None = msgspec.field(name="official_open_price")
    vw: float | None = msgspec.field(name="vwap")
    o: float = msgspec.field(name="open")
    c: float = msgspec.field(name="close")
    h: float = msgspec.field(name="high")
    l: float = msgspec.field(name="low")  # noqa: E741 - Massive's name
    a: float | None = msgspec.field(name="aggregate_vwap")
    z: float | None = msgspec.field(name="average_size")
    s: int = msgspec.field(name="start_timestamp")
    e: int = msgspec.field(name="end_timestamp")
    otc: bool | None = msgspec.field(name="otc")


class Trade(msgspec.Struct):
    """A print. Times are epoch milliseconds."""

    ev: str = msgspec.field(name="event_type")
    sym: str = msgspec.field(name="symbol")
    x: int | None = msgspec.field(name="exchange")
    i: str | None = msgspec.field(name="id")
    z: int | None = msgspec.field(name="tape")
    p: float = msgspec.field(name="price")
    s: float | None = msgspec.field(name="size")
    c: list[int] | None = msgspec.field(name="conditions")
    t: int = msgspec.field(name="timestamp")
    q: int | None = msgspec.field(name="sequence_number")
    trfi: int | None = msgspec.field(name="trf_id")
    trft: int | None = msgspec.field(name="trf_timestamp")


class Quote(msgspec.Struct):
    """A best bid and offer. `timestamp` is epoch milliseconds."""

    ev: str = msgspec.field(name="event_type")
    sym: str = msgspec.field(name="symbol")
    bx: int | None = msgspec.field(name="bid_exchange_id")
    bp: float | None = msgspec.field(name="bid_price")
    bs: float | None = msgspec.field(name="bid_size")
    ax: int | None = msgspec.field(name="ask_exchange_id")
    ap: float | None = msgspec.field(name="ask_price")
    as_: float | None = msgspec.field(name="ask_size")
    c: int | None = msgspec.field(name="condition")
    i: list[int] | None = msgspec.field(name="indicators")
    t: int = msgspec.field(name="timestamp")
    q: int | None = msgspec.field(name="sequence_number")
    z: int | None = msgspec.field(name="tape")


class Luld(msgspec.Struct):
    """Price bands, halts and resumptions. `timestamp` is epoch nanoseconds."""

    ev: str = msgspec.field(name="event_type")
    T: str = msgspec.field(name="symbol")
    h: float | None = msgspec.field(name="high_price")
    l: float | None = msgspec.field(name="low_price")  # noqa: E741 - Massive's name
    i: list[int] | None = msgspec.field(name="indicators")
    z: int | None = msgspec.field(name="tape")
    t: int = msgspec.field(name="timestamp")
    q: int | None = msgspec.field(name="sequence_number")


class Halt(msgspec.Struct):
    """A halt on any exchange, as Nasdaq Trader lists it. Times are epoch milliseconds."""

    ev: str = msgspec.field(name="event_type")
    sym: str = msgspec.field(name="symbol")
    reason: str | None
    market: str | None
    pause_price: float | None
    resume_quote_at: int | None = msgspec.field(name="resume_quote_timestamp")
    resume_at: int | None = msgspec.field(name="resume_timestamp")
    t: int = msgspec.field(name="timestamp")


class FairMarketValue(msgspec.Struct):
    """A fair market value, as Massive computes it."""

    ev: str = msgspec.field(name="event_type")
    sym: str = msgspec.field(name="symbol")
    fmv: float | None
    t: int | None = msgspec.field(name="timestamp")


class Value(msgspec.Struct):
    """The value of an index or of a fund's holdings."""

    ev: str = msgspec.field(name="event_type")
    sym: str = msgspec.field(name="symbol")
    val: float | None = msgspec.field(name="value")
    t: int | None = msgspec.field(name="timestamp")


class Imbalance(msgspec.Struct):
    """An auction that is out of balance."""

    ev: str = msgspec.field(name="event_type")
    T: str = msgspec.field(name="symbol")
    t: int | None = msgspec.field(name="timestamp")
    at: int | None = msgspec.field(name="auction_time")
    a: str | None = msgspec.field(name="auction_type")
    i: int | None = msgspec.field(name="symbol_sequence")
    x: int | None = msgspec.field(name="exchange_id")
    o: float | None = msgspec.field(name="imbalance_quantity")
    p: float | None = msgspec.field(name="paired_quantity")
    b: float | None = msgspec.field(name="book_clearing_price")


class LongNames:
    """Gives events of one kind their long names; their values stay as they came.

    Args:
        event: The kind: attributes are Massive's names (with `_` behind a word of Python's), encoded names the long.
    """

    def __init__(self, event: type[msgspec.Struct]) -> None:
        fields = [
            (field.encode_name, msgspec.Raw, msgspec.field(name=field.name.rstrip("_"), default=_NULL))
            for field in msgspec.structs.fields(event)
        ]
        self._decode = msgspec.json.Decoder(msgspec.defstruct("Event", fields)).decode

    def of(self, raw: msgspec.Raw | bytes | str) -> bytes:
        """An event as JSON with long names; a name that it lacks is null, what has no long name is left out."""
        return _encode(msgspec.structs.asdict(self._decode(raw)))


_encode = msgspec.json.Encoder().encode

AGG: Final = LongNames(Agg)
TRADE: Final = LongNames(Trade)
QUOTE: Final = LongNames(Quote)
LULD: Final = LongNames(Luld)
HALT: Final = LongNames(Halt)
FMV: Final = LongNames(FairMarketValue)
VALUE: Final = LongNames(Value)
NOI: Final = LongNames(Imbalance)
