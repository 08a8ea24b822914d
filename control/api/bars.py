"""Bars over the API: a symbol's of its newest day. To follow them, subscribe to `bars:{resolution}:{SYM}` at `/ws`."""

import logging
from typing import Any, Final, Literal

import redis
from django.http import HttpRequest
from kombu.exceptions import OperationalError
from ninja import Query, Router, Schema
from ninja.errors import Throttled
from pydantic import ConfigDict, Field

from control.api import limits
from control.api.problems import Problem
from control.api.symbols import Symbol, check_may_read_each
from processors.store import Store, default_store

router = Router()
log = logging.getLogger(__name__)

# What is missing of a symbol's day is asked for no more often than this, whoever looks at it.
_ASKED_EVERY_S: Final = 300
# A job takes less to have it.
_UNDER_WAY_S: Final = 10


class Span(Schema):
    """Which bars: those that start at or after `from` and before `to`, epoch milliseconds; of these the newest."""

    from_: int = Field(0, alias="from", ge=0, le=2**53, description="Epoch milliseconds.")
    to: int = Field(2**53, ge=0, le=2**53, description="Epoch milliseconds.")
    limit: int = Field(5_000, ge=1, le=50_000)


class BarOut(Schema):
    """A bar over [start, end), epoch milliseconds; null is what is not known."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "start_timestamp": 1_772_463_540_000,
                "end_timestamp": 1_772_463_600_000,
                "open": 231.4,
                "high": 231.61,
                "low": 231.38,
                "close": 231.44,
                "volume": 48_210.0,
                "vwap": 231.4871,
                "trades": 512.0,
            }
        }
    )

    start_timestamp: int
    end_timestamp: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    vwap: float | None
    trades: float | None


class Bars(Schema):
    """Bars, oldest first. While `backfilling`, what the feed did not bring of the day is on its way: ask again."""

    symbol: str
    resolution: str
    backfilling: bool
    bars: list[BarOut]


@router.get("/{resolution}/{symbol}", response={200: Bars, 403: Problem, 422: Problem})
def read_bars(request: HttpRequest, resolution: Literal["1s", "1m", "5m"], symbol: Symbol, span: Query[Span]) -> Any:
    """Bars of the newest day: `1m` and `5m` of all of it, `1s` of its last half hour.

    What of the day is missing, because the feed does not bring this symbol or began late, is loaded when somebody asks.
    """
    from processors.bars import bars_of

    check_may_read_each(request, f"bars:{resolution}:{symbol}")
    store = default_store()
    kept = bars_of(store, symbol, resolution)
    bars = [bar for bar in kept if span.from_ <= bar["start_timestamp"] < span.to]
    return {
        "symbol": symbol,
        "resolution": resolution,
        "backfilling": resolution != "1s" and _is_backfilling(request, store, symbol, has_bars=bool(kept)),
        "bars": bars[-span.limit :],
    }


def _is_backfilling(request: HttpRequest, store: Store, symbol: str, has_bars: bool) -> bool:
    """Whether what is missing of the day is on its way; it is asked for if it is not."""
    from listener.events import market_of
    from processors.jobs import backfill_bars
    from processors.reference import day_of
    from processors.seeding.coverage import coverage

    source = store.source()
    if source is None or market_of(source.id) != "stocks" or (day := day_of(source)) is None:
        return False
    whole, seeded = coverage(store, source, day)
    if has_bars and (whole or symbol in seeded):
        return False
    asked = f"tw:rest:backfill:{source.id}:{symbol}"
    if not store.redis.set(asked, "", nx=True, ex=_ASKED_EVERY_S):
        return bool(store.redis.ttl(asked) > _ASKED_EVERY_S - _UNDER_WAY_S)
    try:
        limits.count_user(request, limits.BACKFILLS)
        backfill_bars.apply_async((symbol,), retry=False)
    except (OperationalError, redis.RedisError, Throttled) as error:
        log.warning("what is missing of %s cannot be asked for: %s", symbol, error)
        store.redis.delete(asked)
        return False
    return True
