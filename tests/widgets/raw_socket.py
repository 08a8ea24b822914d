"""A WebSocket by hand: any bytes go out as any frames, well-made or not."""

import base64
import os
import socket
import struct
from typing import Final, NamedTuple, Self

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

# A mask of zeros is as good as any other, and leaves the payload as it is.
_MASK: Final = b"\0\0\0\0"


class Frame(NamedTuple):
    """What came in a frame of the server's."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        """That of a close frame."""
        return int.from_bytes(self.payload[:2], "big")


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """A client's frame.

    Args:
        reserved: Three bits that have to be 0.
        masked: Which a client's frame has to be.
    """
    first, mask_bit, size = fin << 7 | reserved << 4 | opcode, masked << 7, len(payload)
    if size < 126:
        head = struct.pack("!BB", first, mask_bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, mask_bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, size)
    return head + (_MASK if masked else b"") + payload


class RawSocket:
    """A connection whose handshake is done."""

    def __init__(self, port: int, query: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(
            f"GET /ws{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._heard, self._read = b"", 0
        while b"\r\n\r\n" not in self._heard:
            assert self._more(), "no answer to the handshake"
        head, _, self._heard = self._heard.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, data: bytes) -> None:
        """Raises: OSError: The server has ended the connection."""
        self._socket.sendall(data)

    def hear(self) -> Frame | None:
        """The next frame; None when the connection has ended.

        Raises:
            TimeoutError: There is none for ten seconds.
        """
        while True:
            heard, begin = self._heard, self._read
            if len(heard) >= begin + 2:
                size, start = heard[begin + 1], begin + 2
                if size > 125:
                    start = begin + (4 if size == 126 else 10)
                    size = int.from_bytes(heard[begin + 2 : start], "big") if len(heard) >= start else 1 << 62
                if len(heard) >= start + size:
                    self._read = start + size
                    return Frame(heard[begin] & 15, heard[start : start + size])
            if not self._more():
                return None

    def _more(self) -> bool:
        try:
            data = self._socket.recv(262_144)
        except ConnectionError:
            return False
        self._heard, self._read = self._heard[self._read :] + data, 0
        return bool(data)

    def close(self) -> None:
        """End it without a word."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
