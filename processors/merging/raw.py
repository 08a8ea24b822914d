"""Batch → what one script call keeps as it came: events outside the symbol table, articles, and unknown types.

Outside the table are all events of the other markets, and those of stocks that no row is made of: fair market values,
values, auction imbalances.
"""

from typing import Annotated, Final

import msgspec

from listener.events import ROUTES, Batch, TimedHead, event_ms
from processors import wire
from processors.merging.base import SYMBOL, Gate, Kept, Listeners, Merge, Reader, finer, latest, text

# Where every kind of a market's events is kept, the fields being `{kind}:{SYM}`.
RAW_KEY: Final = "tw:raw:{market}"
# What stocks' events outside the table are called when they go out; those of other markets go out as they came.
STOCK_NAMES: Final = {"fmv": wire.FMV, "value": wire.VALUE, "noi": wire.NOI, "halt": wire.HALT}
# Of these only the newest of a batch goes out: each replaces the one before. Prints, bars and the like all go out.
_CONFLATED: Final = frozenset({"quotes", "book", "fmv"})
UNKNOWN_KEYS: Final = "tw:raw:unknown"
_UNKNOWN_CAP: Final = 1_000
_UNKNOWN_LIFE_MS: Final = 86_400_000
_NEWS_CAP: Final = 500
# What is kept whole, a thousand of a sort, must not fill the cache.
_MOST_BYTES: Final = 65_536

_heads = Reader(TimedHead)


class _Type(msgspec.Struct, frozen=True, gc=False):
    ev: str


_types = Reader(_Type)


def parts_by_way(batch: Batch, in_table: frozenset[str]) -> tuple[Batch | None, Batch | None]:
    """A batch of stocks in two: what goes into the symbol table, and what is kept as it came; None where there is none.

    Each part is a batch of its own, so that each is applied once. The first keeps the batch's id, by which brokers and
    workers account for what they dispose of unopened.

    Args:
        batch: Events of one feed.
        in_table: The types that the table is made of.
    """
    types = _types.usable(batch, Merge("bars"))  # what has no type is the table's to refuse
    outside = {number - batch.seq for number, _, event in zip(*types, strict=True) if event.ev not in in_table}
    if not outside:
        return batch, None
    if len(outside) == len(batch.events):
        return None, batch
    inside = [index for index in range(len(batch.events)) if index not in outside]
    return _part(batch, batch.id, inside), _part(batch, f"{batch.id}:raw", sorted(outside))


def _part(batch: Batch, name: str, indices: list[int]) -> Batch:
    # Receipt numbers within a part close ranks: they still order its events, and against those of every other batch.
    events = [batch.events[index] for index in indices]
    return Batch(name, batch.source, batch.seq + indices[0], batch.received_at, events)


def merge_raw(batch: Batch, market: str, listeners: Listeners) -> Merge:
    """Events outside the table: the newest of each kind and symbol as it came, under `{market}:{kind}:{SYM}`.

    Newest by the event's own time, then its sequence number, then receipt, whatever order batches come in.
    """
    merge = Merge("latest")
    gate = Gate(batch)
    newest: Kept = {}
    for number, raw, head in zip(*_heads.usable(batch, merge), strict=True):
        route = ROUTES.get(head.ev)
        if route is None or (market == "stocks" and route.kind not in STOCK_NAMES):
            merge.refuse(f"{head.ev} is no event of {market}", raw)
            continue
        at = head.at or 0
        if problem := gate.problem(head.symbol or "", at):
            merge.refuse(problem, raw)
            continue
        order = (event_ms(at), finer(at), head.q, number)
        merge.newest = max(merge.newest, order[0])
        name = f"{route.kind}:{head.symbol}"
        if name not in newest or order > newest[name][0]:
            newest[name] = (order, raw)
        if route.kind not in _CONFLATED and listeners.wanted(channel := f"{market}:{name}"):
            merge.messages += (channel, _payload(market, route.kind, raw))
    for name, (_, raw) in newest.items():
        kind = name.partition(":")[0]
        if kind in _CONFLATED and listeners.wanted(channel := f"{market}:{name}"):
            merge.messages += (channel, _payload(market, kind, raw))
    merge.applied = len(batch.events) - len(merge.failed)
    return latest(merge, RAW_KEY.format(market=market), newest, is_row=False)


def _payload(market: str, kind: str, raw: msgspec.Raw) -> str:
    return STOCK_NAMES[kind].of(raw).decode() if market == "stocks" else text(raw)


def merge_unknown(batch: Batch, listeners: Listeners) -> Merge:
    """Events of no known type, as they came, each under `unknown:{ns}` by its receipt."""
    merge = Merge("unknown", [UNKNOWN_KEYS, _UNKNOWN_CAP, _UNKNOWN_LIFE_MS])
    publish = listeners.wanted("unknown")
    kept: list[list[int | str]] = []
    for number, raw in enumerate(batch.events, batch.seq):
        if len(raw) > _MOST_BYTES:
            merge.refuse(f"an event of unknown type is {len(raw):,} bytes long", raw)
            continue
        # A receipt number counts microseconds (see listener.batching); the script makes it the nanosecond of the name.
        kept.append([number, text(raw)])
        if publish:
            merge.messages += ("unknown", text(raw))
    merge.applied = len(kept)
    # Of a flood only the newest would survive the cap.
    merge.entries += kept[-_UNKNOWN_CAP:]
    return merge


class Article(msgspec.Struct, frozen=True):
    """A news article as Massive's REST API gives it: these fields are looked at, all others go out as they came."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    published_utc: wire.Instant
    title: str
    tickers: list[str] = []


_articles = Reader(Article)


def merge_news(batch: Batch) -> Merge:
    """Articles as Massive's news endpoint gives them; each is kept and published once, whatever is delivered again."""
    merge = Merge("news", [_NEWS_CAP])
    latest_at = Gate(batch).latest
    for _, raw, article in zip(*_articles.usable(batch, merge), strict=True):
        if len(raw) > _MOST_BYTES:
            merge.refuse(f"an article is {len(raw):,} bytes long", raw)
            continue
        merge.applied += 1
        published = int(article.published_utc.timestamp() * 1_000)
        # Each channel once; the list of all articles is no symbol's.
        symbols = [name for name in dict.fromkeys(article.tickers) if SYMBOL.fullmatch(name) and name != "latest"]
        # Dated into the future, it would push out of the count what is published until then.
        merge.entries.append([article.id, published, text(raw), symbols, published <= latest_at])
    return merge
