"""What waits for one client: bounded, the latest of boards, the prints in order, and numbers that tell of losses."""

import asyncio
import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets import outbox as module
from widgets.outbox import Outbox, Subscription, conflates

_BOARD = "scanners:top_volume"
_PRINTS = "stocks:trades:AAPL"
_FEEDS = (_BOARD, "quote:AAPL", "status", _PRINTS, "alerts:small_caps", "news:latest")
_ENVELOPED = Subscription(envelope=True)


def _all(outbox: Outbox) -> list[Any]:
    """Everything that waits, as the client would read it."""

    async def take_all() -> list[Any]:
        taken = []
        while outbox._in_order or outbox._latest:
            taken.append(json.loads(await outbox.take()))
        return taken

    return asyncio.run(take_all())


def test_only_the_latest_of_a_board_waits() -> None:
    outbox = Outbox()
    for number in range(10):
        outbox.put(_BOARD, str(number), _ENVELOPED)
    assert _all(outbox) == [{"feed": _BOARD, "seq": 1, "type": "update", "data": 9}]
    assert outbox.dropped == 0


def test_prints_wait_in_order() -> None:
    outbox = Outbox()
    for number in range(10):
        outbox.put(_PRINTS, str(number), Subscription())
    assert _all(outbox) == list(range(10))


def test_the_oldest_prints_are_dropped_and_the_gap_is_as_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_IN_ORDER", 5)
    outbox = Outbox()
    for number in range(1, 13):
        outbox.put(_PRINTS, str(number), _ENVELOPED)
    assert [(message["seq"], message["data"]) for message in _all(outbox)] == [(n, n) for n in range(8, 13)]
    assert outbox.dropped == 7


def test_a_busy_kind_does_not_starve_the_other() -> None:
    outbox = Outbox()
    for number in range(100):
        outbox.put(_PRINTS, str(number), Subscription())
        outbox.put(f"quote:SYM{number}", f'"{number}"', Subscription())
    taken = _all(outbox)
    assert taken[:6] in ([0, "0", 1, "1", 2, "2"], ["0", 0, "1", 1, "2", 2])
    assert len(taken) == 200


def test_a_quiet_board_keeps_its_place() -> None:
    outbox = Outbox()
    outbox.put("scanners:quiet", '"quiet"', Subscription())
    for number in range(10):
        outbox.put("scanners:busy", str(number), Subscription())
    outbox.put("scanners:quiet", '"again"', Subscription())
    assert _all(outbox) == ["again", 9]


def test_the_snapshot_goes_first_and_nothing_older_follows() -> None:
    outbox = Outbox()
    outbox.hold(_BOARD)
    outbox.put(_BOARD, "1", _ENVELOPED)
    outbox.hold(_BOARD)
    outbox.release(_BOARD, "2", _ENVELOPED)
    outbox.put(_BOARD, "3", _ENVELOPED)
    # Not yet read: the newer state takes the snapshot's place, and is one.
    assert _all(outbox) == [{"feed": _BOARD, "seq": 1, "type": "snapshot", "data": 3}]
    outbox.put(_BOARD, "4", _ENVELOPED)
    assert _all(outbox) == [{"feed": _BOARD, "seq": 2, "type": "update", "data": 4}]


def test_a_message_that_says_what_the_snapshot_says_is_not_repeated() -> None:
    outbox = Outbox()
    outbox.hold(_PRINTS)
    for number in ("1", "2"):
        outbox.put(_PRINTS, number, _ENVELOPED)
    outbox.release(_PRINTS, "1", _ENVELOPED)
    assert [(message["type"], message["data"]) for message in _all(outbox)] == [("snapshot", 1), ("update", 2)]


def test_other_feeds_are_not_held_back() -> None:
    outbox = Outbox()
    outbox.hold(_BOARD)
    outbox.put(_BOARD, "1", _ENVELOPED)
    outbox.put("status", "2", Subscription())
    assert _all(outbox) == [2]


def test_without_a_snapshot_the_first_whole_state_is_one() -> None:
    outbox = Outbox()
    outbox.hold(_BOARD)
    outbox.release(_BOARD, None, _ENVELOPED)
    outbox.put(_BOARD, "1", _ENVELOPED)
    assert [message["type"] for message in _all(outbox)] == ["snapshot"]
    outbox.put(_BOARD, "2", _ENVELOPED)
    assert [message["type"] for message in _all(outbox)] == ["update"]


def test_what_waits_goes_with_its_subscription_alone() -> None:
    outbox = Outbox()
    pattern = Subscription()
    outbox.put("scanners:a", '"by pattern"', pattern)
    outbox.put(_PRINTS, '"by pattern"', pattern)
    outbox.put(_BOARD, '"by name"', Subscription())
    outbox.forget(pattern)
    assert _all(outbox) == ["by name"]


async def test_taking_waits_for_the_next_message() -> None:
    outbox = Outbox()
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    assert not taking.done()
    outbox.put("status", "1", Subscription())
    assert await asyncio.wait_for(taking, 1) == "1"


_steps = st.lists(
    st.tuples(st.sampled_from(("put", "put", "put", "take", "resubscribe")), st.sampled_from(_FEEDS)), max_size=150
)


@given(steps=_steps, bound=st.integers(1, 20))
def test_whatever_happens_boards_end_with_the_newest_and_prints_are_counted(
    steps: list[tuple[str, str]], bound: int
) -> None:
    published: dict[str, list[int]] = defaultdict(list)
    received: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_IN_ORDER", bound)
        outbox = Outbox()

        async def play() -> None:
            for number, (step, feed) in enumerate(steps, 1):
                if step == "put":
                    published[feed].append(number)
                    outbox.put(feed, str(number), _ENVELOPED)
                elif step == "take" and (outbox._in_order or outbox._latest):
                    message = json.loads(await outbox.take())
                    received[message["feed"]].append(message)
                elif step == "resubscribe" and conflates(feed):
                    outbox.hold(feed)
                    current = published[feed][-1] if published[feed] else 0
                    outbox.release(feed, str(current), _ENVELOPED)
                assert len(outbox._in_order) <= bound

        asyncio.run(play())
        for message in _all(outbox):
            received[message["feed"]].append(message)
    lost = 0
    for feed in _FEEDS:
        values = [message["data"] for message in received[feed]]
        numbers = [message["seq"] for message in received[feed]]
        assert values == sorted(values)
        if conflates(feed):
            assert values[-1:] == published[feed][-1:] or (not published[feed] and set(values) <= {0})
            assert numbers == list(range(1, len(numbers) + 1))
        else:
            # The n-th that was published has the number n, whatever became of those before it.
            assert [published[feed][number - 1] for number in numbers] == values
            lost += len(published[feed]) - len(numbers)
    assert outbox.dropped == lost
