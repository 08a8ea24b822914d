"""Whatever happens to one client's messages: order, numbers, rate."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.widgets.outlets import FEEDS, ScriptedOutlet, in_fast_time
from widgets.sending import backlog as module
from widgets.sending.outbox import Outbox, Subscription, conflates

_steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("put", "put", "put", "hold", "release", "no snapshot")), st.sampled_from(FEEDS)),
        st.tuples(st.just("room"), st.sampled_from((1, 2, 5, 50))),
        st.tuples(st.just("stall"), st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from((1, 3, 10, 25))),
    ),
    max_size=120,
)


@given(steps=_steps, bound=st.integers(1, 20))
@settings(max_examples=400, deadline=None)
def test_whatever_happens_nothing_is_reordered_and_each_missing_number_is_a_loss(
    steps: list[tuple[str, Any]], bound: int
) -> None:
    published, heard, outbox = in_fast_time(lambda loop: _played(loop, steps, bound, {}))
    lost = 0
    for feed in FEEDS:
        values = [message["data"] for message in heard[feed]]
        numbers = [message["seq"] for message in heard[feed]]
        assert values == sorted(values)
        # Nothing was lost since the last message, and it says the latest.
        assert values[-1:] == published[feed][-1:]
        assert numbers == sorted(set(numbers))
        lost += numbers[-1] - len(numbers) if numbers else 0
        if conflates(feed):
            assert numbers == list(range(1, len(numbers) + 1))
    assert outbox.dropped == lost


@given(steps=_steps, rates=st.lists(st.sampled_from((None, 0.5, 4.0, 100.0)), min_size=6, max_size=6))
@settings(max_examples=400, deadline=None)
def test_whatever_happens_a_rate_is_kept_and_the_last_message_comes(
    steps: list[tuple[str, Any]], rates: list[float | None]
) -> None:
    asked = dict(zip(FEEDS, rates, strict=True))
    published, heard, outbox = in_fast_time(lambda loop: _played(loop, steps, 2_000, asked))
    assert outbox.dropped == 0
    for feed, rate in asked.items():
        values = [message["data"] for message in heard[feed]]
        assert values == sorted(values)
        assert values[-1:] == published[feed][-1:]
        assert [message["seq"] for message in heard[feed]] == list(range(1, len(values) + 1))
        for earlier, later in pairwise(heard[feed]):
            # A snapshot was asked for, and comes at once.
            if rate is not None and later["type"] == "update":
                assert later["at"] - earlier["at"] >= 1 / rate - 1e-6


class _TimedOutlet(ScriptedOutlet):
    """Says of each message when it was written."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def write(self, *parts: bytes) -> None:
        super().write(b'{"at":%.9f,"message":' % self._clock(), *parts, b"}")


async def _played(
    loop: asyncio.AbstractEventLoop, steps: list[tuple[str, Any]], bound: int, rates: dict[str, float | None]
) -> tuple[dict[str, list[int]], dict[str, list[dict[str, Any]]], Outbox]:
    """What was published and what the client heard by feed, after steps on an outbox and, in the end, room for all."""
    published: dict[str, list[int]] = defaultdict(list)
    heard: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_IN_ORDER", bound)
        outlet = _TimedOutlet(loop.time)
        outbox = Outbox(outlet, loop.time)
        asked = {feed: Subscription(envelope=True, snapshot=True, max_rate=rates.get(feed)) for feed in FEEDS}

        reading: dict[str, int] = {}

        def hold(feed: str) -> None:
            outbox.hold(feed)
            reading[feed] = (published[feed] or [0])[-1]

        def release(feed: str, subscription: Subscription) -> None:
            if feed in reading:
                outbox.release(feed, b"%d" % reading.pop(feed), subscription)

        def recover(feed: str, subscription: Subscription) -> None:
            hold(feed)
            release(feed, subscription)

        def read() -> None:
            for heard_now in outlet.heard():
                message = heard_now["message"]
                heard[message["feed"]].append(message | {"at": heard_now["at"]})

        outbox.on_loss = recover
        for number, (step, argument) in enumerate(steps, 1):
            if step == "put":
                published[argument].append(number)
                outbox.put(argument, b"%d" % number, asked[argument])
            elif step == "hold" and published[argument]:
                hold(argument)
            elif step == "release":
                release(argument, asked[argument])
            elif step == "no snapshot" and argument not in reading:
                outbox.hold(argument)
                outbox.release(argument, None, asked[argument])
            elif step == "room":
                outlet.make_room(argument)
            elif step == "stall":
                outlet.room = 0
            elif step == "wait":
                await asyncio.sleep(argument / 20)
            read()
            assert outbox.waiting <= bound + len(FEEDS)
        for feed in list(reading):
            release(feed, asked[feed])
        outlet.make_room()
        await asyncio.sleep(5)
        read()
        outbox.close()
    return published, heard, outbox
