"""Trading days and sessions of the New York Stock Exchange, by event time.

The trading day is 04:00 to 20:00 America/New_York on an XNYS session: `pre` to 09:30, `regular` to 16:00, `post` to
20:00; on early closes `regular` ends at 13:00 and `post` at 17:00 (design, "The symbol table"). Source of sessions and
early closes: the exchange_calendars library.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

NEW_YORK: Final = ZoneInfo("America/New_York")
SESSIONS: Final = ("pre", "regular", "post")
CLOSED: Final = "closed"

_START = time(4, 0)
_OPEN = time(9, 30)
_POST = timedelta(hours=4)
_FIRST_DATE = date(2003, 1, 1)


@dataclass(frozen=True, slots=True)
class TradingDay:
    """One trading day; its bounds are epoch milliseconds, each the first moment of what it begins.

    Attributes:
        number: The date as yyyymmdd, which orders days and fits a double.
        start: 04:00 New York.
        open: 09:30.
        close: 16:00, or 13:00 on an early close.
        end: 20:00, or 17:00.
    """

    number: int
    start: int
    open: int
    close: int
    end: int

    @property
    def date(self) -> date:
        """The day's date in New York."""
        return date(self.number // 10_000, self.number // 100 % 100, self.number % 100)

    def session_index(self, at: int) -> int:
        """0 pre, 1 regular, 2 post, for a time within the day."""
        if at < self.open:
            return 0
        return 1 if at < self.close else 2

    def session_at(self, at: int) -> str:
        """`pre`, `regular`, `post`, or `closed` outside the day."""
        return SESSIONS[self.session_index(at)] if self.start <= at < self.end else CLOSED


@lru_cache(maxsize=1)
def _calendar():  # type: ignore[no-untyped-def]  # the library ships no types
    import exchange_calendars  # pandas with it: loaded by the first event, not by every command

    last = datetime.now(UTC).date() + timedelta(days=365)
    return exchange_calendars.get_calendar("XNYS", start=_FIRST_DATE.isoformat(), end=last.isoformat())


def _ms(day: date, at: time) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp() * 1_000)


@lru_cache(maxsize=4_096)
def trading_day(day: date) -> TradingDay | None:
    """The trading day of a New York date, or None when the exchange does not open on it."""
    calendar = _calendar()
    label = day.isoformat()
    if not (calendar.first_session.date() <= day <= calendar.last_session.date()) or not calendar.is_session(label):
        return None
    close = int(calendar.session_close(label).timestamp() * 1_000)
    number = day.year * 10_000 + day.month * 100 + day.day
    end = close + int(_POST.total_seconds() * 1_000)
    return TradingDay(number, _ms(day, _START), _ms(day, _OPEN), close, end)


def previous_trading_day(day: date) -> TradingDay:
    """The last trading day before a date."""
    while True:
        day -= timedelta(days=1)
        if (found := trading_day(day)) is not None:
            return found


class DayLookup:
    """Finds the trading day of an event's time; remembers the last one, which nearly every event shares."""

    def __init__(self) -> None:
        self._last = TradingDay(0, 0, 0, 0, 0)

    def find(self, at: int) -> TradingDay | None:
        """The trading day that `at` (epoch milliseconds) lies in, or None outside 04:00–20:00 of a session."""
        last = self._last
        if last.start <= at < last.end:
            return last
        try:
            day = datetime.fromtimestamp(at / 1_000, NEW_YORK).date()
        except (OverflowError, ValueError, OSError):
            return None
        found = trading_day(day)
        if found is None or not found.start <= at < found.end:
            return None
        self._last = found
        return found


def session_at(at: int) -> tuple[TradingDay | None, str]:
    """The trading day and session of a moment; day None and `closed` between days."""
    day = DayLookup().find(at)
    return day, day.session_at(at) if day else CLOSED


def next_bell(at: int) -> int:
    """When the session that `at` lies in ends, or between days when the next day begins; epoch milliseconds."""
    day, _ = session_at(at)
    if day is not None:
        return next(bell for bell in (day.open, day.close, day.end) if bell > at)
    date_ = datetime.fromtimestamp(at / 1_000, NEW_YORK).date()
    while True:
        found = trading_day(date_)
        if found is not None and found.start > at:
            return found.start
        date_ += timedelta(days=1)
