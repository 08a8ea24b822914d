"""What a field is, and what formulas are made of."""

from dataclasses import dataclass
from typing import Final

import polars as pl


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row.

    Attributes:
        name: As clients and scanners know it.
        label: A column header.
        unit: `usd`, `usd_signed`, `percent` (signed), `percent_plain`, `ratio`, `shares`, `count`, `notional`
            (dollars), `time` (epoch ms), `countdown` (the epoch ms of what is awaited), `text`, `flag`.
        description: What it means.
        formula: How it is computed, in words.
        source: Where its figures come from.
        expression: How it is computed, over the base columns that `table.SymbolTable` fills, or over other fields.
    """

    name: str
    label: str
    unit: str
    description: str
    formula: str
    source: str
    expression: pl.Expr


# Kept as doubles, sent as whole numbers.
WHOLE_UNITS: Final = ("time", "countdown", "shares", "count")

# What figures come from, as the documentation names it.
TRADES: Final = "T trades"
BARS: Final = "A bars, else AM"
PRINTS: Final = "T trades, A and AM bars, REST where the day was not seen"
WINDOWED: Final = "A bars, else AM, else T; REST in minutes not seen"
QUOTES: Final = "Q quotes"
CLOCK: Final = "the newest event time of the feed"

# The formula of what is shown as it came.
AS_GIVEN: Final = "as given"

col = pl.col


def finite(expression: pl.Expr) -> pl.Expr:
    """Null for infinite and NaN: what cannot be computed is unknown."""
    return pl.when(expression.is_finite()).then(expression)


def ratio(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """One by another; null for a divisor of zero."""
    return finite(part / whole)


def percent(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """One in percent of another; null where that is zero."""
    return finite(part / whole * 100)
