"""Every market's frames and news, from a feed server to the documented names, through all the real parts."""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from channels.db import database_sync_to_async

from control.models import FeedSettings
from listener.feed import Patience
from listener.recording import RecordingWriter
from listener.service import Listener
from processors.sessions import trading_day
from processors.snapshots import snapshot
from project.celery import app
from tests.integration.pipeline import Pipeline
from tests.listener.feed_server import serving
from tests.markets import OTHER_MARKETS, STOCK_EXTRAS
from tests.services import wait_until

_MARKETS = ("options", "indices", "crypto", "forex", "futures", "stocks")


@database_sync_to_async
def _choose(feed: str, market: str) -> None:
    row, _ = FeedSettings.objects.get_or_create()
    row.feed, row.market = feed, market
    row.full_clean()
    row.save()


def _events(market: str) -> list[dict[str, Any]]:
    """A market's documented events; one of each kind and symbol, so that each is the newest."""
    documented = [*OTHER_MARKETS, *(extra for extra, _ in STOCK_EXTRAS)]
    return list({entry.key: entry.event for entry in documented if entry.market == market}.values())


def _expected(market: str) -> dict[str, Any]:
    if market == "stocks":
        return {entry.key: long for entry, long in STOCK_EXTRAS}
    return {entry.key: entry.event for entry in OTHER_MARKETS if entry.market == market}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("pipeline", ["embedded"], indirect=True)
async def test_one_listener_takes_every_market_in_turn_and_each_event_is_kept_under_its_name(
    pipeline: Pipeline,
) -> None:
    worker = pipeline.worker(1)

    def answer(key: str) -> Any:
        raw = snapshot(pipeline.store, key)
        return None if raw is None else msgspec.json.decode(raw)

    def kept(market: str) -> dict[str, Any]:
        return {key: answer(key) for key in _expected(market)}

    async with serving() as server:

        async def market_of_the_connection(socket: web.WebSocketResponse) -> None:
            # A frame may hold what nobody knows, beside the rest.
            frame = json.dumps([*_events(server.markets[-1]), {"ev": "NEW", "of": server.markets[-1]}])

            async def again(socket: web.WebSocketResponse) -> None:
                """A batch lives five seconds, which a busy machine may take."""
                while not socket.closed:
                    await asyncio.sleep(0.5)
                    await socket.send_str(frame)

            await server.accepts(frame, then=again)(socket)

        server.scripts = (market_of_the_connection,)
        await _choose(server.address, _MARKETS[0])
        await asyncio.to_thread(worker.wait_for, "ready")
        listening = asyncio.create_task(Listener(app, None, lossless=False, patience=Patience(first_pause=0.05)).run())
        try:
            for market in _MARKETS:
                await _choose(server.address, market)
                async with asyncio.timeout(20):
                    while await asyncio.to_thread(kept, market) != _expected(market):
                        await asyncio.sleep(0.05)
                assert server.markets[-1] == market
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    stats = await asyncio.to_thread(pipeline.stats)
    assert [(entry["type"], json.loads(entry["sample"])["of"]) for entry in stats["unknown"]] == [("NEW", "stocks")]
    assert stats["malformed"] == []
    assert stats["feeds"]["unknown"]["processed"] >= 1


@pytest.mark.parametrize("pipeline", ["embedded"], indirect=True)
def test_news_of_a_recording_comes_under_its_names(pipeline: Pipeline, tmp_path: Path) -> None:
    day = trading_day(date(2026, 11, 20))
    assert day is not None
    articles = [
        {
            "id": f"n{number}",
            "title": f"News {number}",
            "published_utc": f"2026-11-20T14:{30 + number}:00Z",
            "tickers": ["ZZA"] if number % 2 else ["ZZA", "BRK.B"],
            "insights": [{"ticker": "ZZA"}],
        }
        for number in range(3)
    ]
    recording = tmp_path / "news.ndjson"
    with RecordingWriter(recording) as writer:
        # Ahead of the first frame: the server knows them when it is asked for the first time.
        for number, article in enumerate(articles):
            writer.news(day.open + number, article)
        writer.frame(day.open + 1_000, [{"ev": "T", "sym": "ZZA", "p": 10.0, "s": 100, "t": day.open}])
    pipeline.start(
        "replay", "manage.py", "replay", str(recording), "--port", str(pipeline.port), "--speed", "0"
    ).wait_for("listening")
    pipeline.worker(1)
    pipeline.start("listen", "manage.py", "listen")

    def answer(key: str) -> Any:
        raw = snapshot(pipeline.store, key)
        return None if raw is None else [article["id"] for article in msgspec.json.decode(raw)]

    wait_until(lambda: answer("news:latest") == ["n2", "n1", "n0"], 40, "the news")
    assert answer("news:ZZA") == ["n2", "n1", "n0"]
    assert answer("news:BRK.B") == ["n2", "n0"]
    latest = snapshot(pipeline.store, "news:latest", 1)
    assert latest is not None
    assert msgspec.json.decode(latest) == [articles[2]]
