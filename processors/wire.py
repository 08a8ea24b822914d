"""Massive's one-letter fields ↔ the long names that clients get (design, "Cache keys and channels")."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

# A moment that says where on Earth it was: another could not be compared.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_NULL: Final = msgspec.Raw(b"null")


class LongNames:
    """The long names of one kind of event: an event's values, as they came, under these.

    Args:
        names: Long name by Massive's short one.
    """

    def __init__(self, names: dict[str, str]) -> None:
        fields = [(long, msgspec.Raw, msgspec.field(name=short, default=_NULL)) for short, long in names.items()]
        self._decode = msgspec.json.Decoder(msgspec.defstruct("Event", fields)).decode

    def of(self, raw: msgspec.Raw | bytes | str) -> bytes:
        """An event as JSON with long names; a name that it lacks is null, what has no long name is left out."""
        return _encode(msgspec.structs.asdict(self._decode(raw)))


_encode = msgspec.json.Encoder().encode


AGG: Final = LongNames(
    {
        "ev": "event_type",
        "sym": "symbol",
        "v": "volume",
        "av": "accumulated_volume",
        "op": "official_open_price",
        "vw": "vwap",
        "o": "open",
        "c": "close",
        "h": "high",
        "l": "low",
        "a": "aggregate_vwap",
        "z": "average_size",
        "s": "start_timestamp",
        "e": "end_timestamp",
        "otc": "otc",
    }
)
TRADE: Final = LongNames(
    {
        "ev": "event_type",
        "sym": "symbol",
        "x": "exchange",
        "i": "id",
        "z": "tape",
        "p": "price",
        "s": "size",
        "c": "conditions",
        "t": "timestamp",
        "q": "sequence_number",
        "trfi": "trf_id",
        "trft": "trf_timestamp",
    }
)
QUOTE: Final = LongNames(
    {
        "ev": "event_type",
        "sym": "symbol",
        "bx": "bid_exchange_id",
        "bp": "bid_price",
        "bs": "bid_size",
        "ax": "ask_exchange_id",
        "ap": "ask_price",
        "as": "ask_size",
        "c": "condition",
        "i": "indicators",
        "t": "timestamp",
        "q": "sequence_number",
        "z": "tape",
    }
)
LULD: Final = LongNames(
    {
        "ev": "event_type",
        "T": "symbol",
        "h": "high_price",
        "l": "low_price",
        "i": "indicators",
        "z": "tape",
        "t": "timestamp",
        "q": "sequence_number",
    }
)
HALT: Final = LongNames(
    {
        "ev": "event_type",
        "sym": "symbol",
        "reason": "reason",
        "market": "market",
        "pause_price": "pause_price",
        "resume_quote_at": "resume_quote_timestamp",
        "resume_at": "resume_timestamp",
        "t": "timestamp",
    }
)
FMV: Final = LongNames({"ev": "event_type", "sym": "symbol", "fmv": "fmv", "t": "timestamp"})
VALUE: Final = LongNames({"ev": "event_type", "sym": "symbol", "val": "value", "t": "timestamp"})
NOI: Final = LongNames(
    {
        "ev": "event_type",
        "T": "symbol",
        "t": "timestamp",
        "at": "auction_time",
        "a": "auction_type",
        "i": "symbol_sequence",
        "x": "exchange_id",
        "o": "imbalance_quantity",
        "p": "paired_quantity",
        "b": "book_clearing_price",
    }
)
