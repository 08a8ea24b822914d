"""Batch → what one script call keeps as it came: other markets' events, articles, and what has no known type."""

from datetime import datetime
from typing import Final

import msgspec

from listener.events import Batch, Head
from processors import wire
from processors.merge import SYMBOL, Merge, Wanted, latest, usable

_UNKNOWN_CAP: Final = 1_000
_UNKNOWN_LIFE_MS: Final = 86_400_000
_NEWS_CAP: Final = 500
_decode_head = msgspec.json.Decoder(Head).decode


def merge_unknown(batch: Batch, wanted: Wanted) -> Merge:
    """Events of no known type, as they came, each under `unknown:{ns}` by its receipt."""
    merge = Merge("unknown", ["tw:raw:unknown", _UNKNOWN_CAP, _UNKNOWN_LIFE_MS])
    merge.applied = len(batch.events)
    publish = wanted("unknown")
    # Of a flood only the newest would survive the cap.
    for number, raw in list(enumerate(batch.events, batch.seq))[-_UNKNOWN_CAP:]:
        # A receipt number counts microseconds (see listener.batching): three digits more make it the nanosecond of the
        # name.
        merge.entries.append([f"unknown:{number * 1_000}", str(bytes(raw), "utf-8", "replace")])
    if publish:
        for raw in batch.events:
            merge.messages += ["unknown", str(bytes(raw), "utf-8", "replace")]
    return merge


class _Article(msgspec.Struct, frozen=True):
    id: str
    published_utc: datetime
    title: str
    tickers: list[str] = []


_decode_article = msgspec.json.Decoder(_Article).decode


def merge_news(batch: Batch) -> Merge:
    """Articles as Massive's news endpoint gives them; each is kept and published once, whatever is delivered again."""
    merge = Merge("news", [_NEWS_CAP])
    for _, raw, article in usable(batch, _decode_article, merge):
        merge.applied += 1
        published = int(article.published_utc.timestamp() * 1_000)
        symbols = [symbol for symbol in article.tickers if SYMBOL.fullmatch(symbol)]
        merge.entries.append([article.id, published, str(bytes(raw), "utf-8"), symbols])
    return merge


def merge_other_market(batch: Batch, market: str, kind: str, wanted: Wanted) -> Merge:
    """Other markets' events: the newest of each symbol as it came, under `{market}:{kind}:{SYM}`."""
    merge = Merge("latest", [])
    newest: dict[str, tuple[int, int, int, int, msgspec.Raw]] = {}
    for number, raw, head in usable(batch, _decode_head, merge):
        symbol = head.symbol
        if symbol is None or not SYMBOL.fullmatch(symbol):
            merge.failed.append((f"{symbol!r} is no symbol", str(bytes(raw), "utf-8", "replace")))
            continue
        merge.applied += 1
        # Only receipt orders what has no common shape.
        newest[symbol] = (0, 0, 0, number, raw)
        if wanted(channel := f"{market}:{kind}:{symbol}"):
            merge.messages += [channel, str(bytes(raw), "utf-8")]
    return latest(merge, f"tw:raw:{market}:{kind}", newest, "", wire.LULD, wanted, is_row=False)
