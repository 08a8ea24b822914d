"""Replaying recordings: completeness, pacing, selection, what REST knows, and broken files."""

import asyncio
import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websockets

from listener.recording import RecordingError, RecordingWriter
from listener.simulator.recorded import RecordedMarket
from listener.simulator.server import FeedServer
from tests.listener.market_server import read_until, rest_client, serving, session, stream_client

Event = dict[str, Any]
ARTICLE = {"id": "n1", "title": "News", "published_utc": "2013-10-07T12:00:00Z", "tickers": ["ZZAB"]}


def trade(number: int, symbol: str = "ZZAB") -> Event:
    return {"ev": "T", "sym": symbol, "i": str(number), "p": 4.05, "s": 100, "c": [], "t": number, "q": number, "z": 1}


def record(path: Path, frames: int, every_ms: int = 10) -> Path:
    with RecordingWriter(path) as recording:
        for number in range(frames):
            recording.frame(1_381_132_800_000 + number * every_ms, [trade(number), trade(number, "QQBB")])
    return path


async def play_to_the_end(market: RecordedMarket, *channels: str) -> list[list[Event]]:
    """The frames that the official client gets until the replay closes the connection."""
    frames: list[list[Event]] = []

    async def keep(text: Any) -> None:
        events = json.loads(text)
        if events[0]["ev"] != "status":
            frames.append(events)

    async with serving(market) as address, asyncio.timeout(50):
        await stream_client(address, *channels).connect(keep, max_size=None)
    return frames


async def test_real_day_is_sent_completely_as_fast_as_it_is_read(real_day: Path) -> None:
    said: list[str] = []
    market = RecordedMarket(real_day, speed=0, once=True, report=said.append)
    counts = {"frames": 0, "events": 0}
    async with serving(market) as address, session(address) as client:
        await client.act("subscribe", "A.*,T.*,Q.*")
        began = time.perf_counter()
        with suppress(websockets.ConnectionClosedOK):
            while True:
                frame = await client.socket.recv(decode=False)
                counts["frames"] += 1
                counts["events"] += frame.count(b'"ev":')
        elapsed = time.perf_counter() - began
        assert client.socket.close_code == 1000
    assert counts == {"frames": 162_091, "events": 638_619}
    assert re.fullmatch(r"replay finished: 162,091 frames, 638,619 events in [\d.]+ s", said[0])
    assert 638_619 / elapsed > 30_000  # slow machines too; measured: some 475,000


async def test_official_client_gets_every_frame_as_it_stands(tmp_path: Path) -> None:
    market = RecordedMarket(record(tmp_path / "r.ndjson.zst", 500), speed=0, once=True)
    frames = await play_to_the_end(market, "T.*")
    assert frames == [[trade(number), trade(number, "QQBB")] for number in range(500)]


async def test_subscription_selects_symbols_and_types(tmp_path: Path) -> None:
    path = record(tmp_path / "r.ndjson", 20)
    assert await play_to_the_end(RecordedMarket(path, 0, once=True), "T.QQBB", "A.*") == [
        [trade(number, "QQBB")] for number in range(20)
    ]
    assert await play_to_the_end(RecordedMarket(path, 0, once=True), "Q.*") == []


async def test_no_subscription_leaves_out_the_halts_that_were_listed_beside_the_stream(tmp_path: Path) -> None:
    path, halt = tmp_path / "r.ndjson", {"ev": "HALT", "sym": "QQBB", "t": 1_381_132_800_000, "reason": "T1"}
    with RecordingWriter(path) as recording:
        recording.frame(1_381_132_800_000, [trade(1), halt])
        recording.frame(1_381_132_800_001, [halt])
    assert await play_to_the_end(RecordedMarket(path, 0, once=True), "T.ZZAB") == [[trade(1), halt], [halt]]
    assert await play_to_the_end(RecordedMarket(path, 0, once=True), "Q.*") == [[halt], [halt]]


