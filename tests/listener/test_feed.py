"""The connection to the feed, against a server that is scripted through its failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from aiohttp import WSCloseCode, web

from listener import feed
from listener.feed import FeedAddress, FeedConnection, FeedRefused, SourceInfo, State
from listener.sorting import sort_frame
from project.processes import free_port
from tests.listener.feed_server import CONNECTED, Script, closes, serving, silence, vanish

KEY = "a-secret-key"
SOURCE = SourceInfo("simulator:1:x", "simulator", 1_381_132_800_000, 5.0, lossless=False)


class Client:
    """A connection that runs, and everything that came over it."""

    def __init__(self, address: str) -> None:
        wanted = FeedAddress(address, "stocks", ("T.*", "A.*"), secure=False, key=KEY)
        self.connection = FeedConnection(wanted, self._on_source, self._on_frame)
        self.frames: list[str | bytes] = []
        self.sources: list[SourceInfo] = []
        self.reasons: list[str] = []
        self.states: list[State] = []

    async def _on_source(self, info: SourceInfo) -> None:
        self.sources.append(info)

    async def _on_frame(self, frame: str | bytes, received_at: int) -> None:
        for status in sort_frame(frame).statuses:
            self.connection.server_status(str(status["status"]), str(status.get("message", "")))
        self.frames.append(frame)

    def watch(self) -> None:
        report = self.connection.report
        if not self.states or (report.state, report.reason) != (self.states[-1], self.reasons[-1]):
            self.states.append(report.state)
            self.reasons.append(report.reason)

    async def until(self, condition: Callable[[], object], seconds: float = 8.0) -> None:
        deadline = monotonic() + seconds
        while not condition():
            self.watch()
            assert monotonic() < deadline, f"it did not happen; {self.states} {self.reasons}"
            await asyncio.sleep(0.002)
        self.watch()

    async def until_state(self, state: State, says: str = "") -> str:
        await self.until(lambda: self.connection.report.state is state and says in self.connection.report.reason)
        return self.connection.report.reason


@asynccontextmanager
async def running(address: str) -> AsyncIterator[Client]:
    client = Client(address)
    task = asyncio.create_task(client.connection.run())
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are as short as a test."""
    monkeypatch.setattr(feed, "_BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(feed, "_BACKOFF_MOST_S", 0.08)
    monkeypatch.setattr(feed, "_CONNECT_TIMEOUT_S", 0.5)


async def test_it_connects_authenticates_subscribes_and_hands_frames_on() -> None:
    frames = ('[{"ev":"T","sym":"A","p":1,"t":1}]', b'[{"ev":"A","sym":"A"}]', "garbage")
    async with serving() as server:
        server.scripts = (server.accepts(*frames),)
        async with running(server.address) as client:
            await client.until(lambda: len(client.frames) == 3)
            assert client.frames == list(frames)
            assert client.connection.report.state is State.LIVE
            assert server.address in client.connection.report.reason
    auth, subscribe = server.requests
    assert auth == {"action": "auth", "params": KEY}
    assert subscribe["action"] == "subscribe"
    assert set(subscribe["params"].split(",")) == {"T.*", "A.*"}
    assert [state for state in client.states if state is not State.STOPPED][-1] is State.LIVE


async def test_a_quiet_feed_is_live_as_soon_as_it_is_subscribed() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        async with running(server.address) as client:
            await client.until_state(State.LIVE)
            assert client.frames == []


async def test_a_refused_key_ends_it_with_clear_words() -> None:
    async def refuse(socket: web.WebSocketResponse) -> None:
        await socket.send_json(CONNECTED)
        await socket.receive()
        await socket.send_json([{"ev": "status", "status": "auth_failed", "message": "authentication failed"}])
        await silence(socket)

    async with serving(refuse) as server:
        client = Client(server.address)
        with pytest.raises(FeedRefused) as raised:
            await asyncio.wait_for(client.connection.run(), 8)
    assert "does not accept the API key: authentication failed" in str(raised.value)
    assert server.address in str(raised.value)
    assert KEY not in str(raised.value)
    assert client.connection.report.state is State.REFUSED
    assert len(server.connected_at) == 1


async def test_where_nobody_listens_it_backs_off_and_says_so() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with running(address) as client:
        reason = await client.until_state(State.BACKING_OFF)
    assert f"{address} cannot be reached: nothing listens there" in reason


async def test_a_name_that_does_not_exist_is_backed_off_from() -> None:
    async with running("no-such-host.invalid:9") as client:
        assert "no-such-host.invalid:9 cannot be reached" in await client.until_state(State.BACKING_OFF)


async def test_a_server_that_comes_later_is_found(impatient: None) -> None:
    port = free_port()
    async with running(f"127.0.0.1:{port}") as client:
        await client.until_state(State.BACKING_OFF)
        async with serving() as server:
            server.scripts = (server.accepts(),)
            client.connection._address = FeedAddress(server.address, "stocks", ("T.*",), secure=False, key=KEY)
            await client.until_state(State.LIVE)


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (closes(WSCloseCode.OK), "The server closed the connection."),
        (closes(WSCloseCode.GOING_AWAY), "The server closed the connection."),
        (closes(WSCloseCode.INTERNAL_ERROR, b"slow_consumer"), "1011"),
        (closes(WSCloseCode.POLICY_VIOLATION), "1008"),
        (vanish, "no close frame"),
    ],
)
async def test_it_comes_back_after_any_ending(impatient: None, ending: Script, says: str) -> None:
    async with serving() as server:
        server.scripts = (server.accepts("[]", then=ending), server.accepts('[{"ev":"T","sym":"A"}]'))
        async with running(server.address) as client:
            await client.until(lambda: len(client.frames) == 2)
            assert client.connection.report.state is State.LIVE
    assert State.BACKING_OFF in client.states
    assert any(says in reason for reason in client.reasons), client.reasons
    assert [request["action"] for request in server.requests] == ["auth", "subscribe"] * 2


