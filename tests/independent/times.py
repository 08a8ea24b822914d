"""Days, sessions and what a trade's conditions let it update, looked up without a calendar: on ordinary weekdays."""

from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

_NEW_YORK = ZoneInfo("America/New_York")
_VOLUME_ONLY = {2, 7, 12, 13, 20, 21, 29, 37, 52, 53}
_NO_LAST = {5, 10, 22, 32, 33}
_NOTHING = {15, 16}
_BLOCKED = {
    "last": _VOLUME_ONLY | _NO_LAST | _NOTHING,
    "extremes": _VOLUME_ONLY | _NOTHING,
    "volume": {15, 16, 38},
}


def day_of(at: int) -> str:
    """The New York date of a time."""
    return _minute(at // 60_000)[0]


def session_of(at: int) -> str | None:
    """The session of a time on an ordinary weekday; None outside 04:00 to 20:00."""
    return _minute(at // 60_000)[1]


def minute_of_day(at: int) -> int:
    """Minutes since 04:00 of a time within the trading day, the day's last minute at most."""
    moment = datetime.fromtimestamp(at / 1_000, _NEW_YORK)
    return min((moment.hour - 4) * 60 + moment.minute, 959)


@lru_cache(maxsize=10_000)
def _minute(minute: int) -> tuple[str, str | None]:
    moment = datetime.fromtimestamp(minute * 60, _NEW_YORK)
    return moment.date().isoformat(), _session(moment)


def _session(moment: datetime) -> str | None:
    if moment.weekday() > 4:
        return None
    hour = moment.hour + moment.minute / 60
    if 4 <= hour < 9.5:
        return "pre"
    if 9.5 <= hour < 16:
        return "regular"
    return "post" if 16 <= hour < 20 else None


def may(trade: dict[str, Any], what: str) -> bool:
    """Whether a trade's conditions let it update the last price, the extremes, or the volume."""
    conditions = trade.get("c")
    return not conditions or not set(conditions) & _BLOCKED[what]


def milliseconds(t: int) -> int:
    """A time in milliseconds; LULD's are nanoseconds."""
    return t // 1_000_000 if t > 100_000_000_000_000_000 else t