async def test_playback_waits_for_a_subscription(tmp_path: Path) -> None:
    market = RecordedMarket(record(tmp_path / "r.ndjson", 5), speed=1_000)
    async with serving(market) as address, session(address) as client:
        await asyncio.sleep(0.1)  # long enough for all of it to be gone
        assert market.source().clock == 1_381_132_800_000
        await client.act("subscribe", "T.*")
        assert (await client.frame())[0]["i"] == "0"


async def test_speed_is_a_multiple_of_the_recorded_time(tmp_path: Path) -> None:
    market = RecordedMarket(record(tmp_path / "r.ndjson", 31, every_ms=100), speed=10, once=True)
    began = time.perf_counter()
    frames = await play_to_the_end(market, "*")
    assert len(frames) == 31
    assert 0.3 <= time.perf_counter() - began < 2.0  # three seconds of market
    assert market.source().clock == 1_381_132_803_000
    assert not market.source().lossless


async def test_at_speed_zero_the_next_client_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    market = RecordedMarket(record(tmp_path / "r.ndjson", 200_000), speed=0)
    assert market.source().lossless
    async with serving(market) as address:
        async with session(address) as first:
            await first.act("subscribe", "T.*")
            assert [(await first.frame())[0]["i"] for _ in range(3)] == ["0", "1", "2"]
            first.socket.transport.abort()
        async with session(address) as second:
            await second.act("subscribe", "T.*")
            start = int((await second.frame())[0]["i"])
            assert 3 <= start < 199_000  # what the first had in its buffers has gone with it
            for number in range(start + 1, start + 1_000):
                assert (await second.frame())[0]["i"] == str(number)
            second.socket.transport.abort()


async def test_at_other_speeds_the_clock_goes_on_without_listeners(tmp_path: Path) -> None:
    market = RecordedMarket(record(tmp_path / "r.ndjson", 400), speed=10)
    async with serving(market) as address:
        async with session(address) as first:
            await first.act("subscribe", "T.*")
            await first.frame()
        left = market.source().clock
        async with asyncio.timeout(5):
            while market.source().clock < left + 1_000:
                await asyncio.sleep(0.01)
        async with session(address) as second:
            await second.act("subscribe", "T.*")
            assert int((await second.frame())[0]["i"]) >= 100


async def test_reference_ahead_of_the_frames_is_known_before_playback(tmp_path: Path) -> None:
    path = tmp_path / "r.ndjson.gz"
    with RecordingWriter(path) as recording:
        recording.reference(
            1_381_132_700_000,
            {
                "ZZAB": {
                    "prev_day_open": 3.9, "prev_day_high": 4.1, "prev_day_low": 3.8, "prev_day_close": 4.0,
                    "prev_day_volume": 1_000, "prev_day_vwap": 3.95, "avg_volume": 900, "free_float": 5_000_000,
                    "market_cap": 20_000_000, "name": "Zzab Corp.", "primary_exchange": "XNAS",
                },
                "QQBB": {"name": "Qqbb Inc."},
            },
        )  # fmt: skip
        recording.news(1_381_132_700_000, ARTICLE)
        recording.frame(1_381_132_800_000, [trade(1)])
        recording.reference(1_381_132_801_000, {"QQBB": {"free_float": 7}})
        recording.news(1_381_132_801_000, {**ARTICLE, "id": "n2"})
        recording.frame(1_381_132_802_000, [trade(2)])

    def ask(client: Any) -> dict[str, Any]:
        return {
            "grouped": [(row.ticker, row.close, row.volume) for row in client.get_grouped_daily_aggs("2013-10-04")],
            "days_before": client.get_grouped_daily_aggs("2013-10-03"),
            "names": [(row.ticker, row.name) for row in client.list_tickers(market="stocks")],
            "snapshot": client.get_snapshot_ticker("stocks", "ZZAB").prev_day.vwap,
            "tickers": [row.ticker for row in client.get_snapshot_all("stocks")],
            "floats": [(row.ticker, row.free_float) for row in client.list_stocks_floats()],
            "ratios": [(row.ticker, row.average_volume, row.market_cap) for row in client.list_financials_ratios()],
            "name": client.get_ticker_details("QQBB").name,
            "news": [article.id for article in client.list_ticker_news()],
            "bars": client.get_aggs("ZZAB", 1, "minute", "2013-10-07", "2013-10-07"),
            "status": client.get_market_status().early_hours,
        }

    market = RecordedMarket(path, speed=0)
    async with serving(market) as address:
        before = await asyncio.to_thread(ask, rest_client(address))
        await read_until(stream_client(address, "T.*"), lambda text: '"i":"2"' in text)
        after = await asyncio.to_thread(ask, rest_client(address))
    assert before == {
        "grouped": [("ZZAB", 4.0, 1_000)],
        "days_before": [],
        "names": [("QQBB", "Qqbb Inc."), ("ZZAB", "Zzab Corp.")],
        "snapshot": 3.95,
        "tickers": ["ZZAB", "QQBB"],
        "floats": [("ZZAB", 5_000_000)],
        "ratios": [("ZZAB", 900, 20_000_000)],
        "name": "Qqbb Inc.",
        "news": ["n1"],
        "bars": [],
        "status": False,
    }
    assert after["floats"] == [("QQBB", 7), ("ZZAB", 5_000_000)]
    assert sorted(after["news"]) == ["n1", "n2"]
    assert after["status"] is True  # 04:00 in New York


