"""A board stays exact on its way as changes: from the engine to the hub's copy, an outbox and the reader's copy."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from time import perf_counter
from typing import Any, Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.scanning.board_messages import Boards, Message, board_key, delta_channel
from tests.widgets.outlets import FastLoop, ScriptedOutlet
from widgets.fanout.boards import LiveBoard
from widgets.readings import BoardCopy
from widgets.sending.outbox import Outbox, Subscription

_SLUG: Final = "all"
_FEED: Final = board_key(_SLUG)

Rows = list[dict[str, Any]]
# Symbols and two values each; and fields that only some releases of the engine know.
Shown = tuple[Sequence[tuple[str, Any, Any]], Sequence[str]]

# A row is long, so that a change is shorter.
_REST: Final = {"name": "x" * 150}
_VALUES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from([1.5, ',"rank":1}', "ü", '"']))
_SHOWN = st.builds(
    lambda symbols, most, values, more: ([(symbol, *values[symbol]) for symbol in symbols[:most]], more),
    st.one_of(st.just("ABCDEFG"), st.permutations("ABCDEFG")),
    st.sampled_from((7, 7, 6, 5, 4, 0)),
    st.fixed_dictionaries({symbol: st.tuples(_VALUES, st.integers(0, 1)) for symbol in "ABCDEFG"}),
    st.sampled_from([(), (), (), ("z",)]),
)
_OF_A_CLIENT: Final = ("room", "stall", "rate", "reconnect", "resubscribe")
_ARGUMENTS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "show": _SHOWN,
    "nudge": st.tuples(st.integers(0, 6), _VALUES),
    **dict.fromkeys(("deliver", "deliver early"), st.integers(1, 4)),
    **dict.fromkeys(("wait", "heartbeat"), st.integers(1, 10)),
    **dict.fromkeys(_OF_A_CLIENT, st.integers(0, 2)),
}
_OFTEN: Final = ("show", "deliver", *("nudge", "deliver") * 3) * 4
_STEPS = st.lists(
    st.sampled_from(
        (
            *_OFTEN,
            *("notice", "notice", "deliver early", "wait", "heartbeat", "take over", "new source", "disconnect"),
            *("room", "stall", "stall", *_OF_A_CLIENT),
        )
    ).flatmap(lambda step: st.tuples(st.just(step), _ARGUMENTS.get(step, st.none()))),
    # Longer than are drawn by themselves.
    min_size=50,
    max_size=100,
)


def encoded(shown: Shown) -> list[tuple[str, bytes]]:
    """Rows as the engine encodes them."""
    rows, more = shown
    return [
        (symbol, msgspec.json.encode({"symbol": symbol, "x": x, "y": y} | _REST | dict.fromkeys(more, x)))
        for symbol, x, y in rows
    ]


class Engine:
    """The engine, and the cache with what it published.

    Attributes:
        standing: The version and the key.
        shown: All that the key ever held.
        said: Calls with each message of the delta channel.
    """

    def __init__(self) -> None:
        self._firsts = count(1_000, 1_000)
        self._now = 0.0
        self._boards = Boards({}, {}, next(self._firsts))
        self.standing = (0, b"")
        self.shown: list[Rows] = [[]]
        self.heeds = False
        self.said: deque[bytes] = deque()

    def show(self, rows: list[tuple[str, bytes]]) -> None:
        self._publish(self._boards.show(_SLUG, rows, self._now, with_delta=self.heeds))

    def heartbeat(self, after_s: float) -> None:
        self._now += after_s
        self._publish(self._boards.again({_SLUG}, {_SLUG} if self.heeds else (), self._now))

    def taken_over(self) -> None:
        """Another engine goes on from what this one left."""
        version, payload = self.standing
        self._boards = Boards({_SLUG: version} if version else {}, {_SLUG: payload}, next(self._firsts))

    def new_source(self) -> None:
        self.standing = (0, b"")
        self._boards = Boards({}, {}, next(self._firsts))
        self.shown.append([])

    def _publish(self, messages: list[Message]) -> None:
        for message in messages:
            if message.key == _FEED:
                self.standing = (self._boards.version(_SLUG), message.payload)
                self.shown.append(msgspec.json.decode(message.payload))
            elif message.key == delta_channel(_SLUG):
                self.said.append(message.payload)


class Client:
    """A socket's outbox, a transport that a test stalls, and the copy at its other end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_rate: float | None) -> None:
        self._loop = loop
        self.subscription = Subscription(envelope=True, snapshot=True, delta=True, max_rate=max_rate)
        # What the copy showed last, among all that was ever shown.
        self.at = 0
        self.connect()

    def connect(self) -> None:
        self.outlet, self.copy = ScriptedOutlet(), BoardCopy()
        self.outbox = Outbox(self.outlet, self._loop.time)

    def read(self, shown: list[Rows]) -> None:
        for message in self.outlet.heard():
            assert self.copy.take(message)
            # Never a mixture, and never back.
            self.at = shown.index(self.copy.rows(), self.at)


