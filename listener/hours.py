"""When a market sends events, so that the listener neither knocks at a closed door nor takes silence for a fault."""

from datetime import UTC, datetime, timedelta
from typing import Final

from processors.sessions import NEW_YORK, next_bell, session_at

# Five minutes around the trading day: the connection stands before the first print and outlasts late corrections.
_MARGIN: Final = timedelta(minutes=5)
# The delayed feed runs a quarter of an hour behind.
DELAY: Final = timedelta(minutes=15)
# Those that follow the New York Stock Exchange's days; the others keep hours of their own and are never waited for.
_EXCHANGE_MARKETS: Final = frozenset({"stocks", "options", "indices"})
# Of the others, those that never rest. Currencies and futures have weekends, breaks and holidays that no calendar here
# knows.
_RESTLESS_MARKETS: Final = frozenset({"crypto"})


def opens_at(now: datetime, market: str, delayed: bool) -> datetime | None:
    """When the listener should connect, or None when that is now.

    Args:
        now: The wall clock, aware.
        market: `stocks` and so on.
        delayed: Whether the feed is the one that is fifteen minutes late.
    """
    if market not in _EXCHANGE_MARKETS:
        return None
    late = DELAY if delayed else timedelta()
    shown = now - late
    if any(session_at(_ms(moment))[0] is not None for moment in (shown - _MARGIN, shown, shown + _MARGIN)):
        return None
    return datetime.fromtimestamp(next_bell(_ms(shown)) / 1_000, UTC) - _MARGIN + late


def trades_steadily(since: datetime, now: datetime, market: str, delayed: bool) -> bool:
    """Whether so much trades all the time between two moments that silence means a fault."""
    if market in _RESTLESS_MARKETS:
        return True
    late = DELAY if delayed else timedelta()
    return market in _EXCHANGE_MARKETS and all(
        session_at(_ms(moment - late))[1] == "regular" for moment in (since, now)
    )


def in_words(moment: datetime) -> str:
    """A moment as people in New York say it, such as `Mon 23 Nov 03:55 New York`."""
    local = moment.astimezone(NEW_YORK)
    return f"{local:%a} {local.day} {local:%b %H:%M} New York"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
