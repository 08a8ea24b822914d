"""One client's boards as deltas: each builds on what this client was sent last."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.widgets.outlets import BOARD, ScriptedOutlet, in_fast_time
from widgets.fanout.boards import LiveBoard
from widgets.readings import BoardCopy
from widgets.sending.outbox import Outbox, Subscription


@pytest.fixture
def outlet() -> ScriptedOutlet:
    return ScriptedOutlet()


@pytest.fixture
def outbox(outlet: ScriptedOutlet) -> Outbox:
    return Outbox(outlet)


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
    outbox.put_board(BOARD, engine.board, subscription)
    engine.change("S1", 101)
    outbox.put_board(BOARD, engine.board, subscription)
    whole, change = outlet.heard()
    assert (whole["seq"], whole["type"], len(whole["data"])) == (1, "snapshot", 20)
    assert (change["seq"], change["type"]) == (2, "delta")
    assert change["data"] == {"base": 1, "upsert": [{"symbol": "S1", "price": 101}], "remove": []}
    outlet.room = 0
    for price in (102, 103):
        engine.change("S2", price)
        outbox.put_board(BOARD, engine.board, subscription)
    outlet.make_room()
    (both,) = outlet.heard()
    assert both["data"] == {"base": 2, "upsert": [{"symbol": "S2", "price": 103}], "remove": []}
    outbox.put_board(BOARD, engine.board, subscription, whole=True)
    assert [message["type"] for message in outlet.heard()] == ["snapshot"]
    outbox.put_board(BOARD, engine.board, subscription)
    assert [message["data"] for message in outlet.heard()] == [{"base": 4, "upsert": [], "remove": []}]


@pytest.mark.parametrize("between", ["resubscribed", "an array"])
def test_a_change_never_builds_on_what_the_client_no_longer_shows(
    outlet: ScriptedOutlet, outbox: Outbox, between: str
) -> None:
    engine, subscription = _Engine(), Subscription(envelope=True, delta=True)
    outbox.put_board(BOARD, engine.board, subscription)
    if between == "resubscribed":
        outbox.forget(subscription)
    else:
        outbox.put(BOARD, engine.payload(), subscription)
    outlet.heard()
    outbox.put_board(BOARD, engine.board, subscription)
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

        outbox.put_board(BOARD, engine.board, subscription)
        for number, (step, argument) in enumerate(steps):
            if step == "change":
                engine.change(f"S{argument}", 1_000 + number)
                outbox.put_board(BOARD, engine.board, subscription)
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
                outbox.put_board(BOARD, engine.board, subscription, whole=True)
            read()
        outlet.make_room()
        await asyncio.sleep(2)
        read()
        assert copy.rows() == json.loads(engine.payload())
        outbox.close()

    in_fast_time(play)
