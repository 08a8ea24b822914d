"""The bounded buffer between socket and publisher: all is counted and in order, and no feed pays for another."""

import threading
from collections import defaultdict
from time import monotonic

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.batching import BatchLimits, Buffer, FeedCount
from listener.events import Batch
from listener.sorting import Malformed, SortedFrame
from project.queues import FEEDS

NOW = 1_700_000_000_000
START = NOW * 1_000


class Clock:
    """A wall clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def limits(max_events: int = 10, max_bytes: int = 1_000_000, lossless: bool = False) -> BatchLimits:
    return BatchLimits(max_events, max_age_ms=20, max_bytes=max_bytes, ttl_ms=5_000, lossless=lossless)


def buffer(clock: Clock, of: BatchLimits | None = None) -> Buffer:
    made = Buffer(of or limits(), START, clock)
    made.begin_source("source:1")
    return made


def frame(feed: str, count: int, size: int = 10, malformed: int = 0) -> SortedFrame:
    events = [msgspec.Raw(b"x" * size) for _ in range(count)]
    return SortedFrame({feed: events} if events else {}, [Malformed(feed, "bad", "")] * malformed)


def take_all(of: Buffer) -> list[tuple[str, Batch]]:
    taken = []
    while round_ := of.take(0):
        taken += round_
    return taken


def sizes(taken: list[tuple[str, Batch]]) -> list[tuple[str, int]]:
    return [(feed, len(batch.events)) for feed, batch in taken]


def balanced(count: FeedCount) -> bool:
    return count.received == count.malformed + count.dropped + count.buffered + count.published


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_batch_is_full_at_its_greatest_number_of_events(clock: Clock) -> None:
    full = buffer(clock)
    full.add(frame("trades", 23), NOW)
    full.add(frame("trades", 4), NOW + 1)
    assert sizes(take_all(full)) == [("trades", 10), ("trades", 10), ("trades", 7)]


def test_frames_collect_until_the_oldest_event_has_the_greatest_age(clock: Clock) -> None:
    collecting = buffer(clock)
    for received_at in (NOW, NOW + 20, NOW + 21):
        collecting.add(frame("quotes", 2), received_at)
    taken = take_all(collecting)
    assert sizes(taken) == [("quotes", 4), ("quotes", 2)]
    assert [batch.received_at for _, batch in taken] == [NOW, NOW + 21]


def test_a_batch_leaves_at_once_when_the_publisher_is_free(clock: Clock) -> None:
    free = buffer(clock)
    free.add(frame("halts", 1), NOW)
    assert sizes(take_all(free)) == [("halts", 1)]
    assert not free.take(0)


def test_a_batch_says_what_it_is(clock: Clock) -> None:
    one = buffer(clock)
    one.add(frame("trades", 1), NOW)
    one.add(frame("quotes", 1), NOW)
    batches = [batch for _, batch in take_all(one)]
    assert {batch.source for batch in batches} == {"source:1"}
    assert len({batch.id for batch in batches}) == 2


def test_a_flood_of_one_feed_does_not_starve_another(clock: Clock) -> None:
    flooded = buffer(clock)
    flooded.add(frame("quotes", 1_000), NOW)
    flooded.add(frame("halts", 1), NOW)
    flooded.add(frame("trades", 30), NOW)
    first = [feed for feed, _ in flooded.take(0)]
    assert len(first) == 32
    order = first + [feed for feed, _ in take_all(flooded)]
    assert order.index("halts") < 3
    assert order[:6].count("trades") == 3
    assert len(order) == 104


def test_a_round_is_bounded_in_bytes(clock: Clock) -> None:
    heavy = buffer(clock, limits(max_bytes=1_000_000_000))
    for _ in range(4):
        heavy.add(frame("trades", 10, size=500_000), NOW)
    assert [len(batch.events) for _, batch in heavy.take(0)] == [10, 10]
    assert sizes(take_all(heavy)) == [("trades", 10), ("trades", 10)]


def test_events_weigh_what_their_frame_weighs(clock: Clock) -> None:
    weighed = buffer(clock)
    of = frame("trades", 3, size=40)
    of.events["quotes"] = [msgspec.Raw(b"x" * 70)]
    of.size = 1_001
    weighed.add(of, NOW)
    # Rounded up, and with what a slice costs beside its bytes.
    assert weighed.buffered_bytes() == 4 * (251 + 100)
    weighed.take(0)
    assert weighed.buffered_bytes() == 0


def test_a_full_buffer_drops_the_oldest_of_the_fullest_feed_and_counts_it(clock: Clock) -> None:
    # An event of 10 bytes counts as 110 with its overhead.
    full = buffer(clock, limits(max_bytes=110 * 25))
    full.add(frame("halts", 5), NOW)
    full.add(frame("quotes", 20), NOW)
    full.add(frame("trades", 1), NOW)
    taken = take_all(full)
    assert sorted(sizes(taken)) == [("halts", 5), ("quotes", 10), ("trades", 1)]
    _, counts = full.counts()
    assert (counts["quotes"].dropped, counts["halts"].dropped, counts["trades"].dropped) == (10, 0, 0)
    (quotes,) = [batch for feed, batch in taken if feed == "quotes"]
    assert quotes.seq >= START + 15  # the newer ten
    assert all(balanced(count) for count in counts.values())


def test_a_frame_greater_than_the_buffer_is_dropped_and_counted(clock: Clock) -> None:
    small = buffer(clock, limits(max_bytes=1_000))
    small.add(frame("trades", 10, size=5_000), NOW)
    assert not small.take(0)
    assert small.counts()[1]["trades"] == FeedCount(received=10, dropped=10)
    assert small.buffered_bytes() == 0


def test_what_waited_beyond_its_time_to_live_is_dropped_and_counted(clock: Clock) -> None:
    stale = buffer(clock)
    stale.add(frame("trades", 3), NOW)
    stale.add(frame("trades", 4), NOW + 4_000)
    clock.now = NOW + 5_000
    stale.add(frame("quotes", 2), NOW + 1)
    assert sizes(take_all(stale)) == [("trades", 3), ("quotes", 2), ("trades", 4)]
    stale.add(frame("trades", 3), NOW)
    stale.add(frame("trades", 4), NOW + 4_000)
    stale.add(frame("quotes", 2), NOW)
    clock.now = NOW + 5_001
    assert sizes(take_all(stale)) == [("trades", 4)]
    counts = stale.counts()[1]
    assert (counts["trades"].dropped, counts["quotes"].dropped) == (3, 2)


def test_a_lossless_buffer_drops_nothing_and_says_when_it_is_full(clock: Clock) -> None:
    lossless = buffer(clock, limits(max_bytes=1_000, lossless=True))
    lossless.add(frame("trades", 4), NOW)
    assert not lossless.full
    lossless.add(frame("trades", 100), NOW)
    assert lossless.full
    clock.now = NOW + 1_000_000
    assert sum(count for _, count in sizes(take_all(lossless))) == 104
    assert not lossless.full


def test_close_hands_out_the_rest_and_ends_a_waiting_take(clock: Clock) -> None:
    closing = buffer(clock)
    closing.add(frame("trades", 12), NOW)
    closing.close()
    assert sizes(take_all(closing)) == [("trades", 10), ("trades", 2)]
    waiting = buffer(clock)
    threading.Timer(0.1, waiting.close).start()
    began = monotonic()
    assert not waiting.take(30)
    assert monotonic() - began < 5


def test_a_waiting_take_gets_what_comes(clock: Clock) -> None:
    waiting = buffer(clock)
    threading.Timer(0.05, waiting.add, (frame("trades", 1), NOW)).start()
    assert sizes(waiting.take(30)) == [("trades", 1)]


def test_a_new_source_begins_with_nothing_and_the_same_one_keeps_all(clock: Clock) -> None:
    changing = buffer(clock)
    changing.add(frame("trades", 3, malformed=1), NOW)
    changing.begin_source("source:1")
    assert changing.counts()[1]["trades"] == FeedCount(received=4, malformed=1, buffered=3)
    changing.begin_source("source:2")
    source, counts = changing.counts()
    assert source == "source:2"
    assert list(counts.values()) == [FeedCount()] * len(FEEDS)
    assert changing.buffered_bytes() == 0
    changing.add(frame("trades", 1), NOW)
    ((_, batch),) = take_all(changing)
    assert batch.source == "source:2"


def test_receipt_numbers_keep_up_with_the_clock(clock: Clock) -> None:
    running = buffer(clock)
    running.add(frame("trades", 1), NOW)
    running.add(frame("trades", 1), NOW + 3_600_000)
    first, second = (batch.seq for _, batch in take_all(running))
    assert first == START
    assert second == START + 3_600_000_000
    running.add(frame("trades", 1), NOW)  # the clock was set back
    ((_, third),) = take_all(running)
    assert third.seq > second


_operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(FEEDS), st.integers(0, 30), st.integers(1, 300), st.integers(0, 2)),
        st.tuples(st.just("take")),
        st.tuples(st.just("wait"), st.integers(1, 4_000)),
        st.tuples(st.just("source"), st.integers(1, 3)),
    ),
    max_size=40,
)


@given(_operations, st.booleans())
@settings(deadline=None)
def test_after_any_operations_every_event_is_counted_and_in_order(
    operations: list[tuple[object, ...]], lossless: bool
) -> None:
    clock = Clock()
    of = limits(max_bytes=6_000, lossless=lossless)
    tested = buffer(clock, of)
    newest: dict[str, int] = defaultdict(int)
    for operation in operations:
        match operation:
            case ("add", str(feed), int(count), int(size), int(malformed)):
                tested.add(frame(feed, count, size, malformed), clock.now)
            case ("take",):
                for feed, batch in tested.take(0):
                    assert 0 < len(batch.events) <= of.max_events
                    assert batch.seq > newest[feed]
                    newest[feed] = batch.seq + len(batch.events) - 1
                    assert lossless or clock.now - batch.received_at <= of.ttl_ms
            case ("wait", int(ms)):
                clock.now += ms
            case ("source", int(number)):
                tested.begin_source(f"source:{number}")
        _, counts = tested.counts()
        assert all(balanced(count) for count in counts.values())
        assert lossless or tested.buffered_bytes() <= of.max_bytes
        assert not lossless or not any(count.dropped for count in counts.values())
    before = tested.counts()[1]
    rest: dict[str, int] = defaultdict(int)
    for feed, batch in take_all(tested):
        rest[feed] += len(batch.events)
    after = tested.counts()[1]
    for feed in FEEDS:
        assert after[feed].published == before[feed].published + rest[feed]
        assert balanced(after[feed])
    assert tested.buffered_bytes() == 0
