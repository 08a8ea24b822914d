"""A symbol's bars of its newest day: read as they are kept, and put together by the minute.

A symbol has the bars of the best kind that it has (`parts.BAR_KINDS`): second bars, else minute bars, else bars by the
second from trades; minute bars from REST fill the minutes that those do not have. The last half hour of bars by the
second is kept whole (`lua/rings.lua`), what is older as one bar a minute.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, TypedDict, cast

import msgspec
import numpy as np

from processors import parts
from processors.changes import Chunk
from processors.sessions import trading_day
from processors.store import Store

Bars = np.ndarray[Any, Any]
RESOLUTIONS: Final = ("1s", "1m", "5m")

_MINUTE_MS: Final = 60_000
_SECOND_MS: Final = 1_000
_RECENT_MINUTES: Final = 30
_PER_DOLLAR: Final = 10_000
_PAGE: Final = 200
# So many minutes of bars are asked for in a script call, that holds up writers for a few milliseconds at most.
_CHUNKS_PAGE: Final = 600
_STORED: Final = np.dtype([(name, "<f8") for name in parts.STORED_BAR])
_TRADED: Final = np.dtype([(name, "<f8") for name in parts.TRADED_BAR])
# Of a group's number the minute is what these digits hold, the rest is whose it is.
_OWNER: Final = 1 << 32
_NONE: Final = np.empty(0, parts.BAR)
_encode = msgspec.msgpack.Encoder().encode


def read_chunks(store: Store, chunks: Sequence[Chunk]) -> tuple[Any, Bars]:
    """The bars of minutes that changed.

    Args:
        store: The cache.
        chunks: From `Changes.chunks`.

    Returns:
        Of each bar the index of its chunk, and the bars (`parts.BAR`), by chunk and ascending by start; none where they
        are not of the symbol's newest day, or of trades that bars have taken the place of.
    """
    found, indices = [_NONE], [np.empty(0, np.int64)]
    for first in range(0, len(chunks), _CHUNKS_PAGE):
        page = chunks[first : first + _CHUNKS_PAGE]
        numbers = np.array([number for _, _, number in page], np.int64)
        for bars, owners in _pieces(store, page).values():
            # A minute bar's chunk is longer than its minute.
            asked = bars["start"] // _MINUTE_MS == numbers[owners]
            found.append(bars[asked])
            indices.append(owners[asked] + first)
    of, bars = np.concatenate(indices), np.concatenate(found)
    order = np.argsort(of, kind="stable")
    return of[order], bars[order]


def read_days(store: Store, symbols: Sequence[bytes]) -> dict[bytes, dict[str, Bars]]:
    """All bars that are kept of each symbol's newest day.

    Args:
        store: The cache.
        symbols: Any number.

    Returns:
        By symbol and kind, ascending by start; what has left the ring is a bar a minute.
    """
    days: dict[bytes, dict[str, Bars]] = {}
    for first in range(0, len(symbols), _PAGE):
        page = symbols[first : first + _PAGE]
        days |= zip(page, _read(store, [(symbol, "", 0) for symbol in page]), strict=True)
    return days


def _read(store: Store, asked: Sequence[Chunk]) -> list[dict[str, Bars]]:
    """What there is of chunks, by kind; with an empty kind the whole day."""
    by_owner: list[dict[str, Bars]] = [{} for _ in asked]
    for kind, (bars, owners) in _pieces(store, asked).items():
        names, firsts = np.unique(owners, return_index=True)
        for owner, of_one in zip(names, np.split(bars, firsts[1:]), strict=True):
            by_owner[owner][kind] = of_one
    return by_owner


def _pieces(store: Store, asked: Sequence[Chunk]) -> dict[str, tuple[Bars, Any]]:
    """The same as bars by kind, each with the index of what was asked for; ascending by that and start."""
    answer = store.read_history(_encode([value for symbol, *rest in asked for value in (symbol.decode(), *rest)]))
    days, found = answer[::2], answer[1::2]
    texts: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
    for owner, of_owner in enumerate(found):
        for kind, where, text in zip(of_owner[::3], of_owner[1::3], of_owner[2::3], strict=True):
            if text:
                texts.setdefault((kind.decode(), where.decode()), []).append((owner, text))
    opens, closes = _bells(days)
    pieces: dict[str, list[tuple[Bars, Any]]] = {}
    for (kind, where), owned in texts.items():
        bars, owners = _decoded(kind, where, owned)
        if kind != "R":
            bars["session"] = (bars["start"] >= opens[owners]).astype("u1") + (bars["start"] >= closes[owners])
        pieces.setdefault(kind, []).append((bars, owners))
    sorted_: dict[str, tuple[Bars, Any]] = {}
    for kind, of_kind in pieces.items():
        bars = np.concatenate([bars for bars, _ in of_kind])
        owners = np.concatenate([owners for _, owners in of_kind])
        order = np.lexsort((bars["start"], owners))
        sorted_[kind] = bars[order], owners[order]
    return sorted_


def _bells(days: Sequence[int]) -> tuple[Any, Any]:
    """When the regular session of each day opens and closes."""
    bells = {0: (0, 0)}
    for number in set(days) - {0}:
        day = trading_day(date(number // 10_000, number // 100 % 100, number % 100))
        bells[number] = (day.open, day.close) if day else (0, 0)
    return tuple(np.array([bells[number] for number in days], np.int64).T)


def _decoded(kind: str, where: str, owned: Sequence[tuple[int, bytes]]) -> tuple[Bars, Any]:
    """Bars of one kind, in the ring or out of it, and whose each is."""
    layout = parts.BAR if kind == "R" else _TRADED if kind == "T" else _STORED
    kept = np.frombuffer(b"".join(text for _, text in owned), layout)
    owners = np.repeat([owner for owner, _ in owned], [len(text) // layout.itemsize for _, text in owned])
    if kind == "R":
        return kept, owners
    bars = np.empty(len(kept), parts.BAR)
    bars["start"] = kept["s"]
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = kept[name]
    if kind == "T":
        bars["end"], bars["day_vwap"], bars["trades"] = bars["start"] + _SECOND_MS, np.nan, kept["trades"]
        notional = kept["notional"]
    else:
        bars["end"], bars["day_vwap"], bars["trades"] = kept["e"], kept["a"], np.nan
        notional = kept["vw"]
    if where == "ring":
        bars["vwap"] = _ratio(notional, bars["volume"]) if kind == "T" else kept["vw"]
        return bars, owners
    if kind == "T":
        opened = tuple(kept[f"open_{name}"] for name in "nqut")
        closed = tuple(np.nan_to_num(kept[f"close_{name}"], nan=-1.0) for name in "nqut")
    else:
        opened, closed = (kept["s"],), (kept["n"],)
    groups = owners * _OWNER + bars["start"] // _MINUTE_MS
    return _together(bars, notional, groups, opened, closed, 1), np.unique(groups) // _OWNER


def _ratio(notional: Any, volume: Any) -> Any:
    """A mean price in dollars of what was paid in ten-thousandths of one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(volume > 0, notional / _PER_DOLLAR / volume, np.nan)


