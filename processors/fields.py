"""Every field of a row of the symbol table, each defined once: name, unit, what it means, and how it is computed.

Headers, documentation and the scanners' vocabulary come from here. A formula is a polars expression over the base
columns that `table.py` fills from the kept parts (design, "The symbol table"), or over fields defined above it; null
means unknown, and what cannot be computed is null, never infinite or NaN.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        name: As clients and scanners know it.
        label: A column header.
        unit: `usd`, `usd_signed`, `percent` (signed), `percent_plain`, `ratio`, `shares`, `count`, `notional`, `time`
        (epoch ms), `text`, `flag`.
        description: What it means, with its formula in words.
        formula: How it is computed.
    """

    name: str
    label: str
    unit: str
    description: str
    formula: pl.Expr


# Kept as doubles, sent as whole numbers.
_WHOLE: Final = ("time", "shares", "count")


def _finite(expression: pl.Expr) -> pl.Expr:
    return pl.when(expression.is_finite()).then(expression)


def _percent(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return _finite(part / whole * 100)


_col = pl.col


def _of_the(best: pl.Expr, *candidates: tuple[pl.Expr, pl.Expr]) -> pl.Expr:
    """The value of the first of (time, value) whose time is the best one; a candidate without a value has no time."""
    return pl.coalesce(*(pl.when(time == best).then(value) for time, value in candidates))


# On a tie of times a trade comes before a second bar, and that before a minute bar.
_LASTS: Final = (
    (_col("T.last_t"), _col("T.last_p")),
    (_col("S.e") - 1, _col("S.close")),
    (_col("M.e") - 1, _col("M.close")),
)
_price_at = pl.max_horizontal(*(time for time, _ in _LASTS))


def _first(of: str) -> pl.Expr:
    """The earliest print of the day, or of the regular session, by trades and bars."""
    candidates = (
        (_col(f"T.{of}_t"), _col(f"T.{of}_p")),
        (_col(f"S.{of}_s"), _col(f"S.{of}_o")),
        (_col(f"M.{of}_s"), _col(f"M.{of}_o")),
    )
    return _of_the(pl.min_horizontal(*(time for time, _ in candidates)), *candidates)


def _extreme(name: str) -> pl.Expr:
    function = pl.max_horizontal if name.endswith("high") else pl.min_horizontal
    return function(_col(f"T.{name}"), _col(f"S.{name}"), _col(f"M.{name}"))


def _bar(name: str) -> pl.Expr:
    return _col(f"B.{name}")


_official = _col("official_open_price")
_opened_at = pl.coalesce(_official, _first("regular"))

FIELDS: Final[tuple[Field, ...]] = (
    Field("symbol", "Symbol", "text", "Ticker.", _col("symbol")),
    Field(
        "trading_day", "Day", "text", "The trading day (New York date) that the row belongs to.", _col("trading_day")
    ),
    Field("session", "Session", "text", "The market's session: pre, regular, post or closed.", _col("session")),
    Field("complete", "Complete", "flag", "Whether the day was seen from its start.", _col("complete")),
    Field("price", "Price", "usd", "Last eligible trade or bar close, by event time.", _of_the(_price_at, *_LASTS)),
    Field(
        "price_at",
        "Price at",
        "time",
        "Event time of the price; a bar's close counts as of its last millisecond.",
        _price_at,
    ),
    Field("volume", "Bar volume", "shares", "Shares in the latest bar.", _bar("volume")),
    Field(
        "accumulated_volume",
        "Volume",
        "shares",
        "Shares traded today: the greatest that a second bar gave, else a minute bar, else the sum of eligible trades.",
        pl.coalesce(_col("S.accumulated"), _col("M.accumulated"), _col("T.volume")),
    ),
    Field("vwap", "Bar VWAP", "usd", "Volume-weighted price of the latest bar.", _bar("vw")),
    Field("aggregate_vwap", "VWAP", "usd", "Volume-weighted price of the day, as the latest bar gives it.", _bar("a")),
    Field("open", "Bar open", "usd", "Open of the latest bar.", _bar("open")),
    Field("high", "Bar high", "usd", "High of the latest bar.", _bar("high")),
    Field("low", "Bar low", "usd", "Low of the latest bar.", _bar("low")),
    Field("close", "Bar close", "usd", "Close of the latest bar.", _bar("close")),
    Field("average_size", "Avg size", "shares", "Mean size of a trade in the latest bar.", _bar("z")),
    Field(
        "official_open_price",
        "Official open",
        "usd",
        "The exchange's opening price of the day.",
        pl.coalesce(_col("S.op"), _col("M.op")),
    ),
    Field("start_timestamp", "Bar start", "time", "Start of the latest bar.", _bar("s")),
    Field("end_timestamp", "Bar end", "time", "End of the latest bar.", _bar("e")),
    Field("day_open", "Day open", "usd", "Open of the day's first print, pre-market included.", _first("first")),
    *(
        Field(
            f"{session}_{side}",
            f"{session.capitalize()} {side}",
            "usd",
            f"{'Highest' if side == 'high' else 'Lowest'} eligible price of the {session} session.",
            _extreme(f"{session}_{side}"),
        )
        for session in ("pre", "regular", "post")
        for side in ("high", "low")
    ),
    Field(
        "day_high",
        "Day high",
        "usd",
        "Highest eligible price of the trading day.",
        pl.max_horizontal("pre_high", "regular_high", "post_high"),
    ),
    Field(
        "day_low",
        "Day low",
        "usd",
        "Lowest eligible price of the trading day.",
        pl.min_horizontal("pre_low", "regular_low", "post_low"),
    ),
    *(
        Field(name, f"Prev {short}", unit, f"The previous trading day's {short}.", _col(f"R.{name}"))
        for name, short, unit in (
            ("prev_day_open", "open", "usd"),
            ("prev_day_high", "high", "usd"),
            ("prev_day_low", "low", "usd"),
            ("prev_day_close", "close", "usd"),
            ("prev_day_volume", "volume", "shares"),
            ("prev_day_vwap", "VWAP", "usd"),
        )
    ),
    Field(
        "change", "Change", "usd_signed", "Price less the previous day's close.", _col("price") - _col("prev_day_close")
    ),
    Field(
        "pct_change",
        "Change %",
        "percent",
        "Change against the previous day's close.",
        _percent(_col("price") - _col("prev_day_close"), _col("prev_day_close")),
    ),
    Field(
        "change_since_open",
        "From open",
        "usd_signed",
        "Price less the official open, else the first regular print; before the open, less the day's first print.",
        _col("price") - pl.coalesce(_opened_at, _col("day_open")),
    ),
    Field(
        "pct_change_since_open",
        "From open %",
        "percent",
        "Change since the open, in percent of it.",
        _percent(_col("change_since_open"), pl.coalesce(_opened_at, _col("day_open"))),
    ),
    Field(
        "gap_pct",
        "Gap %",
        "percent",
        "Official open, else first regular print, before the open the price, against the previous day's close.",
        _percent(pl.coalesce(_opened_at, _col("price")) - _col("prev_day_close"), _col("prev_day_close")),
    ),
    Field(
        "vwap_distance_pct",
        "VWAP dist %",
        "percent",
        "Price against the day's VWAP.",
        _percent(_col("price") - _col("aggregate_vwap"), _col("aggregate_vwap")),
    ),
    Field("bid", "Bid", "usd", "Best bid.", _col("Q.bid")),
    Field("ask", "Ask", "usd", "Best offer.", _col("Q.ask")),
    Field("bid_size", "Bid size", "count", "Size at the best bid, as the feed gives it.", _col("Q.bid_size")),
    Field("ask_size", "Ask size", "count", "Size at the best offer, as the feed gives it.", _col("Q.ask_size")),
    Field(
        "spread_pct",
        "Spread %",
        "percent_plain",
        "Offer less bid, in percent of their middle.",
        _percent(_col("ask") - _col("bid"), (_col("ask") + _col("bid")) / 2),
    ),
)
BY_NAME: Final[dict[str, Field]] = {field.name: field for field in FIELDS}


def with_fields(base: pl.DataFrame) -> pl.DataFrame:
    """The rows: every field, computed from the base columns.

    Args:
        base: One row a symbol, with the columns that `table.SymbolTable.base` fills.
    """
    frame = base.lazy()
    pending: list[pl.Expr] = []
    known = set(base.columns)
    for field in FIELDS:
        expression = field.formula.alias(field.name)
        # A formula over fields defined above needs them computed first; independent ones run side by side.
        if not set(field.formula.meta.root_names()) <= known:
            frame, pending = frame.with_columns(pending), []
            known |= {defined.name for defined in FIELDS[: FIELDS.index(field)]}
        pending.append(expression)
    whole = [field.name for field in FIELDS if field.unit in _WHOLE]
    return (
        frame.with_columns(pending)
        .select([field.name for field in FIELDS])
        .with_columns(pl.col(whole).round().cast(pl.Int64, strict=False))
        .collect()
    )
