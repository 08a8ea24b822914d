"""The connection to the feed, against a server that is scripted through its failures."""

import asyncio
from time import monotonic
from typing import Any

import pytest
from aiohttp import WSCloseCode, web

from listener.address import FeedAddress, SourceInfo
from listener.feed import FeedConnection, Patience, State
from project.processes import free_port
from tests.listener.feed_client import IMPATIENT, KEY, Client, running
from tests.listener.feed_server import (
    CONNECTED,
    CROWDED,
    Script,
    break_off,
    closes,
    sends_raw,
    serving,
    silence,
    status,
    vanish,
)

SOURCE = SourceInfo("simulator:1:x", "simulator", 1_381_132_800_000, 5.0, lossless=False)
_HASTY = Patience(handshake=0.5, first_pause=0.02)
EVENT = '[{"ev":"T","sym":"A","p":1,"t":1}]'


async def test_it_connects_authenticates_subscribes_and_hands_frames_on() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(EVENT, b'[{"ev":"A","sym":"A"}]'),)
        async with running(Client(server.address)) as client:
            await client.until(lambda: len(client.frames) == 2)
            assert client.frames == [EVENT.encode(), b'[{"ev":"A","sym":"A"}]']
            assert client.reason == f"Subscribed to T.*, A.* at {server.address}."
    assert server.requests == [{"action": "auth", "params": KEY}, {"action": "subscribe", "params": "T.*,A.*"}]
    assert client.states[-1] is State.LIVE


async def test_each_step_of_the_handshake_is_a_state() -> None:
    go_on = asyncio.Event()

    async def hesitates(socket: web.WebSocketResponse) -> None:
        await go_on.wait()
        go_on.clear()
        await socket.send_json(CONNECTED)
        await go_on.wait()
        await silence(socket)

    async with serving(hesitates) as server, running(Client(server.address, Patience())) as client:
        assert await client.until_state(State.CONNECTING) == f"Connecting to {server.address}."
        go_on.set()
        assert await client.until_state(State.AUTHENTICATING) == f"Presenting the key to {server.address}."
        go_on.set()


async def test_a_quiet_feed_is_live_as_soon_as_it_is_subscribed() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        async with running(Client(server.address)) as client:
            await client.until_state(State.LIVE)
            since = client.connection.report.since
            await asyncio.sleep(0.1)
            assert (client.frames, client.connection.report.since) == ([], since)


@pytest.mark.parametrize("message", ["authentication failed", "Your plan doesn't include websocket access."])
async def test_a_refused_key_ends_it_with_clear_words(message: str) -> None:
    async with serving() as server:
        server.scripts = (server.refuses(status("auth_failed", message)),)
        client = Client(server.address)
        await asyncio.wait_for(client.connection.run(), 8)
    assert client.state is State.REFUSED
    assert client.reason.startswith(f"{server.address} does not accept the API key: {message}")
    assert "Set MASSIVE_API_KEY" in client.reason
    assert KEY not in client.reason
    assert len(server.connected_at) == 1


@pytest.mark.parametrize("name", ["auth_timeout", "error", "force_disconnect"])
async def test_another_answer_to_the_key_is_a_handshake_that_failed(name: str) -> None:
    async with serving() as server:
        server.scripts = (server.refuses(status(name, "no luck")), server.accepts(EVENT))
        async with running(Client(server.address)) as client:
            await client.until_state(State.LIVE)
    assert f"{server.address} breaks the handshake off with {name}: no luck." in " ".join(client.reasons)
    # Nobody was told that it is live before it was.
    assert client.states.index(State.BACKING_OFF) < client.states.index(State.LIVE)
    assert [request["action"] for request in server.requests] == ["auth", "auth", "subscribe"]


async def test_where_nobody_listens_it_backs_off_and_says_so() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with running(Client(address)) as client:
        reason = await client.until_state(State.BACKING_OFF)
    assert reason.startswith(f"{address} cannot be reached: nothing listens there.")


async def test_a_name_that_does_not_exist_is_backed_off_from() -> None:
    async with running(Client("no-such-host.invalid:9", Patience())) as client:
        reason = await client.until_state(State.BACKING_OFF)
    assert reason.startswith("no-such-host.invalid:9 cannot be reached: its name cannot be resolved")


@pytest.mark.parametrize("feed", ["[::1:9", "a..b:9"])
async def test_what_is_no_address_is_not_tried_again(feed: str) -> None:
    client = Client(feed)
    await asyncio.wait_for(client.connection.run(), 8)
    assert client.state is State.REFUSED
    assert client.reason == f"{feed} is no address. Change the feed's settings."