def _together(
    pieces: Bars, notional: Any, groups: Any, opened: Sequence[Any], closed: Sequence[Any], minutes: int
) -> Bars:
    """Pieces of bars as one bar a group.

    Args:
        pieces: Bars.
        notional: What each comes to, in ten-thousandths of a dollar.
        groups: Which group each belongs to; those of one group begin within the same minutes.
        opened: Keys by which the first of a group is the one that gives the open, the last key the foremost.
        closed: Keys by which the last gives the close.
        minutes: How long the bars are to be.
    """
    order = np.lexsort((*opened, groups))
    firsts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    lasts = np.append(firsts[1:], len(order)) - 1
    pieces, by_close, notional = pieces[order], pieces[np.lexsort((*closed, groups))], notional[order]
    bars = pieces[firsts]
    length = minutes * _MINUTE_MS
    bars["start"] = bars["start"] // length * length
    bars["end"] = bars["start"] + length
    for name, best in (("high", np.fmax), ("low", np.fmin), ("volume", np.add), ("trades", np.add)):
        bars[name] = best.reduceat(pieces[name], firsts)
    for name in ("close", "day_vwap"):
        bars[name] = by_close[name][lasts]
    bars["vwap"] = _ratio(np.add.reduceat(notional, firsts), bars["volume"])
    return bars


