"""Batch → what one script call keeps as it came: other markets' events, articles, and what has no known type."""

from datetime import datetime
from typing import Final

import msgspec

from listener.events import Batch, Head
from processors.merge import SYMBOL, Kept, Listeners, Merge, Reader, latest, text

_UNKNOWN_CAP: Final = 1_000
_UNKNOWN_LIFE_MS: Final = 86_400_000
_NEWS_CAP: Final = 500
_heads = Reader(Head)


def merge_unknown(batch: Batch, listeners: Listeners) -> Merge:
    """Events of no known type, as they came, each under `unknown:{ns}` by its receipt."""
    merge = Merge("unknown", ["tw:raw:unknown", _UNKNOWN_CAP, _UNKNOWN_LIFE_MS])
    merge.applied = len(batch.events)
    publish = listeners.wanted("unknown")
    # Of a flood only the newest would survive the cap.
    for number, raw in list(enumerate(batch.events, batch.seq))[-_UNKNOWN_CAP:]:
        # A receipt number counts microseconds (see listener.batching): three digits more make it the nanosecond of the
        # name.
        merge.entries.append([f"unknown:{number * 1_000}", text(raw, "replace")])
    if publish:
        for raw in batch.events:
            merge.messages += ["unknown", text(raw, "replace")]
    return merge


class _Article(msgspec.Struct, frozen=True):
    id: str
    published_utc: datetime
    title: str
    tickers: list[str] = []


_articles = Reader(_Article)


def merge_news(batch: Batch) -> Merge:
    """Articles as Massive's news endpoint gives them; each is kept and published once, whatever is delivered again."""
    merge = Merge("news", [_NEWS_CAP])
    for _, raw, article in zip(*_articles.usable(batch, merge), strict=True):
        merge.applied += 1
        published = int(article.published_utc.timestamp() * 1_000)
        symbols = [symbol for symbol in article.tickers if SYMBOL.fullmatch(symbol)]
        merge.entries.append([article.id, published, text(raw), symbols])
    return merge


def merge_other_market(batch: Batch, market: str, kind: str, listeners: Listeners) -> Merge:
    """Other markets' events: the newest of each symbol as it came, under `{market}:{kind}:{SYM}`."""
    merge = Merge("latest")
    newest: Kept = {}
    for number, raw, head in zip(*_heads.usable(batch, merge), strict=True):
        symbol = head.symbol
        if symbol is None or not SYMBOL.fullmatch(symbol):
            merge.refuse(f"{symbol!r} is no symbol", raw)
            continue
        merge.applied += 1
        # Only receipt orders what has no common shape.
        newest[symbol] = ((0, 0, 0, number), raw)
        if listeners.wanted(channel := f"{market}:{kind}:{symbol}"):
            merge.messages += (channel, text(raw))
    return latest(merge, f"tw:raw:{market}:{kind}", newest, is_row=False)
