"""Aggregate ranges: bars of any multiple of a second, minute, hour or day."""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from listener.simulator.series import BarSeries
from listener.simulator.trading_days import HOUR, MINUTE, SECOND, new_york_ms, new_york_time

if TYPE_CHECKING:
    from listener.simulator.rest import ReferenceData

_LENGTHS: Final = {"second": SECOND, "minute": MINUTE, "hour": HOUR}


class BadParameter(Exception):
    """A request's parameter cannot be used; the message says which and why."""


def instant(text: str, is_end: bool) -> int:
    """A range's end as epoch ms: milliseconds as they are, a date as the start or the end of that New York day.

    Raises:
        BadParameter: It is neither.
    """
    if text.isdigit():
        return int(text)
    try:
        date = dt.date.fromisoformat(text[:10])
    except ValueError as error:
        raise BadParameter(
            f"Could not parse the time {text!r}: it must be YYYY-MM-DD or epoch milliseconds."
        ) from error
    return new_york_ms(date + dt.timedelta(1), 0) - 1 if is_end else new_york_ms(date, 0)


def span_bars(
    data: "ReferenceData",
    ticker: str,
    multiplier: int,
    span: str,
    start: int,
    end: int,
    limit: int,
    newest_first: bool,
    adjusted: bool,
) -> tuple[list[dict[str, Any]], bool]:
    """Bars as Massive's `{o,h,l,c,v,vw,n,t}`.

    Args:
        data: Where bars come from.
        ticker: The symbol; an unknown one has no bars.
        multiplier: How many units a bar covers.
        span: second, minute, hour or day.
        start: First instant, epoch ms.
        end: Last instant, epoch ms.
        limit: At most so many bars.
        newest_first: The order.
        adjusted: Whether in today's shares, or those of each day.

    Returns:
        The bars, and whether the limit left some out.

    Raises:
        BadParameter: The span is none of these.
    """
    if span == "day":
        daily = data.daily(ticker, new_york_time(start).date(), new_york_time(end).date(), adjusted)
        parts = iter([daily.merged((daily.start - start) // (multiplier * 24 * HOUR)) if multiplier > 1 else daily])
        keep_starts = True
    elif span in _LENGTHS:
        parts = _by_day(data, ticker, _LENGTHS[span] * multiplier, span == "second", start, end, newest_first, adjusted)
        keep_starts = False
    else:
        raise BadParameter(f"The timespan {span!r} is not served here: second, minute, hour and day are.")
    rows: list[dict[str, Any]] = []
    for part in parts:
        bars = part if keep_starts else part.between(start, end + 1)
        found = _rows(bars)
        rows += reversed(found) if newest_first else found
        if len(rows) > limit:
            break
    return rows[:limit], len(rows) > limit


def _by_day(
    data: "ReferenceData",
    ticker: str,
    length: int,
    of_seconds: bool,
    start: int,
    end: int,
    newest_first: bool,
    adjusted: bool,
) -> Iterator[BarSeries]:
    now = data.clock()
    first, last = new_york_time(start).date(), new_york_time(min(end, now)).date()
    days = [day for day in data.calendar.before(last + dt.timedelta(1), 200) if day.date >= first]
    for day in days if newest_first else reversed(days):
        bars = (data.seconds if of_seconds else data.minutes)(ticker, day.date, adjusted)
        # A longer bar starts at a multiple of its length; the first that overlaps the range is whole.
        starts = bars.start // length * length
        inside = bars.between(start // length * length, end + 1)
        starts = starts[(bars.start >= start // length * length) & (bars.start < end + 1)]
        yield inside.merged(starts)


def _rows(bars: BarSeries) -> list[dict[str, Any]]:
    return [
        {
            "v": volume, "vw": round(turnover / (volume * 10_000), 4) if volume else close / 10_000,
            "o": opens / 10_000, "c": close / 10_000, "h": high / 10_000, "l": low / 10_000, "t": start, "n": count,
        }
        for start, opens, high, low, close, volume, turnover, count in zip(
            *(column.tolist() for column in bars.columns()), strict=True
        )
    ]  # fmt: skip
