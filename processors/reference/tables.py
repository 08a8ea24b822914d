"""What comes for the whole market in pages: floats, ratios, names, splits; and one symbol's details on demand.

Sources: Massive's `/stocks/vX/float`, `/stocks/financials/v1/ratios`, `/v3/reference/tickers`, `/stocks/v1/splits`.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from processors.reference.splits import Split
from processors.reference.vendor import Page, Vendor, VendorError

# Rows by what they are kept under, each an array as the encoder of the cache takes it.
Rows = dict[str, list[Any]]
_TICKERS_PATH: Final = "/v3/reference/tickers"
# Older than any figure that has to be adjusted: the daily bars go back six weeks, a float's date may go back further.
_SPLIT_DAYS: Final = 90


class Float(msgspec.Struct, frozen=True):
    """Shares that are free to be traded, as of a date."""

    ticker: str
    free_float: float
    effective_date: dt.date | None = None


class Ratios(msgspec.Struct, frozen=True):
    """Market capitalisation in dollars, mean daily volume in shares, as of a date."""

    ticker: str
    date: dt.date | None = None
    market_cap: float | None = None
    average_volume: float | None = None


class Ticker(msgspec.Struct, frozen=True):
    """A listing; `market_cap` comes with one symbol's details alone."""

    ticker: str
    name: str | None = None
    primary_exchange: str | None = None
    market_cap: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is loaded page by page.

    Attributes:
        name: Of the kind of data.
        path: Of the endpoint.
        query: What asks for the first page on a trading day.
        row: What a row is.
        life_s: How long its rows stand, seconds.
    """

    name: str
    path: str
    query: Callable[[dt.date], dict[str, str]]
    row: type[Any]
    life_s: float = 86_400.0

    def rows(self, page: Page) -> Rows:
        """The rows of a page that can be read, by symbol; of splits by symbol and date."""
        found: Rows = {}
        for row in page.rows(self.row):
            key = f"{row.ticker} {row.execution_date}" if isinstance(row, Split) else row.ticker
            found[key] = list(msgspec.structs.astuple(row))
        return found

    def of(self, values: Sequence[Any]) -> Any:
        """A row from how it was kept."""
        return msgspec.convert(dict(zip(self.row.__struct_fields__, values, strict=True)), self.row)


FLOAT: Final = Table("float", "/stocks/vX/float", lambda _: {"limit": "5000", "sort": "ticker.asc"}, Float)
RATIOS: Final = Table(
    "ratios", "/stocks/financials/v1/ratios", lambda _: {"limit": "5000", "sort": "ticker.asc"}, Ratios
)
TICKERS: Final = Table(
    "tickers",
    _TICKERS_PATH,
    lambda _: {"market": "stocks", "active": "true", "limit": "1000", "sort": "ticker", "order": "asc"},
    Ticker,
)
SPLITS: Final = Table(
    "splits",
    "/stocks/v1/splits",
    lambda today: {
        "execution_date.gte": (today - dt.timedelta(_SPLIT_DAYS)).isoformat(),
        "execution_date.lte": today.isoformat(),
        "limit": "5000",
        "sort": "execution_date.desc",
    },
    Split,
    # Some are announced on the morning of their day.
    life_s=3_600.0,
)


def load_some(vendor: Vendor, table: Table, symbols: Sequence[str]) -> Rows:
    """The rows of a few symbols, in one call; those that the vendor does not know are not among them.

    Raises:
        VendorError: There is no usable answer.
    """
    return table.rows(vendor.page(table.path, {"ticker.any_of": ",".join(symbols), "limit": "5000"}))


def load_details(vendor: Vendor, symbol: str) -> Rows:
    """One symbol's listing; empty when the vendor does not know it.

    Raises:
        VendorError: There is no usable answer.
    """
    try:
        page = vendor.page(f"{_TICKERS_PATH}/{quote(symbol, safe='')}", {})
        row = msgspec.json.decode(page.results, type=Ticker)
    except VendorError as error:
        if error.status == 404:
            return {}
        raise
    except msgspec.DecodeError as error:
        raise VendorError(f"its answer cannot be read: {error}") from error
    return {symbol: list(msgspec.structs.astuple(row))}
