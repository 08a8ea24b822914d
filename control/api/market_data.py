"""Market data by symbol over the API: what the vendor knows of a company, asked for and kept by the server."""

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.errors import HttpError
from pydantic import ConfigDict, Field, ValidationError

from control.api import limits
from control.api.problems import Problem, UnavailableError
from control.api.symbols import Symbol, check_may_read_each
from control.market_data import DETAILS, DIVIDENDS, NEWS, SHORT_INTEREST, SHORT_VOLUME, SPLITS, Answer, Kind, NotToBeHad
from control.market_data import market_data as known
from control.selectors import feed_settings
from listener.wishes import wish_of
from processors.reference import rest_url
from processors.store import default_store

router = Router()

_SYMBOL: Final = "AAPL"
_FETCHED: Final[dict[str, Any]] = {"symbol": _SYMBOL, "fetched_at": "2026-03-02T14:31:00Z", "stale": False}
Row = TypeVar("Row", bound=Schema)


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": values})


class Details(Schema):
    """A company, as far as the vendor tells: its name, listing, trade and shares."""

    model_config = _example(
        ticker=_SYMBOL, name="Apple Inc.", primary_exchange="XNAS", type="CS", market_cap=3_480_000_000_000.0
    )

    ticker: str
    name: str | None = None
    description: str | None = None
    market: str | None = None
    locale: str | None = None
    primary_exchange: str | None = None
    type: str | None = None
    active: bool | None = None
    currency_name: str | None = None
    cik: str | None = None
    composite_figi: str | None = None
    share_class_figi: str | None = None
    market_cap: float | None = None
    share_class_shares_outstanding: float | None = None
    weighted_shares_outstanding: float | None = None
    round_lot: float | None = None
    total_employees: float | None = None
    sic_code: str | None = None
    sic_description: str | None = None
    list_date: str | None = None
    delisted_utc: str | None = None
    homepage_url: str | None = None
    phone_number: str | None = None


class Publisher(Schema):
    """Who published an article."""

    name: str | None = None
    homepage_url: str | None = None


class Insight(Schema):
    """What an article means for a symbol, as the vendor judges."""

    ticker: str | None = None
    sentiment: str | None = None
    sentiment_reasoning: str | None = None


class Article(Schema):
    """An article; its text is at `article_url`."""

    model_config = _example(
        id="8ec638777ca03b553ae516761c2a22ba",
        title="Apple raises full-year guidance after a strong quarter",
        published_utc="2026-03-02T14:31:00Z",
        article_url="https://news.example.com/apple",
        tickers=[_SYMBOL],
    )

    id: str
    title: str
    published_utc: str
    article_url: str | None = None
    author: str | None = None
    description: str | None = None
    tickers: list[str] = []
    keywords: list[str] = []
    publisher: Publisher | None = None
    insights: list[Insight] = []


class ShortInterest(Schema):
    """Shares sold short and not yet bought back, as settled twice a month."""

    model_config = _example(
        settlement_date="2026-02-13", short_interest=112_345_678.0, avg_daily_volume=52_000_000.0, days_to_cover=2.16
    )

    settlement_date: str
    short_interest: float | None = None
    avg_daily_volume: float | None = None
    days_to_cover: float | None = None


class ShortVolume(Schema):
    """Shares sold short off the exchanges in a day."""

    model_config = _example(
        date="2026-02-27", total_volume=21_000_000.0, short_volume=9_800_000.0, short_volume_ratio=46.7
    )

    date: str
    total_volume: float | None = None
    short_volume: float | None = None
    exempt_volume: float | None = None
    non_exempt_volume: float | None = None
    short_volume_ratio: float | None = Field(None, description="Percent of `total_volume`.")


class Split(Schema):
    """A split: of `split_from` shares `split_to` were made."""

    model_config = _example(execution_date="2020-08-31", split_from=1.0, split_to=4.0, adjustment_type="forward_split")

    execution_date: str
    split_from: float
    split_to: float
    adjustment_type: str | None = None
    historical_adjustment_factor: float | None = None


class Dividend(Schema):
    """A dividend in cash; `frequency` is how many there are a year."""

    model_config = _example(
        ex_dividend_date="2026-02-09", pay_date="2026-02-12", cash_amount=0.26, currency="USD", frequency=4
    )

    ex_dividend_date: str
    cash_amount: float | None = None
    split_adjusted_cash_amount: float | None = None
    currency: str | None = None
    declaration_date: str | None = None
    record_date: str | None = None
    pay_date: str | None = None
    frequency: int | None = None
    distribution_type: str | None = None


