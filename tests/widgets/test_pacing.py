"""One client's messages at most so many a second: the first at once, the last always."""

import asyncio
from typing import Any

import pytest

from tests.widgets.outlets import BOARD, PRINTS, ScriptedOutlet, in_fast_time
from widgets.sending.outbox import Outbox, Subscription


@pytest.mark.parametrize("feed", [BOARD, PRINTS])
def test_with_a_rate_the_first_comes_at_once_the_last_always_and_no_more_than_asked_for(feed: str) -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        outlet = ScriptedOutlet()
        outbox = Outbox(outlet, loop.time)
        paced = Subscription(envelope=True, max_rate=2)
        came: list[tuple[float, int]] = []
        for number in range(100):
            outbox.put(feed, b"%d" % number, paced)
            outbox.put("status", b"%d" % number, Subscription())
            came += [(loop.time(), message["data"]) for message in outlet.heard() if message != number]
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        (last,) = outlet.heard()
        assert (last["seq"], last["data"]) == (5, 99)
        assert [value for _, value in came] == pytest.approx([0, 24, 49, 74], abs=2)
        assert [at for at, _ in came] == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.05)
        assert outbox.conflated == 95
        outbox.put(feed, b"100", paced)
        assert [message["data"] for message in outlet.heard()] == [100]
        outbox.close()

    in_fast_time(play)


def test_a_rate_that_is_lifted_lets_the_rest_through_in_order() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> list[Any]:
        outlet = ScriptedOutlet()
        outbox = Outbox(outlet, loop.time)
        subscription = Subscription(max_rate=0.1)
        for number in range(3):
            outbox.put(PRINTS, b"%d" % number, subscription)
        subscription.max_rate = None
        for number in range(3, 5):
            outbox.put(PRINTS, b"%d" % number, subscription)
        await asyncio.sleep(20)
        return outlet.heard()

    assert in_fast_time(play) == [0, 2, 3, 4]


def test_of_prints_at_a_rate_none_overtakes_the_snapshot() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> list[Any]:
        outlet = ScriptedOutlet()
        outbox = Outbox(outlet, loop.time)
        paced = Subscription(envelope=True, max_rate=1)
        outlet.room = 0
        for number in (b"1", b"2"):
            outbox.put(PRINTS, number, paced)
        outbox.hold(PRINTS)
        outbox.release(PRINTS, b"[1,2]", paced)
        for number in (b"3", b"4"):
            outbox.put(PRINTS, number, paced)
        outlet.make_room()
        await asyncio.sleep(2)
        return [(message["type"], message["data"]) for message in outlet.heard()]

    assert in_fast_time(play) == [("update", 2), ("snapshot", [1, 2]), ("update", 4)]


@pytest.mark.parametrize("feed", [BOARD, PRINTS])
@pytest.mark.parametrize("snapshot", [b"3", None])
def test_what_waits_for_its_time_gives_way_to_a_snapshot_and_to_nothing_else(feed: str, snapshot: bytes | None) -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> list[Any]:
        outlet = ScriptedOutlet()
        outbox = Outbox(outlet, loop.time)
        paced = Subscription(envelope=True, max_rate=1)
        for number in (b"1", b"2"):
            outbox.put(feed, number, paced)
        outbox.hold(feed)
        await asyncio.sleep(2)
        assert len(outlet.written) == 1
        outbox.release(feed, snapshot, paced)
        await asyncio.sleep(2)
        return [message["data"] for message in outlet.heard()]

    assert in_fast_time(play) == [1, 3 if snapshot is not None else 2]


def test_each_feed_keeps_its_own_rate() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        outlet = ScriptedOutlet()
        outbox = Outbox(outlet, loop.time)
        for number in (b"1", b"2"):
            outbox.put("scanners:slow", number, Subscription(max_rate=0.1))
            outbox.put("scanners:fast", number, Subscription(max_rate=10))
        assert outlet.heard() == [1, 1]
        await asyncio.sleep(0.2)
        assert outlet.heard() == [2]
        await asyncio.sleep(9)
        assert outlet.heard() == []
        await asyncio.sleep(1)
        assert outlet.heard() == [2]

    in_fast_time(play)
