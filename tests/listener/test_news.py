"""News from a local server that answers Massive's news endpoint, in all the ways that a vendor does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web

from listener import news
from listener.news import NewsSource

START = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)


class NewsServer:
    """Articles by the time of their publication; what was asked of it."""

    def __init__(self) -> None:
        self.articles: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.refuse = 0
        self.url = ""

    def file(self, name: str, minutes: float) -> None:
        """Let an article be found that was published so many minutes after the start."""
        published = (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.articles.append({"id": name, "published_utc": published, "title": name, "tickers": ["ZZA"]})

    async def answer(self, request: web.Request) -> web.Response:
        """Massive's answer: from a time on, oldest first, one page."""
        assert request.headers["Authorization"] == "Bearer key"
        assert "key" not in request.query_string.lower().replace("apikey", "")
        self.asked.append(dict(request.query))
        if self.refuse:
            return web.json_response({"status": "ERROR", "error": "too many requests"}, status=self.refuse)
        since = request.query["published_utc.gte"]
        found = sorted((a for a in self.articles if a["published_utc"] >= since), key=lambda a: a["published_utc"])
        return web.json_response({"results": found[: int(request.query["limit"])], "status": "OK"})


@pytest.fixture
async def server() -> AsyncIterator[NewsServer]:
    stub = NewsServer()
    app = web.Application()
    app.router.add_get("/v2/reference/news", stub.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    stub.url = f"http://{host}:{port}"
    yield stub
    await runner.cleanup()


async def _collect(server: NewsServer, until: Callable[[list[str]], Awaitable[bool]]) -> list[str]:
    """Run a source until a condition on the ids that it passed on holds."""
    ids: list[str] = []

    async def keep(articles: list[msgspec.Raw]) -> None:
        ids.extend(msgspec.json.decode(raw)["id"] for raw in articles)

    task = asyncio.create_task(NewsSource("key", server.url, START, keep).run())
    try:
        async with asyncio.timeout(10):
            while not await until(ids):
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
    return ids


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "_EVERY_S", 0.02)
    monkeypatch.setattr(news, "_AFTER_REFUSAL_S", 0.02)


async def test_each_article_comes_once_the_last_day_first(server: NewsServer) -> None:
    server.file("too old", -25 * 60)
    server.file("this morning", -90)
    server.file("just now", -1)

    async def rounds(ids: list[str]) -> bool:
        if len(server.asked) == 3 and len(server.articles) == 3:
            server.file("later", 5)
        return len(server.asked) > 6

    assert await _collect(server, rounds) == ["this morning", "just now", "later"]
    # What is asked for moves on with what was seen.
    assert server.asked[0]["published_utc.gte"] < server.asked[-1]["published_utc.gte"]


async def test_an_article_that_is_filed_late_is_found(server: NewsServer) -> None:
    server.file("first", 0)

    async def rounds(ids: list[str]) -> bool:
        if ids == ["first"]:
            server.file("filed late", -5)
        return len(ids) == 2

    assert await _collect(server, rounds) == ["first", "filed late"]


async def test_full_pages_are_followed_to_the_end(server: NewsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "_PAGE", 10)
    for number in range(35):
        server.file(f"a{number}", number)

    async def all_there(ids: list[str]) -> bool:
        return len(ids) >= 35

    assert await _collect(server, all_there) == [f"a{number}" for number in range(35)]


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_a_refusal_is_survived(server: NewsServer, status: int) -> None:
    server.refuse = status
    server.file("worth waiting for", 0)

    async def then(ids: list[str]) -> bool:
        if len(server.asked) >= 2:
            server.refuse = 0
        return bool(ids)

    assert await _collect(server, then) == ["worth waiting for"]


async def test_an_article_that_cannot_be_read_costs_itself_alone(server: NewsServer) -> None:
    server.file("good", 0)
    server.articles.append({"id": 7, "published_utc": "2026-11-20T14:00:01Z"})
    server.file("also good", 1)

    async def both(ids: list[str]) -> bool:
        return len(ids) == 2

    assert await _collect(server, both) == ["good", "also good"]
