"""A feed server on a free port of this process, and a plain WebSocket session with it."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import websockets
from massive import RESTClient, WebSocketClient

from listener.simulator.client import BACKLOG_BYTES
from listener.simulator.market import SimulatedMarket
from listener.simulator.options import starting_instant
from listener.simulator.server import FeedServer, Market

KEY = "simulator"
EVERYTHING = ["A.*", "AM.*", "T.*", "Q.*", "LULD.*"]
Event = dict[str, Any]


def market_at(
    start: str, *, seed: int = 7, symbols: int = 300, rate: float = 300.0, speed: float = 1.0
) -> SimulatedMarket:
    """A small market that starts at a New York time of 20 November 2026."""
    return SimulatedMarket(seed, symbols, starting_instant(f"2026-11-20 {start}", dt.datetime.now(dt.UTC)), rate, speed)


@asynccontextmanager
async def serving(market: Market, backlog_bytes: int = BACKLOG_BYTES) -> AsyncIterator[str]:
    """Serve and play `market` while the context is open; gives `host:port`."""
    async with FeedServer(market, KEY, backlog_bytes=backlog_bytes) as server:
        playing = asyncio.create_task(market.play(server.audience))
        try:
            yield server.address
        finally:
            playing.cancel()
            with suppress(asyncio.CancelledError):
                await playing


def rest_client(address: str, key: str = KEY) -> RESTClient:
    """The official REST client; call it in a thread, it blocks."""
    return RESTClient(key, base=f"http://{address}", retries=0, read_timeout=10.0)


def stream_client(address: str, *subscriptions: str, key: str = KEY, raw: bool = True) -> WebSocketClient:
    """The official WebSocket client."""
    return WebSocketClient(
        key, feed=address, secure=False, raw=raw, subscriptions=list(subscriptions), max_reconnects=0
    )


async def read_until(client: WebSocketClient, enough: Callable[[Any], bool], seconds: float = 10.0) -> None:
    """Let the official client hand its messages to `enough` until that returns True."""
    done = asyncio.Event()

    async def handle(message: Any) -> None:
        if enough(message):
            done.set()

    reading = asyncio.create_task(client.connect(handle, max_size=None))
    try:
        async with asyncio.timeout(seconds):
            waiting = asyncio.create_task(done.wait())
            await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if reading.done():
                await reading
    finally:
        # Python 3.11's `wait_for`, in which the client reads, can swallow a cancellation.
        while not reading.done():
            reading.cancel()
            await asyncio.wait([reading], timeout=0.1)


class Session:
    """A hand-driven WebSocket session."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def send(self, text: str) -> None:
        """Send text as it is."""
        await self.socket.send(text)

    async def act(self, action: str, params: str) -> list[Event]:
        """Send an action; the first frame of statuses that comes back."""
        await self.send(json.dumps({"action": action, "params": params}))
        return await self.statuses()

    async def frame(self) -> list[Event]:
        """The next frame."""
        async with asyncio.timeout(10):
            events: list[Event] = json.loads(await self.socket.recv())
        return events

    async def statuses(self) -> list[Event]:
        """The next frame of statuses, past any data."""
        while True:
            events = await self.frame()
            if events[0]["ev"] == "status":
                return events

    async def status(self) -> str:
        """The next status."""
        return str((await self.statuses())[0]["status"])


@asynccontextmanager
async def session(address: str, *, key: str | None = KEY) -> AsyncIterator[Session]:
    """Connect by hand, and authenticate unless `key` is None."""
    async with websockets.connect(f"ws://{address}/stocks", max_size=None) as socket:
        opened = Session(socket)
        assert await opened.status() == "connected"
        if key is not None:
            assert (await opened.act("auth", key))[0]["status"] == "auth_success"
        yield opened
