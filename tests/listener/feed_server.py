"""A server with Massive's handshake that is scripted through its failures."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from aiohttp import WSMsgType, web

Script = Callable[[web.WebSocketResponse], Awaitable[None]]

CONNECTED = [{"ev": "status", "status": "connected", "message": "Connected Successfully"}]
AUTHENTICATED = [{"ev": "status", "status": "auth_success", "message": "authenticated"}]


class Server:
    """Massive's protocol on a port of its own; each connection runs the next script, the last one again and again.

    Attributes:
        scripts: What it does, by connection.
        requests: What clients sent, in order.
        connected_at: When each client came, in seconds of the monotonic clock.
    """

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.scripts = scripts
        self.address = ""
        self.requests: list[dict[str, str]] = []
        self.connected_at: list[float] = []
        self.source: Any = None

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        script = self.scripts[min(len(self.connected_at), len(self.scripts) - 1)]
        self.connected_at.append(monotonic())
        await script(socket)
        return socket

    async def say(self, request: web.Request) -> web.Response:
        if self.source is None:
            raise web.HTTPNotFound
        return web.Response(text=self.source if isinstance(self.source, str) else json.dumps(self.source))

    async def hear(self, socket: web.WebSocketResponse) -> None:
        message = await socket.receive()
        if message.type is WSMsgType.TEXT:
            self.requests.append(json.loads(message.data))

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


async def silence(socket: web.WebSocketResponse) -> None:
    """Say nothing until the client goes."""
    async for _ in socket:
        pass


async def vanish(socket: web.WebSocketResponse) -> None:
    """End without a close frame, as a cut cable does."""
    transport = socket._req.transport if socket._req is not None else None
    assert transport is not None
    transport.abort()


def closes(code: int, message: bytes = b"") -> Script:
    async def script(socket: web.WebSocketResponse) -> None:
        await socket.close(code=code, message=message)

    return script


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[Server]:
    server = Server(scripts)
    app = web.Application()
    app.router.add_get("/stocks", server.serve)
    app.router.add_get("/tapewatch/source", server.say)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.address = f"127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
