"""What the feed did not bring, put in from REST: a symbol's minute bars, and what they add to its row.

Minutes that were seen in part are put in whole: bars of both kinds merge by extremes (`bars.py`).
"""

import logging
from collections.abc import Iterable
from math import nan

import numpy as np

from listener.events import market_of
from processors import parts
from processors.bars import put_minutes
from processors.reference import day_of
from processors.reference.vendor import Vendor, VendorError
from processors.seeding.coverage import Gap, missing, read_gaps
from processors.seeding.rest_bars import CALL_S, MINUTE_MS, Bars, MinuteBar, bars_of_day, minutes_of
from processors.sessions import TradingDay
from processors.store import Store

log = logging.getLogger(__name__)


def within(bars: Bars, spans: Iterable[Gap]) -> Bars:
    """The bars that have any part in one of the spans."""
    inside = np.zeros(len(bars), bool)
    for span in spans:
        inside |= (bars["start"] < span.end) & (bars["end"] > span.start)
    return bars[inside]


def figures_of(
    bars: Bars, day: TradingDay, accumulated: float, official: float = nan, regular: tuple[float, float] = (nan, nan)
) -> bytes:
    """What bars add to a symbol's row, packed as `parts.BAR_COLUMNS`; receipt numbers are 0, older than any event's.

    Args:
        bars: `parts.BAR`, ascending; possibly none.
        day: The trading day.
        accumulated: Shares traded today, NaN where unknown.
        official: The official open, NaN where there is none.
        regular: High and low of the regular session where no bar tells them.
    """
    row = dict.fromkeys(parts.BAR_COLUMNS, nan) | {"day": float(day.number), "accumulated": accumulated}
    row |= {"regular_high": regular[0], "regular_low": regular[1]}
    if official == official:
        row |= {"op_s": day.open, "op_n": 0, "op": official}
    for session, name in enumerate(("pre", "regular", "post")):
        its = bars[bars["session"] == session]
        if len(its):
            row |= {f"{name}_high": its["high"].max(), f"{name}_low": its["low"].min()}
    for name, first in (("first", bars[:1]), ("regular", bars[bars["session"] == 1][:1])):
        if len(first):
            row |= {f"{name}_s": first["start"][0], f"{name}_n": 0, f"{name}_o": first["open"][0]}
    if len(bars):
        last = bars[-1]
        row |= {"s": last["start"], "n": 0, "e": last["end"], "vw": last["vwap"], "a": last["day_vwap"]}
        row |= {name: last[name] for name in ("open", "high", "low", "close", "volume")}
        row["z"] = np.floor(last["volume"] / last["trades"]) if last["trades"] > 0 else nan
    return np.array([row[name] for name in parts.BAR_COLUMNS], "<f8").tobytes()


def backfill(store: Store, base: str, key: str, symbol: str) -> int:
    """Put in what is missing of one symbol's minute bars: of the day so far, if the feed brings none of it.

    Args:
        store: The cache.
        base: Where REST calls go.
        key: The key that they take there.
        symbol: The ticker.

    Returns:
        How many bars were put in.
    """
    source = store.source()
    if source is None or market_of(source.id) != "stocks" or (day := day_of(source)) is None:
        return 0
    kept = store.read_parts([symbol.encode()])
    is_fed = any(kept[part][0] for part in (parts.TRADES, parts.SECOND_BARS, parts.MINUTE_BARS))
    spans = missing(source, read_gaps(store, source.id), day) if is_fed else (Gap(day.start, day.end),)
    if not spans:
        return 0
    # The minute under way would be a part of one.
    until = min(spans[-1].end, source.market_clock // MINUTE_MS * MINUTE_MS)
    if until <= day.start:
        return 0
    try:
        with Vendor(base, key, CALL_S) as vendor:
            rows = minutes_of(vendor, symbol, day.start, until)
    except VendorError as error:
        log.warning("minute bars of %s could not be loaded from %s: %s", symbol, base, error)
        return 0
    return fill(store, source.id, day, symbol, rows, spans)


def fill(
    store: Store, source: str, day: TradingDay, symbol: str, rows: Iterable[MinuteBar], spans: Iterable[Gap]
) -> int:
    """Merge a symbol's minute bars into its row and bars, where they lie in the spans.

    Args:
        store: The cache.
        source: The source's id; another one's table is left alone.
        day: The trading day.
        symbol: The ticker.
        rows: The day's bars from its start on.
        spans: What the feed did not bring.

    Returns:
        How many bars were merged.
    """
    bars = bars_of_day(rows, day)
    accumulated = bars["volume"].sum() if len(bars) else nan
    bars = within(bars, spans)
    figures = figures_of(bars, day, accumulated)
    put_minutes(store, source, day.number, symbol, bars, figures)
    return len(bars)


def put_figures(
    store: Store, source: str, day: TradingDay, symbol: str, accumulated: float, official: float,
    regular: tuple[float, float],
) -> None:  # fmt: skip
    """Put what a snapshot tells into a row: shares traded, official open, the regular session's high and low."""
    none = np.empty(0, parts.BAR)
    figures = figures_of(none, day, accumulated, official, regular)
    put_minutes(store, source, day.number, symbol, none, figures)
