"""One WebSocket client of the server: the handshake, its subscription, and the frames on their way to it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from listener.simulator.subscriptions import Subscription

log = logging.getLogger(__name__)

BACKLOG_BYTES: Final = 64 * 1024 * 1024
AUTH_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 2.0


class Action(msgspec.Struct, frozen=True):
    """What a client sends."""

    action: str
    params: str = ""


class _Status(msgspec.Struct, frozen=True):
    ev: str
    status: str
    message: str


_decode_action = msgspec.json.Decoder(Action).decode
_encode = msgspec.json.Encoder().encode


def status_frame(*statuses: tuple[str, str]) -> bytes:
    """A frame of status events, from (status, message) pairs."""
    return _encode([_Status("status", status, message) for status, message in statuses])


class Client:
    """A connection.

    Args:
        socket: Prepared for this connection.
        api_key: The key that is let in.
        claim: Called when the client is about to get data; False when the key's one connection is another's.
        on_change: Called when a subscription changes.
        backlog_bytes: Frames waiting for a slow reader, at most.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        api_key: str,
        claim: Callable[["Client"], bool],
        on_change: Callable[[], None],
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self.subscription = Subscription()
        self._socket, self._api_key, self._claim, self._on_change = socket, api_key, claim, on_change
        self._authorised = False
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes, self._backlog_limit = 0, backlog_bytes
        self._waiting = asyncio.Event()
        self._slow = False
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._socket.closed

    async def converse(self) -> None:
        """Answer the client until it leaves."""
        await self._say(("connected", "Connected Successfully"))
        writer = asyncio.create_task(self._write())
        try:
            while True:
                timeout = None if self._authorised else AUTH_SECONDS
                message = await self._socket.receive(timeout)
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    return
                await self._answer(message.data)
        except TimeoutError:
            await self._say(("auth_timeout", "authentication timed out"))
            await self.close(WSCloseCode.POLICY_VIOLATION, b"auth_timeout")
        except ConnectionError:
            pass  # it left while being answered
        finally:
            writer.cancel()

    async def _say(self, *statuses: tuple[str, str]) -> None:
        await self._socket.send_frame(status_frame(*statuses), WSMsgType.TEXT)

    async def _answer(self, data: str | bytes) -> None:
        try:
            action = _decode_action(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await self._say(("error", f"invalid message: {error}"))
            return
        if action.action == "auth":
            await self._authenticate(action.params)
        elif not self._authorised:
            await self._say(("error", "not authenticated: send an auth action first"))
        elif action.action == "subscribe":
            await self._subscribe(_channels(action.params))
        elif action.action == "unsubscribe":
            await self._change(_channels(action.params), self.subscription.remove, "unsubscribed from")
        else:
            await self._say(("error", f"unknown action: {action.action}"))

    async def _authenticate(self, key: str) -> None:
        if key != self._api_key:
            await self._say(("auth_failed", "authentication failed"))
            await self.close(WSCloseCode.POLICY_VIOLATION, b"auth_failed")
            return
        self._authorised = True
        self._claim(self)
        await self._say(("auth_success", "authenticated"))

    async def _subscribe(self, channels: list[str]) -> None:
        if self._claim(self):
            await self._change(channels, self.subscription.add, "subscribed to")
            return
        # As Massive does, the surplus connection learns of its fate only after it was let in and has subscribed.
        await self._say(*(("success", f"subscribed to: {channel}") for channel in channels))
        await self._say(("max_connections", "Maximum number of websocket connections exceeded."))
        await self.close(WSCloseCode.POLICY_VIOLATION, b"max_connections")

    async def _change(self, channels: list[str], change: Callable[[str], bool], done: str) -> None:
        if not channels:
            await self._say(("error", "no channels given"))
            return
        await self._say(
            *(
                ("success", f"{done}: {channel}") if change(channel) else ("error", f"unknown channel: {channel}")
                for channel in channels
            )
        )
        self._on_change()

    def push(self, frame: bytes) -> None:
        """Queue a frame; a reader too slow for its backlog is told so and dropped. Never waits."""
        if self._slow:
            return
        if self._backlog_bytes + len(frame) > self._backlog_limit:
            log.warning("client is too slow: %.0f MB wait for it, closing", self._backlog_bytes / 1e6)
            self._slow = True
            self._backlog.clear()
        else:
            self._backlog.append(frame)
            self._backlog_bytes += len(frame)
        self.idle.clear()
        self._waiting.set()

    async def deliver(self, frame: bytes) -> None:
        """Send a frame as soon as the client reads.

        Raises:
            ConnectionError: The client has left.
        """
        if self._socket.closed:
            raise ConnectionResetError("the client has left")
        await self._socket.send_frame(frame, WSMsgType.TEXT)

    async def drained(self) -> None:
        """Wait until every queued frame has been written."""
        await self.idle.wait()

    async def _write(self) -> None:
        try:
            while True:
                await self._waiting.wait()
                while self._backlog:
                    frame = self._backlog.popleft()
                    self._backlog_bytes -= len(frame)
                    await self._socket.send_frame(frame, WSMsgType.TEXT)
                self._waiting.clear()
                self.idle.set()
                if self._slow:
                    await self._say(("slow_consumer", "too slow: the backlog is full"))
                    await self.close(WSCloseCode.POLICY_VIOLATION, b"slow_consumer")
                    return
        except ConnectionError:
            pass  # the reading side ends the conversation
        finally:
            self.idle.set()

    async def close(self, code: int = WSCloseCode.OK, reason: bytes = b"", seconds: float = _CLOSE_SECONDS) -> None:
        """Close the connection; one that does not read its last frames and answer within `seconds` is cut off."""
        try:
            async with asyncio.timeout(seconds):
                await self._socket.close(code=code, message=reason)
        except (TimeoutError, ConnectionError):
            log.info("client did not take part in the close")


def _channels(params: str) -> list[str]:
    return [channel.strip() for channel in params.split(",") if channel.strip()]