@pytest.mark.parametrize("code", [200, 401, 403, 404, 502, 503])
async def test_a_refusal_of_the_upgrade_is_named_and_tried_again(code: int) -> None:
    """The key was not presented yet: a proxy says so, or a server that is not up, and both may pass."""
    async with serving() as server:
        server.scripts = (server.accepts(),)
        server.refusal = web.Response(status=code, text="<html>Computer says no</html>", headers={"Server": "gate"})
        async with running(Client(server.address)) as client:
            reason = await client.until_state(State.BACKING_OFF)
            assert reason.startswith(f"{server.address} cannot be reached: HTTP {code} ")
            assert "from gate instead of a WebSocket." in reason
            server.refusal = None
            await client.until_state(State.LIVE)


async def test_a_source_that_cannot_be_told_at_present_is_not_taken_for_another() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        server.source = 502
        async with running(Client(server.address)) as client:
            assert "HTTP 502 Bad Gateway" in await client.until_state(State.BACKING_OFF)
            assert client.sources == []


async def test_a_server_that_speaks_something_else_is_named() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(chat, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with running(Client(f"{host}:{port}")) as client:
        assert "cannot be reached: what answers there does not speak HTTP" in await client.until_state(
            State.BACKING_OFF
        )
    server.close()


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (closes(WSCloseCode.OK), "The server closed the connection with 1000."),
        (closes(WSCloseCode.GOING_AWAY, b"restart"), "The server closed the connection with 1001 (restart)."),
        (closes(WSCloseCode.INTERNAL_ERROR, b"slow_consumer"), "The server closed the connection with 1011 (slow_"),
        (closes(WSCloseCode.POLICY_VIOLATION), "The server closed the connection with 1008."),
        (vanish, "The connection broke off."),
        (break_off, "The connection broke off."),
        # A frame of a kind that the protocol does not know.
        (sends_raw(b"\x83\x00"), "The connection was given up with 1002 (invalid opcode"),
    ],
    ids=["1000", "1001", "1011", "1008", "cut", "reset mid-frame", "no frame"],
)
async def test_it_comes_back_after_any_ending(ending: Script, says: str) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(EVENT, then=ending), server.accepts(EVENT))
        async with running(Client(server.address)) as client:
            await client.until(lambda: len(client.frames) == 2 and client.state is State.LIVE)
    assert client.states == [
        *(State.CONNECTING, State.AUTHENTICATING, State.LIVE, State.BACKING_OFF),
        *(State.CONNECTING, State.AUTHENTICATING, State.LIVE),
    ]
    assert client.reasons[client.states.index(State.BACKING_OFF)].startswith(says)
    assert [request["action"] for request in server.requests] == ["auth", "subscribe"] * 2
    assert server.requests[3] == server.requests[1]


async def test_what_the_server_says_before_it_closes_is_the_reason() -> None:
    frame = '[{"ev":"status","status":"slow_consumer","message":"You read too slowly."}]'
    async with serving() as server:
        server.scripts = (server.accepts(frame, then=closes(WSCloseCode.POLICY_VIOLATION)),)
        async with running(Client(server.address)) as client:
            assert await client.until_state(State.BACKING_OFF) == "slow_consumer: You read too slowly."


@pytest.mark.parametrize("when", ["after it was let in", "in the handshake"])
async def test_one_connection_too_many_waits_a_minute(when: str) -> None:
    assert Patience().crowded == 60
    patience = Patience(crowded=1.1, look=0.02)
    async with serving() as server:
        late = server.accepts(then=_crowded)
        server.scripts = (late if when.startswith("after") else server.refuses(CROWDED), server.accepts())
        async with running(Client(server.address, patience)) as client:
            reason = await client.until_state(State.BACKING_OFF)
            assert "max_connections: Maximum number of websocket connections exceeded." in reason
            assert reason.endswith("Next try in 1 s.")
            await client.until(lambda: len(server.connected_at) == 2)
    first, second = server.connected_at
    assert second - first >= 1.1


async def _crowded(socket: web.WebSocketResponse) -> None:
    await socket.send_json(CROWDED)
    await socket.close(code=WSCloseCode.POLICY_VIOLATION)


async def test_a_server_that_never_answers_is_given_up() -> None:
    async def greets(socket: web.WebSocketResponse) -> None:
        await socket.send_json(CONNECTED)
        await silence(socket)

    async with serving(silence, greets) as server, running(Client(server.address, _HASTY)) as client:
        assert "cannot be reached: no greeting within 0.5 s." in await client.until_state(State.BACKING_OFF)
        await client.until_state(State.BACKING_OFF, "no answer to the key within 0.5 s.")


async def test_a_port_that_accepts_and_says_nothing_is_given_up() -> None:
    held: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with running(Client(f"{host}:{port}", _HASTY)) as client:
        assert "cannot be reached: no answer in time." in await client.until_state(State.BACKING_OFF)
    for writer in held:
        writer.close()
    server.close()


_HANDSHAKES = ["garbage", "[]", "{}", "[1]", "null", "[{}]", '[{"ev":"status"}]', '"text"', "5", "[" * 50_000]


