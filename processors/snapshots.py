"""What `get` answers: the newest that the system has, by the documented name of a cache key.

How a value is kept is nobody's affair but this module's: many are put together when they are asked for.
"""

import re
from time import time
from typing import Any, Final

import msgspec

from processors import parts, wire
from processors.bars import RESOLUTIONS, bars_of
from processors.merging.raw import RAW_KEY, STOCK_NAMES
from processors.store import STATUS, Store
from processors.symbols.rows import row_of

_HOUR_S: Final = 3_600
# How long an event is answered, in seconds from its receipt, by kind.
_LIFE_S: Final = {
    "agg": 300,
    **dict.fromkeys(("trades", "quotes", "value", "fmv", "book"), _HOUR_S),
    **dict.fromkeys(("luld", "halt", "noi"), 24 * _HOUR_S),
}
# Where the table keeps the last event of a kind; minute bars stand in where there are no second bars.
_OF_THE_TABLE: Final[dict[str, tuple[tuple[str, ...], wire.LongNames]]] = {
    "agg": ((parts.NEWEST_SECOND_BARS, parts.NEWEST_MINUTE_BARS), wire.AGG),
    "trades": ((parts.NEWEST_TRADES,), wire.TRADE),
    "quotes": ((parts.QUOTES,), wire.QUOTE),
    "luld": ((parts.HALTS,), wire.LULD),
}
_MARKET_FEED: Final = re.compile(rf"(stocks|options|indices|crypto|forex|futures):({'|'.join(_LIFE_S)}):(.+)")
_NEWS: Final = re.compile(r"news:(latest|[A-Za-z0-9.:/_-]+)")
_ALERTS: Final = re.compile(r"alerts(:[a-z0-9_:]+)?")
_BARS: Final = re.compile(rf"bars:({'|'.join(RESOLUTIONS)}):(.+)")
_PLAIN: Final = re.compile(r"(scanners:[a-z0-9_:]+|top_10_lists|unknown:\d+|status|status:components)")


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
    if found := _BARS.fullmatch(key):
        return _bars(store, found[1], found[2], limit)
    if _NEWS.fullmatch(key):
        return _news(store, key, limit)
    if _ALERTS.fullmatch(key):
        return _alerts(store, key, limit)
    return None


def _bars(store: Store, resolution: str, symbol: str, limit: int | None) -> bytes | None:
    """Bars, oldest first."""
    shown = bars_of(store, symbol, resolution)
    if limit is not None:
        shown = shown[-limit:] if limit > 0 else []
    return msgspec.json.encode(shown) if shown else None


def _alerts(store: Store, key: str, limit: int | None) -> bytes | None:
    """Alerts, newest first."""
    alerts = store.redis.lrange(key, 0, -1 if limit is None else limit - 1) if limit is None or limit > 0 else []
    return b"[" + b",".join(alerts) + b"]" if alerts else None


def _limited(raw: bytes, limit: int) -> bytes:
    value: Any = msgspec.json.decode(raw)
    return msgspec.json.encode(value[: max(limit, 0)]) if isinstance(value, list) else raw


def _event(store: Store, market: str, kind: str, symbol: str) -> bytes | None:
    """The newest event of a kind and symbol: with long names if it is of stocks, else as it came."""
    if market != "stocks" or kind in STOCK_NAMES:
        event = _fresh(store, RAW_KEY.format(market=market), f"{kind}:{symbol}", _LIFE_S[kind])
        if event is None:
            return None
        return STOCK_NAMES[kind].of(event) if market == "stocks" else event
    if kind not in _OF_THE_TABLE:
        return None
    keys, names = _OF_THE_TABLE[kind]
    for key in keys:
        event = _fresh(store, key, symbol, _LIFE_S[kind])
        if event is not None:
            return names.of(event)
    return None


def _fresh(store: Store, key: str, field: str, life_s: int) -> bytes | None:
    """A kept event, if it was received less than `life_s` seconds ago."""
    kept: bytes | None = store.redis.hget(key, field)
    if kept is None or parts.received_at(kept) / 1_000 + life_s < time():
        return None
    return parts.event_of(kept)


def _news(store: Store, key: str, limit: int | None) -> bytes | None:
    ids = store.redis.zrevrange(key, 0, -1 if limit is None else limit - 1) if limit is None or limit > 0 else []
    if not ids:
        return None
    articles = store.redis.mget([b"tw:raw:article:" + article for article in ids])
    return b"[" + b",".join(article for article in articles if article is not None) + b"]"