class Fetched(Schema):
    """When it was had from the vendor, and whether it is older than it should be, because nothing newer can be had."""

    symbol: str
    fetched_at: datetime
    stale: bool


class DetailsOut(Fetched):
    """A company."""

    details: Details


class NewsOut(Fetched):
    """Articles, newest first."""

    news: list[Article]


class ShortInterestOut(Fetched):
    """Short interest, newest first."""

    short_interest: list[ShortInterest]


class ShortVolumeOut(Fetched):
    """Short volume by day, newest first."""

    short_volume: list[ShortVolume]


class SplitsOut(Fetched):
    """Splits, newest first."""

    splits: list[Split]


class DividendsOut(Fetched):
    """Dividends, newest first."""

    dividends: list[Dividend]


class NewsSearch(Schema):
    """How many articles."""

    limit: int = Field(20, ge=1, le=50)


@router.get("/{symbol}", response={200: DetailsOut, 403: Problem, 404: Problem, 503: Problem})
def read_details(request: HttpRequest, symbol: Symbol) -> Any:
    """A company's details. You may read them with its `quote:{SYM}`."""
    answer = _answer(request, DETAILS, symbol, f"quote:{symbol}")
    rows = _rows([answer.results], Details)
    if not rows:
        raise HttpError(404, f"The vendor knows no {symbol}.")
    return _fetched(symbol, answer) | {"details": rows[0]}


@router.get("/{symbol}/news", response={200: NewsOut, 403: Problem, 503: Problem})
def read_news(request: HttpRequest, symbol: Symbol, search: Query[NewsSearch]) -> Any:
    """What was published about a symbol. To follow it, subscribe to `news:{SYM}`, whose grant this needs."""
    answer = _answer(request, NEWS, symbol, f"news:{symbol}")
    return _fetched(symbol, answer) | {"news": _rows(answer.results, Article)[: search.limit]}


@router.get("/{symbol}/short_interest", response={200: ShortInterestOut, 403: Problem, 503: Problem})
def read_short_interest(request: HttpRequest, symbol: Symbol) -> Any:
    """A symbol's short interest. You may read it with its `quote:{SYM}`."""
    answer = _answer(request, SHORT_INTEREST, symbol, f"quote:{symbol}")
    return _fetched(symbol, answer) | {"short_interest": _rows(answer.results, ShortInterest)}


@router.get("/{symbol}/short_volume", response={200: ShortVolumeOut, 403: Problem, 503: Problem})
def read_short_volume(request: HttpRequest, symbol: Symbol) -> Any:
    """A symbol's short volume by day. You may read it with its `quote:{SYM}`."""
    answer = _answer(request, SHORT_VOLUME, symbol, f"quote:{symbol}")
    return _fetched(symbol, answer) | {"short_volume": _rows(answer.results, ShortVolume)}


@router.get("/{symbol}/splits", response={200: SplitsOut, 403: Problem, 503: Problem})
def read_splits(request: HttpRequest, symbol: Symbol) -> Any:
    """A symbol's splits. You may read them with its `quote:{SYM}`."""
    answer = _answer(request, SPLITS, symbol, f"quote:{symbol}")
    return _fetched(symbol, answer) | {"splits": _rows(answer.results, Split)}


@router.get("/{symbol}/dividends", response={200: DividendsOut, 403: Problem, 503: Problem})
def read_dividends(request: HttpRequest, symbol: Symbol) -> Any:
    """A symbol's dividends. You may read them with its `quote:{SYM}`."""
    answer = _answer(request, DIVIDENDS, symbol, f"quote:{symbol}")
    return _fetched(symbol, answer) | {"dividends": _rows(answer.results, Dividend)}


def _answer(request: HttpRequest, kind: Kind, symbol: str, feed: str) -> Answer:
    check_may_read_each(request, feed)
    limits.count_user(request, limits.MARKET_DATA)
    address = wish_of(feed_settings(), None).address
    try:
        return known(default_store(), rest_url(address.feed), address.key, kind, symbol)
    except NotToBeHad as error:
        raise UnavailableError(f"The vendor's data cannot be had now: {error}.", error.wait_s) from None


def _fetched(symbol: str, answer: Answer) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "fetched_at": datetime.fromtimestamp(answer.fetched_at, UTC),
        "stale": bool(answer.problem),
    }


def _rows(results: Any, shape: type[Row]) -> list[Row]:
    """The results that are what they should be; the others are passed over."""
    rows: list[Row] = []
    for result in results if isinstance(results, list) else ():
        try:
            rows.append(shape.model_validate(result))
        except ValidationError:
            continue
    return rows