@pytest.mark.parametrize("answer", _HANDSHAKES, ids=range(len(_HANDSHAKES)))
async def test_garbage_in_the_handshake_is_backed_off_from(answer: str) -> None:
    async def greeting(socket: web.WebSocketResponse) -> None:
        await socket.send_str(answer)
        await silence(socket)

    async def authentication(socket: web.WebSocketResponse) -> None:
        await socket.send_json(CONNECTED)
        await socket.receive()
        await socket.send_str(answer)
        await silence(socket)

    scripts = (greeting, authentication, authentication)
    async with serving(*scripts) as server, running(Client(server.address)) as client:
        await client.until(lambda: len(server.connected_at) >= 3)
    said = [reason for state, reason in zip(client.states, client.reasons, strict=True) if state is State.BACKING_OFF]
    assert len(said) >= 2
    assert all(reason.startswith(f"{server.address} does not speak Massive's protocol") for reason in said)
    assert not {State.REFUSED, State.LIVE} & set(client.states)


@pytest.mark.parametrize(
    "frame",
    ["garbage", b"\x00\x01\x02", b"\xff\xfe[", "[" * 100_000, "{}", '[{"ev":5}]'],
    ids=["no JSON", "binary", "binary, no UTF-8", "nested", "no array", "no type"],
)
async def test_garbage_among_the_frames_is_handed_on_and_the_connection_stands(frame: str | bytes) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(frame, EVENT),)
        async with running(Client(server.address)) as client:
            await client.until(lambda: len(client.frames) == 2)
            assert client.frames == [frame.encode() if isinstance(frame, str) else frame, EVENT.encode()]
            assert client.state is State.LIVE
    assert len(server.connected_at) == 1


async def test_a_text_frame_that_is_no_utf8_ends_nothing() -> None:
    text = b'[{"ev":"T","sym":"\xff"}]'

    async def script(socket: web.WebSocketResponse) -> None:
        await sends_raw(bytes((0x81, len(text))) + text, then=_sends_event)(socket)

    async with serving() as server:
        server.scripts = (server.accepts(then=script),)
        async with running(Client(server.address)) as client:
            await client.until(lambda: len(client.frames) == 2)
            assert client.frames == [text, EVENT.encode()]
    assert State.BACKING_OFF not in client.states


async def _sends_event(socket: web.WebSocketResponse) -> None:
    await socket.send_str(EVENT)
    await silence(socket)


async def test_a_frame_of_four_megabytes_and_one_of_ten_thousand_events_pass() -> None:
    great = '[{"ev":"T","sym":"A","i":"' + "x" * 4_000_000 + '"}]'
    many = "[" + ",".join(['{"ev":"T","sym":"A","p":1,"t":1}'] * 10_000) + "]"
    async with serving() as server:
        server.scripts = (server.accepts(great, many),)
        async with running(Client(server.address)) as client:
            await client.until(lambda: len(client.frames) == 2)
    assert [len(frame) for frame in client.frames] == [len(great), len(many)]


@pytest.mark.parametrize("error", [KeyError("a mistake"), ValueError("a mistake")])
async def test_an_error_of_our_own_is_not_taken_for_the_servers(error: Exception) -> None:
    async def on_source(info: SourceInfo) -> None:
        assert info.kind == "live"

    async def on_frame(frame: bytes, received_at: int) -> None:
        raise error

    async with serving() as server:
        server.scripts = (server.accepts(EVENT),)
        wanted = FeedAddress(server.address, "stocks", ("T.*",), secure=False, key=KEY)
        with pytest.raises(type(error), match="a mistake"):
            await asyncio.wait_for(FeedConnection(wanted, on_source, on_frame, IMPATIENT).run(), 8)


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
        async with running(Client(server.address)) as client:
            await client.until_state(State.LIVE)
    (info,) = client.sources
    assert (info.kind, info.source.startswith(identity)) == (kind, True)
    if kind == "simulator":
        assert info == SOURCE


async def test_waits_grow_until_a_connection_has_held() -> None:
    patience = Patience(first_pause=0.04, look=0.02)
    async with serving() as server:
        server.scripts = (server.accepts(then=closes(WSCloseCode.OK)),)
        async with running(Client(server.address, patience)) as client:
            await client.until(lambda: len(server.connected_at) == 5)
    grown = server.connected_at[4] - server.connected_at[0]
    assert grown >= (0.04 + 0.08 + 0.16 + 0.32) / 2
    async with serving() as server:
        server.scripts = (server.accepts(EVENT, then=closes(WSCloseCode.OK)),)
        steady = Patience(first_pause=0.04, look=0.02, stable=0.0)
        async with running(Client(server.address, steady)) as client:
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
        async with running(Client(server.address)) as client:
            await client.until_state(State.LIVE)
            began = monotonic()
        assert monotonic() - began < 2
        await asyncio.wait_for(gone.wait(), 2)
