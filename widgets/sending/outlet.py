"""Where a socket's messages go: straight to its transport where the server offers that, else through ASGI's `send`."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

# What the server puts its own outlet under, in the scope's `extensions`.
EXTENSION: Final = "tapewatch.outlet"


class Outlet(Protocol):
    """What takes one socket's messages, and says when it can take no more."""

    @property
    def has_room(self) -> bool:
        """Whether the socket is open and its transport takes more."""

    def write(self, *parts: bytes) -> None:
        """Hand over one text message, made of these parts; it is on its way before anything that is written later."""

    def when_room(self, call: Callable[[], None]) -> None:
        """Have `call` called each time that there is room again."""


class SendOutlet:
    """An outlet over ASGI's `send`, for servers that offer none: there is room while none of its messages is under way.

    A task carries the messages, and lives only as long as there are some.
    """

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._send = send
        self._written: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None
        self._call: Callable[[], None] = lambda: None

    @property
    def has_room(self) -> bool:
        return self._task is None

    def write(self, *parts: bytes) -> None:
        self._written.append(b"".join(parts))
        if self._task is None:
            self._task = asyncio.create_task(self._carry())

    def when_room(self, call: Callable[[], None]) -> None:
        self._call = call

    async def _carry(self) -> None:
        try:
            while self._written:
                await self._send({"type": "websocket.send", "text": self._written.popleft().decode()})
        except OSError:
            # The socket is gone, which its receiving side learns in its own way. There is never room again.
            return
        self._task = None
        self._call()


def outlet_of(scope: dict[str, Any], send: Callable[[dict[str, Any]], Awaitable[None]]) -> Outlet:
    """The server's own outlet of this socket, or one over `send`."""
    outlet: Outlet | None = scope.get("extensions", {}).get(EXTENSION)
    return SendOutlet(send) if outlet is None else outlet
