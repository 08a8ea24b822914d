"""The connection and the clock: it waits for the market, leaves with it, and does not trust silence while it trades.

A scripted server stands where Massive's is: only the vendor's own feeds keep the market's hours.
"""

import asyncio
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from listener import address
from listener.feed import State
from tests.listener.feed_client import Client, running
from tests.listener.feed_server import Server, serving, status

NEW_YORK = ZoneInfo("America/New_York")
EVENT = '[{"ev":"T","sym":"A","p":1,"t":1}]'
TRADING = "2026-11-20 11:00"


class Clock:
    """A wall clock that stands where it is put."""

    def __init__(self, at: str) -> None:
        self.put(at)

    def put(self, at: str) -> None:
        self._now = datetime.fromisoformat(at).replace(tzinfo=NEW_YORK)

    def __call__(self) -> datetime:
        return self._now


def vendor(monkeypatch: pytest.MonkeyPatch, server: Server, name: str = "real-time") -> str:
    """Let the vendor's feed be served by this server; the feed's name."""
    monkeypatch.setitem(address.HOSTS, name, server.address)
    server.scripts = (server.accepts(),)
    return name


@pytest.mark.parametrize(
    ("feed", "closed", "opens", "says"),
    [
        ("real-time", "2026-11-22 12:00", "2026-11-23 03:55", "Mon 23 Nov 03:55"),
        ("real-time", "2026-11-26 12:00", "2026-11-27 03:55", "Fri 27 Nov 03:55"),
        ("real-time", "2026-11-27 17:05", "2026-11-30 03:55", "Mon 30 Nov 03:55"),
        ("delayed", "2026-11-23 04:09", "2026-11-23 04:10", "Mon 23 Nov 04:10"),
    ],
)
async def test_it_waits_until_the_market_opens(
    monkeypatch: pytest.MonkeyPatch, feed: str, closed: str, opens: str, says: str
) -> None:
    clock = Clock(closed)
    async with serving() as server, running(Client(vendor(monkeypatch, server, feed), clock=clock)) as client:
        reason = await client.until_state(State.WAITING)
        assert reason == f"The market is closed. Connecting again {says} New York."
        # Its source is the present one already: who looks meanwhile sees no other feed's table.
        await client.until(lambda: [info.source for info in client.sources] == [f"live:stocks:{feed}"])
        assert server.connected_at == []
        clock.put(opens)
        await client.until_state(State.LIVE)


async def test_it_leaves_when_the_market_closes_and_takes_it_for_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock("2026-11-20 20:04")
    async with serving() as server, running(Client(vendor(monkeypatch, server), clock=clock)) as client:
        await client.until_state(State.LIVE)
        clock.put("2026-11-20 20:05")
        assert "Mon 23 Nov 03:55" in await client.until_state(State.WAITING)
    assert State.BACKING_OFF not in client.states


async def test_told_to_run_always_it_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server:
        feed = vendor(monkeypatch, server)
        async with running(Client(feed, clock=Clock("2026-11-22 12:00"), always=True)) as client:
            await client.until_state(State.LIVE)
    assert State.WAITING not in client.states


@pytest.mark.parametrize("market", ["crypto", "forex", "futures"])
async def test_markets_that_trade_at_night_are_not_waited_for(monkeypatch: pytest.MonkeyPatch, market: str) -> None:
    async with serving() as server:
        feed = vendor(monkeypatch, server)
        async with running(Client(feed, clock=Clock("2026-11-22 02:00"), market=market)) as client:
            await client.until_state(State.LIVE)
    assert server.markets == [market]


async def test_a_server_of_our_own_keeps_its_own_hours() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        async with running(Client(server.address, clock=Clock("2026-11-22 12:00"))) as client:
            await client.until_state(State.LIVE)


async def test_silence_while_the_market_trades_is_a_fault() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(EVENT), server.accepts(EVENT))
        async with running(Client(server.address, clock=Clock(TRADING))) as client:
            reason = await client.until_state(State.BACKING_OFF)
            assert reason == "No event for 0.25 s while the market trades."
            await client.until(lambda: len(client.frames) == 2)
    assert [request["action"] for request in server.requests[:4]] == ["auth", "subscribe"] * 2


@pytest.mark.parametrize(
    ("at", "market", "subscriptions"),
    [
        ("2026-11-20 09:29", "stocks", ("T.*",)),
        # Options have just begun: it was quiet because nothing traded.
        ("2026-11-20 09:30", "options", ("T.*",)),
        ("2026-11-20 16:30", "stocks", ("T.*",)),
        ("2026-11-27 13:30", "stocks", ("T.*",)),
        (TRADING, "stocks", ("T.AAPL", "A.MSFT")),
        # A minute without one is the rule.
        (TRADING, "stocks", ("AM.*", "NOI.*")),
        (TRADING, "forex", ("C.*",)),
    ],
)
async def test_silence_that_can_be_is_borne(at: str, market: str, subscriptions: tuple[str, ...]) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        client = Client(server.address, clock=Clock(at), market=market, subscriptions=subscriptions)
        async with running(client):
            await client.until_state(State.LIVE)
            await asyncio.sleep(0.35)
            assert client.state is State.LIVE


async def test_crypto_is_never_silent() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        client = Client(server.address, clock=Clock("2026-11-22 03:00"), market="crypto", subscriptions=("XT.*",))
        async with running(client):
            assert "No event for" in await client.until_state(State.BACKING_OFF)


async def test_a_simulator_may_be_silent() -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        server.source = {"source": "simulator:1", "kind": "simulator", "clock": 1, "speed": 1.0, "lossless": False}
        async with running(Client(server.address, clock=Clock(TRADING))) as client:
            await client.until_state(State.LIVE)
            await asyncio.sleep(0.35)
            assert client.state is State.LIVE


async def test_statuses_are_no_events() -> None:
    async def mumbles(socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            await socket.send_json(status("success", "still here"))
            await asyncio.sleep(0.05)

    async with serving() as server:
        server.scripts = (server.accepts(then=mumbles),)
        async with running(Client(server.address, clock=Clock(TRADING))) as client:
            assert "No event for" in await client.until_state(State.BACKING_OFF)
