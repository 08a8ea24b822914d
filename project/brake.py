"""A WebSocket with a brake: its protocol knows whether the transport has room, and is the socket's outlet.

Daphne hands what an application sends to Twisted's transport at once, however much of it still waits there: a client
that never reads costs as much memory as is sent to it. Here a socket's protocol registers as the transport's producer,
and who makes no room within `WDS_STALL_SECONDS` is cut off.
"""

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from daphne.ws_protocol import WebSocketProtocol
from django.conf import settings

from widgets.visitors import limits

log = logging.getLogger(__name__)

# A client that sends faster than it is answered is closed; so is one with more unanswered than it may send at once.
_MOST_UNANSWERED_BYTES: Final = 1024 * 1024
# What the kernel keeps of a socket's unsent bytes: more would only be older when it arrives.
_UNSENT_IN_KERNEL: Final = 128 * 1024
# From here on a message is not copied to stand in one piece with its envelope.
_LARGE: Final = 8 * 1024
# A text message in one frame, and the headers of its lengths.
_TEXT: Final = 0x81
_SHORT: Final = struct.Struct("!BB")
_MIDDLE: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


def _nothing() -> None:
    """Nobody waits for room."""


class BrakedProtocol(WebSocketProtocol):  # type: ignore[misc]  # Daphne ships no types
    """A WebSocket that knows whether its transport has room, and is its own outlet.

    Attributes:
        has_room: It is open, and the transport takes more.
    """

    has_room = False
    # Who breaks the protocol is told so by a close code.
    failByDrop = False  # noqa: N815 - autobahn's name
    # The close code comes behind all that is on its way to a slow client.
    closeHandshakeTimeout = 10  # noqa: N815
    _full_since: float | None = None
    _room: asyncio.Event | None = None
    # The client's newest ping, for which there was no room to answer.
    _ping: bytes | None = None
    _call: Callable[[], None] = staticmethod(_nothing)

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        """Take the transport's signals over from the HTTP channel that the socket began as."""
        super().onOpen()
        self._unanswered: list[int] = []
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)
        # A connection that is already lost may refuse it, and not every system knows it.
        with suppress(OSError, AttributeError):
            self.transport.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_IN_KERNEL)
        self.has_room = True

    def write(self, *parts: bytes) -> None:
        """Give the transport one text message, made of these parts."""
        if self.state != self.STATE_OPEN:
            return
        size = sum(map(len, parts))
        if size < 126:
            header = _SHORT.pack(_TEXT, size)
        elif size < 65_536:
            header = _MIDDLE.pack(_TEXT, 126, size)
        else:
            header = _LONG.pack(_TEXT, 127, size)
        if size < _LARGE:
            self.transport.write(b"".join((header, *parts)))
        else:
            self.transport.writeSequence((header, *parts))

    def when_room(self, call: Callable[[], None]) -> None:
        """Have `call` called each time that the transport has room again."""
        self._call = call

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport has no room, unless the kernel takes some of it."""
        self.has_room = False
        if self._full_since is None:
            self._full_since = time.monotonic()
        self.transport.flush()

    def resumeProducing(self) -> None:  # noqa: N802
        """The transport has room again."""
        self._full_since = None
        self.has_room = self.state == self.STATE_OPEN
        if self._ping is not None:
            ping, self._ping = self._ping, None
            self.sendPong(ping)
        self._let_go()
        self._call()

    def stopProducing(self) -> None:  # noqa: N802
        """The transport is gone."""
        self.has_room = False
        self._let_go()

    def _let_go(self) -> None:
        """End the waiting of replies."""
        if self._room is not None:
            self._room.set()
            self._room = None

    async def drained(self) -> None:
        """Wait until the transport has room, or nothing can be sent any more."""
        if self._full_since is not None and self.state == self.STATE_OPEN:
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()

    def check_timeouts(self) -> None:
        """Cut off who makes no room for too long. Daphne calls this every other second."""
        if self._full_since is not None and time.monotonic() - self._full_since >= settings.WDS_STALL_SECONDS:
            log.warning("a client has not read for %d s; cut off", settings.WDS_STALL_SECONDS)
            self._full_since = None
            self.transport.abortConnection()
        else:
            super().check_timeouts()

    def _sendAutoPing(self) -> None:  # noqa: N802
        """Ask for a sign of life, unless the last one is still to come: autobahn would forget whose time is running."""
        if self.autoPingTimeoutCall is None:
            super()._sendAutoPing()

    def onPing(self, payload: bytes) -> None:  # noqa: N802
        """Answer; only the newest, and later, if the client does not read."""
        if self._full_since is None:
            self.sendPong(payload)
        else:
            self._ping = payload

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 - autobahn's names
        """Pass a message on, unless too many are unanswered."""
        if self.state != self.STATE_OPEN:
            return
        waiting = self.application_queue.qsize()
        self._unanswered = [*(self._unanswered[-waiting:] if waiting else ()), len(payload)]
        if waiting >= settings.WDS_REQUESTS_BURST or sum(self._unanswered) > _MOST_UNANSWERED_BYTES:
            log.warning("a client sends faster than it is answered; closed")
            self.close(limits.TOO_MANY, limits.REQUESTS)
            return
        super().onMessage(payload, isBinary)

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Do what the application says; Daphne would leave the reason of a close out."""
        if message["type"] == "websocket.close" and self.state != self.STATE_CONNECTING:
            self.close(message.get("code") or 1000, message.get("reason") or "")
        else:
            super().handle_reply(message)

    def handle_exception(self, exception: Exception) -> None:
        """The application has failed."""
        if self.state == self.STATE_OPEN:
            self.close(limits.BROKEN, "broken")
        else:
            super().handle_exception(exception)

    def sendMessage(self, payload: bytes, isBinary: bool = False, **options: Any) -> None:  # noqa: N802, N803
        """Send a message, unless the closing handshake has begun; autobahn would limit it to what may come in."""
        if isBinary:
            raise ValueError("only text is sent")
        self.write(payload)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; autobahn's `sendClose` refuses the codes that are a server's to send."""
        self.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123] or None)

    def sendCloseFrame(self, *arguments: Any, **options: Any) -> None:  # noqa: N802
        """Nothing more is sent after this, and what was sent before is read in time or never."""
        super().sendCloseFrame(*arguments, **options)
        self.has_room = False
        if self._full_since is None:
            self._full_since = time.monotonic()
        self._let_go()

    def _fail_connection(self, code: int, reason: str) -> None:
        """Say how the protocol was broken. A connection that is shut while more comes in would lose that on its way."""
        if self.failedByMe:
            return
        super()._fail_connection(code, reason)
        if self.state == self.STATE_CLOSING:
            self.unregisterProducer()
            self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take what comes in; what comes after the protocol was broken means nothing, until the client has gone too."""
        if not self.failedByMe:
            super().dataReceived(data)

    def dropConnection(self, abort: bool = False) -> None:  # noqa: N802
        """End the connection; autobahn would drop what is unsent when both sides have said goodbye at once."""
        super().dropConnection(abort=abort and not self.wasClean)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:  # noqa: N802, N803
        """The connection has ended."""
        self.has_room = False
        self._full_since = None
        self._let_go()
        super().onClose(wasClean, code, reason)
