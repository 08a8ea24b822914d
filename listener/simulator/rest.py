"""Massive's REST endpoints over whatever a market knows: authentication, parameters, paging, envelopes, errors."""

import datetime as dt
import hmac
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec
from aiohttp import hdrs, web

from listener.simulator.market_status import holiday_rows, status_now
from listener.simulator.reference_tables import CONDITION_ROWS, EXCHANGE_ROWS
from listener.simulator.series import BarSeries
from listener.simulator.timespans import BadParameter, instant, span_bars
from listener.simulator.trading_days import TradingCalendar

# What the list of tickers tells of each.
_LISTED: Final[tuple[str, ...]] = (
    *("ticker", "name", "market", "locale", "primary_exchange", "type", "active", "currency_name", "cik"),
)
Row = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SNAPSHOT: Final = "/v2/snapshot/locale/us/markets/stocks/tickers"
_MAX_BARS: Final = 50_000
_DEFAULT_BARS: Final = 5_000
_COMPARISONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "": lambda value, bound: value == bound,
    ".lt": lambda value, bound: value < bound,
    ".lte": lambda value, bound: value <= bound,
    ".gt": lambda value, bound: value > bound,
    ".gte": lambda value, bound: value >= bound,
    ".any_of": lambda value, bound: value in bound.split(","),
}


class ReferenceData(Protocol):
    """What a market can tell beside its stream. Rows are Massive's own objects."""

    def clock(self) -> int:
        """The market's time, epoch ms."""

    @property
    def calendar(self) -> TradingCalendar:
        """The trading days."""

    def tickers(self) -> Sequence[str]:
        """All symbols."""

    def snapshot(self, ticker: str) -> Row | None:
        """One ticker's snapshot, None when it is unknown."""

    def grouped(self, date: dt.date, adjusted: bool) -> list[Row]:
        """Daily bars of all symbols; empty when there are none. `adjusted`: in today's shares, not in the day's own."""

    def minutes(self, ticker: str, date: dt.date, adjusted: bool) -> BarSeries:
        """Minute bars of a symbol's day."""

    def seconds(self, ticker: str, date: dt.date, adjusted: bool) -> BarSeries:
        """Second bars of a symbol's day."""

    def daily(self, ticker: str, first: dt.date, last: dt.date, adjusted: bool) -> BarSeries:
        """Daily bars from `first` to `last`."""

    def float_row(self, ticker: str) -> Row | None:
        """Free float, None when unknown."""

    def ratios_row(self, ticker: str) -> Row | None:
        """Financial ratios, None when unknown."""

    def details(self, ticker: str) -> Row | None:
        """Name, listing and shares, None when the ticker is unknown."""

    def news(self) -> Sequence[Row]:
        """What has been published up to the market's clock, newest first."""

    def splits(self) -> Sequence[Row]:
        """Stock splits."""

    def short_interest(self, ticker: str) -> Sequence[Row]:
        """Shares sold short and not bought back, by settlement date, newest first."""

    def short_volume(self, ticker: str) -> Sequence[Row]:
        """Shares sold short, by day, newest first."""

    def dividends(self, ticker: str) -> Sequence[Row]:
        """Dividends in cash, newest first."""


def rest_routes(data: ReferenceData, api_key: str) -> list[web.RouteDef]:
    """Routes of all endpoints; each but the unknown ones asks for the key."""
    endpoints = _Endpoints(data)
    paths: dict[str, Callable[[web.Request], web.Response]] = {
        _SNAPSHOT: endpoints.snapshot_all,
        _SNAPSHOT + "/{ticker}": endpoints.snapshot_one,
        "/v2/aggs/grouped/locale/us/market/stocks/{date}": endpoints.grouped,
        "/v2/aggs/ticker/{ticker}/range/{multiplier}/{span}/{start}/{end}": endpoints.bars,
        "/stocks/vX/float": endpoints.floats,
        "/stocks/financials/v1/ratios": endpoints.ratios,
        "/stocks/v1/splits": endpoints.splits,
        "/stocks/v1/short-interest": endpoints.short_interest,
        "/stocks/v1/short-volume": endpoints.short_volume,
        "/stocks/v1/dividends": endpoints.dividends,
        "/v1/marketstatus/now": endpoints.status,
        "/v1/marketstatus/upcoming": endpoints.upcoming,
        "/v2/reference/news": endpoints.news,
        "/v3/reference/tickers": endpoints.tickers,
        "/v3/reference/tickers/{ticker}": endpoints.details,
        "/v3/reference/exchanges": endpoints.exchanges,
        "/v3/reference/conditions": endpoints.conditions,
    }
    routes = [web.get(path, _guarded(endpoint, api_key)) for path, endpoint in paths.items()]
    return [*routes, web.get("/{path:.*}", _not_found)]


