"""Trading days and sessions, to the millisecond."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.sessions import DayLookup, previous_trading_day, session_at, trading_day
from tests.processors.feeding import at

# Days about which the clocks change (Sunday 2024-03-10 and 2024-11-03), plain ones, and the real day.
FULL_DAYS = ("2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04", "2013-10-07", "2026-03-09", "2025-07-02")
EARLY_CLOSES = ("2024-11-29", "2013-11-29", "2024-07-03", "2024-12-24")


def sessions_around(text: str) -> tuple[str, str]:
    """The session a millisecond before a New York time, and at it."""
    return session_at(at(text) - 1)[1], session_at(at(text))[1]


@pytest.mark.parametrize("day", FULL_DAYS)
def test_a_full_day_changes_its_session_at_the_millisecond(day: str) -> None:
    assert sessions_around(f"{day} 04:00:00.000") == ("closed", "pre")
    assert sessions_around(f"{day} 09:30:00.000") == ("pre", "regular")
    assert sessions_around(f"{day} 16:00:00.000") == ("regular", "post")
    assert sessions_around(f"{day} 20:00:00.000") == ("post", "closed")


@pytest.mark.parametrize("day", EARLY_CLOSES)
def test_an_early_close_ends_regular_at_one_and_post_at_five(day: str) -> None:
    assert sessions_around(f"{day} 09:30:00.000") == ("pre", "regular")
    assert sessions_around(f"{day} 13:00:00.000") == ("regular", "post")
    assert sessions_around(f"{day} 17:00:00.000") == ("post", "closed")
    assert sessions_around(f"{day} 16:00:00.000") == ("post", "post")


@pytest.mark.parametrize(
    "day", ["2024-03-10", "2024-11-03", "2024-03-09", "2024-11-28", "2024-12-25", "2025-01-09", "2012-10-29"]
)
def test_weekends_holidays_and_closures_have_no_session(day: str) -> None:
    assert trading_day(date.fromisoformat(day)) is None
    assert session_at(at(f"{day} 12:00:00.000")) == (None, "closed")


def test_the_offset_of_the_clock_change_is_in_the_bounds() -> None:
    friday, monday = trading_day(date(2024, 3, 8)), trading_day(date(2024, 3, 11))
    assert friday is not None
    assert monday is not None
    hour = 3_600_000
    assert monday.start - friday.start == 3 * 24 * hour - hour
    assert friday.end - friday.start == monday.end - monday.start == 16 * hour


def test_the_day_before_passes_over_weekend_and_holiday() -> None:
    assert previous_trading_day(date(2024, 12, 2)).date == date(2024, 11, 29)
    assert previous_trading_day(date(2024, 11, 29)).date == date(2024, 11, 27)
    assert previous_trading_day(date(2013, 10, 7)).number == 20131004


def test_times_beyond_all_calendars_have_no_day() -> None:
    for time in (0, -1, 10**30, 4_102_444_800_000):
        assert DayLookup().find(time) is None


@given(st.integers(0, 20 * 365), st.integers(0, 86_400_000 - 1))
@settings(deadline=None)
def test_a_lookup_that_remembers_finds_the_same_as_one_that_does_not(days: int, ms: int) -> None:
    moment = at(f"{date(2005, 1, 3) + timedelta(days)} 00:00:00.000") + ms
    remembering = DayLookup()
    for other in (moment - 3_600_000, moment, moment + 1):
        remembering.find(other)
        found = remembering.find(moment)
        assert found == DayLookup().find(moment)
        assert found is None or found.start <= moment < found.end
