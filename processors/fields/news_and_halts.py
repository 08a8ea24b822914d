"""Halts and price bands, news, and the five pillars."""

from typing import Final

import polars as pl

from processors.fields.field import AS_GIVEN, Field, col, percent
from processors.symbols.halts import LULD_PAUSE

_HALTS: Final = "LULD events, Nasdaq Trader's list of halts"
_BANDS: Final = "LULD events"
_NEWS: Final = "news events, Massive /v2/reference/news"
_PAUSE_MS: Final = 300_000

# What was announced for later has not happened yet, and an earlier day's halts are not today's.
_halted_at = pl.when(col("H.halted_at") >= col("day_start")).then(col("H.halted_at"))
_resumed_at = pl.when(col("H.resumed_at").is_between(col("day_start"), col("clock"))).then(col("H.resumed_at"))
_pauses = ((col("clock") - col("halted_at")) / _PAUSE_MS).ceil().clip(lower_bound=1)

HALTS: Final = (
    Field(
        "halted",
        "Halted",
        "flag",
        "Whether trading is halted.",
        "halted today and not resumed since",
        _HALTS,
        (col("halted_at") > pl.coalesce(col("resumed_at"), pl.lit(0.0))).fill_null(value=False),
    ),
    Field(
        "halt_reason",
        "Halt reason",
        "text",
        "Why trading was last halted today.",
        "the halt's code in words",
        _HALTS,
        pl.when(col("halted_at").is_not_null()).then(col("H.reason")),
    ),
    Field("halted_at", "Halted at", "time", "When trading was last halted today.", AS_GIVEN, _HALTS, _halted_at),
    Field(
        "resumed_at",
        "Resumed at",
        "time",
        "When trading last resumed today.",
        "of the newest resumption up to the market's clock",
        _HALTS,
        _resumed_at,
    ),
    Field(
        "resume_expected_at",
        "Resumes in",
        "countdown",
        "When a halt is expected to end.",
        "the announced time; of a LULD pause halted_at + 5 minutes, and 5 minutes more at a time once that is past",
        _HALTS,
        pl.when("halted").then(
            pl.coalesce(
                col("H.resume_at"),
                pl.when(col("H.reason") == LULD_PAUSE).then(col("halted_at") + _pauses * _PAUSE_MS),
            )
        ),
    ),
    Field("luld_upper", "LULD upper", "usd", "Upper price band.", "of the newest bands", _BANDS, col("H.upper")),
    Field("luld_lower", "LULD lower", "usd", "Lower price band.", "of the newest bands", _BANDS, col("H.lower")),
    Field(
        "luld_distance_pct",
        "LULD dist %",
        "percent_plain",
        "How far the price is from the nearer band.",
        "min(luld_upper − price, price − luld_lower) ÷ price",
        _BANDS,
        # Both bands or none: null spreads through the sum of zero.
        percent(
            pl.min_horizontal(col("luld_upper") - col("price"), col("price") - col("luld_lower"))
            + 0 * (col("luld_upper") + col("luld_lower")),
            col("price"),
        ),
    ),
)

_relative_volume = pl.coalesce(col("relative_volume_tod"), col("relative_volume"))
_PILLARS: Final = (
    col("price").is_between(2, 20),
    col("free_float") <= 20_000_000,
    col("pct_change") >= 10,
    _relative_volume >= 5,
    col("news_count_24h") >= 1,
)

NEWS: Final = (
    Field(
        "news_count_24h",
        "News 24 h",
        "count",
        "Articles of the last 24 hours.",
        "count of articles published in the 24 hours up to the market's clock",
        _NEWS,
        col("N.count"),
    ),
    Field(
        "last_news_at",
        "News at",
        "time",
        "When the newest article was published.",
        "of articles up to the market's clock",
        _NEWS,
        col("N.last_at"),
    ),
    Field(
        "pillars",
        "Pillars",
        "count",
        "How many of the five pillars stand.",
        "count of: price 2 to 20; free_float ≤ 20 million; pct_change ≥ 10; relative_volume_tod, else relative_volume,"
        " ≥ 5; news_count_24h ≥ 1",
        "the fields that it names",
        pl.sum_horizontal(pillar.fill_null(value=False).cast(pl.Float64) for pillar in _PILLARS),
    ),
)