def _by_time(bars: Bars, minutes: int) -> Bars:
    """Bars of one symbol put together to longer ones."""
    if len(bars) == 0:
        return bars
    # Where nothing counted there is no price to weigh; that of a bar without one stays unknown.
    notional = np.where(bars["volume"] > 0, np.floor(bars["volume"] * bars["vwap"] * _PER_DOLLAR + 0.5), 0)
    opened = (bars["start"], np.isnan(bars["open"]))
    closed = (bars["start"], ~np.isnan(bars["close"]))
    return _together(bars, notional, bars["start"] // (minutes * _MINUTE_MS), opened, closed, minutes)


def best_kind(by_kind: Mapping[str, Bars]) -> Bars:
    """The bars of the best kind that a symbol has, REST's excepted."""
    return next((by_kind[kind] for kind in parts.BAR_KINDS[:-1] if len(by_kind.get(kind, ()))), _NONE)


def minute_bars(by_kind: Mapping[str, Bars], minutes: int = 1) -> Bars:
    """A symbol's bars by the minute, of events and REST together.

    REST is asked for a minute when that is over, and only where the feed had a gap in it: where both have one, open,
    close and both mean prices are REST's as far as it tells them, with the higher high, lower low, greater volume.

    Args:
        by_kind: As `read_days` gives them.
        minutes: How many minutes a bar has.
    """
    own, rest = _by_time(best_kind(by_kind), 1), by_kind.get("R", _NONE)
    both = np.isin(rest["start"], own["start"])
    if both.any():
        at, of_rest = np.searchsorted(own["start"], rest["start"][both]), rest[both]
        for name in ("open", "close", "vwap", "day_vwap"):
            own[name][at] = np.where(np.isnan(of_rest[name]), own[name][at], of_rest[name])
        for name, best in (("high", np.fmax), ("low", np.fmin), ("volume", np.fmax), ("trades", np.fmax)):
            own[name][at] = best(own[name][at], of_rest[name])
    bars = np.concatenate((own, rest[~both]))
    bars = bars[np.argsort(bars["start"], kind="stable")]
    return bars if minutes == 1 else _by_time(bars, minutes)


class NamedBar(TypedDict):
    """A bar over [start, end), epoch milliseconds, with the names that clients know; what is not known is None.

    `vwap` is the bar's own; `trades` is how many prints it is made of, where bars come from prints.
    """

    start_timestamp: int
    end_timestamp: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    vwap: float | None
    trades: float | None


def bars_of(store: Store, symbol: str, resolution: str) -> list[NamedBar]:
    """A symbol's bars with the names that clients know, ascending: by the second the last half hour, else the day.

    Args:
        store: The cache.
        symbol: The ticker.
        resolution: One of `RESOLUTIONS`.
    """
    return named(of_resolution(read_days(store, [symbol.encode()]).get(symbol.encode(), {}), resolution))


def of_resolution(by_kind: Mapping[str, Bars], resolution: str) -> Bars:
    """Of all bars of a day those that a resolution shows."""
    if resolution != "1s":
        return minute_bars(by_kind, int(resolution[0]))
    bars = best_kind({kind: by_kind[kind] for kind in by_kind if kind != "AM"})
    if len(bars) == 0:
        return bars
    minutes = bars["start"] // _MINUTE_MS
    recent: Bars = bars[minutes > minutes[-1] - _RECENT_MINUTES]
    return recent


_NAMES: Final = ("open", "high", "low", "close", "volume", "vwap", "trades")


def named(bars: Bars) -> list[NamedBar]:
    """Bars with the names that clients know."""
    times = {"start_timestamp": bars["start"].tolist(), "end_timestamp": bars["end"].tolist()}
    values = {name: [value if value == value else None for value in bars[name].tolist()] for name in _NAMES}
    columns = times | values
    rows = [dict(zip(columns, bar, strict=True)) for bar in zip(*columns.values(), strict=True)]
    return cast("list[NamedBar]", rows)


def put_minutes(store: Store, source_id: str, day_number: int, symbol: str, bars: Bars, figures: bytes = b"") -> bool:
    """Put in minute bars from REST, atomically; one that comes again replaces the earlier of its start.

    Args:
        store: The cache.
        source_id: The source that they are for.
        day_number: Their trading day (`TradingDay.number`).
        symbol: The ticker.
        bars: `parts.BAR`, ascending by start.
        figures: What they add to the row, as `parts.BAR_COLUMNS`; nothing where they add nothing.

    Returns:
        False when the table belongs to another source, or the symbol has a newer day.
    """
    minutes = " ".join(f"{symbol}|R|{minute}" for minute in np.unique(bars["start"] // _MINUTE_MS))
    return store.put_minutes([source_id, day_number, symbol, bars.tobytes(), figures, parts.BAR.itemsize, minutes])
