"""Reference data: the previous trading day of the whole market, in one call, off the event path.

Source: Massive's grouped daily bars (`/v2/aggs/grouped/locale/us/market/stocks/{date}`). A replayed recording and the
simulator answer the same call.
"""

import logging
from datetime import date, datetime, timedelta
from math import nan
from time import time
from typing import Final

import msgspec
from django.conf import settings
from kombu.exceptions import OperationalError
from massive import RESTClient
from massive.exceptions import AuthError, BadResponse
from urllib3.exceptions import HTTPError

from listener.events import market_of
from processors.sessions import NEW_YORK, TradingDay, previous_trading_day, trading_day
from processors.store import REFERENCE, REFERENCE_STATE, Source, Store
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
# Days, weekends included: the exchange has not been closed for longer within the calendar.
_LONGEST_CLOSURE: Final = 10


class ReferenceState(msgspec.Struct, frozen=True):
    """What `tw:reference` holds.

    Attributes:
        source: The source it was loaded for.
        day: The trading day (yyyymmdd) whose previous day it is.
        symbols: How many symbols have a previous day.
        loaded_at: Epoch seconds.
        begun: Whether the day had begun: in the night before, the previous day may still be corrected.
    """

    source: str
    day: int
    symbols: int
    loaded_at: float
    begun: bool = True


def rest_url(feed: str) -> str:
    """Where REST calls go: as configured, else to the feed's own server, else to Massive.

    Args:
        feed: `real-time`, `delayed` or `host:port`.
    """
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


def day_of(source: Source) -> TradingDay | None:
    """The trading day of a source's table: the last that has begun, or the first to come if the source saw none.

    A day's rows stand until the next day begins, whatever quotes come at night; a source that begins at night has none.

    Returns:
        The day, or None when the market's clock tells none: it has no time yet, or one beyond the calendar.
    """
    clock = source.market_clock
    if clock == 0:
        return None
    found: list[TradingDay] = []
    today = market_date(clock)
    for offset in range(-_LONGEST_CLOSURE, _LONGEST_CLOSURE + 1):
        day = trading_day(today + timedelta(days=offset))
        if day is not None and source.clock < day.end:
            found.append(day)
    begun = [day for day in found if day.start <= clock]
    return begun[-1] if begun else next(iter(found), None)


def refresh(store: Store, base: str, key: str) -> int | None:
    """Load the previous day's bars, unless they are there for the present source and its market's day.

    Args:
        store: The cache.
        base: Where REST calls go.
        key: The key that they take there.

    Returns:
        How many symbols were loaded, or None when nothing had to be or could be; a failure is logged in a sentence and
        tried again at the next call.
    """
    source = store.source()
    # Rows are of stocks alone.
    if source is None or market_of(source.id) != "stocks" or (today := day_of(source)) is None:
        return None
    begun = source.market_clock >= today.start
    state = reference_state(store)
    if state is None or (state.source, state.day) != (source.id, today.number):
        # Better unknown than another day's, as long as it takes to load.
        _put(store, ReferenceState(source.id, today.number, 0, 0.0, begun), {})
    elif state.begun == begun and (state.symbols > 0 or time() - state.loaded_at < _EMPTY_AGAIN_S):
        return None
    previous = previous_trading_day(today.date).date
    client = RESTClient(key, base=base, read_timeout=_READ_TIMEOUT_S, retries=1, pagination=False)
    try:
        bars = client.get_grouped_daily_aggs(previous.isoformat(), adjusted=True)
    except (AuthError, BadResponse, HTTPError, ValueError) as error:
        log.warning("the previous day (%s) could not be loaded from %s: %s", previous, base, error)
        return None
    rows: dict[str, bytes] = {}
    for bar in bars:
        if bar.ticker and bar.close:
            values = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap)
            rows[bar.ticker] = msgspec.msgpack.encode([nan if value is None else float(value) for value in values])
    _put(store, ReferenceState(source.id, today.number, len(rows), time(), begun), rows)
    log.info("previous day %s loaded: %d symbols", previous, len(rows))
    return len(rows)


def _put(store: Store, state: ReferenceState, rows: dict[str, bytes]) -> None:
    with store.redis.pipeline(transaction=True) as pipe:
        pipe.delete(REFERENCE)
        if rows:
            pipe.hset(REFERENCE, mapping=rows)
        pipe.set(REFERENCE_STATE, msgspec.json.encode(state))
        pipe.execute()


def refresh_soon() -> None:
    """Ask the jobs worker for the reference data of a new source; the beat asks again if this is lost."""
    from processors.tasks import refresh_reference

    try:
        refresh_reference.apply_async(queue=JOBS, expires=15, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("broker unreachable, reference data will be asked for later: %s", type(error).__name__)
