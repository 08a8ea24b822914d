"""The Python client, against the real server, and against one that is scripted through failures."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis
from django.utils import timezone
from websockets.asyncio.server import ServerConnection, serve

from control.models import ApiToken
from project.embedded import EmbeddedValkey
from project.env import BASE_DIR
from project.processes import free_port
from tests.widgets import serving
from tests.widgets.board_publisher import BoardPublisher
from tests.widgets.serving import Web, new_token, web_server
from widgets import client as module
from widgets.client import Client, ClientError, Forbidden, Message, NotAuthorised, Refused, Stale, Unreachable

Rows = list[dict[str, Any]]


@pytest.fixture
def token(web: Web) -> str:
    return new_token("trader")


@pytest.fixture
def board(cache: "redis.Redis") -> BoardPublisher:
    return BoardPublisher(cache, "top_gainers")


def to(web: Web, token: str) -> Client:
    return Client(f"ws://127.0.0.1:{web.port}/ws", token, proxy=None)


async def soon(values: AsyncIterator[Any], wanted: Any) -> None:
    """Read on until a value comes."""
    async with asyncio.timeout(10):
        while (value := await anext(values)) != wanted:
            assert value is not None


async def test_a_board_is_what_the_cache_holds_at_every_change(web: Web, token: str, board: BoardPublisher) -> None:
    first = board.show(A=1.0, B=2.0)
    async with to(web, token) as client:
        boards = client.board("top_gainers")
        assert await anext(boards) == first
        for prices in ({"A": 1.5, "B": 2.0}, {"B": 2.5, "C": 3.0, "A": 1.5}, {"C": 3.0}, {}, {"A": 4.0}):
            await soon(boards, board.show(**prices))
        # Two loops may read the same board, and one that ends takes nothing from the other.
        others = client.board("top_gainers")
        await soon(others, board.show(A=5.0))
        await others.aclose()
        await soon(boards, board.show(A=6.0))
        with pytest.raises(ValueError, match="other options"):
            await anext(client.board("top_gainers", max_rate=1))


async def test_a_board_that_stands_is_not_repeated_nor_stale(web: Web, token: str, board: BoardPublisher) -> None:
    rows = board.show(A=1.0)
    async with to(web, token) as client:
        boards = client.board("top_gainers", stale_s=0.6)
        assert await anext(boards) == rows
        waiting = asyncio.ensure_future(anext(boards))
        for _ in range(6):
            await asyncio.sleep(0.15)
            board.say_again()
        assert not waiting.done()
        with pytest.raises(Stale, match="scanners:top_gainers has said nothing"):
            await waiting


async def test_a_board_comes_as_polars_frames(web: Web, token: str, board: BoardPublisher) -> None:
    board.show(A=1, B=2.5)
    async with to(web, token) as client:
        frames = client.frames("top_gainers")
        frame = await anext(frames)
        assert frame.select("rank", "symbol", "price").rows() == [(1, "A", 1.0), (2, "B", 2.5)]
        board.show()
        assert (await anext(frames)).equals(pl.DataFrame())


async def test_a_feed_comes_message_by_message_and_the_cache_answers(
    web: Web, token: str, cache: "redis.Redis", board: BoardPublisher
) -> None:
    rows = board.show(A=1.0, B=2.0, C=3.0)
    async with to(web, token) as client:
        alerts, everything = client.feed("alerts"), client.feed("bars:1m:*")
        assert await anext(alerts) == Message("alerts", "snapshot", None)
        first = asyncio.ensure_future(anext(everything))
        asked = (("scanners:top_gainers", None), ("scanners:top_gainers", 2), ("scanners:none", None))
        answers = await asyncio.gather(*(client.get(key, limit) for key, limit in asked))
        assert list(answers) == [rows, rows[:2], None]
        for number in range(200):
            cache.publish("alerts", json.dumps({"number": number}))
        for symbol in "AB":
            cache.publish(f"bars:1m:{symbol}", f'{{"bar":"{symbol}"}}')
        async with asyncio.timeout(10):
            assert [await anext(alerts) for _ in range(200)] == [
                Message("alerts", "update", {"number": number}) for number in range(200)
            ]
            assert [await first, await anext(everything)] == [
                Message(f"bars:1m:{symbol}", "update", {"bar": symbol}) for symbol in "AB"
            ]


async def test_what_a_user_may_not_read_or_the_server_not_understand_is_an_exception(web: Web, token: str) -> None:
    async with to(web, token) as client:
        with pytest.raises(Forbidden, match="status:components"):
            await anext(client.feed("status:components"))
        with pytest.raises(Forbidden, match="status:components"):
            await client.get("status:components")
        with pytest.raises(Refused, match="No such feed"):
            await client.get("no such key")
        with pytest.raises(ValueError, match="is no feed"):
            await anext(client.feed("no such feed"))
        with pytest.raises(ValueError, match="max_rate"):
            await anext(client.feed("alerts", max_rate=0))
        assert await client.get("scanners:top_gainers") is None
    with pytest.raises(ClientError, match="closed"):
        await client.get("status")


async def test_a_token_that_is_none_or_a_server_that_is_none_fails_at_once(web: Web) -> None:
    with pytest.raises(NotAuthorised, match="invalid key"):
        await to(web, "no token").__aenter__()
    with pytest.raises(Unreachable, match="No Tapewatch answers"):
        await Client(f"ws://127.0.0.1:{free_port()}/ws", "token", proxy=None).__aenter__()


@pytest.fixture
def short_token(token: str) -> str:
    """One that is good for a moment."""
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(seconds=1.2))
    return token


async def test_a_token_that_expires_ends_every_loop_and_every_get(
    web: Web, short_token: str, board: BoardPublisher
) -> None:
    board.show(A=1.0)
    async with to(web, short_token) as client:
        boards = client.board("top_gainers")
        await anext(boards)
        async with asyncio.timeout(10):
            with pytest.raises(NotAuthorised, match="the token has expired"):
                await anext(boards)
            with pytest.raises(NotAuthorised, match="the token has expired"):
                await client.get("status")


@pytest.mark.usefixtures("transactional_db")
async def test_a_server_that_is_killed_and_comes_back_is_found_again(
    valkey: EmbeddedValkey,
    cache: "redis.Redis",
    board: BoardPublisher,
    killed_token: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    monkeypatch.setattr(serving, "free_port", lambda: port)
    rows = board.show(A=1.0, B=2.0)
    loop = asyncio.get_running_loop()
    first = web_server(tmp_path, valkey.url)
    web = await loop.run_in_executor(None, first.__enter__)
    async with to(web, killed_token) as client:
        boards, alerts = client.board("top_gainers"), client.feed("alerts")
        assert await anext(boards) == rows
        assert (await anext(alerts)).data is None
        web.part.end(signal.SIGKILL)
        waiting = asyncio.ensure_future(client.get("scanners:top_gainers"))
        rows = board.show(B=2.0, A=9.0)
        second = web_server(tmp_path, valkey.url)
        await loop.run_in_executor(None, second.__enter__)
        try:
            await soon(boards, rows)
            await soon(boards, board.show(B=3.0))
            assert await waiting is not None
            cache.publish("alerts", "7")
            await soon(alerts, Message("alerts", "update", 7))
        finally:
            await loop.run_in_executor(None, second.__exit__, None, None, None)
            await loop.run_in_executor(None, first.__exit__, None, None, None)


@pytest.fixture
def killed_token(transactional_db: None) -> str:
    return new_token("trader")


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


def test_the_client_needs_no_django() -> None:
    program = "import sys, widgets.client; sys.exit('django' in sys.modules or 'polars' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", program), cwd=BASE_DIR).returncode == 0
