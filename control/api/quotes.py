"""Quotes over the API: rows of the symbol table as they are now. To follow one, subscribe to `quote:{SYM}`."""

from typing import Any, Final

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.errors import HttpError
from pydantic import ConfigDict, Field

from control.api.problems import Problem
from control.api.symbols import Symbol, check_may_read_each, symbols_in
from processors.fields import BY_NAME
from processors.store import default_store

router = Router()

_EXAMPLE: Final[dict[str, Any]] = {
    "symbol": "AAPL",
    "price": 231.44,
    "pct_change": 1.27,
    "accumulated_volume": 18_734_509.0,
}


class Search(Schema):
    """Which quotes, and what of them."""

    symbols: str = Field(
        max_length=10_000, description="At most 200 tickers with commas between them.", examples=["AAPL,BRK.A"]
    )
    fields: str = Field(
        "",
        max_length=4_000,
        description="Names of fields with commas between them; empty: all of `/fields`.",
        examples=["price,pct_change"],
    )


class Quotes(Schema):
    """Rows by symbol, null where a symbol has none; `market_clock` is as of when, epoch milliseconds."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"market_clock": 1_772_463_600_000, "quotes": {"AAPL": _EXAMPLE, "ZZZZ": None}}}
    )

    market_clock: int | None
    quotes: dict[str, dict[str, Any] | None]


@router.get("", response={200: Quotes, 403: Problem, 422: Problem})
def read_quotes(request: HttpRequest, search: Query[Search]) -> Any:
    """The quotes of some symbols, of which you may read each one's `quote:{SYM}`."""
    symbols = symbols_in(search.symbols)
    check_may_read_each(request, *(f"quote:{symbol}" for symbol in symbols))
    return _quotes(symbols, _fields_in(search.fields))


@router.get("/{symbol}", response={200: dict[str, Any], 403: Problem, 404: Problem})
def read_quote(request: HttpRequest, symbol: Symbol) -> Any:
    """One symbol's row with every field."""
    check_may_read_each(request, f"quote:{symbol}")
    row = _quotes([symbol], ())["quotes"][symbol]
    if row is None:
        raise HttpError(404, f"There is no row of {symbol}: nothing has come of it yet.")
    return row


def _quotes(symbols: list[str], fields: tuple[str, ...]) -> dict[str, Any]:
    from processors.symbols.rows import rows_by_symbol  # polars: only where it is needed

    store = default_store()
    source = store.source()
    rows = rows_by_symbol(store, symbols)
    shown: dict[str, dict[str, Any] | None] = dict.fromkeys(symbols)
    for symbol, row in rows.items():
        shown[symbol] = {name: row[name] for name in fields} if fields else row
    return {"market_clock": source.market_clock if source is not None else None, "quotes": shown}


def _fields_in(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
    if unknown := [name for name in names if name not in BY_NAME]:
        raise HttpError(422, f"There are no fields {', '.join(unknown)}: see /api/v1/fields.")
    return names