async def test_what_the_server_said_last_is_the_reason(impatient: None) -> None:
    status = '[{"ev":"status","status":"slow_consumer","message":"You read too slowly."}]'
    async with serving() as server:
        server.scripts = (server.accepts(status, then=closes(WSCloseCode.POLICY_VIOLATION)),)
        async with running(server.address) as client:
            assert "slow_consumer: You read too slowly." in await client.until_state(State.BACKING_OFF)


async def test_one_connection_too_many_waits_a_minute(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert feed._MAX_CONNECTIONS_WAIT_S == 60
    monkeypatch.setattr(feed, "_MAX_CONNECTIONS_WAIT_S", 1.2)
    status = (
        '[{"ev":"status","status":"max_connections","message":"Maximum number of websocket connections exceeded."}]'
    )
    async with serving() as server:
        server.scripts = (server.accepts(status, then=closes(WSCloseCode.POLICY_VIOLATION)), server.accepts())
        async with running(server.address) as client:
            reason = await client.until_state(State.BACKING_OFF)
            assert reason.startswith("max_connections: Maximum number of websocket connections exceeded.")
            assert reason.endswith("Next try in 1 s.")
            await client.until_state(State.LIVE)
    first, second = server.connected_at
    assert second - first >= 1.2


async def test_a_server_that_never_answers_is_given_up(impatient: None) -> None:
    async with serving(silence) as server, running(server.address) as client:
        assert "no answer within" in await client.until_state(State.BACKING_OFF)
        await client.until(lambda: len(server.connected_at) >= 2)


async def test_a_port_that_accepts_and_says_nothing_is_given_up(impatient: None) -> None:
    held: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with running(f"{host}:{port}") as client:
        assert "cannot be reached: " in await client.until_state(State.BACKING_OFF)
    for writer in held:
        writer.close()
    server.close()


_HANDSHAKES = ["garbage", "[]", "{}", "[1]", "null", "[{}]", '[{"ev":"status"}]', '"text"', "5", "[" * 50_000]


@pytest.mark.parametrize("answer", _HANDSHAKES, ids=range(len(_HANDSHAKES)))
async def test_garbage_in_the_handshake_is_backed_off_from(impatient: None, answer: str) -> None:
    async def greeting(socket: web.WebSocketResponse) -> None:
        await socket.send_str(answer)
        await silence(socket)

    async def authentication(socket: web.WebSocketResponse) -> None:
        await socket.send_json(CONNECTED)
        await socket.receive()
        await socket.send_str(answer)
        await silence(socket)

    async with serving(greeting, authentication, authentication) as server, running(server.address) as client:
        await client.until(lambda: len(server.connected_at) >= 3)
    assert State.REFUSED not in client.states
    assert State.BACKING_OFF in client.states


async def test_a_frame_of_four_megabytes_and_one_of_ten_thousand_events_pass() -> None:
    great = '[{"ev":"T","sym":"A","i":"' + "x" * 4_000_000 + '"}]'
    many = "[" + ",".join(['{"ev":"T","sym":"A","p":1,"t":1}'] * 10_000) + "]"
    async with serving() as server:
        server.scripts = (server.accepts(great, many),)
        async with running(server.address) as client:
            await client.until(lambda: len(client.frames) == 2)
    assert [len(frame) for frame in client.frames] == [len(great), len(many)]


async def test_an_error_of_our_own_is_not_taken_for_the_servers() -> None:
    async with serving() as server:
        server.scripts = (server.accepts("[]"),)
        wanted = FeedAddress(server.address, "stocks", ("T.*",), secure=False, key=KEY)

        async def on_source(info: SourceInfo) -> None:
            assert info.kind == "live"

        async def on_frame(frame: str | bytes, received_at: int) -> None:
            raise KeyError("a mistake")

        with pytest.raises(KeyError, match="a mistake"):
            await asyncio.wait_for(FeedConnection(wanted, on_source, on_frame).run(), 8)


@pytest.mark.parametrize(
    ("said", "kind", "identity"),
    [
        (
            {
                "source": "simulator:1:x",
                "kind": "simulator",
                "clock": 1_381_132_800_000,
                "speed": 5.0,
                "lossless": False,
            },
            "simulator",
            "simulator:1:x",
        ),
        (None, "live", "live:stocks:"),
        ("<html>", "live", "live:stocks:"),
        ({"source": 5}, "live", "live:stocks:"),
    ],
)
async def test_a_server_of_our_own_says_which_run_it_serves(said: Any, kind: str, identity: str) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        server.source = said
        async with running(server.address) as client:
            await client.until_state(State.LIVE)
    (info,) = client.sources
    assert (info.kind, info.source.startswith(identity)) == (kind, True)
    if kind == "simulator":
        assert info == SOURCE


async def test_waits_grow_until_a_connection_has_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_BACKOFF_FIRST_S", 0.04)
    async with serving() as server:
        server.scripts = (server.accepts(then=closes(WSCloseCode.OK)),)
        async with running(server.address) as client:
            await client.until(lambda: len(server.connected_at) == 5)
    grown = server.connected_at[4] - server.connected_at[0]
    assert grown >= (0.04 + 0.08 + 0.16 + 0.32) / 2
    monkeypatch.setattr(feed, "_STABLE_S", 0.0)
    async with serving() as server:
        server.scripts = (server.accepts("[]", then=closes(WSCloseCode.OK)),)
        async with running(server.address) as client:
            await client.until(lambda: len(server.connected_at) == 8)
    # Grown, the seventh wait would be 1.28 s at least.
    assert server.connected_at[7] - server.connected_at[6] < 1.2


async def test_being_cancelled_ends_the_connection_at_once() -> None:
    gone = asyncio.Event()

    async def wait_for_the_end(socket: web.WebSocketResponse) -> None:
        await silence(socket)
        gone.set()

    async with serving() as server:
        server.scripts = (server.accepts(then=wait_for_the_end),)
        async with running(server.address) as client:
            await client.until_state(State.LIVE)
            began = monotonic()
        assert monotonic() - began < 2
        await asyncio.wait_for(gone.wait(), 2)
