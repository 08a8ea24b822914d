"""A recording made by a real listener and played again: the same frames, the same table, the same boards."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from listener.recording import FrameLine, Line, RecordingWriter, read_recording
from listener.simulator.client import Client
from listener.simulator.recorded import RecordedMarket
from listener.simulator.server import Audience, FeedServer
from processors.reference import reference_state
from processors.snapshots import snapshot
from processors.symbols.rows import row_of
from tests import independent
from tests.integration.pipeline import Pipeline
from tests.processors.feeding import Event, at, bar, quote, trade
from tests.services import wait_until

# From the trading day's first moment on. After each burst the boards are looked at.
_BEGINS = at("2026-11-20 04:00:00.000")
_BURSTS = [at(f"2026-11-20 {time}") for time in ("04:00:03.000", "09:30:01.000", "19:59:59.000")]
_SYMBOLS = ("ZZA", "ZZB", "ZZC", "ZZD")
_CACHED = ("news:latest", "news:ZZA", "stocks:trades:ZZB", "stocks:quotes:ZZC", "stocks:agg:ZZD")
_ARTICLE = {
    "id": "n1",
    "title": "ZZA rises",
    "article_url": "https://example.com/n1",
    "published_utc": "2026-11-20T08:00:00Z",
    "tickers": ["ZZA"],
    "publisher": {"name": "Example"},
}


def _burst(number: int, t: int) -> Iterator[list[Event]]:
    for place, symbol in enumerate(_SYMBOLS[: number + 2]):
        price = 10.0 + place + number * (place - 1)
        order = number * 10 + place
        yield [
            trade(symbol, t - 900 + place, price, 100 * (place + 1), q=order, x=4, i="1", z=1),
            # One that ties with it in time, and one that is late.
            trade(symbol, t - 900 + place, price + 0.01, 100, q=order, x=5, i="2", z=1),
            trade(symbol, t - 2_000, price - 1, 300, q=order, x=4, i="3", z=1, c=[12]),
        ]
        yield [
            bar(symbol, t - 1_000, price, price + 1, price - 1, price, 500, av=1_000 * (number + 1), vw=price, a=price),
            quote(symbol, t, price - 0.05, price + 0.05, q=order),
        ]


def _write(path: Path) -> None:
    """The market that is recorded."""
    figures = {"open": 9.0, "high": 12.0, "low": 8.5, "close": 9.5, "volume": 50_000, "vwap": 9.7}
    rows = {
        symbol: {f"prev_day_{name}": value + place for name, value in figures.items()}
        for place, symbol in enumerate(_SYMBOLS)
    }
    with RecordingWriter(path) as writer:
        writer.reference(_BEGINS, rows)
        writer.news(_BEGINS, _ARTICLE)
        for number, t in enumerate(_BURSTS):
            for frame in _burst(number, t):
                writer.frame(t, frame)


class _Gate(Audience):
    """Keeps a replay at speed 0 waiting until it is let on by so many frames."""

    def __init__(self) -> None:
        super().__init__()
        self._let_on = asyncio.Semaphore(1)  # it waits once before the first frame

    def let_on(self, frames: int) -> None:
        for _ in range(frames):
            self._let_on.release()

    async def wait(self) -> Client:
        await self._let_on.acquire()
        return await super().wait()


class _Run:
    """A recording's way through the system.

    Attributes:
        boards: What every board shows, by the market's clock, when all events until then are merged.
        table: Every row at the end.
        cached: News and raw events at the end.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.boards: dict[int, dict[str, Any]] = {}
        self.table: dict[str, Any] = {}
        self.cached: dict[str, Any] = {}

    async def play(self, recording: Path, *options: str) -> None:
        pipeline = self._pipeline
        market = RecordedMarket(recording, speed=0)
        async with FeedServer(market, "simulator", port=pipeline.port) as server:
            server.audience = gate = _Gate()
            playing = asyncio.create_task(market.play(gate))
            listener = pipeline.start(f"listen-{recording.parent.name}", "manage.py", "listen", *options)
            # Boards of the first moments depend on when the figures of the day before have been loaded.
            await asyncio.to_thread(self._wait_for_reference, market.source().source)
            expected = 1  # the article
            for number, t in enumerate(_BURSTS):
                frames = list(_burst(number, t))
                expected += sum(map(len, frames))
                gate.let_on(len(frames))
                self.boards[t] = await asyncio.to_thread(self._boards, market.source().source, t, expected)
            self.table = {symbol: row_of(pipeline.store, symbol) for symbol in _SYMBOLS}
            self.cached = {key: snapshot(pipeline.store, key) for key in _CACHED}
            assert await asyncio.to_thread(listener.end) == 0
            await playing

    def _wait_for_reference(self, source: str) -> None:
        def loaded() -> bool:
            state = reference_state(self._pipeline.store)
            return state is not None and state.source == source and state.symbols == len(_SYMBOLS)

        wait_until(loaded, 60, "the reference data")

    def _boards(self, source: str, t: int, expected: int) -> dict[str, Any]:
        pipeline = self._pipeline
        wait_until(
            lambda: (
                (found := pipeline.store.source()) is not None and found.id == source and pipeline.settled() >= expected
            ),
            60,
            f"{expected} events of {source} settled",
        )
        # A tick that has begun before may end after this, the one after it knows all.
        for _ in range(2):
            ticked_at = self._status()["at"]
            wait_until(lambda before=ticked_at: self._status()["at"] > before, 60, "a tick")  # type: ignore[misc]
        assert self._status()["market_clock"] == t
        scanners = sorted(pipeline.store.redis.keys("scanners:*"))
        boards = pipeline.store.redis.mget(*scanners)
        return {key.decode(): msgspec.json.decode(board) for key, board in zip(scanners, boards, strict=True)}

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = msgspec.json.decode(self._pipeline.store.redis.get("status") or b'{"at": 0}')
        return status


