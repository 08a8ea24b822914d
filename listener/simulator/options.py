"""What people type after `simulate` and `replay`, turned into values, or into a sentence that says why not."""

import datetime as dt
import math

from listener.simulator.trading_days import NEW_YORK, TradingCalendar, new_york_ms


class BadOption(ValueError):
    """An option that cannot be used; the message is for people."""


def whole_number(name: str, text: str, least: int, most: int) -> int:
    """A whole number within bounds.

    Raises:
        BadOption: It is none, or outside.
    """
    try:
        number = int(text.replace(",", "").replace("_", ""))
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise BadOption(f"{name} must be a whole number from {least:,} to {most:,}, not {text!r}")
    return number


def number(name: str, text: str, least: float, most: float) -> float:
    """A number within bounds, `least` itself only if it is 0 and allowed by the caller's bound.

    Raises:
        BadOption: It is none, or outside.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise BadOption(f"{name} must be a number from {least:g} to {most:g}, not {text!r}")
    return value


def starting_instant(text: str | None, now: dt.datetime) -> int:
    """The market time to start a simulation at, epoch ms.

    Args:
        text: `YYYY-MM-DD HH:MM` in New York; None means 09:25 of the newest trading day on which that has passed.
        now: The current time, with a zone.

    Raises:
        BadOption: It is no such time, or the exchange is closed on that day.
    """
    if text is None:
        here = now.astimezone(NEW_YORK)
        calendar = TradingCalendar(here.date())
        day = calendar.latest(here.date())
        if new_york_ms(day.date, 9, 25) > now.timestamp() * 1_000:
            day = calendar.latest(day.date - dt.timedelta(1))
        return new_york_ms(day.date, 9, 25)
    try:
        moment = dt.datetime.strptime(text.strip().replace("T", " ")[:16], "%Y-%m-%d %H:%M").replace(tzinfo=NEW_YORK)
    except ValueError:
        raise BadOption(f"--start must be a New York time like '2026-11-20 09:25', not {text!r}") from None
    if not 1995 <= moment.year <= 2100:
        raise BadOption(f"--start must be in the years 1995 to 2100, not {text!r}")
    calendar = TradingCalendar(moment.date())
    if calendar.day(moment.date()) is None:
        nearest = calendar.latest(moment.date()).date
        raise BadOption(f"--start: the exchange is closed on {moment.date()}; the trading day before it is {nearest}")
    return int(moment.timestamp() * 1_000)
