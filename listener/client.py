"""Massive's own client, with what it keeps to itself made visible.

The client knows the protocol. What it does not do for a program that must never stand still is done here, through the
options that it and the WebSocket library offer: an attempt that fails is not repeated inside `connect()`; the answers
of the handshake, which its handler never gets to see, are looked at; and frames come as the bytes they are.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

import msgspec
from massive import WebSocketClient
from websockets.asyncio.client import ClientConnection

from listener.address import FeedAddress

_MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
_PING_S: Final = 20
_GOOD: Final = frozenset({"connected", "success", "auth_success"})
# The client tells this one itself, as its AuthError.
_KEY_REFUSED: Final = "auth_failed"


class HandshakeRefused(Exception):
    """The server answered the handshake with a status that is no success."""

    def __init__(self, status: str, message: str | None) -> None:
        super().__init__(f"{status}: {message}" if message else status)
        self.status = status


class NotMassive(Exception):
    """What answers does not speak the protocol."""


class _Status(msgspec.Struct, frozen=True):
    status: str
    ev: str = "status"
    message: str | None = None


_decode_statuses = msgspec.json.Decoder(list[_Status]).decode


class Handshake:
    """Takes the place of the client's JSON module, which decodes nothing but the two answers of the handshake.

    Attributes:
        greeted: Set when the server has said hello, so that the key is presented next.
        let_in: Set when it has accepted the key.
    """

    dumps = staticmethod(json.dumps)

    def __init__(self) -> None:
        self.greeted, self.let_in = asyncio.Event(), asyncio.Event()

    def loads(self, text: str | bytes) -> list[dict[str, Any]]:
        """An answer, if it is one to go on with.

        Raises:
            HandshakeRefused: It is not.
            NotMassive: It cannot be understood.
        """
        try:
            statuses = _decode_statuses(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise NotMassive(str(error)) from None
        if not statuses:
            raise NotMassive("an empty answer")
        for status in statuses:
            if status.status not in _GOOD and status.status != _KEY_REFUSED:
                raise HandshakeRefused(status.status, status.message)
        if statuses[0].status != _KEY_REFUSED:
            (self.let_in if self.greeted.is_set() else self.greeted).set()
        return [msgspec.structs.asdict(status) for status in statuses]


class _Connection(ClientConnection):
    """Gives text as the bytes it came in: nobody needs it decoded, and what is no UTF-8 ends no connection."""

    async def recv(self, decode: bool | None = None) -> Any:
        return await super().recv(decode=False)


def _no_second_try() -> Generator[float]:
    """In place of the pauses before further attempts: what ended the first one, for the caller to decide about."""
    error = sys.exception()
    assert error is not None  # noqa: S101 - the library asks while it handles one
    raise error


def new_client(address: FeedAddress, handshake: Handshake) -> WebSocketClient:
    """A client for one connection. It subscribes to nothing by itself."""
    return WebSocketClient(
        address.key,
        feed=address.host,
        market=address.market,
        raw=True,
        max_reconnects=0,
        secure=address.secure,
        custom_json=handshake,
    )


async def read(client: WebSocketClient, on_frame: Callable[[bytes], Awaitable[None]]) -> None:
    """Connect, once, and hand every frame after the handshake on, until the connection ends: always by an exception.

    Raises:
        OSError: There is no connection.
        websockets.exceptions.WebSocketException: The upgrade was refused, or the connection ended, in order or not.
        massive.exceptions.AuthError: The key is refused.
        HandshakeRefused: The server says no otherwise.
        NotMassive: Its answers cannot be understood.
    """
    await client.connect(
        on_frame,
        max_size=_MAX_FRAME_BYTES,
        ping_interval=_PING_S,
        ping_timeout=_PING_S,
        reconnect_delays=_no_second_try,
        create_connection=_Connection,
    )
    # The client returns when the server closes in order, which is an end like any other.
    raise client.websocket.protocol.close_exc
