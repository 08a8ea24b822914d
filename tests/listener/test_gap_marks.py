"""What the feed did not bring is marked in market time: before the first connection, between two, in a lost cache."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from time import time

import pytest

from listener import gap_marks, service
from listener.feed import Patience
from listener.gap_marks import GapMarks, newest_time
from listener.service import Listener
from processors.seeding.coverage import Gap, read_gaps
from processors.store import SOURCE, Source, Store, accounts_key
from project.celery import app
from project.embedded import EmbeddedValkey
from tests.listener.feed_server import serving

NOON = 1_710_172_800_000
SOME = Source("simulator:1", "simulator", NOON, 1.0, lossless=False)


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    return Store()


def frame(*times: int) -> bytes:
    return json.dumps([{"ev": "T", "sym": "A", "t": at} for at in times]).encode()


def gaps(store: Store) -> list[tuple[int, int | None]]:
    """Start and end of each, in milliseconds since noon; None for one that is open."""
    found = read_gaps(store, SOME.id)
    return [(gap.start - NOON, None if gap.is_open else gap.end - NOON) for gap in found]


def begin(store: Store, marks: GapMarks, source: Source = SOME) -> None:
    marks.connecting(source, store.declare_source(source))


@pytest.mark.parametrize(
    ("text", "newest"),
    [
        (frame(5_000_000_000_000, 4_000_000_000_000), 5_000_000_000_000),
        (b'[{"ev":"A","sym":"A","s":1710172800000,"e":1710172801000}]', 1_710_172_801_000),
        (b'[{"ev":"LULD","T":"A","t":1710172800126004113},{"ev":"status"}]', 1_710_172_800_126),
        (b'[{"ev":"status","status":"connected"}]', 0),
        (b'[{"ev":"T","t":"soon"}]', 0),
        (b"\xff[", 0),
    ],
)
def test_the_newest_time_of_a_frame(text: bytes, newest: int) -> None:
    assert newest_time(text) == newest


def test_a_source_is_seen_from_shortly_after_its_first_event_on(store: Store) -> None:
    marks = GapMarks(store)
    begin(store, marks)
    marks.write()
    assert gaps(store) == [(0, None)]
    marks.hear(b'[{"ev":"status"}]', 0)
    marks.hear(frame(NOON + 2_000), 0)
    marks.hear(frame(NOON + 9_000), 0)
    marks.write()
    assert gaps(store) == [(0, 7_000)]


def test_a_recording_is_seen_from_its_first_event_on(store: Store) -> None:
    marks = GapMarks(store)
    begin(store, marks, replace(SOME, kind="recording"))
    marks.hear(frame(NOON), 0)
    marks.write()
    assert gaps(store) == []


def test_what_came_between_two_connections_is_a_gap_also_for_another_listener(store: Store) -> None:
    first, second = GapMarks(store), GapMarks(store)
    begin(store, first)
    first.hear(frame(NOON), 0)
    first.write()
    for marks, minutes in ((first, 10), (second, 20)):
        store.redis.hset(SOURCE, "newest", NOON + minutes * 60_000)
        begin(store, marks)
        assert gaps(store)[-1] == (minutes * 60_000 - 5_000, None)
        marks.hear(frame(NOON + minutes * 60_000 + 30_000), 0)
        marks.write()
        assert gaps(store)[-1] == (minutes * 60_000 - 5_000, minutes * 60_000 + 35_000)
    assert len(gaps(store)) == 3


def test_a_cache_that_was_lost_begins_anew_with_what_comes_next(store: Store) -> None:
    marks = GapMarks(store)
    begin(store, marks)
    marks.hear(frame(NOON), 0)
    marks.write()
    store.redis.flushall()
    assert store.declare_source(SOME)
    marks.cache_lost(SOME)
    marks.hear(frame(NOON + 600_000), 0)
    marks.write()
    assert gaps(store) == [(0, 605_000)]


def test_at_ten_times_the_speed_the_ends_lie_ten_times_as_far_out(store: Store) -> None:
    marks = GapMarks(store)
    begin(store, marks, replace(SOME, speed=10.0))
    marks.hear(frame(NOON), 0)
    marks.write()
    assert gaps(store) == [(0, 50_000)]


def test_a_live_time_from_the_future_does_not_make_the_gap_endless(store: Store) -> None:
    marks, now = GapMarks(store), int(time() * 1_000)
    begin(store, marks, replace(SOME, kind="live", clock=now))
    marks.hear(frame(now + 10**9), now)
    marks.write()
    assert read_gaps(store, SOME.id) == (Gap(now, now + 65_000),)


def test_events_that_are_missing_in_numbers_leave_a_gap(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap_marks, "_COUNTS_EVERY_S", 0.0)
    marks = GapMarks(store)
    begin(store, marks)
    marks.hear(frame(NOON), 0)
    store.redis.hset(SOURCE, "newest", NOON + 600_000)
    for events, feed, found in ((50, "trades", 1), (100, "trades", 1), (300, "quotes", 1), (200, "trades", 2)):
        store.redis.hset(accounts_key(SOME.id), f"{feed}:expired_worker", events)
        marks.write()
        assert len(gaps(store)) == found
    assert gaps(store)[-1] == (580_000, 605_000)


async def _until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(what)


@pytest.mark.django_db(transaction=True)
async def test_a_listener_marks_a_cut_connection_and_a_lost_cache(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_REPORT_EVERY_S", 0.1)
    async with serving() as server:
        server.source = {"source": SOME.id, "kind": SOME.kind, "clock": NOON, "speed": 1.0, "lossless": False}
        times = (NOON + 1_000, NOON + 630_000, NOON + 700_000)
        server.scripts = tuple(server.accepts(frame(at)) for at in times)
        patience = Patience(first_pause=0.05, look=0.1)
        listening = asyncio.create_task(Listener(app, server.address, lossless=False, patience=patience).run())
        await _until(lambda: gaps(store) == [(0, 6_000)], "the first connection's mark")
        store.redis.hset(SOURCE, "newest", NOON + 600_000)
        await server.cut()
        await _until(lambda: gaps(store) == [(0, 6_000), (595_000, 635_000)], "the cut's mark")
        store.redis.flushall()
        await _until(lambda: gaps(store) == [(0, None)], "the lost cache's mark")
        await server.cut()
        await _until(lambda: gaps(store) == [(-5_000, 705_000)], "the lost cache's end")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