class Way:
    """A board's way from the engine to three clients, and what can go wrong on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.engine = Engine()
        self.live = LiveBoard()
        self.clients = [Client(loop, max_rate) for max_rate in (None, 1.0, 20.0)]
        # What the hub has asked of the cache and not heard yet.
        self._asked: tuple[int, bytes] | None = None
        self._rows: Shown = ((), ())
        self.disconnect()
        self.answer()
        self.engine.heeds = True

    def disconnect(self) -> None:
        """Redis loses the hub, which comes back and reads the cache; the engine does not know yet that it listens."""
        self.engine.said.clear()
        self.engine.heeds = False
        self._asked = self.engine.standing

    def deliver(self) -> None:
        """The hub reads a message."""
        if not self.engine.said:
            return
        if self.live.take(self.engine.said.popleft()):
            self._put()
        elif self._asked is None:
            self._asked = self.engine.standing

    def answer(self) -> None:
        """The hub hears what it asked for."""
        if self._asked is not None:
            self.live.reset(*self._asked)
            self._asked = None
            self._put()

    def _put(self) -> None:
        for client in self.clients:
            client.outbox.put_board(_FEED, self.live, client.subscription)

    def put_whole(self, client: Client) -> None:
        """A client has subscribed."""
        if self.live.version >= 0:
            client.outbox.put_board(_FEED, self.live, client.subscription, whole=True)

    async def go(self, step: str, argument: Any) -> None:
        engine = self.engine
        match step:
            case "show":
                self._rows = argument
                engine.show(encoded(argument))
            case "nudge":
                self._nudge(*argument)
            case "heartbeat":
                engine.heartbeat(float(argument))
            case "notice":
                engine.heeds = True
                engine.heartbeat(0.25)
            case "take over":
                engine.taken_over()
            case "new source":
                engine.new_source()
            case "disconnect":
                self.disconnect()
            case "deliver" | "deliver early":
                if step == "deliver":
                    self.answer()
                for _ in range(argument):
                    self.deliver()
            case "wait":
                await asyncio.sleep(argument / 10)
            case _:
                self._of_client(self.clients[argument], step)
        for client in self.clients:
            client.read(engine.shown)

    def _nudge(self, place: int, value: Any) -> None:
        """One row changes."""
        rows, more = self._rows
        changed = [(symbol, value if at == place else x, y) for at, (symbol, x, y) in enumerate(rows)]
        self._rows = (changed, more)
        self.engine.show(encoded(self._rows))

    def _of_client(self, client: Client, step: str) -> None:
        match step:
            case "room":
                client.outlet.make_room(2)
            case "stall":
                client.outlet.room = 0
            case "reconnect":
                client.outbox.close()
                client.connect()
                self.put_whole(client)
            case "resubscribe":
                client.outbox.forget(client.subscription)
                self.put_whole(client)
            case "rate":
                client.subscription.max_rate = None if client.subscription.max_rate == 5.0 else 5.0

    async def settle(self) -> None:
        """Everything that is under way arrives."""
        if self.engine.standing[0] == 0:
            # A new source's engine shows every board, the empty ones too.
            self.engine.show([])
        await self.go("notice", None)
        await self.go("heartbeat", 5)
        for _ in range(len(self.engine.said) + 1):
            await self.go("deliver", 1)
        for client in self.clients:
            client.outlet.make_room()
        await self.go("wait", 100)


def in_fast_time(play: Callable[[], Any]) -> Any:
    """Run a coroutine function on a loop whose time passes at once."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(play())


