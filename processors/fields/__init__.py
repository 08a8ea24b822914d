"""Every field of a row of the symbol table, each defined once: name, unit, formula, source.

Headers, documentation, the API and the scanners' vocabulary come from here. A formula is a polars expression over the
base columns that `symbols/table.py` fills from the kept parts (design, "The symbol table"), or over other fields; null
means unknown, and what cannot be computed is null, never infinite or NaN.
"""

from typing import Final

import polars as pl

from processors.fields.activity import EXTREMES, VOLUMES, WINDOWS
from processors.fields.field import WHOLE_UNITS, Field
from processors.fields.news_and_halts import HALTS, NEWS
from processors.fields.prices import IDENTITY, PRICES, QUOTE

__all__ = ["BY_NAME", "FIELDS", "Field", "as_json", "as_markdown", "with_fields"]

FIELDS: Final[tuple[Field, ...]] = (*IDENTITY, *PRICES, *VOLUMES, *WINDOWS, *EXTREMES, *QUOTE, *HALTS, *NEWS)
BY_NAME: Final[dict[str, Field]] = {field.name: field for field in FIELDS}


def _stages() -> list[list[pl.Expr]]:
    """Expressions that can be computed side by side, and after them those that need them."""
    stage: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in stage:
            # A field may bear the name of the base column that it shows.
            needs = set(BY_NAME[name].expression.meta.root_names()) & BY_NAME.keys() - {name}
            stage[name] = max((of(needed) + 1 for needed in needs), default=0)
        return stage[name]

    of_stage: list[list[pl.Expr]] = [[] for _ in range(max(of(field.name) for field in FIELDS) + 1)]
    for field in FIELDS:
        of_stage[of(field.name)].append(field.expression.alias(field.name))
    return of_stage


_STAGES: Final = _stages()
_SHOWN: Final = [
    pl.col(field.name).round().cast(pl.Int64, strict=False) if field.unit in WHOLE_UNITS else pl.col(field.name)
    for field in FIELDS
]


def with_fields(base: pl.DataFrame) -> pl.DataFrame:
    """The rows: every field, computed from the base columns.

    Args:
        base: One row a symbol, with the columns that `table.SymbolTable` fills.
    """
    frame = base.lazy()
    for stage in _STAGES:
        frame = frame.with_columns(stage)
    return frame.select(_SHOWN).collect()


def as_json() -> list[dict[str, str]]:
    """Every field in words, for the API and the editor."""
    names = ("name", "label", "unit", "description", "formula", "source")
    return [{name: getattr(field, name) for name in names} for field in FIELDS]


_HEAD: Final = """# The fields of a row

One row a symbol and trading day: what boards show, and what `where` and `order_by` of a scanner are written over. A
field that cannot be computed is null, and null matches no filter. Times are epoch milliseconds; percentages are
numbers, 5 is 5 %; × is a multiple, 2 is twice as much. *Header* is what a board writes over the column.
This page is what `python manage.py fields` prints.

| field | header | unit | meaning | formula | source |
|---|---|---|---|---|---|
"""

# As a reader knows them; programs get the names that pages format by.
_UNITS: Final = {
    "usd": "$",
    "usd_signed": "± $",
    "percent": "± %",
    "percent_plain": "%",
    "ratio": "×",
    "notional": "$",
    "countdown": "time",
    "flag": "yes or no",
}


def as_markdown() -> str:
    """Every field in words, as a page with a table."""
    return _HEAD + "".join(
        f"| `{field.name}` | {field.label} | {_UNITS.get(field.unit, field.unit)} | {field.description} | "
        f"{field.formula} | {field.source} |\n"
        for field in FIELDS
    )
