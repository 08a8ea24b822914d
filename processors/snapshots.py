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
    "agg": (parts.NEWEST_SECOND_BARS, 300, wire.AGG),
    "trades": (parts.NEWEST_TRADES, 3_600, wire.TRADE),
    "quotes": (parts.QUOTES, 3_600, wire.QUOTE),
    "luld": (parts.HALTS, 86_400, wire.LULD),
}
_MARKET_FEED: Final = re.compile(r"(stocks|options|indices|crypto|forex|futures):(agg|trades|quotes|luld):(.+)")
_NEWS: Final = re.compile(r"news:(latest|[A-Za-z0-9.:/_-]+)")
_PLAIN: Final = re.compile(r"(scanners:[a-z0-9_:]+|unknown:\d+|status|status:components)")


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
    value: Any = msgspec.json.decode(raw)
    return msgspec.json.encode(value[: max(limit, 0)]) if isinstance(value, list) else raw


def _event(store: Store, market: str, kind: str, symbol: str) -> bytes | None:
    table, life_s, names = _RAW[kind]
    if market != "stocks":
        return _fresh(store, f"tw:raw:{market}:{kind}", symbol, life_s)
    # Minute bars stand in where there are no second bars.
    for key in (table, parts.NEWEST_MINUTE_BARS) if kind == "agg" else (table,):
        event = _fresh(store, key, symbol, life_s)
        if event is not None:
            return names.of(event)
    return None


def _fresh(store: Store, key: str, symbol: str, life_s: int) -> bytes | None:
    """A kept event, received less than `life_s` seconds ago."""
    kept: bytes | None = store.redis.hget(key, symbol)
    if kept is None or parts.received_at(kept) / 1_000 + life_s < time():
        return None
    return parts.event_of(kept)


def _news(store: Store, key: str, limit: int | None) -> bytes | None:
    ids = store.redis.zrevrange(key, 0, -1 if limit is None else limit - 1) if limit is None or limit > 0 else []
    if not ids:
        return None
    articles = store.redis.mget([b"tw:raw:article:" + article for article in ids])
    return b"[" + b",".join(article for article in articles if article is not None) + b"]"