@pytest.mark.parametrize("pipeline", ["embedded"], indirect=True)
async def test_a_recording_replayed_gives_the_same_table_and_the_same_boards_at_the_same_times(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    made_in = tmp_path / "made"
    _write(tmp_path / "market.ndjson")
    pipeline.migrate()
    jobs = pipeline.start(
        "jobs", "-m", "celery", "-A", "project", "worker", "--pool", "solo", "-Q", "jobs", "-n", f"jobs-{pipeline.port}"
    )
    for part in (jobs, pipeline.worker(1), pipeline.worker(2), pipeline.engine()):
        part.wait_for("ready")

    first, second = _Run(pipeline), _Run(pipeline)
    await first.play(tmp_path / "market.ndjson", "--record", str(made_in))
    (made,) = made_in.iterdir()
    await second.play(made)

    assert [len(boards["scanners:top_volume"]) for boards in first.boards.values()] == [2, 3, 4]
    assert second.boards == first.boards
    for symbol, row in first.table.items():
        assert row is not None
        assert (row["complete"], row["prev_day_close"] is not None) == (True, True)
        assert second.table[symbol] == row
    assert None not in first.cached.values()
    assert second.cached == first.cached


def _frames(lines: Iterator[Line]) -> list[bytes]:
    return [line.frame for line in lines if isinstance(line, FrameLine)]


@pytest.mark.parametrize("pipeline", ["embedded"], indirect=True)
def test_every_frame_of_a_real_morning_is_in_the_recording_of_it(
    pipeline: Pipeline, real_day: Path, tmp_path: Path
) -> None:
    lines = [line for line in islice(read_recording(real_day), 10_000) if isinstance(line, FrameLine)]
    events = [event for line in lines for event in msgspec.json.decode(line.frame)]
    with RecordingWriter(tmp_path / "morning.ndjson.zst") as writer:
        for line in lines:
            writer.frame(line.at, line.frame)
    pipeline.worker(1).wait_for("ready")
    words = ("--port", str(pipeline.port), "--speed", "0")
    pipeline.start("replay", "manage.py", "replay", str(tmp_path / "morning.ndjson.zst"), *words).wait_for("listening")
    folder = tmp_path / "made"
    listener = pipeline.start("listen", "manage.py", "listen", "--record", str(folder))
    wait_until(lambda: pipeline.settled() >= len(events), 60, "the morning")
    assert listener.end() == 0

    (made,) = folder.iterdir()
    assert made.name == "2013-10-07.01.ndjson.zst"
    assert _frames(read_recording(made)) == [line.frame for line in lines]
    received = [line.at for line in read_recording(made)]
    assert received == sorted(received)
    for symbol, row in independent.table(events).items():
        got = row_of(pipeline.store, symbol)
        assert got is not None
        assert {name: got[name] for name in row} == row
