"""Reference data: the previous trading day of the whole market, in one call, off the event path.

Source: Massive's grouped daily bars (`/v2/aggs/grouped/locale/us/market/stocks/{date}`). A replayed recording and the
simulator answer the same call.
"""

import logging
from datetime import date, datetime
from math import nan
from time import time
from typing import Final

import msgspec
from django.conf import settings
from kombu.exceptions import OperationalError
from massive import RESTClient
from massive.exceptions import AuthError, BadResponse
from urllib3.exceptions import HTTPError

from processors.sessions import NEW_YORK, previous_trading_day
from processors.store import REFERENCE, REFERENCE_STATE, Store
from project.queues import JOBS

log = logging.getLogger(__name__)

# Positions of a symbol's reference array.
REFERENCE_COLUMNS: Final = (
    "prev_day_open",
    "prev_day_high",
    "prev_day_low",
    "prev_day_close",
    "prev_day_volume",
    "prev_day_vwap",
)
_READ_TIMEOUT_S: Final = 30.0
# A table that was loaded but empty (a holiday at the vendor, a replay without reference lines) is asked for again.
_EMPTY_AGAIN_S: Final = 600


class ReferenceState(msgspec.Struct, frozen=True):
    """What `tw:reference` holds.

    Attributes:
        source: The source it was loaded for.
        day: The trading day (yyyymmdd) whose previous day it is.
        symbols: How many symbols have a previous day.
        loaded_at: Epoch seconds.
    """

    source: str
    day: int
    symbols: int
    loaded_at: float


def rest_url(feed: str | None = None) -> str:
    """Where REST calls go: as configured, else to the feed's own server, else to Massive.

    Args:
        feed: `real-time`, `delayed` or `host:port`; None: as configured.
    """
    feed = settings.MASSIVE_FEED if feed is None else feed
    if settings.MASSIVE_REST_URL:
        return str(settings.MASSIVE_REST_URL)
    if ":" in feed:
        return f"{'https' if settings.MASSIVE_SECURE else 'http'}://{feed}"
    return "https://api.massive.com"


def reference_state(store: Store) -> ReferenceState | None:
    """What was loaded last, or None."""
    raw = store.redis.get(REFERENCE_STATE)
    return msgspec.json.decode(raw, type=ReferenceState) if raw else None


def market_date(clock: int) -> date:
    """The New York date of a market clock (epoch milliseconds)."""
    return datetime.fromtimestamp(clock / 1_000, NEW_YORK).date()


def refresh(store: Store) -> int | None:
    """Load the previous day's bars, unless they are there for the present source and its market's day.

    Returns:
        How many symbols were loaded, or None when nothing had to be or could be; a failure is logged in a sentence and
        tried again at the next call.
    """
    source = store.source()
    if source is None or source.market_clock == 0:
        return None
    today = market_date(source.market_clock)
    number = today.year * 10_000 + today.month * 100 + today.day
    state = reference_state(store)
    if state is not None and (state.source, state.day) == (source.id, number):
        fresh = state.symbols > 0 or time() - state.loaded_at < _EMPTY_AGAIN_S
        if fresh:
            return None
    previous = previous_trading_day(today).date
    key = settings.MASSIVE_API_KEY or settings.SIMULATOR_KEY
    client = RESTClient(key, base=rest_url(), read_timeout=_READ_TIMEOUT_S, retries=1, pagination=False)
    try:
        bars = client.get_grouped_daily_aggs(previous.isoformat(), adjusted=True)
    except (AuthError, BadResponse, HTTPError, ValueError) as error:
        log.warning("the previous day (%s) could not be loaded from %s: %s", previous, rest_url(), error)
        return None
    rows: dict[str, bytes] = {}
    for bar in bars:
        if bar.ticker and bar.close:
            values = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap)
            rows[bar.ticker] = msgspec.msgpack.encode([nan if value is None else float(value) for value in values])
    with store.redis.pipeline(transaction=True) as pipe:
        pipe.delete(REFERENCE)
        if rows:
            pipe.hset(REFERENCE, mapping=rows)
        pipe.set(REFERENCE_STATE, msgspec.json.encode(ReferenceState(source.id, number, len(rows), time())))
        pipe.execute()
    log.info("previous day %s loaded: %d symbols", previous, len(rows))
    return len(rows)


def refresh_soon() -> None:
    """Ask the jobs worker for the reference data of a new source; the beat asks again if this is lost."""
    from processors.tasks import refresh_reference

    try:
        refresh_reference.apply_async(queue=JOBS, expires=15, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("broker unreachable, reference data will be asked for later: %s", type(error).__name__)