async def test_source_names_the_file_its_content_and_the_run(tmp_path: Path) -> None:
    path = record(tmp_path / "one.day.ndjson", 3)
    first, second = (RecordedMarket(path, 0).source().source.split(":") for _ in range(2))
    assert first[:2] == ["rec", "one"]
    assert first[2] == second[2]
    assert first[3] != second[3]
    record(path, 1)
    assert RecordedMarket(path, 0).source().source.split(":")[2] != first[2]


async def test_truncated_recording_plays_its_whole_lines_and_goes_on_serving(tmp_path: Path) -> None:
    path = record(tmp_path / "r.ndjson", 2_000)
    path.write_bytes(path.read_bytes()[:-40])
    said: list[str] = []
    async with serving(RecordedMarket(path, speed=0, report=said.append)) as address, session(address) as client:
        await client.act("subscribe", "T.*")
        for number in range(1_999):
            assert (await client.frame())[0]["i"] == str(number)
        assert (await client.act("unsubscribe", "T.*"))[0]["status"] == "success"
    assert said[0].startswith("replay finished: 1,999 frames, 3,998 events in ")


async def test_truncated_recording_played_once_closes_normally_and_says_where_it_is_cut(tmp_path: Path) -> None:
    path = record(tmp_path / "r.ndjson.gz", 3_000)
    path.write_bytes(path.read_bytes()[:-4_000])
    market = RecordedMarket(path, speed=0, once=True)
    frames = 0
    async with FeedServer(market, "simulator") as server:
        playing = asyncio.create_task(market.play(server.audience))
        async with session(server.address) as client:
            await client.act("subscribe", "T.*")
            with suppress(websockets.ConnectionClosedOK):
                while await client.frame():
                    frames += 1
        with pytest.raises(RecordingError) as cut:
            await playing
    said = re.fullmatch(r".*r\.ndjson\.gz: line ([\d,]+) is cut off \(.*\); ([\d,]+) lines were played", str(cut.value))
    assert said is not None
    assert said[2] == f"{frames:,}"


async def test_bad_lines_are_counted_and_playback_goes_on(tmp_path: Path) -> None:
    path = record(tmp_path / "r.ndjson", 3)
    with path.open("ab") as file:
        file.write(b'garbage\n{"at":1381132800100,"frame":[{"no":"type"}]}\n{"at":1381132800101,"frame":[7]}\n')
    record(path, 3)
    said: list[str] = []
    frames = await play_to_the_end(RecordedMarket(path, 0, once=True, report=said.append), "T.*")
    assert len(frames) == 6
    assert said[0].endswith("3 bad lines passed over")
