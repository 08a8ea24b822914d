"""The Python client, against a server that is scripted through failures."""

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from widgets import client as module
from widgets.client import Client, ClientError, Forbidden, Refused, Unreachable

Rows = list[dict[str, Any]]
Script = Callable[[ServerConnection, int], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Client]:
    """A client of a server that lets everybody in and then does what the script says of the so-many-th connection."""
    connections = 0

    async def talk(socket: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await socket.recv()
        await socket.send('{"status":"authorized"}')
        await script(socket, connections)

    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(10), Client(f"ws://127.0.0.1:{port}", "token", proxy=None) as client:
            yield client


async def say(socket: ServerConnection, seq: int, kind: str, data: Any, feed: str = "scanners:all") -> None:
    await socket.send(json.dumps({"feed": feed, "seq": seq, "type": kind, "data": data}))


async def test_a_delta_on_something_that_never_came_is_not_believed() -> None:
    asked: list[Any] = []

    async def script(socket: ServerConnection, connection: int) -> None:
        asked.append(json.loads(await socket.recv()))
        await say(socket, 1, "snapshot", [{"symbol": "A", "price": 1, "rank": 1}])
        for seq in (3, 4):
            delta = {"base": seq - 1, "upsert": [{"symbol": "A", "price": seq}], "remove": []}
            await say(socket, seq, "delta", delta)
        asked.append(json.loads(await socket.recv()))
        await say(socket, 5, "snapshot", [{"symbol": "A", "price": 9, "rank": 1}])
        await say(socket, 6, "delta", {"base": 5, "upsert": [{"symbol": "B"}], "remove": [], "order": ["B", "A"]})
        asked.append(json.loads(await socket.recv()))

    async with scripted(script) as client:
        boards = client.board("all")
        seen: list[Rows] = [await anext(boards)]
        while len(seen[-1]) < 2:
            seen.append(await anext(boards))
        assert {row.get("price") for rows in seen for row in rows} <= {1, 9, None}
        assert seen[-1] == [{"symbol": "B", "rank": 1}, {"symbol": "A", "price": 9, "rank": 2}]
        await boards.aclose()
        while len(asked) < 3:
            await asyncio.sleep(0.01)
    subscribe = {"action": "subscribe", "feed": "scanners:all", "envelope": True, "snapshot": True, "delta": True}
    assert asked == [subscribe, subscribe, {"action": "unsubscribe", "feed": "scanners:all"}]


async def test_lost_messages_are_counted_also_those_that_a_slow_loop_did_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("widgets.readings._MOST_UNREAD", 3)
    rest = asyncio.Event()

    async def script(socket: ServerConnection, connection: int) -> None:
        await socket.recv()
        # A socket's numbers go on from an earlier subscription.
        for seq in (5, 6, 9):
            await say(socket, seq, "update", seq, "alerts")
        await rest.wait()
        for seq in range(10, 20):
            await say(socket, seq, "update", seq, "alerts")
        await socket.send('{"cache":"done","data":null}')
        await socket.wait_closed()

    async with scripted(script) as client:
        alerts = client.feed("alerts")
        assert [(message.data, message.lost) for message in [await anext(alerts) for _ in range(3)]] == [
            (5, 0),
            (6, 0),
            (9, 2),
        ]
        done = asyncio.ensure_future(client.get("done"))
        await asyncio.sleep(0)
        rest.set()
        await done
        assert [(message.data, message.lost) for message in [await anext(alerts) for _ in range(3)]] == [
            (17, 7),
            (18, 0),
            (19, 0),
        ]


async def test_a_notice_says_when_to_come_back() -> None:
    came: list[float] = []
    clock = asyncio.get_running_loop().time

    async def script(socket: ServerConnection, connection: int) -> None:
        came.append(clock())
        await socket.recv()
        await say(socket, 1, "snapshot", connection, "status")
        if connection == 1:
            await socket.send('{"status":"reconnect","after_ms":40}')
            await socket.close(1012, "restart")
        await socket.wait_closed()

    async with scripted(script) as client:
        states = client.feed("status")
        assert [(await anext(states)).data for _ in range(2)] == [1, 2]
    # Sooner than it would come by itself.
    assert 0.04 <= came[1] - came[0] < module._FIRST_DELAY_S / 2


async def test_a_server_that_falls_silent_is_asked_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 0.1)
    monkeypatch.setattr(module, "_FIRST_DELAY_S", 0.02)
    heard: list[tuple[int, str]] = []

    async def script(socket: ServerConnection, connection: int) -> None:
        async for text in socket:
            action = json.loads(text)["action"]
            heard.append((connection, action))
            if action == "ping" and connection == 2:
                await say(socket, 1, "update", "alive", "alerts")

    async with scripted(script) as client:
        assert (await anext(client.feed("alerts"))).data == "alive"
    assert heard[:4] == [(1, "subscribe"), (1, "ping"), (2, "subscribe"), (2, "ping")]


