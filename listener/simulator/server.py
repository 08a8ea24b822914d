"""The server: Massive's WebSocket and REST protocols over a market, simulated or recorded."""

import asyncio
import logging
from hashlib import blake2b
from typing import Final, Literal, Protocol, Self, runtime_checkable

import msgspec
from aiohttp import web

from listener.simulator.client import BACKLOG_BYTES, Client
from listener.simulator.rest import ReferenceData, rest_routes

log = logging.getLogger(__name__)

DEFAULT_API_KEY: Final = "simulator"
TRADE_HALTS_PATH: Final = "/tapewatch/trade-halts"
_MAX_CLIENT_MESSAGE: Final = 1024 * 1024
_WRITE_BUFFER: Final = 256 * 1024


class SourceInfo(msgspec.Struct, frozen=True):
    """Which run of which feed is served (`GET /tapewatch/source`).

    Attributes:
        source: The run's id; a restart has another.
        kind: What stands behind it.
        clock: The market's time, epoch ms.
        speed: Multiple of real time; 0 is as fast as the client reads.
        lossless: Whether the feed waits for its reader.
        trade_halts: The path of its list of halts; empty where it has none.
    """

    source: str
    kind: Literal["simulator", "recording"]
    clock: int
    speed: float
    lossless: bool
    trade_halts: str = ""


class Market(Protocol):
    """What can be plugged into the server."""

    @property
    def name(self) -> str:
        """The WebSocket's path, `stocks`."""

    @property
    def reference(self) -> ReferenceData:
        """What REST answers from."""

    def source(self) -> SourceInfo:
        """The run that is served."""

    async def play(self, audience: "Audience") -> None:
        """Send frames until there are no more, or until cancelled."""


@runtime_checkable
class HaltingMarket(Protocol):
    """A market that has a list of trade halts, like that of Nasdaq Trader."""

    def trade_halts(self) -> bytes:
        """The list as RSS."""


class Audience:
    """Who gets the frames: at most one client, for a key has one connection."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._subscribed = asyncio.Event()

    @property
    def client(self) -> Client | None:
        """The client that has subscribed, if any."""
        return self._client if self._subscribed.is_set() else None

    async def wait(self) -> Client:
        """Wait for a client that has authenticated and subscribed."""
        while (client := self.client) is None:
            await self._subscribed.wait()
        return client

    def claim(self, client: Client) -> bool:
        """Give the one connection to `client` unless another has it."""
        if self._client is None or self._client.closed:
            self._client = client
        return self._client is client

    def changed(self) -> None:
        """Look again at whether the client has a subscription."""
        if self._client is not None and self._client.subscription:
            self._subscribed.set()
        else:
            self._subscribed.clear()

    def left(self, client: Client) -> None:
        """Forget a client that has gone."""
        if self._client is client:
            self._client = None
            self._subscribed.clear()


class FeedServer:
    """Serves a market on one address; an asynchronous context manager that listens while it is open.

    Args:
        market: What to serve.
        api_key: The key that is let in.
        host: Address to bind.
        port: Port to bind, 0 for a free one.
        backlog_bytes: Frames waiting for a slow reader, at most.

    Raises:
        OSError: On entering, when the address cannot be bound.
    """

    def __init__(
        self, market: Market, api_key: str, host: str = "127.0.0.1", port: int = 0, backlog_bytes: int = BACKLOG_BYTES
    ) -> None:
        self.audience = Audience()
        self._market, self._api_key, self._host, self._port = market, api_key, host, port
        self._backlog_bytes = backlog_bytes
        self._clients: set[Client] = set()
        app = web.Application()
        app.router.add_get(f"/{market.name}", self._websocket)
        app.router.add_get("/tapewatch/source", self._source)
        if isinstance(market, HaltingMarket):
            app.router.add_get(TRADE_HALTS_PATH, self._trade_halts)
        app.add_routes(rest_routes(market.reference, api_key))
        app.on_shutdown.append(self._say_goodbye)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        host, port = self._runner.addresses[0][:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def _source(self, request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._market.source()), content_type="application/json")

    async def _trade_halts(self, request: web.Request) -> web.Response:
        assert isinstance(self._market, HaltingMarket)  # noqa: S101 - there is no such path otherwise
        document = self._market.trade_halts()
        version = blake2b(document, digest_size=16).hexdigest()
        headers = {"ETag": f'"{version}"'}
        if any(tag.value == version for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=document, headers=headers, content_type="text/xml", charset="utf-8")

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=_MAX_CLIENT_MESSAGE, writer_limit=_WRITE_BUFFER, timeout=2.0
        )
        await socket.prepare(request)
        client = Client(socket, self._api_key, self.audience.claim, self.audience.changed, self._backlog_bytes)
        self._clients.add(client)
        log.info("client connected from %s", request.remote)
        try:
            await client.converse()
        finally:
            self._clients.discard(client)
            self.audience.left(client)
            log.info("client from %s left", request.remote)
        return socket

    async def _say_goodbye(self, app: web.Application) -> None:
        for client in list(self._clients):
            await client.close()
