"""News from a local server that answers Massive's news endpoint, in all the ways that a vendor does."""

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from aiohttp import web

from listener import news, polling
from listener.news import NewsSource

START = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
KEY = "hush-hush"


class NewsServer:
    """Articles by the time of their publication; what was asked of it.

    Attributes:
        refuse: A status to answer with instead.
        headers: Go with a refusal.
        body: Said instead of a page.
        cursors: Whether a page that is not the last says where the next begins, as Massive does.
        led_astray: How often somebody came for something else.
    """

    def __init__(self) -> None:
        self.articles: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.asked_at: list[float] = []
        self.refuse = 0
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.cursors = True
        self.led_astray = 0
        self.url = ""

    def file(self, name: str, minutes: float, **more: Any) -> None:
        """Let an article be found that was published so many minutes after the start."""
        published = (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.articles.append({"id": name, "published_utc": published, "title": name, "tickers": ["ZZA"], **more})

    async def answer(self, request: web.Request) -> web.Response:
        """Massive's answer: from a time on, oldest first, one page."""
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert KEY not in request.path_qs
        self.asked.append(dict(request.query))
        self.asked_at.append(time.monotonic())
        if self.refuse:
            error = {"status": "ERROR", "error": f"too many requests of {KEY}\nat once"}
            return web.json_response(error, status=self.refuse, headers=self.headers)
        if self.body is not None:
            return web.Response(body=self.body)
        since = request.query["published_utc.gte"]
        found = sorted((a for a in self.articles if a["published_utc"] >= since), key=lambda a: a["published_utc"])
        start, limit = int(request.query.get("cursor", 0)), int(request.query["limit"])
        page: dict[str, Any] = {"results": found[start : start + limit], "status": "OK"}
        if self.cursors and start + limit < len(found):
            query = {**request.query, "cursor": str(start + limit), "apiKey": "another"}
            page["next_url"] = f"https://elsewhere.example/v2/other?{urlencode(query)}"
        return web.json_response(page)

    async def astray(self, request: web.Request) -> web.Response:
        """Whatever is no news."""
        self.led_astray += 1
        raise web.HTTPNotFound


@pytest.fixture
async def server() -> AsyncIterator[NewsServer]:
    stub = NewsServer()
    app = web.Application()
    app.router.add_get("/v2/reference/news", stub.answer)
    app.router.add_get("/{path:.*}", stub.astray)
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

    task = asyncio.create_task(NewsSource(KEY, server.url, START, keep).run())
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
    monkeypatch.setattr(polling, "_AFTER_REFUSAL_S", 0.02)


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


@pytest.mark.parametrize("cursors", [True, False])
async def test_full_pages_are_followed_to_the_end(
    server: NewsServer, monkeypatch: pytest.MonkeyPatch, cursors: bool
) -> None:
    monkeypatch.setattr(news, "_PAGE", 10)
    server.cursors = cursors
    for number in range(35):
        server.file(f"a{number:02d}", number)

    async def all_there(ids: list[str]) -> bool:
        return len(ids) >= 35

    assert await _collect(server, all_there) == [f"a{number:02d}" for number in range(35)]
    assert all("apiKey" not in asked for asked in server.asked)


async def test_more_articles_of_one_second_than_a_page_holds_all_come(
    server: NewsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_PAGE", 10)
    for number in range(25):
        server.file(f"a{number}", 0)

    async def all_there(ids: list[str]) -> bool:
        return len(ids) >= 25

    assert len(set(await _collect(server, all_there))) == 25


async def test_pages_without_an_end_do_not_hide_what_is_new(
    server: NewsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_EVERY_S", 0.001)
    server.file("old", 0)
    forever = {"results": server.articles[:], "next_url": "/v2/reference/news?limit=1&cursor=1"}
    server.body = msgspec.json.encode(forever)

    async def rounds(ids: list[str]) -> bool:
        if len(server.asked) >= 30 and server.body is not None:
            server.file("new", 1)
            server.body = None
        return "new" in ids

    assert await _collect(server, rounds) == ["old", "new"]


@pytest.mark.parametrize("status", [302, 401, 403, 429, 500])
async def test_a_refusal_is_survived(server: NewsServer, status: int) -> None:
    server.refuse, server.headers = status, {"Location": f"{server.url}/elsewhere"}
    server.file("worth waiting for", 0)

    async def then(ids: list[str]) -> bool:
        if len(server.asked) >= 2:
            server.refuse = 0
        return bool(ids)

    assert await _collect(server, then) == ["worth waiting for"]
    # A redirection would take the key along.
    assert server.led_astray == 0


async def test_a_refusal_is_told_in_a_line_without_the_key(
    server: NewsServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse = 429
    source = NewsSource(KEY, server.url, START, _ignore)
    task = asyncio.create_task(source.run())
    async with asyncio.timeout(10):
        while len(server.asked) < 3:
            await asyncio.sleep(0.01)
    assert source.problem == "429 too many requests of …"
    assert [record.name for record in caplog.records].count("listener.polling") == 1
    assert KEY not in caplog.text
    server.refuse = 0
    async with asyncio.timeout(10):
        while source.problem:
            await asyncio.sleep(0.01)
    task.cancel()


async def test_too_many_requests_are_followed_by_the_pause_that_was_asked_for(server: NewsServer) -> None:
    server.refuse, server.headers = 429, {"Retry-After": "1"}

    async def twice(ids: list[str]) -> bool:
        return len(server.asked) >= 2

    await _collect(server, twice)
    assert server.asked_at[1] - server.asked_at[0] >= 1


def _in(seconds: float) -> str:
    return email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        *((None, 60, 60), ("", 60, 60), ("soon", 60, 60), ("-5", 60, 60), ("1.5", 60, 60)),
        *(("0", 15, 15), ("120", 120, 120), ("999999999999", 3_600, 3_600)),
        *((600.0, 590, 601), (-600.0, 15, 15), (1e8, 3_600, 3_600)),
    ],
)
def test_the_pause_is_what_the_vendor_asks_for_within_reason(
    monkeypatch: pytest.MonkeyPatch, retry_after: str | float | None, least: float, most: float
) -> None:
    monkeypatch.setattr(polling, "_AFTER_REFUSAL_S", 60.0)
    header = _in(retry_after) if isinstance(retry_after, float) else retry_after
    assert least <= polling.pause_after(header, least=15.0) <= most


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"null", b'{"results":null}', b'{"results":5}', b"[" * 100_000, b"\xff\xfe"),
        *(b'{"results":[{"id":"x"', b"x" * 17_000_000),
    ],
)
async def test_an_answer_that_is_no_page_is_survived(server: NewsServer, body: bytes) -> None:
    server.body = body
    server.file("worth waiting for", 0)

    async def then(ids: list[str]) -> bool:
        if len(server.asked) >= 2:
            server.body = None
        return bool(ids)

    assert await _collect(server, then) == ["worth waiting for"]


