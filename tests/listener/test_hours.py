"""When the listener knocks: five minutes around the trading day, by New York's clock and the exchange's calendar."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from listener.hours import in_words, opens_at, trades_steadily

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-20 03:54:59", "Fri 20 Nov 03:55 New York"),
        ("2026-11-20 03:55:00", None),
        ("2026-11-20 12:00:00", None),
        ("2026-11-20 20:04:59", None),
        ("2026-11-20 20:05:00", "Mon 23 Nov 03:55 New York"),
        ("2026-11-22 12:00:00", "Mon 23 Nov 03:55 New York"),
        # Thanksgiving is closed, and the Friday after it closes early.
        ("2026-11-26 10:00:00", "Fri 27 Nov 03:55 New York"),
        ("2026-11-27 17:04:59", None),
        ("2026-11-27 17:05:00", "Mon 30 Nov 03:55 New York"),
        # The Monday after the clocks were set forward: 03:55 is 03:55.
        ("2026-03-09 03:54:59", "Mon 9 Mar 03:55 New York"),
        ("2026-03-09 03:55:00", None),
    ],
)
def test_stocks_are_read_around_the_trading_day(now: str, opens: str | None) -> None:
    moment = opens_at(at(now), "stocks", delayed=False)
    assert (None if moment is None else in_words(moment)) == opens


def test_the_delayed_feed_is_a_quarter_of_an_hour_behind() -> None:
    assert opens_at(at("2026-11-20 20:19:59"), "stocks", delayed=True) is None
    assert opens_at(at("2026-11-20 20:20:00"), "stocks", delayed=True) is not None
    first = opens_at(at("2026-11-20 04:09:59"), "stocks", delayed=True)
    assert first is not None
    assert in_words(first) == "Fri 20 Nov 04:10 New York"


@pytest.mark.parametrize("market", ["crypto", "forex", "futures"])
def test_markets_with_hours_of_their_own_are_never_waited_for(market: str) -> None:
    assert opens_at(at("2026-11-22 03:00:00"), market, delayed=False) is None


@pytest.mark.parametrize(
    ("since", "now", "market", "delayed", "steadily"),
    [
        ("2026-11-20 09:29:59.999", "2026-11-20 09:30:09.999", "stocks", False, False),
        ("2026-11-20 09:30:00", "2026-11-20 09:30:10", "stocks", False, True),
        ("2026-11-20 15:59:50", "2026-11-20 16:00:00", "stocks", False, False),
        ("2026-11-20 15:59:50", "2026-11-20 16:00:00", "stocks", True, True),
        ("2026-11-20 09:44:50", "2026-11-20 09:45:00", "options", True, False),
        ("2026-11-27 12:59:50", "2026-11-27 13:00:00", "indices", False, False),
        ("2026-11-22 02:00:00", "2026-11-22 02:00:10", "crypto", False, True),
        ("2026-11-20 12:00:00", "2026-11-20 12:00:10", "forex", False, False),
    ],
)
def test_silence_means_something_while_a_market_trades_steadily(
    since: str, now: str, market: str, delayed: bool, steadily: bool
) -> None:
    assert trades_steadily(at(since), at(now), market, delayed) is steadily
