"""What `get` answers: the newest that the system has, by the documented name of a cache key.

How a value is kept is nobody's affair but this module's: many are put together when they are asked for.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, Final, NamedTuple

import msgspec

from processors import parts, wire
from processors.bars import RESOLUTIONS, bars_of
from processors.merging.raw import RAW_KEY, STOCK_NAMES
from processors.store import BOARDS, NEWS_RECENT, OWNERS, STATUS, Store
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


class Mark(NamedTuple):
    """A word said on a channel in the same step in which a value is read: what a listener hears of the value's feed
    before it is in the value, what he hears after it is not."""

    channel: str
    word: str


class Value(NamedTuple):
    """What stands behind a key.

    Attributes:
        data: JSON, or None when there is nothing (or no such key).
        owner: Of the rule whose board or alerts it is, a user's number; 0: everyone's. As it was in the same step.
    """

    data: bytes | None
    owner: int = 0


class BoardValue(NamedTuple):
    """A board as it stands.

    Attributes:
        version: The engine's number of it; 0 when there is none.
        payload: Its rows as JSON; b"" when there are none.
    """

    version: int
    payload: bytes


@dataclass(slots=True)
class _Look:
    """One reading of the cache; a mark, if there is one, is set in its first step."""

    store: Store
    mark: Mark | None = None

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The answers to commands, done in one step."""
        if len(commands) == 1 and self.mark is None:
            return [self.store.redis.execute_command(*commands[0])]
        with self.store.redis.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            if self.mark is not None:
                pipe.publish(*self.mark)
                self.mark = None
            answers: list[Any] = pipe.execute()
        return answers[: len(commands)]

    def begin(self) -> Store:
        """The store, for what is put together in steps of its own, after the mark."""
        self.ask()
        return self.store


def snapshot(store: Store, key: str, limit: int | None = None) -> bytes | None:
    """The JSON behind a documented key, or None when there is nothing (or no such key).

    Args:
        store: The cache.
        key: A documented name, such as `scanners:top_gainers`.
        limit: Of a list, the newest (or best) so many.
    """
    return read(store, key, limit).data


def read(store: Store, key: str, limit: int | None = None, mark: Mark | None = None) -> Value:
    """The JSON behind a documented key, and whose it is.

    What is put together from several parts of the cache (quotes and bars) may be newer than the mark.

    Args:
        store: The cache.
        key: A documented name, such as `scanners:top_gainers`.
        limit: Of a list, the newest (or best) so many.
        mark: Set in the same step.
    """
    look = _Look(store, mark)
    if key.startswith("scanners:") and _PLAIN.fullmatch(key):
        raw, owner = look.ask(("GET", key), ("HGET", OWNERS, key.removeprefix("scanners:")))
        return Value(_limited(raw, limit), int(owner or 0))
    if _ALERTS.fullmatch(key):
        return _alerts(look, key, limit)
    return Value(_unowned(look, key, limit))


def read_board(store: Store, slug: str, mark: Mark) -> BoardValue:
    """A board with the version that it has, in one step with a mark."""
    version, payload = _Look(store, mark).ask(("HGET", BOARDS, slug), ("GET", f"scanners:{slug}"))
    return BoardValue(int(version or 0), payload or b"")


def _unowned(look: _Look, key: str, limit: int | None) -> bytes | None:
    if _PLAIN.fullmatch(key):
        return _limited(look.ask(("GET", key))[0], limit)
    if key.startswith("quote:"):
        row = row_of(look.begin(), key.removeprefix("quote:"))
        return msgspec.json.encode(row) if row is not None else None
    if found := _MARKET_FEED.fullmatch(key):
        return _event(look, *found.groups())
    if found := _BARS.fullmatch(key):
        return _bars(look.begin(), found[1], found[2], limit)
    if _NEWS.fullmatch(key):
        return _news(look, key, limit)
    look.begin()
    return None


def _bars(store: Store, resolution: str, symbol: str, limit: int | None) -> bytes | None:
    """Bars, oldest first."""
    shown = bars_of(store, symbol, resolution)
    if limit is not None:
        shown = shown[-limit:] if limit > 0 else []
    return msgspec.json.encode(shown) if shown else None


def _alerts(look: _Look, key: str, limit: int | None) -> Value:
    """Alerts, newest first."""
    last = -1 if limit is None else limit - 1
    alerts, owner = look.ask(("LRANGE", key, 0, last), ("HGET", OWNERS, key.removeprefix("alerts:")))
    kept = alerts if limit is None or limit > 0 else []
    return Value(b"[" + b",".join(kept) + b"]" if kept else None, int(owner or 0))


def _limited(raw: bytes | None, limit: int | None) -> bytes | None:
    if raw is None or limit is None:
        return raw
    value: Any = msgspec.json.decode(raw)
    return msgspec.json.encode(value[: max(limit, 0)]) if isinstance(value, list) else raw


