"""The Python client, against the real server."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.utils import timezone

from control.models import ApiToken
from project.embedded import EmbeddedValkey
from project.env import BASE_DIR
from project.processes import free_port
from tests.widgets import serving
from tests.widgets.board_publisher import BoardPublisher
from tests.widgets.serving import Web, new_token, web_server
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
        # Columns stay as they are, whatever is in the rows.
        for prices in ({"A": None}, {}):
            board.show(**prices)
            after = await anext(frames)
            assert (after.height, after.schema) == (len(prices), frame.schema)


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
    with pytest.raises(Unreachable, match="Cannot connect to"):
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


async def test_a_pattern_misses_nothing_of_what_another_loop_reads_by_name(
    web: Web, token: str, cache: "redis.Redis", board: BoardPublisher
) -> None:
    board.show(A=1.0)
    async with to(web, token) as client:
        boards, quote = client.board("top_gainers"), client.feed("quote:A")
        await anext(boards)
        assert (await anext(quote)).data is None
        every_board, every_quote = client.feed("scanners:top_*"), client.feed("quote:*")
        waiting = [asyncio.ensure_future(anext(feed)) for feed in (every_board, every_quote)]
        await client.get("status")
        # To the first loop as a delta, to the other one whole.
        rows = board.show(A=2.0)
        cache.publish("quote:A", "7")
        await soon(quote, Message("quote:A", "update", 7))
        async with asyncio.timeout(5):
            assert await waiting[1] == Message("quote:A", "update", 7)
            message = await waiting[0]
            while message.data != rows:
                message = await anext(every_board)
        rows = board.show(A=3.0)
        await soon(every_board, Message("scanners:top_gainers", "update", rows))


async def test_a_program_that_was_busy_does_not_take_its_board_for_stale(
    web: Web, token: str, board: BoardPublisher
) -> None:
    board.show(A=1.0)
    async with to(web, token) as client:
        boards = client.board("top_gainers", stale_s=0.2)
        await anext(boards)
        rows = board.show(A=2.0)
        time.sleep(0.3)  # noqa: ASYNC251 - that is how it was busy
        assert await anext(boards) == rows


def test_the_client_needs_no_django() -> None:
    program = "import sys, widgets.client; sys.exit('django' in sys.modules or 'polars' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", program), cwd=BASE_DIR).returncode == 0
