"""What of a day the source has seen: late starts, gaps, lost caches, and symbols that were filled up since."""

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.seeding.coverage import (
    ENDLESS,
    Gap,
    coverage,
    missing,
    seeded_key,
    seeded_version_key,
    with_gap,
    write_gaps,
)
from processors.sessions import TradingDay, trading_day
from processors.store import Source, Store
from tests.processors.feeding import at, begin


def _day() -> TradingDay:
    day = trading_day(date(2024, 3, 11))
    assert day is not None
    return day


DAY = _day()
NOON, MINUTE = at("2024-03-11 12:00:00.000"), 60_000


@pytest.mark.parametrize(
    ("kind", "late", "whole"),
    [
        *(("live", 0, True), ("live", 1, False), ("simulator", -1, True)),
        *(("recording", 60_000, True), ("recording", 60_001, False)),
    ],
)
def test_a_day_is_whole_when_it_was_seen_from_its_start(store: Store, kind: str, late: int, whole: bool) -> None:
    source = Source("x", kind, DAY.start + late, 1.0, lossless=False)
    assert coverage(store, source, DAY) == (whole, frozenset())


def test_a_live_cache_that_was_declared_again_has_lost_what_was_before() -> None:
    source = Source("x", "live", DAY.start, 1.0, lossless=False, since=NOON)
    assert missing(source, (), DAY) == (Gap(DAY.start, NOON),)
    # The time of others is not the wall's: what they lost is told as a gap.
    assert missing(replace(source, kind="simulator"), (), DAY) == ()
    assert missing(replace(source, id="live:stocks:delayed"), (), DAY) == ()


def test_symbols_are_complete_again_one_by_one_until_there_is_another_gap(store: Store) -> None:
    source = begin(store, clock=DAY.start)
    write_gaps(store, source.id, [Gap(NOON, ENDLESS)])
    assert coverage(store, source, DAY) == (False, frozenset())
    write_gaps(store, source.id, [Gap(NOON, NOON + MINUTE)])
    assert coverage(store, source, DAY) == (False, frozenset())
    store.redis.hset(seeded_key(source.id), mapping={"AAA": NOON + MINUTE, "BBB": NOON})
    store.redis.set(seeded_version_key(source.id), 1)
    assert coverage(store, source, DAY) == (False, frozenset({"AAA"}))
    store.redis.hset(seeded_key(source.id), "BBB", NOON + MINUTE)
    store.redis.set(seeded_version_key(source.id), 2)
    assert coverage(store, source, DAY) == (False, frozenset({"AAA", "BBB"}))
    write_gaps(store, source.id, [Gap(NOON, NOON + MINUTE), Gap(NOON + 5 * MINUTE, NOON + 6 * MINUTE)])
    assert coverage(store, source, DAY) == (False, frozenset())


def test_a_gap_at_night_or_of_another_day_is_none_of_this_one(store: Store) -> None:
    source = begin(store, clock=DAY.start)
    gaps = [Gap(DAY.start - 90 * MINUTE, DAY.start), Gap(DAY.end, DAY.end + MINUTE)]
    write_gaps(store, source.id, gaps)
    assert coverage(store, source, DAY) == (True, frozenset())


def test_between_days_rows_are_as_complete_as_their_day_was(store: Store) -> None:
    source = replace(begin(store, clock=DAY.start), newest=DAY.end + MINUTE)
    assert coverage(store, source, None) == (True, frozenset())
    write_gaps(store, source.id, [Gap(NOON, NOON + 1)])
    assert coverage(store, source, None) == (False, frozenset())
    assert coverage(store, Source("x", "live", 0, 1.0, lossless=False), None) == (False, frozenset())


def test_a_new_source_has_no_gaps_of_the_one_before(store: Store) -> None:
    source = begin(store, clock=DAY.start)
    write_gaps(store, source.id, [Gap(NOON, NOON + 1)])
    begin(store, "simulator:2", clock=DAY.start)
    assert coverage(store, begin(store, clock=DAY.start), DAY) == (True, frozenset())


_spans = st.tuples(st.integers(0, 500), st.integers(0, 20)).map(lambda each: Gap(each[0] * 20_000, sum(each) * 20_000))


@given(st.lists(_spans, max_size=400))
def test_gaps_are_kept_in_order_apart_and_few_and_cover_what_was_put_in(spans: list[Gap]) -> None:
    kept: tuple[Gap, ...] = ()
    for span in spans:
        kept = with_gap(kept, span)
    assert len(kept) <= 200
    assert all(after.start - before.end >= MINUTE for before, after in pairwise(kept))
    assert all(any(gap.start <= span.start and span.end <= gap.end for gap in kept) for span in spans)
