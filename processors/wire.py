"""Massive's one-letter fields ↔ the long names that clients get (design, "Cache keys and channels")."""

from typing import Final

import msgspec

AGG: Final = {
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
TRADE: Final = {
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
QUOTE: Final = {
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
LULD: Final = {
    "ev": "event_type",
    "T": "symbol",
    "h": "high_price",
    "l": "low_price",
    "i": "indicators",
    "z": "tape",
    "t": "timestamp",
    "q": "sequence_number",
}

_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.Encoder().encode


def long_form(raw: msgspec.Raw | bytes | str, names: dict[str, str]) -> bytes:
    """An event as JSON with long names; a name that the event lacks is null, what has no long name is left out."""
    event = _decode(raw)
    return _encode({long: event.get(short) for short, long in names.items()})