@given(_STEPS)
@settings(max_examples=60, deadline=None)
def test_every_copy_is_exact_whatever_is_lost_conflated_paced_or_reconnected(steps: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        way = Way(asyncio.get_running_loop())
        for step, argument in steps:
            await way.go(step, argument)
        await way.settle()
        board = msgspec.json.decode(way.engine.standing[1] or b"[]")
        assert msgspec.json.decode(way.live.snapshot()) == board
        assert [client.copy.rows() for client in way.clients] == [board] * 3

    in_fast_time(play)


def followed(boards: int, rows: int = 40) -> tuple[LiveBoard, list[int], list[Rows]]:
    """A board that has followed so many changes; its versions, and what it showed at each."""
    engine, live = Engine(), LiveBoard()
    engine.heeds = True
    versions, shown = list[int](), list[Rows]()
    for number in range(boards):
        engine.show(encoded(([(f"S{row}", number if row == number % rows else None, 7) for row in range(rows)], ())))
        if number == 0:
            engine.said.clear()
            live.reset(*engine.standing)
        else:
            assert live.take(engine.said.popleft())
        versions.append(live.version)
        shown.append(msgspec.json.decode(engine.standing[1]))
    return live, versions, shown


def test_what_changed_since_any_version_of_the_history_makes_the_board_of_it() -> None:
    live, versions, shown = followed(80)
    assert [live.since(version) for version in versions[:15]] == [None] * 15
    for version, rows in zip(versions[15:], shown[15:], strict=True):
        changes = live.since(version)
        assert changes is not None
        copy = BoardCopy()
        copy.take({"seq": 1, "type": "snapshot", "data": rows})
        assert copy.take({"seq": 2, "type": "delta", "data": msgspec.json.decode(b'{"base":1,' + changes)})
        assert copy.rows() == shown[-1]


def test_clients_that_are_equally_far_behind_share_the_bytes() -> None:
    live, versions, _ = followed(10)
    assert live.since(versions[4]) is live.since(versions[4])
    assert live.snapshot() is live.snapshot()


def test_the_last_change_goes_out_as_the_engine_wrote_it() -> None:
    live, versions, _ = followed(2)
    assert live.since(versions[0]) == b'"upsert":[{"symbol":"S0","x":null},{"symbol":"S1","x":1}],"remove":[]}'
    assert live.since(versions[1]) == b'"upsert":[],"remove":[]}'


def test_a_change_as_long_as_the_board_is_none() -> None:
    live = LiveBoard()
    live.reset(1, b'[{"symbol":"A","x":1,"rank":1}]')
    before = live.version
    assert live.take(b'{"base":1,"upsert":[{"symbol":"A","x":2}],"remove":[]}')
    assert live.since(before) is None


def test_a_version_of_another_board_or_source_is_not_mistaken_for_one_of_this() -> None:
    _, earlier, _ = followed(5)
    live, versions, _ = followed(5)
    assert [live.since(version) for version in earlier] == [None] * 5
    live.reset(77, b'[{"symbol":"A","x":1,"rank":1}]')
    assert [live.since(version) for version in versions] == [None] * 5


def test_a_board_that_is_not_known_is_read_first_and_then_follows_what_was_said_meanwhile() -> None:
    live = LiveBoard()
    assert live.version == -1
    said = [b'{"base":%d,"upsert":[{"symbol":"A","x":%d}],"remove":[]}' % (base, base) for base in range(4, 8)]
    assert [live.take(message) for message in said] == [False] * 4
    live.reset(6, b'[{"symbol":"A","x":5,"rank":1}]')
    assert msgspec.json.decode(live.snapshot()) == [{"symbol": "A", "x": 7, "rank": 1}]
    assert live.take(b'{"version":8}')
    assert not live.take(b'{"version":9}')
    # From here on it is out of step, whatever comes.
    assert not live.take(b'{"version":8}')


def test_a_board_that_the_cache_does_not_have_is_empty_until_its_first_change() -> None:
    live = LiveBoard()
    live.reset(0, b"")
    assert live.snapshot() == b"[]"
    assert live.take(b'{"base":0,"upsert":[{"symbol":"A","x":1}],"remove":[],"order":["A"]}')
    assert live.snapshot() == b'[{"symbol":"A","x":1,"rank":1}]'


def test_a_board_read_again_that_has_not_changed_keeps_its_history() -> None:
    live, versions, shown = followed(3)
    version = live.version
    live.reset(1_003, msgspec.json.encode(shown[-1]))
    assert live.version == version
    assert live.since(versions[0]) is not None


def test_following_a_large_board_is_cheap() -> None:
    fields = {f"some_field_of_a_row_{number}": 1.0 * number for number in range(83)}
    rows = [{"symbol": f"S{number:03d}", **fields, "rank": number + 1} for number in range(500)]
    live = LiveBoard()
    live.reset(1, msgspec.json.encode(rows))
    changed = dict.fromkeys(list(fields)[:12], 2.5)
    spent = []
    for version in range(1, 40):
        upsert = [{"symbol": f"S{number:03d}", **changed} for number in range(version, version + 50)]
        message = msgspec.json.encode({"base": version, "upsert": upsert, "remove": []})
        began = perf_counter()
        assert live.take(message)
        spent.append(perf_counter() - began)
    # Ten times what it takes on an idle machine.
    assert sorted(spent)[len(spent) // 2] < 0.002