async def test_a_server_that_is_away_is_waited_for(server: NewsServer, unused_tcp_port: int) -> None:
    source = NewsSource(KEY, f"http://127.0.0.1:{unused_tcp_port}", START, _ignore)
    task = asyncio.create_task(source.run())
    async with asyncio.timeout(10):
        while not source.problem:
            await asyncio.sleep(0.01)
    assert "127.0.0.1" in source.problem
    assert not task.done()
    task.cancel()


async def test_an_article_that_cannot_be_read_is_passed_on_once_for_a_worker_to_count(server: NewsServer) -> None:
    server.file("good", 0)
    server.articles.append({"id": 7, "published_utc": "2026-11-20T14:00:01Z"})
    server.file("no zone", 0, published_utc="2026-11-20T14:00:02")
    server.file("also good", 1)

    async def rounds(ids: list[str]) -> bool:
        return len(server.asked) > 4

    assert await _collect(server, rounds) == ["good", 7, "no zone", "also good"]


async def test_an_article_of_the_future_does_not_hide_the_present(server: NewsServer) -> None:
    server.file("misdated", 0, published_utc="2999-01-01T00:00:00Z")

    async def then(ids: list[str]) -> bool:
        if ids == ["misdated"]:
            server.file("today", 30)
        return "today" in ids

    assert await _collect(server, then) == ["misdated", "today"]


async def test_a_mistake_of_ours_is_told_and_polling_goes_on(server: NewsServer) -> None:
    server.file("first", 0)
    taken: list[int] = []

    async def stumble(articles: list[msgspec.Raw]) -> None:
        taken.append(len(articles))
        if len(taken) == 1:
            server.file("second", 1)
            raise KeyError("a mistake")

    source = NewsSource(KEY, server.url, START, stumble)
    task = asyncio.create_task(source.run())
    async with asyncio.timeout(10):
        while len(taken) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    assert taken == [1, 1]


async def _ignore(articles: list[msgspec.Raw]) -> None:
    """Takes articles and does nothing with them."""
