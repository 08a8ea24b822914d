"""Which trading day a source's table is of, and the sessions before it."""

from datetime import date, datetime, timedelta
from typing import Final

from processors.sessions import NEW_YORK, TradingDay, trading_day
from processors.store import Source

# Days, weekends included: the exchange has not been closed for longer within the calendar.
_LONGEST_CLOSURE: Final = 10


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


def sessions_before(day: date, count: int) -> list[date]:
    """The last `count` trading days before a date, newest first; fewer where the calendar begins."""
    days = (day - timedelta(days=offset) for offset in range(1, 2 * count + _LONGEST_CLOSURE))
    return [found for found in days if trading_day(found) is not None][:count]
