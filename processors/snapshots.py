"""What `get` answers: the newest that the system has, by the documented name of a cache key.

How a value is kept is nobody's affair but this module's: many are put together when they are asked for.
"""

import re
from time import time
from typing import Any, Final

import msgspec

from processors import parts, wire
from processors.rows import row_of
from processors.store import STATUS, Store

_RAW: Final = {
    # kind → (table key, time to live in seconds, long names)
    "agg": (parts.SECOND_BARS, 300, wire.AGG),
    "trades": (parts.TRADES, 3_600, wire.TRADE),
    "quotes": (parts.QUOTES, 3_600, wire.QUOTE),
    "luld": (parts.HALTS, 86_400, wire.LULD),
}
# Position of the receipt number in a part: it tells when the event was received.
_RECEIPT: Final = {"agg": 4, "trades": 28, "quotes": 3, "luld": 3}
_MARKET_FEED: Final = re.compile(r"(stocks|options|indices|crypto|forex|futures):(agg|trades|quotes|luld):(.+)")
_NEWS: Final = re.compile(r"news:(latest|[A-Za-z0-9.:/_-]+)")
_PLAIN: Final = re.compile(r"(scanners:[a-z0-9_:]+|unknown:\d+|status|status:components)")
_decode_part = msgspec.msgpack.Decoder().decode


def snapshot(store: Store, key: str, limit: int | None = None) -> bytes | None:
    """The JSON behind a documented key, or None when there is nothing (or no such key).

    Args:
        store: The cache.
        key: A documented name, such as `scanners:top_gainers`.
        limit: Of a list, the newest (or best) so many.
    """
    if key == STATUS or _PLAIN.fullmatch(key):
        raw: bytes | None = store.redis.get(key)
        return _limited(raw, limit) if raw is not None and limit is not None else raw
    if key.startswith("quote:"):
        row = row_of(store, key.removeprefix("quote:"))
        return msgspec.json.encode(row) if row is not None else None
    if found := _MARKET_FEED.fullmatch(key):
        return _event(store, *found.groups())
    if _NEWS.fullmatch(key):
        return _news(store, key, limit)
    return None


def _limited(raw: bytes, limit: int) -> bytes:
    value: Any = msgspec.json.decode(raw, type=list[msgspec.Raw] | Any)
    return msgspec.json.encode(value[:limit]) if isinstance(value, list) else raw


def _event(store: Store, market: str, kind: str, symbol: str) -> bytes | None:
    table, life_s, names = _RAW[kind]
    raw: bytes | None = store.redis.hget(table if market == "stocks" else f"tw:raw:{market}:{kind}", symbol)
    if raw is None and (market, kind) == ("stocks", "agg"):
        raw = store.redis.hget(parts.MINUTE_BARS, symbol)
    if raw is None:
        return None
    part = _decode_part(raw)
    if market != "stocks":
        return str(part[-1]).encode()
    # Receipt numbers count microseconds.
    if part[_RECEIPT[kind]] / 1_000_000 + life_s < time() or not part[-1]:
        return None
    return wire.long_form(part[-1], names)


def _news(store: Store, key: str, limit: int | None) -> bytes | None:
    ids = store.redis.zrevrange(key, 0, (limit or 0) - 1)
    if not ids:
        return None
    articles = store.redis.mget([b"news:article:" + article for article in ids])
    return b"[" + b",".join(article for article in articles if article is not None) + b"]"