def _guarded(endpoint: Callable[[web.Request], web.Response], api_key: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        given = token if scheme.lower() == "bearer" else request.query.get("apiKey", "")
        if not hmac.compare_digest(given.encode(), api_key.encode()):
            return _error(401, "Unknown API Key" if given else "API Key was not provided")
        try:
            return endpoint(request)
        except BadParameter as error:
            return _error(400, str(error))

    return handle


async def _not_found(request: web.Request) -> web.StreamResponse:
    return _error(404, "404 page not found")


def _json(payload: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(payload), status=status, content_type="application/json")


def _request_id() -> str:
    return uuid.uuid4().hex


def _error(status: int, message: str) -> web.Response:
    kind = "NOT_FOUND" if status == 404 else "ERROR"
    return _json({"status": kind, "request_id": _request_id(), "error": message, "message": message}, status)


def _integer(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise BadParameter(f"The parameter '{name}' must be a positive number, not {text!r}.")
    return min(int(text), most)


def _is_adjusted(request: web.Request) -> bool:
    return request.query.get("adjusted", "true") != "false"


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise BadParameter(f"Could not parse the date {text!r}: it must be YYYY-MM-DD.") from error


def _selected(rows: Iterable[Row], request: web.Request, field: str) -> list[Row]:
    """The rows whose `field` meets the query's conditions on it (`field`, `field.gte`, ...)."""
    bounds = [
        (compare, request.query[field + suffix])
        for suffix, compare in _COMPARISONS.items()
        if field + suffix in request.query
    ]
    return [row for row in rows if all(compare(str(row.get(field, "")), bound) for compare, bound in bounds)]


def _page(rows: list[Row], request: web.Request, default_limit: int, most: int) -> web.Response:
    limit = _integer(request, "limit", default_limit, most)
    offset = _integer(request, "cursor", 1, 10**9) - 1
    payload: Row = {"status": "OK", "request_id": _request_id(), "results": rows[offset : offset + limit]}
    payload["count"] = len(payload["results"])
    if offset + limit < len(rows):
        query = {key: value for key, value in request.query.items() if key != "apiKey"}
        payload["next_url"] = str(request.url.with_query(query | {"cursor": str(offset + limit + 1)}))
    return _json(payload)


class _Endpoints:
    """One method an endpoint."""

    def __init__(self, data: ReferenceData) -> None:
        self._data = data

    def snapshot_all(self, request: web.Request) -> web.Response:
        wanted = request.query.get("tickers")
        tickers = [name.strip() for name in wanted.split(",")] if wanted else self._data.tickers()
        rows = [row for row in map(self._data.snapshot, tickers) if row is not None]
        return _json({"status": "OK", "request_id": _request_id(), "count": len(rows), "tickers": rows})

    def snapshot_one(self, request: web.Request) -> web.Response:
        row = self._data.snapshot(request.match_info["ticker"])
        if row is None:
            return _error(404, "NotFound")
        return _json({"status": "OK", "request_id": _request_id(), "ticker": row})

    def grouped(self, request: web.Request) -> web.Response:
        adjusted = _is_adjusted(request)
        rows = self._data.grouped(_date(request.match_info["date"]), adjusted)
        return _json(
            {
                "status": "OK",
                "request_id": _request_id(),
                "adjusted": adjusted,
                "queryCount": len(rows),
                "resultsCount": len(rows),
                "count": len(rows),
                **({"results": rows} if rows else {}),
            }
        )

    def bars(self, request: web.Request) -> web.Response:
        ticker, span = request.match_info["ticker"], request.match_info["span"]
        multiplier = request.match_info["multiplier"]
        if not multiplier.isdigit() or not 0 < int(multiplier) <= 10_000:
            raise BadParameter(f"The multiplier must be a positive number, not {multiplier!r}.")
        start, end = instant(request.match_info["start"], False), instant(request.match_info["end"], True)
        if end < start:
            raise BadParameter("The parameter 'to' cannot be a time that occurs before 'from'.")
        limit = _integer(request, "limit", _DEFAULT_BARS, _MAX_BARS)
        newest_first = request.query.get("sort", "asc") == "desc"
        adjusted = _is_adjusted(request)
        bars, more = span_bars(self._data, ticker, int(multiplier), span, start, end, limit, newest_first, adjusted)
        payload: Row = {
            "ticker": ticker,
            "status": "OK",
            "request_id": _request_id(),
            "adjusted": adjusted,
            "queryCount": len(bars),
            "resultsCount": len(bars),
            "count": len(bars),
        }
        if bars:
            payload["results"] = bars
        if more:
            edge = bars[-1]["t"]
            path = request.path.rsplit("/", 2)[0] + (f"/{start}/{edge - 1}" if newest_first else f"/{edge + 1}/{end}")
            query = {key: value for key, value in request.query.items() if key != "apiKey"}
            payload["next_url"] = str(request.url.with_path(path).with_query(query))
        return _json(payload)

    def _rows_by_ticker(self, request: web.Request, row: Callable[[str], Row | None]) -> web.Response:
        exact = request.query.get("ticker")
        rows = [found for found in map(row, [exact] if exact else self._data.tickers()) if found is not None]
        rows = _selected(rows, request, "ticker")
        rows.sort(key=lambda found: str(found["ticker"]), reverse=request.query.get("sort", "").endswith(".desc"))
        return _page(rows, request, 100, 50_000)

    def floats(self, request: web.Request) -> web.Response:
        return self._rows_by_ticker(request, self._data.float_row)

    def ratios(self, request: web.Request) -> web.Response:
        return self._rows_by_ticker(request, self._data.ratios_row)

    def splits(self, request: web.Request) -> web.Response:
        rows = _selected(_selected(self._data.splits(), request, "ticker"), request, "execution_date")
        return _page(rows, request, 100, 5_000)

    def short_interest(self, request: web.Request) -> web.Response:
        return self._history(request, self._data.short_interest, "settlement_date")

    def short_volume(self, request: web.Request) -> web.Response:
        return self._history(request, self._data.short_volume, "date")

    def dividends(self, request: web.Request) -> web.Response:
        return self._history(request, self._data.dividends, "ex_dividend_date")

    def _history(self, request: web.Request, rows_of: Callable[[str], Sequence[Row]], date_field: str) -> web.Response:
        """A symbol's rows; without a symbol the newest of each, since all of all would take seconds."""
        exact = request.query.get("ticker")
        found = rows_of(exact) if exact else (row for name in self._data.tickers() for row in rows_of(name)[:1])
        rows = _selected(found, request, date_field)
        rows.sort(key=lambda row: str(row[date_field]), reverse=request.query.get("sort", "").endswith(".desc"))
        return _page(rows, request, 10, 50_000)

    def tickers(self, request: web.Request) -> web.Response:
        details = map(self._data.details, self._data.tickers())
        rows: list[Row] = [{name: row[name] for name in _LISTED if name in row} for row in details if row is not None]
        for field in ("ticker", "type", "market"):
            rows = _selected(rows, request, field)
        rows.sort(key=lambda row: str(row["ticker"]), reverse=request.query.get("order") == "desc")
        return _page(rows, request, 100, 1_000)

    def status(self, request: web.Request) -> web.Response:
        return _json(status_now(self._data.calendar, self._data.clock()))

    def upcoming(self, request: web.Request) -> web.Response:
        return _json(holiday_rows(self._data.calendar, self._data.clock()))

    def news(self, request: web.Request) -> web.Response:
        rows = _selected(self._data.news(), request, "published_utc")
        if ticker := request.query.get("ticker"):
            rows = [row for row in rows if ticker in row["tickers"]]
        if request.query.get("order", "desc") == "asc":
            rows.reverse()
        return _page(rows, request, 10, 1_000)

    def details(self, request: web.Request) -> web.Response:
        row = self._data.details(request.match_info["ticker"])
        if row is None:
            return _error(404, "Ticker not found.")
        return _json({"status": "OK", "request_id": _request_id(), "results": row})

    def exchanges(self, request: web.Request) -> web.Response:
        return _json(
            {"status": "OK", "request_id": _request_id(), "count": len(EXCHANGE_ROWS), "results": EXCHANGE_ROWS}
        )

    def conditions(self, request: web.Request) -> web.Response:
        return _page(_selected(CONDITION_ROWS, request, "id"), request, 10, 1_000)
