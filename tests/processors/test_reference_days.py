"""Which day a table is of, whatever time it is."""

import pytest

from processors.reference import day_of
from processors.store import Source
from tests.processors.feeding import at

# Friday 2024-03-08, Monday 11th, Tuesday 12th; Friday 29th was Good Friday, 2024-07-03 closed early.


def source(clock: str, newest: str = "") -> Source:
    began, seen = at(f"2024-{clock}"), at(f"2024-{newest}") if newest else 0
    return Source("simulator:1", "simulator", began, 1.0, lossless=False, newest=seen)


@pytest.mark.parametrize(
    ("began", "newest", "day"),
    [
        # Before the first event: the day that runs, or the next.
        ("03-12 00:00:00.000", "", 20240312),
        ("03-12 03:59:59.999", "", 20240312),
        ("03-12 04:00:00.000", "", 20240312),
        ("03-12 12:00:00.000", "", 20240312),
        ("03-12 19:59:59.999", "", 20240312),
        ("03-12 20:00:00.000", "", 20240313),
        ("03-08 21:00:00.000", "", 20240311),
        ("03-09 12:00:00.000", "", 20240311),
        ("03-28 23:00:00.000", "", 20240401),
        ("07-03 16:59:59.999", "", 20240703),
        ("07-03 17:00:00.000", "", 20240705),
        # A table of Monday is Monday's through the night, whatever comes in it, until Tuesday begins.
        ("03-11 04:00:00.000", "03-11 19:59:59.999", 20240311),
        ("03-11 04:00:00.000", "03-11 23:59:59.999", 20240311),
        ("03-11 04:00:00.000", "03-12 00:00:00.000", 20240311),
        ("03-11 04:00:00.000", "03-12 03:59:59.999", 20240311),
        ("03-11 04:00:00.000", "03-12 04:00:00.000", 20240312),
        ("03-08 04:00:00.000", "03-10 12:00:00.000", 20240308),
        # One that begins at night has nothing of the day before, and quotes change nothing about that.
        ("03-12 00:10:00.000", "03-12 00:30:00.000", 20240312),
        ("03-11 21:00:00.000", "03-11 21:00:01.000", 20240312),
        ("03-09 12:00:00.000", "03-09 13:00:00.000", 20240311),
    ],
)
def test_the_day_of_a_table(began: str, newest: str, day: int) -> None:
    found = day_of(source(began, newest))
    assert found is not None
    assert found.number == day


def test_without_a_time_or_a_calendar_there_is_no_day() -> None:
    assert day_of(Source("simulator:1", "simulator", 0, 1.0, lossless=False)) is None
    assert day_of(Source("simulator:1", "simulator", 86_400_000, 1.0, lossless=False)) is None
