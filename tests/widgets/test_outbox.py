"""One client's messages: straight through while there is room, else bounded, in order, and with numbers for losses."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import pytest
from django.conf import LazySettings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.widgets.outlets import FastLoop, ScriptedOutlet
from widgets.fanout.boards import LiveBoard
from widgets.readings import BoardCopy
from widgets.sending import backlog as module
from widgets.sending.outbox import Outbox, Subscription, conflates
from widgets.sending.outlet import outlet_of

_BOARD: Final = "scanners:top_volume"
_PRINTS: Final = "stocks:trades:AAPL"
_FEEDS: Final = (_BOARD, "quote:AAPL", "status", _PRINTS, "alerts:small_caps", "news:latest")
_ENVELOPED: Final = Subscription(envelope=True)


@pytest.fixture
def outlet() -> ScriptedOutlet:
    return ScriptedOutlet()


@pytest.fixture
def outbox(outlet: ScriptedOutlet) -> Outbox:
    return Outbox(outlet)


def test_with_room_everything_goes_straight_through(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    for number in range(3):
        outbox.put(_BOARD, b"%d" % number, Subscription())
        assert outlet.heard() == [number]
        outbox.put(_PRINTS, b"%d" % number, _ENVELOPED)
        assert outlet.heard() == [{"feed": _PRINTS, "seq": number + 1, "type": "update", "data": number}]
    assert (outbox.sent, outbox.waiting, outbox.behind_s) == (6, 0, 0.0)


def test_only_the_latest_of_a_board_waits(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    for number in range(10):
        outbox.put(_BOARD, b"%d" % number, _ENVELOPED)
    assert (outbox.waiting, outbox.waiting_bytes) == (1, 1)
    outlet.make_room()
    assert outlet.heard() == [{"feed": _BOARD, "seq": 1, "type": "update", "data": 9}]
    assert (outbox.dropped, outbox.conflated, outbox.waiting) == (0, 9, 0)


def test_prints_wait_in_order(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 2
    for number in range(10):
        outbox.put(_PRINTS, b"%d" % number, Subscription())
    outlet.make_room(3)
    assert outlet.heard() == [0, 1, 2, 3, 4]
    outlet.make_room()
    assert outlet.heard() == [5, 6, 7, 8, 9]


def test_how_far_behind_is_the_age_of_the_oldest_that_waits(outlet: ScriptedOutlet) -> None:
    now = [100.0]
    outbox = Outbox(outlet, lambda: now[0])
    outlet.room = 0
    outbox.put(_BOARD, b"1", Subscription())
    now[0] = 103.0
    outbox.put(_PRINTS, b"2", Subscription())
    outbox.put(_BOARD, b"3", Subscription())
    now[0] = 104.0
    assert outbox.behind_s == 4.0


def test_the_oldest_prints_are_dropped_the_gap_is_as_wide_and_told_when_there_is_room(
    outlet: ScriptedOutlet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 5)
    lost: list[str] = []
    outbox.on_loss = lambda feed, subscription: lost.append(feed)
    outlet.room = 0
    for number in range(1, 13):
        outbox.put(_PRINTS, b"%d" % number, _ENVELOPED)
    assert lost == []
    outlet.make_room()
    assert [(message["seq"], message["data"]) for message in outlet.heard()] == [(n, n) for n in range(8, 13)]
    assert outbox.dropped == 7
    assert lost == [_PRINTS]


def test_losses_are_told_again_when_everything_has_been_sent(
    outlet: ScriptedOutlet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 1)
    lost: list[str] = []
    outbox.on_loss = lambda feed, subscription: lost.append(feed)
    for feed in (_PRINTS, "news:latest"):
        outlet.room = 0
        outbox.put(feed, b"1", _ENVELOPED)
        outbox.put(feed, b"2", _ENVELOPED)
        outlet.make_room()
    assert lost == [_PRINTS, "news:latest"]


def test_what_is_lost_while_a_snapshot_is_being_read_is_told_after_it(
    outlet: ScriptedOutlet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 1)
    lost: list[str] = []
    outbox.on_loss = lambda feed, subscription: lost.append(feed)
    outbox.hold(_PRINTS)
    for number in range(1, 4):
        outbox.put(_PRINTS, b"%d" % number, _ENVELOPED)
    outbox.release(_PRINTS, b"0", _ENVELOPED)
    assert [(message["seq"], message["data"]) for message in outlet.heard()] == [(3, 0), (4, 3)]
    assert lost == [_PRINTS]


def test_of_bare_messages_no_loss_is_told(
    outlet: ScriptedOutlet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 1)
    lost: list[str] = []
    outbox.on_loss = lambda feed, subscription: lost.append(feed)
    outlet.room = 0
    for number in range(3):
        outbox.put(_PRINTS, b"%d" % number, Subscription())
    outlet.make_room()
    assert (outlet.heard(), lost) == ([2], [])


def test_a_client_that_loses_all_the_time_is_told_once_a_second(
    outlet: ScriptedOutlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 5)
    now = [0.0]
    outbox = Outbox(outlet, lambda: now[0])
    told: list[float] = []
    outbox.on_loss = lambda feed, subscription: told.append(now[0])
    outlet.room = 0
    for eighth in range(40):
        now[0] = eighth / 8
        for number in range(4):
            outbox.put(_PRINTS, b"%d" % number, _ENVELOPED)
        outlet.make_room(2)
    assert told == [0.125, 1.125, 2.125, 3.125, 4.125]


def test_too_many_bytes_are_dropped_from_the_kind_that_has_more(
    outlet: ScriptedOutlet, outbox: Outbox, settings: LazySettings
) -> None:
    settings.WDS_BACKLOG_MB = 1
    outlet.room = 0
    outbox.put("status", b'"the only one"', _ENVELOPED)
    for number in range(200):
        outbox.put(_PRINTS, b'["%06d","%b"]' % (number, b"x" * 10_000), _ENVELOPED)
        assert outbox.waiting_bytes <= 1024 * 1024
    outlet.make_room()
    heard = outlet.heard()
    assert [message["data"] for message in heard if message["feed"] == "status"] == ["the only one"]
    numbers = [int(message["data"][0]) for message in heard if message["feed"] == _PRINTS]
    assert numbers == list(range(200 - len(numbers), 200))
    assert len(numbers) == 104


def test_a_single_message_may_be_larger_than_the_bound(
    outlet: ScriptedOutlet, outbox: Outbox, settings: LazySettings
) -> None:
    settings.WDS_BACKLOG_MB = 1
    outlet.room = 0
    outbox.put(_BOARD, b'"%b"' % (b"x" * 2_000_000), Subscription())
    outlet.make_room()
    assert len(outlet.written[0]) > 2_000_000


def test_a_busy_kind_does_not_starve_the_other(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    for number in range(100):
        outbox.put(_PRINTS, b"%d" % number, Subscription())
        outbox.put(f"quote:SYM{number}", b'"%d"' % number, Subscription())
    outlet.make_room()
    taken = outlet.heard()
    assert taken[:6] == [0, "0", 1, "1", 2, "2"]
    assert len(taken) == 200


def test_a_quiet_board_keeps_its_place(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    outbox.put("scanners:quiet", b'"quiet"', Subscription())
    for number in range(10):
        outbox.put("scanners:busy", b"%d" % number, Subscription())
    outbox.put("scanners:quiet", b'"again"', Subscription())
    outlet.make_room()
    assert outlet.heard() == ["again", 9]


def test_the_snapshot_goes_first_and_nothing_older_follows(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    outbox.hold(_BOARD)
    outbox.put(_BOARD, b"1", _ENVELOPED)
    outbox.hold(_BOARD)
    outbox.release(_BOARD, b"2", _ENVELOPED)
    outbox.put(_BOARD, b"3", _ENVELOPED)
    outlet.make_room()
    # Not yet sent: the newer state takes the snapshot's place, and is one.
    assert outlet.heard() == [{"feed": _BOARD, "seq": 1, "type": "snapshot", "data": 3}]
    outbox.put(_BOARD, b"4", _ENVELOPED)
    assert outlet.heard() == [{"feed": _BOARD, "seq": 2, "type": "update", "data": 4}]


def test_a_snapshot_in_the_place_of_an_update_is_one(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    outbox.put(_BOARD, b"1", _ENVELOPED)
    outbox.hold(_BOARD)
    outbox.release(_BOARD, b"2", _ENVELOPED)
    outlet.make_room()
    assert outlet.heard() == [{"feed": _BOARD, "seq": 1, "type": "snapshot", "data": 2}]


def test_a_message_that_says_what_the_snapshot_says_is_not_repeated(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outbox.hold(_PRINTS)
    for number in (b"1", b"2"):
        outbox.put(_PRINTS, number, _ENVELOPED)
    assert outlet.heard() == []
    outbox.release(_PRINTS, b"1", _ENVELOPED)
    assert [(message["type"], message["data"]) for message in outlet.heard()] == [("snapshot", 1), ("update", 2)]


def test_other_feeds_are_not_held_back(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outbox.hold(_BOARD)
    outbox.put(_BOARD, b"1", _ENVELOPED)
    outbox.put("status", b"2", Subscription())
    assert outlet.heard() == [2]


def test_without_a_snapshot_the_first_whole_state_is_one(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outbox.hold(_BOARD)
    outbox.release(_BOARD, None, _ENVELOPED)
    for number in (b"1", b"2"):
        outbox.put(_BOARD, number, _ENVELOPED)
    assert [message["type"] for message in outlet.heard()] == ["snapshot", "update"]


def test_what_waits_goes_with_its_subscription_alone_and_the_numbers_go_on(
    outlet: ScriptedOutlet, outbox: Outbox
) -> None:
    pattern = Subscription(envelope=True)
    outbox.put(_PRINTS, b"1", pattern)
    outlet.room = 0
    outbox.put("scanners:a", b"2", pattern)
    outbox.put(_PRINTS, b"3", pattern)
    outbox.put(_BOARD, b"4", Subscription())
    outbox.forget(pattern)
    outlet.make_room()
    outbox.put(_PRINTS, b"5", _ENVELOPED)
    first, board, again = outlet.heard()
    assert (first["seq"], first["data"]) == (1, 1)
    assert board == 4
    assert (again["seq"], again["data"]) == (2, 5)


def test_closed_it_keeps_nothing_and_asks_for_nothing_more(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    outbox.put(_PRINTS, b"1", _ENVELOPED)
    outbox.close()
    outlet.make_room()
    outbox.put(_PRINTS, b"2", _ENVELOPED)
    assert (outlet.heard(), outbox.waiting) == ([], 0)


def _in_fast_time(play: Callable[[asyncio.AbstractEventLoop], Any]) -> Any:
    """Run a coroutine function on a loop whose time passes at once."""

    async def run() -> Any:
        return await play(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(run())


@pytest.mark.parametrize("feed", [_BOARD, _PRINTS])
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

    _in_fast_time(play)


def test_a_rate_that_is_lifted_lets_the_rest_through_in_order() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> list[Any]:
        outlet = ScriptedOutlet()
        outbox = Outbox(outlet, loop.time)
        subscription = Subscription(max_rate=0.1)
        for number in range(3):
            outbox.put(_PRINTS, b"%d" % number, subscription)
        subscription.max_rate = None
        for number in range(3, 5):
            outbox.put(_PRINTS, b"%d" % number, subscription)
        await asyncio.sleep(20)
        return outlet.heard()

    assert _in_fast_time(play) == [0, 2, 3, 4]


def test_of_prints_at_a_rate_none_overtakes_the_snapshot() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> list[Any]:
        outlet = ScriptedOutlet()
        outbox = Outbox(outlet, loop.time)
        paced = Subscription(envelope=True, max_rate=1)
        outlet.room = 0
        for number in (b"1", b"2"):
            outbox.put(_PRINTS, number, paced)
        outbox.hold(_PRINTS)
        outbox.release(_PRINTS, b"[1,2]", paced)
        for number in (b"3", b"4"):
            outbox.put(_PRINTS, number, paced)
        outlet.make_room()
        await asyncio.sleep(2)
        return [(message["type"], message["data"]) for message in outlet.heard()]

    assert _in_fast_time(play) == [("update", 2), ("snapshot", [1, 2]), ("update", 4)]


@pytest.mark.parametrize("feed", [_BOARD, _PRINTS])
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

    assert _in_fast_time(play) == [1, 3 if snapshot is not None else 2]


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

    _in_fast_time(play)


def _rows(values: dict[str, int]) -> list[dict[str, Any]]:
    return [{"symbol": symbol, "price": price, "volume": 1_000_000} for symbol, price in values.items()]


class _Engine:
    """What the engine publishes of one board."""

    def __init__(self) -> None:
        self.board = LiveBoard()
        self.values = {f"S{number}": number for number in range(20)}
        self.version = 1
        self.board.reset(1, self.payload())

    def payload(self) -> bytes:
        return json.dumps([row | {"rank": rank} for rank, row in enumerate(_rows(self.values), 1)]).encode()

    def change(self, symbol: str, price: int) -> None:
        said = {"symbol": symbol, "price": price}
        upsert = said if symbol in self.values else said | {"volume": 1_000_000}
        self.values[symbol] = price
        delta = {"base": self.version, "upsert": [upsert], "remove": []}
        assert self.board.take(json.dumps(delta).encode())
        self.version += 1


def test_a_board_goes_out_whole_then_as_what_changed_since_this_client_got_it(
    outlet: ScriptedOutlet, outbox: Outbox
) -> None:
    engine, subscription = _Engine(), Subscription(envelope=True, delta=True)
    outbox.put_board(_BOARD, engine.board, subscription)
    engine.change("S1", 101)
    outbox.put_board(_BOARD, engine.board, subscription)
    whole, change = outlet.heard()
    assert (whole["seq"], whole["type"], len(whole["data"])) == (1, "snapshot", 20)
    assert (change["seq"], change["type"]) == (2, "delta")
    assert change["data"] == {"base": 1, "upsert": [{"symbol": "S1", "price": 101}], "remove": []}
    outlet.room = 0
    for price in (102, 103):
        engine.change("S2", price)
        outbox.put_board(_BOARD, engine.board, subscription)
    outlet.make_room()
    (both,) = outlet.heard()
    assert both["data"] == {"base": 2, "upsert": [{"symbol": "S2", "price": 103}], "remove": []}
    outbox.put_board(_BOARD, engine.board, subscription, whole=True)
    assert [message["type"] for message in outlet.heard()] == ["snapshot"]
    outbox.put_board(_BOARD, engine.board, subscription)
    assert [message["data"] for message in outlet.heard()] == [{"base": 4, "upsert": [], "remove": []}]


@pytest.mark.parametrize("between", ["resubscribed", "an array"])
def test_a_change_never_builds_on_what_the_client_no_longer_shows(
    outlet: ScriptedOutlet, outbox: Outbox, between: str
) -> None:
    engine, subscription = _Engine(), Subscription(envelope=True, delta=True)
    outbox.put_board(_BOARD, engine.board, subscription)
    if between == "resubscribed":
        outbox.forget(subscription)
    else:
        outbox.put(_BOARD, engine.payload(), subscription)
    outlet.heard()
    outbox.put_board(_BOARD, engine.board, subscription)
    assert [message["type"] for message in outlet.heard()] == ["snapshot"]


_board_steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(0, 25)),
        st.tuples(st.just("room"), st.integers(1, 3)),
        st.tuples(st.just("stall"), st.just(0)),
        st.tuples(st.just("reset"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 30)),
        st.tuples(st.just("resubscribe"), st.just(0)),
    ),
    max_size=60,
)


@given(steps=_board_steps, max_rate=st.sampled_from((None, 1.0, 20.0)))
@settings(max_examples=400, deadline=None)
def test_however_slowly_a_client_reads_its_copy_of_the_board_is_exact_in_the_end(
    steps: list[tuple[str, int]], max_rate: float | None
) -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        outlet, engine, copy = ScriptedOutlet(), _Engine(), BoardCopy()
        outbox = Outbox(outlet, loop.time)
        subscription = Subscription(envelope=True, delta=True, max_rate=max_rate)

        def read() -> None:
            for message in outlet.heard():
                assert copy.take(message)

        outbox.put_board(_BOARD, engine.board, subscription)
        for number, (step, argument) in enumerate(steps):
            if step == "change":
                engine.change(f"S{argument}", 1_000 + number)
                outbox.put_board(_BOARD, engine.board, subscription)
            elif step == "room":
                outlet.make_room(argument)
            elif step == "stall":
                outlet.room = 0
            elif step == "reset":
                engine.board.reset(engine.version, engine.payload())
            elif step == "wait":
                await asyncio.sleep(argument / 10)
            else:
                outbox.forget(subscription)
                outbox.put_board(_BOARD, engine.board, subscription, whole=True)
            read()
        outlet.make_room()
        await asyncio.sleep(2)
        read()
        assert copy.rows() == json.loads(engine.payload())
        outbox.close()

    _in_fast_time(play)


async def test_a_server_without_an_outlet_gets_the_messages_in_order_and_one_at_a_time() -> None:
    sent: list[str] = []
    under_way = asyncio.Semaphore(0)

    async def send(message: dict[str, Any]) -> None:
        await under_way.acquire()
        sent.append(message["text"])

    outlet = outlet_of({"type": "websocket"}, send)
    outbox = Outbox(outlet)
    for number in range(5):
        outbox.put(_PRINTS, b"%d" % number, Subscription())
        outbox.put(_BOARD, b"%d" % (10 + number), Subscription())
    assert (outlet.has_room, outbox.waiting) == (False, 5)
    for _ in range(6):
        under_way.release()
    while len(sent) < 6:
        await asyncio.sleep(0)
    assert sent == ["0", "1", "14", "2", "3", "4"]


async def test_when_that_server_has_lost_the_socket_there_is_never_room_again() -> None:
    async def send(message: dict[str, Any]) -> None:
        raise OSError("closed")

    outlet = outlet_of({"type": "websocket", "extensions": {}}, send)
    outbox = Outbox(outlet)
    for _ in range(3):
        outbox.put(_BOARD, b"1", Subscription())
        await asyncio.sleep(0)
    assert (outlet.has_room, outbox.waiting) == (False, 1)
    outbox.close()


_steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("put", "put", "put", "hold", "release", "no snapshot")), st.sampled_from(_FEEDS)),
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
    published, heard, outbox = _in_fast_time(lambda loop: _played(loop, steps, bound, {}))
    lost = 0
    for feed in _FEEDS:
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
    asked = dict(zip(_FEEDS, rates, strict=True))
    published, heard, outbox = _in_fast_time(lambda loop: _played(loop, steps, 2_000, asked))
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
        asked = {feed: Subscription(envelope=True, snapshot=True, max_rate=rates.get(feed)) for feed in _FEEDS}

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
            assert outbox.waiting <= bound + len(_FEEDS)
        for feed in list(reading):
            release(feed, asked[feed])
        outlet.make_room()
        await asyncio.sleep(5)
        read()
        outbox.close()
    return published, heard, outbox
