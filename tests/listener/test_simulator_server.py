"""The server's WebSocket protocol, as Massive's official client and a hand-driven one see it."""

import asyncio
import json
import urllib.request
from collections import Counter
from typing import Any

import pytest
import websockets
from massive.exceptions import AuthError
from massive.websocket.models import EquityAgg, EquityQuote, EquityTrade, LimitUpLimitDown

from listener.simulator.server import FeedServer
from tests.listener.market_server import EVERYTHING, market_at, read_until, serving, session, stream_client


async def test_official_client_gets_every_kind_of_event_as_its_own_models() -> None:
    seen: Counter[type] = Counter()
    events: dict[Any, Any] = {}

    def enough(messages: list[Any]) -> bool:
        for message in messages:
            seen[type(message)] += 1
            events[message.event_type] = message
        return {"A", "AM", "T", "Q", "LULD"} <= events.keys()

    async with serving(market_at("10:30", speed=60)) as address:
        await read_until(stream_client(address, *EVERYTHING, raw=False), enough)
    assert seen.keys() == {EquityAgg, EquityTrade, EquityQuote, LimitUpLimitDown}
    trade, bar, band = events["T"], events["AM"], events["LULD"]
    assert trade.price > 0
    assert trade.size > 0
    assert trade.tape in {1, 2, 3}
    assert bar.end_timestamp - bar.start_timestamp == 60_000
    assert bar.low <= bar.open <= bar.high
    assert bar.accumulated_volume >= bar.volume
    assert band.high_price > band.low_price
    assert band.timestamp > 10**18  # nanoseconds


async def test_wrong_key_is_refused_so_that_the_official_client_raises() -> None:
    async with serving(market_at("10:30")) as address:
        with pytest.raises(AuthError, match="authentication failed"):
            await read_until(stream_client(address, "T.*", key="wrong"), lambda _: True)


async def test_wrong_key_closes_the_connection() -> None:
    async with serving(market_at("10:30")) as address, session(address, key=None) as client:
        assert (await client.act("auth", "wrong"))[0]["status"] == "auth_failed"
        with pytest.raises(websockets.ConnectionClosedError):
            await client.frame()
        assert client.socket.close_code == 1008


async def test_actions_before_authentication_get_an_error() -> None:
    async with serving(market_at("10:30", speed=20)) as address, session(address, key=None) as client:
        assert (await client.act("subscribe", "T.*"))[0]["status"] == "error"
        assert (await client.act("auth", "simulator"))[0]["status"] == "auth_success"


@pytest.mark.parametrize("text", ["", "hello", "[]", "null", '{"action":7}', '{"params":"T.*"}', '{"action":"dance"}'])
async def test_malformed_text_gets_an_error_and_the_connection_stays(text: str) -> None:
    async with serving(market_at("10:30", speed=20)) as address, session(address) as client:
        await client.send(text)
        assert await client.status() == "error"
        assert (await client.act("subscribe", "T.*"))[0]["status"] == "success"
        assert (await client.frame())[0]["ev"] == "T"


async def test_each_channel_is_confirmed_and_unknown_ones_are_named() -> None:
    async with serving(market_at("10:30")) as address, session(address) as client:
        statuses = await client.act("subscribe", "A.*, T.ZZAB,LULD.*,X.*,T")
    assert [(row["status"], row["message"]) for row in statuses] == [
        ("success", "subscribed to: A.*"),
        ("success", "subscribed to: T.ZZAB"),
        ("success", "subscribed to: LULD.*"),
        ("error", "unknown channel: X.*"),
        ("error", "unknown channel: T"),
    ]


async def test_subscription_by_symbol_brings_that_symbol_alone_until_unsubscribed() -> None:
    market = market_at("10:30", speed=30)
    busiest = market.universe.tickers[int(market.universe.rank.argmin())]
    async with serving(market) as address, session(address) as client:
        await client.act("subscribe", f"T.{busiest},A.*")
        kinds: Counter[str] = Counter()
        while kinds["T"] < 20 or kinds["A"] < 20:
            for event in await client.frame():
                kinds[event["ev"]] += 1
                assert event["ev"] == "A" or event["sym"] == busiest
        assert kinds.keys() == {"T", "A"}
        assert (await client.act("unsubscribe", "A.*"))[0]["message"] == "unsubscribed from: A.*"
        for _ in range(5):
            assert {(event["ev"], event["sym"]) for event in await client.frame()} == {("T", busiest)}


async def test_star_alone_means_every_channel() -> None:
    async with serving(market_at("10:30", speed=60)) as address, session(address) as client:
        assert (await client.act("subscribe", "*"))[0]["message"] == "subscribed to: *"
        kinds: set[str] = set()
        while kinds != {"A", "AM", "T", "Q", "LULD"}:
            kinds |= {event["ev"] for event in await client.frame()}


async def test_second_connection_of_a_key_is_told_after_it_subscribed_and_closed() -> None:
    async with serving(market_at("10:30", speed=20)) as address, session(address) as first:
        await first.act("subscribe", "T.*")
        async with session(address) as second:
            assert (await second.act("subscribe", "T.*"))[0]["status"] == "success"
            assert await second.status() == "max_connections"
            with pytest.raises(websockets.ConnectionClosedError):
                await second.frame()
            assert second.socket.close_code == 1008
        assert (await first.frame())[0]["ev"] == "T"


async def test_connection_is_free_again_when_the_first_has_left() -> None:
    async with serving(market_at("10:30", speed=20)) as address:
        for _ in range(2):
            async with session(address) as client:
                assert (await client.act("subscribe", "Q.*"))[0]["status"] == "success"
                assert (await client.frame())[0]["ev"] == "Q"


async def test_slow_reader_is_buffered_to_the_bound_then_told_and_dropped() -> None:
    market = market_at("10:30", rate=20_000, speed=40)
    async with serving(market, backlog_bytes=1_000_000) as address, session(address) as client:
        await client.act("subscribe", "*")
        began = market.now
        async with asyncio.timeout(20):
            while market.now - began < 60_000:  # far more than any socket buffers
                await asyncio.sleep(0.05)
        assert await client.status() == "slow_consumer"
        with pytest.raises(websockets.ConnectionClosedError):
            await client.frame()
        assert client.socket.close_code == 1008


async def test_source_is_told_without_a_key_and_differs_from_run_to_run() -> None:
    market = market_at("10:30")

    def ask(address: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{address}/tapewatch/source", timeout=5) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    async with serving(market) as address:
        source = await asyncio.to_thread(ask, address)
    assert source["source"].startswith("sim:7:2026-11-20T10:30:00:")
    assert source["kind"] == "simulator"
    assert source["speed"] == 1.0
    assert source["lossless"] is False
    assert abs(source["clock"] - market.now) < 5_000
    assert market_at("10:30").source().source != source["source"]


async def test_unknown_market_is_refused() -> None:
    async with serving(market_at("10:30")) as address:
        with pytest.raises(websockets.InvalidStatus, match="404"):
            async with websockets.connect(f"ws://{address}/crypto"):
                pass


async def test_taken_port_raises_when_the_server_is_entered() -> None:
    async with serving(market_at("10:30")) as address:
        with pytest.raises(OSError, match="in use"):
            async with FeedServer(market_at("10:30"), "simulator", port=int(address.rpartition(":")[2])):
                pass
