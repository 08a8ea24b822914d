"""A server with Massive's handshake that is scripted through its failures."""

import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from socket import SO_LINGER, SOL_SOCKET
from time import monotonic
from typing import Any

from aiohttp import WSMsgType, web

Script = Callable[[web.WebSocketResponse], Awaitable[None]]


def status(name: str, message: str = "") -> list[dict[str, str]]:
    """A frame with one status."""
    return [{"ev": "status", "status": name, "message": message}]


CONNECTED = status("connected", "Connected Successfully")
AUTHENTICATED = status("auth_success", "authenticated")
# What Massive says of a channel that the key's plan does not include.
NOT_AUTHORIZED = status("error", "not authorized")
CROWDED = status("max_connections", "Maximum number of websocket connections exceeded.")


class Server:
    """Massive's protocol on a port of its own; each connection runs the next script, the last one again and again.

    Attributes:
        scripts: What it does, by connection.
        requests: What clients sent, in order.
        connected_at: When each client came, in seconds of the monotonic clock.
        markets: What they came for.
        source: What it says about the run it serves; None: it knows nothing of that.
        refusal: An HTTP answer in place of the upgrade.
    """

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.scripts = scripts
        self.address = ""
        self.requests: list[dict[str, str]] = []
        self.connected_at: list[float] = []
        self.markets: list[str] = []
        self._sockets: list[web.WebSocketResponse] = []
        self.source: Any = None
        self.refusal: web.Response | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.markets.append(request.path.removeprefix("/"))
        if self.refusal is not None:
            return self.refusal
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        script = self.scripts[min(len(self.connected_at), len(self.scripts) - 1)]
        self.connected_at.append(monotonic())
        self._sockets.append(socket)
        await script(socket)
        return socket

    async def say(self, request: web.Request) -> web.Response:
        if self.source is None:
            raise web.HTTPNotFound
        if isinstance(self.source, int):
            return web.Response(status=self.source)
        return web.Response(text=self.source if isinstance(self.source, str) else json.dumps(self.source))

    async def hear(self, socket: web.WebSocketResponse) -> dict[str, str]:
        message = await socket.receive()
        if message.type is not WSMsgType.TEXT:
            return {}
        request: dict[str, str] = json.loads(message.data)
        self.requests.append(request)
        return request

    async def cut(self) -> None:
        """Cut the newest connection."""
        await vanish(self._sockets[-1])

    @property
    def subscribed(self) -> set[str]:
        """What the requests so far come to, the connections taken together."""
        held: set[str] = set()
        for request in self.requests:
            names = set(request["params"].split(","))
            if request["action"] == "subscribe":
                held |= names
            elif request["action"] == "unsubscribe":
                held -= names
        return held

    def accepts(self, *frames: str | bytes, then: Script | None = None) -> Script:
        """A handshake as it should be, these frames, and then `then` (else: silence)."""

        async def script(socket: web.WebSocketResponse) -> None:
            await socket.send_json(CONNECTED)
            await self.hear(socket)
            await socket.send_json(AUTHENTICATED)
            await self.hear(socket)
            for frame in frames:
                await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
            await (then or silence)(socket)

        return script

    def converses(self, refused: Collection[str] = (), unknown: Collection[str] = ()) -> Script:
        """A handshake, and then Massive's answers to subscriptions, for as long as the client stays.

        Args:
            refused: Channels that the plan does not include.
            unknown: Channels that there are not; they are passed over in silence.
        """

        async def script(socket: web.WebSocketResponse) -> None:
            await socket.send_json(CONNECTED)
            await self.hear(socket)
            await socket.send_json(AUTHENTICATED)
            while request := await self.hear(socket):
                word = {"subscribe": "subscribed to", "unsubscribe": "unsubscribed to"}[request["action"]]
                for name in request["params"].split(","):
                    if name in refused:
                        await socket.send_json(NOT_AUTHORIZED)
                    elif name not in unknown:
                        await socket.send_json(status("success", f"{word}: {name}"))

        return script

    def refuses(self, answer: list[dict[str, str]]) -> Script:
        """A handshake that ends with this answer to the key."""

        async def script(socket: web.WebSocketResponse) -> None:
            await socket.send_json(CONNECTED)
            await self.hear(socket)
            await socket.send_json(answer)
            await silence(socket)

        return script


async def silence(socket: web.WebSocketResponse) -> None:
    """Say nothing until the client goes."""
    async for _ in socket:
        pass


async def vanish(socket: web.WebSocketResponse) -> None:
    """End without a close frame, as a cut cable does."""
    _transport(socket).abort()


async def break_off(socket: web.WebSocketResponse) -> None:
    """Reset the connection in the middle of a frame: a header that promises a thousand bytes, and seven of them."""
    transport = _transport(socket)
    transport.write(b"\x81\x7e" + struct.pack("!H", 1_000) + b'[{"ev":')
    # With no time to linger the system resets the connection.
    transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def closes(code: int, message: bytes = b"") -> Script:
    async def script(socket: web.WebSocketResponse) -> None:
        await socket.close(code=code, message=message)

    return script


def sends_raw(frame: bytes, then: Script = silence) -> Script:
    """Put bytes on the wire as they are, which need be no WebSocket frame that the protocol allows."""

    async def script(socket: web.WebSocketResponse) -> None:
        _transport(socket).write(frame)
        await then(socket)

    return script


def _transport(socket: web.WebSocketResponse) -> Any:
    transport = socket._req.transport if socket._req is not None else None
    assert transport is not None
    return transport


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[Server]:
    server = Server(scripts)
    app = web.Application()
    app.router.add_get("/tapewatch/source", server.say)
    app.router.add_get("/{market}", server.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.address = f"127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
