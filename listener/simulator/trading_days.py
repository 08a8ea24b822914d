"""Trading days of the New York Stock Exchange in epoch milliseconds."""

import bisect
import datetime as dt
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import exchange_calendars

NEW_YORK: Final = ZoneInfo("America/New_York")
Session = Literal["closed", "pre", "regular", "post"]

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE

# The calendar is built around a date: far enough back for history, far enough ahead for a run of months at high speed.
_DAYS_BEFORE: Final = 260
_DAYS_AFTER: Final = 420


class TradingDay(NamedTuple):
    """One trading day; the four instants are epoch milliseconds.

    Attributes:
        date: The date in New York.
        start: 04:00, when extended hours begin.
        open: The regular open, 09:30.
        close: The regular close: 16:00, on early closes 13:00.
        end: The end of extended hours: 20:00, on early closes 17:00.
    """

    date: dt.date
    start: int
    open: int
    close: int
    end: int

    def session(self, at: int) -> Session:
        """The session that the instant `at` (epoch ms) falls into on this day."""
        if at < self.start or at >= self.end:
            return "closed"
        if at < self.open:
            return "pre"
        return "regular" if at < self.close else "post"


class Holiday(NamedTuple):
    """A weekday on which the exchange is closed or closes early.

    Attributes:
        date: The date in New York.
        name: What is celebrated.
        day: The shortened trading day on an early close, None when the exchange stays closed.
    """

    date: dt.date
    name: str
    day: TradingDay | None


def new_york_ms(date: dt.date, hour: int, minute: int = 0) -> int:
    """The instant of a New York wall-clock time, epoch milliseconds."""
    return int(dt.datetime.combine(date, dt.time(hour, minute), NEW_YORK).timestamp() * 1_000)


def new_york_time(at: int) -> dt.datetime:
    """The New York wall-clock time of `at` (epoch ms)."""
    return dt.datetime.fromtimestamp(at / 1_000, NEW_YORK)


class TradingCalendar:
    """The exchange's sessions around a date, extended when the clock runs on.

    Args:
        around: A date inside the run.
    """

    def __init__(self, around: dt.date) -> None:
        self._load(around)

    def _load(self, around: dt.date) -> None:
        first, last = around - dt.timedelta(_DAYS_BEFORE), around + dt.timedelta(_DAYS_AFTER)
        calendar = exchange_calendars.get_calendar("XNYS", start=first.isoformat(), end=last.isoformat())
        self._days: list[TradingDay] = []
        for opens, closes in zip(calendar.opens, calendar.closes, strict=True):
            date = opens.tz_convert(NEW_YORK).date()
            close = int(closes.timestamp() * 1_000)
            early = close < new_york_ms(date, 16)
            end = new_york_ms(date, 17 if early else 20)
            self._days.append(TradingDay(date, new_york_ms(date, 4), int(opens.timestamp() * 1_000), close, end))
        self._dates = [day.date for day in self._days]
        named = calendar.regular_holidays.holidays(start=first.isoformat(), end=last.isoformat(), return_name=True)
        self._closed = {moment.date(): str(name) for moment, name in named.items()}
        self._closed |= {
            moment.date(): "Exchange closed" for moment in calendar.adhoc_holidays if first <= moment.date() <= last
        }

    def day(self, date: dt.date) -> TradingDay | None:
        """The trading day of a date, None when the exchange is closed on it."""
        index = bisect.bisect_left(self._dates, date)
        return self._days[index] if index < len(self._dates) and self._dates[index] == date else None

    def latest(self, date: dt.date) -> TradingDay:
        """The newest trading day not after `date`."""
        return self._days[bisect.bisect_right(self._dates, date) - 1]

    def next(self, date: dt.date) -> TradingDay:
        """The first trading day after `date`."""
        if date >= self._dates[-2]:
            self._load(date)
        return self._days[bisect.bisect_right(self._dates, date)]

    def before(self, date: dt.date, count: int) -> list[TradingDay]:
        """The last `count` trading days before `date`, newest first."""
        index = bisect.bisect_left(self._dates, date)
        return self._days[max(0, index - count) : index][::-1]

    def holidays(self, date: dt.date, count: int = 12) -> list[Holiday]:
        """The next `count` holidays and early closes from `date` on, oldest first."""
        early = [day for day in self._days if day.date >= date and day.close < new_york_ms(day.date, 16)]
        found = [Holiday(day.date, "Early close", day) for day in early]
        found += [
            Holiday(closed, name, None)
            for closed, name in self._closed.items()
            if closed >= date and closed.weekday() < 5 and self.day(closed) is None
        ]
        return sorted(found)[:count]