async def test_an_error_beside_a_standing_subscription_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    async def script(socket: ServerConnection, connection: int) -> None:
        await socket.recv()
        await socket.send('{"status":"subscribed","feed":"quote:*"}')
        await socket.send('{"status":"error","feed":"quote:*","error":"too many for snapshots"}')
        await say(socket, 1, "update", 1, "quote:A")
        await socket.send('{"status":"forbidden","feed":"quote:*"}')
        await socket.wait_closed()

    async with scripted(script) as client:
        with caplog.at_level(logging.WARNING):
            quotes = client.feed("quote:*")
            assert (await anext(quotes)).data == 1
        with pytest.raises(Forbidden):
            await anext(quotes)


async def test_what_the_server_cannot_let_stand_yet_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY_S", 0.02)

    async def script(socket: ServerConnection, connection: int) -> None:
        await socket.recv()
        await socket.send('{"status":"error","error":"The cache cannot be reached at the moment. Try again."}')
        await socket.recv()
        await socket.send('{"status":"subscribed","feed":"alerts"}')
        await say(socket, 1, "snapshot", [], "alerts")
        await socket.wait_closed()

    async with scripted(script) as client:
        assert (await anext(client.feed("alerts"))).data == []


@pytest.mark.parametrize("slug", ["top_*", "scanners:top_gainers", "Top gainers"])
async def test_what_is_no_single_board_is_refused_at_once(slug: str) -> None:
    with pytest.raises(ValueError, match="is no board"):
        await anext(Client("ws://127.0.0.1", "token").board(slug))


async def test_a_client_that_was_not_entered_says_so() -> None:
    client = Client("ws://127.0.0.1", "token")
    for ask in (client.get("status"), anext(client.board("all"))):
        with pytest.raises(ClientError, match="async with"):
            await ask


async def test_who_comes_too_late_comes_again_and_who_is_thrown_out_waits_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY_S", 0.02)
    monkeypatch.setitem(module._PAUSES_S, 4429, (0.3, 0.3))
    came: list[float] = []

    async def script(socket: ServerConnection, connection: int) -> None:
        came.append(asyncio.get_running_loop().time())
        await socket.recv()
        if connection < 3:
            await socket.close(4401, "not authorised in time")
        elif connection == 3:
            await socket.close(4429, "too many subscriptions")
        else:
            await say(socket, 1, "snapshot", connection, "status")
            await socket.wait_closed()

    async with scripted(script) as client:
        assert (await anext(client.feed("status"))).data == 4
    pauses = [after - before for before, after in itertools.pairwise(came)]
    assert pauses[0] < pauses[1] < 0.2 < 0.3 <= pauses[2]


async def test_an_error_that_names_nothing_answers_a_get_and_the_feed_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY_S", 0.02)

    async def script(socket: ServerConnection, connection: int) -> None:
        await socket.recv()
        await socket.recv()
        await socket.send('{"status":"error","error":"The cache cannot be reached at the moment. Try again."}')
        assert json.loads(await socket.recv())["feed"] == "alerts"
        await say(socket, 1, "snapshot", [], "alerts")
        await socket.wait_closed()

    async with scripted(script) as client:
        alerts = asyncio.ensure_future(anext(client.feed("alerts")))
        with pytest.raises(Refused, match="cache"):
            await client.get("status")
        assert (await alerts).data == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"status":"error","error":"The database cannot be reached."}', "The database cannot be reached."),
        ("[]", "no Tapewatch"),
        ("hello", "no Tapewatch"),
    ],
)
async def test_who_cannot_be_let_in_hears_why(answer: str, words: str) -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(answer)
        await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match=words):
            await Client(f"ws://127.0.0.1:{port}", "token", proxy=None).__aenter__()