def _event(look: _Look, market: str, kind: str, symbol: str) -> bytes | None:
    """The newest event of a kind and symbol: with long names if it is of stocks, else as it came."""
    if market != "stocks" or kind in STOCK_NAMES:
        event = _fresh(look, RAW_KEY.format(market=market), f"{kind}:{symbol}", _LIFE_S[kind])
        if event is None:
            return None
        return STOCK_NAMES[kind].of(event) if market == "stocks" else event
    if kind not in _OF_THE_TABLE:
        look.begin()
        return None
    keys, names = _OF_THE_TABLE[kind]
    for key in keys:
        event = _fresh(look, key, symbol, _LIFE_S[kind])
        if event is not None:
            return names.of(event)
    return None


def _fresh(look: _Look, key: str, field: str, life_s: int) -> bytes | None:
    """A kept event, if it was received less than `life_s` seconds ago."""
    kept: bytes | None = look.ask(("HGET", key, field))[0]
    if kept is None or parts.received_at(kept) / 1_000 + life_s < time():
        return None
    return parts.event_of(kept)


def _news(look: _Look, key: str, limit: int | None) -> bytes | None:
    """Articles, newest first. They never change, so that it is enough to list them in one step."""
    last = -1 if limit is None else limit - 1
    ids = look.ask(("ZREVRANGE", key, 0, last))[0] if limit is None or limit > 0 else []
    if not ids:
        return None
    articles = look.store.redis.mget([b"tw:raw:article:" + article for article in ids])
    return b"[" + b",".join(article for article in articles if article is not None) + b"]"


class TooManyFeeds(ValueError):
    """A pattern matches more feeds than can be read at once."""


def feeds_matching(store: Store, prefix: str, most: int) -> list[str]:
    """The feeds that exist and whose names begin so, in order.

    Args:
        store: The cache.
        prefix: How the names begin; with the first word in full, such as `scanners`.
        most: How many there may be.

    Raises:
        TooManyFeeds: There are more.
    """
    found = set[str]()
    for candidates in _KEPT.get(prefix.partition(":")[0], ()):
        found.update(name for name in candidates(store) if name.startswith(prefix))
        if len(found) > most:
            raise TooManyFeeds(f"More than {most:,} feeds begin with {prefix}.")
    return sorted(found)


def _plain_names(*names: str) -> Callable[[Store], Iterable[str]]:
    def existing(store: Store) -> Iterable[str]:
        return _existing(store, names)

    return existing


def _boards(store: Store) -> Iterable[str]:
    return [f"scanners:{slug.decode()}" for slug in store.redis.hkeys(BOARDS)]


def _alert_lists(store: Store) -> Iterable[str]:
    owners = {rule.decode(): int(owner) for rule, owner in store.redis.hgetall(OWNERS).items()}
    users = {f"alerts:user:{owner}" for owner in owners.values() if owner != 0}
    return _existing(store, ("alerts", *(f"alerts:{rule}" for rule in owners), *users))


def _news_lists(store: Store) -> Iterable[str]:
    symbols = {member.partition(b"|")[0].decode() for member in store.redis.zrange(NEWS_RECENT, 0, -1)}
    return ("news:latest", *(f"news:{symbol}" for symbol in symbols))


def _symbols(prefix: str, *keys: str) -> Callable[[Store], Iterable[str]]:
    """Names made of a prefix and each symbol that one of these hashes knows."""

    def names(store: Store) -> Iterable[str]:
        return {prefix + symbol.decode() for key in keys for symbol in store.redis.hkeys(key)}

    return names


def _events_as_they_came(market: str) -> Callable[[Store], Iterable[str]]:
    def names(store: Store) -> Iterable[str]:
        return [f"{market}:{field.decode()}" for field in store.redis.hkeys(RAW_KEY.format(market=market))]

    return names


def _existing(store: Store, names: Sequence[str]) -> list[str]:
    with store.redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.exists(name)
        return [name for name, exists in zip(names, pipe.execute(), strict=True) if exists]


# Where the names of a family's feeds can be read, those with fewer names first.
_KEPT: Final[dict[str, tuple[Callable[[Store], Iterable[str]], ...]]] = {
    "scanners": (_boards,),
    "top_10_lists": (_plain_names("top_10_lists"),),
    "alerts": (_alert_lists,),
    "news": (_news_lists,),
    "status": (_plain_names(STATUS, "status:components"),),
    "quote": (_symbols("quote:", parts.TRADES, parts.SECOND_BARS, parts.MINUTE_BARS, parts.QUOTES),),
    "bars": tuple(
        _symbols(f"bars:{resolution}:", parts.TRADES, parts.SECOND_BARS, parts.MINUTE_BARS)
        for resolution in RESOLUTIONS
    ),
    "stocks": (
        _events_as_they_came("stocks"),
        *(_symbols(f"stocks:{kind}:", *keys) for kind, (keys, _) in _OF_THE_TABLE.items()),
    ),
    **{market: (_events_as_they_came(market),) for market in ("options", "indices", "crypto", "forex", "futures")},
}
