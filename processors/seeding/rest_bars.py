"""Minute bars over REST, of many symbols at a bounded rate.

Source: `/v2/aggs/ticker/{t}/range/1/minute/{from}/{to}`, which Massive and the simulator answer alike.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np
from django.conf import settings

from processors import parts
from processors.reference.vendor import (
    NotEntitledError,
    TooManyCallsError,
    UnreachableError,
    Vendor,
    VendorError,
)
from processors.sessions import TradingDay

MINUTE_MS: Final = 60_000
_MOST_BARS: Final = 50_000
_DECIMALS: Final = 4
CALL_S: Final = 20.0
# Enough for fifty calls a second of a quarter of a second each. A server of our own answers one at a time anyway.
_AT_ONCE: Final = 12
_AT_ONCE_HERE: Final = 3
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# After so many calls without an answer the next will hardly have one.
_MOST_FAILURES: Final = 5

Bars = np.ndarray[Any, Any]


class MinuteBar(msgspec.Struct, frozen=True, gc=False):
    """A bar as REST gives it: start (ms), prices, shares, volume-weighted price, prints."""

    t: int
    o: float
    h: float
    l: float  # noqa: E741 - Massive's name
    c: float
    v: float = 0.0
    vw: float | None = None
    n: int | None = None


def minutes_of(vendor: Vendor, symbol: str, start: int, end: int, adjusted: bool = False) -> list[MinuteBar]:
    """A symbol's minute bars that start in [start, end), epoch milliseconds; at most 50,000.

    Args:
        vendor: Whom to ask.
        symbol: The ticker.
        start: The first instant.
        end: The first instant that is not asked for.
        adjusted: Whether prices and shares of earlier days are to be told in today's.

    Raises:
        VendorError: There is no usable answer.
    """
    path = f"/v2/aggs/ticker/{quote(symbol, safe='')}/range/1/minute/{start}/{end - 1}"
    query = {"adjusted": str(adjusted).lower(), "sort": "asc", "limit": str(_MOST_BARS)}
    return vendor.page(path, query).rows(MinuteBar)


def bars_of_day(rows: Iterable[MinuteBar], day: TradingDay) -> Bars:
    """The bars of a trading day as `parts.BAR`, ascending; `day_vwap` is what they themselves add up to."""
    rows = sorted((row for row in rows if day.start <= row.t < day.end), key=lambda row: row.t)
    bars = np.empty(len(rows), parts.BAR)
    if not rows:
        return bars
    bars["start"] = [row.t for row in rows]
    bars["end"] = bars["start"] + MINUTE_MS
    bars["session"] = (bars["start"] >= day.open).astype(np.uint8) + (bars["start"] >= day.close)
    for name, short in (("open", "o"), ("high", "h"), ("low", "l"), ("close", "c"), ("volume", "v")):
        bars[name] = [getattr(row, short) for row in rows]
    bars["vwap"] = [np.nan if row.vw is None else row.vw for row in rows]
    bars["trades"] = [np.nan if row.n is None else row.n for row in rows]
    turnover, volume = np.cumsum(bars["vwap"] * bars["volume"]), np.cumsum(bars["volume"])
    # As exact as the feed tells it: a price that equals the mean must not come to lie on a side of it.
    bars["day_vwap"] = np.divide(turnover, volume, out=np.full(len(rows), np.nan), where=volume > 0).round(_DECIMALS)
    return bars


def is_here(base: str) -> bool:
    """Whether an address is of a server of our own, on this machine."""
    return urlsplit(base).hostname in _LOOPBACK


def seconds_apart(base: str) -> float:
    """How far apart calls to an address have to be."""
    return 0.0 if is_here(base) else 60.0 / settings.MASSIVE_REST_CALLS_A_MINUTE


class Pace:
    """Keeps calls of several threads apart, as far as the address asks for it."""

    def __init__(self, base: str) -> None:
        self._apart_s = seconds_apart(base)
        self._next = 0.0
        self._turn = threading.Lock()

    def wait(self, deadline: float) -> bool:
        """Wait for the next call's turn; False when that comes after a moment of the monotonic clock."""
        with self._turn:
            turn = max(monotonic(), self._next)
            if turn >= deadline:
                return False
            self._next = turn + self._apart_s
        sleep(max(0.0, turn - monotonic()))
        return True


def for_each(
    base: str, key: str, symbols: Iterable[str], work: Callable[[Vendor, str], None], deadline: float
) -> VendorError | None:
    """Do REST work for many symbols, several at once, until they are done or a moment of the monotonic clock.

    Args:
        base: Where REST calls go.
        key: The key that they take there.
        symbols: In the order of their turn.
        work: Makes one call for a symbol; called in several threads. A `VendorError` of one symbol leaves the others.
        deadline: No call begins after this.

    Returns:
        Why it ended before: the vendor refuses, cannot be reached, or did not answer several times.
    """
    pace, turns, failures = Pace(base), iter(symbols), 0
    stopped: VendorError | None = None
    taking = threading.Lock()

    def worker() -> None:
        nonlocal failures, stopped
        with Vendor(base, key, CALL_S) as vendor:
            while stopped is None and pace.wait(deadline):
                with taking:
                    symbol = next(turns, None)
                if symbol is None:
                    return
                try:
                    work(vendor, symbol)
                except (NotEntitledError, TooManyCallsError, UnreachableError) as error:
                    stopped = error
                except VendorError as error:
                    failures += 1
                    if failures >= _MOST_FAILURES:
                        stopped = error

    crew = _AT_ONCE_HERE if is_here(base) else _AT_ONCE
    with ThreadPoolExecutor(crew, thread_name_prefix="rest") as pool:
        for future in [pool.submit(worker) for _ in range(crew)]:
            future.result()
    return stopped
