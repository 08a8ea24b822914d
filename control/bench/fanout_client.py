"""One client of `bench fanout`: a socket whose frames are parsed by hand, as cheaply as Python can.

Only the stamp of each message is looked at: with a library's client, that would be what is measured.
"""

import base64
import json
import os
import socket
from array import array
from collections import Counter
from time import time_ns
from typing import Any, Final

import msgspec

from control.bench.fanout_messages import END, read_stamp
from widgets.readings import BoardCopy

PHASES: Final = END + 1
_RECEIVE_BYTES: Final = 256 * 1024
_TEXT, _PING, _PONG, _CLOSE = 0x81, 0x89, 0x8A, 0x88
_FEED: Final = b'{"feed":'
_BOARD: Final = b'{"feed":"scanners:'


class Crowd(msgspec.Struct, frozen=True):
    """Who comes.

    Attributes:
        port: Of the web server, on the loopback interface.
        tokens: Shared out among the clients in turn.
        clients: How many.
        feeds: What each subscribes to; `{}` in it becomes the client's number.
        options: Of each subscription.
        seconds: How long they stay when the last message does not come.
        stall: Whether they stop reading when `SETTLING` begins.
    """

    port: int
    tokens: list[str]
    clients: int
    feeds: list[str]
    options: dict[str, bool]
    seconds: float
    stall: bool = False


class Refused(Exception):
    """The server does not serve a client; the text has its answer."""


class Record:
    """What all the clients hear.

    Attributes:
        latencies: By phase, of each message, microseconds.
        last_at: By phase, when the last was read, epoch microseconds.
        boards: Messages and bytes by type.
        witness: The board as the first client has it.
    """

    def __init__(self) -> None:
        self.latencies: list[array[int]] = [array("q") for _ in range(PHASES)]
        self.last_at = [0] * PHASES
        self.boards: Counter[str] = Counter()
        self.board_bytes: Counter[str] = Counter()
        self.witness = BoardCopy()


class Client:
    """One socket: its handshake, its subscription, its messages.

    Attributes:
        messages: By phase.
        ready: It has all its subscriptions.
        over: The last message is there, or the server has ended it.
    """

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd, self._number = crowd, number
        self.messages = [0] * PHASES
        self.over = self.closed = False
        self._subscribed = 0
        self._rest = b""
        self._upgraded = False
        self.socket = socket.create_connection(("127.0.0.1", crowd.port))
        self.socket.sendall(_handshake(crowd.port))
        self.socket.setblocking(False)

    @property
    def ready(self) -> bool:
        return self._subscribed == len(self._crowd.feeds)

    def read(self, record: Record) -> None:
        """Take what has come."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        now = time_ns() // 1_000
        if not data:
            self.over = self.closed = True
            return
        data = self._rest + data
        at = 0 if self._upgraded else self._upgrade(data)
        size = len(data)
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length > 125:
                start += 2 if length == 126 else 8
                if start > size:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
            end = start + length
            if end > size:
                break
            stamp = read_stamp(data, end)
            if stamp is not None:
                phase, sent = stamp
                self.messages[phase] += 1
                record.latencies[phase].append(now - sent)
                record.last_at[phase] = now
                self.over |= phase == END
            elif data.startswith(_BOARD, start):
                self._board(data[start:end], record)
            elif not data.startswith(_FEED, start):
                self._answer(data[at], data[start:end])
            at = end
        self._rest = data[at:]

    def _upgrade(self, data: bytes) -> int:
        head, separator, _ = data.partition(b"\r\n\r\n")
        if not separator:
            return 0
        if not head.startswith(b"HTTP/1.1 101"):
            raise Refused(f"no socket: {head[:200]!r}")
        self._upgraded = True
        tokens = self._crowd.tokens
        self._say(action="auth", api_key=tokens[self._number % len(tokens)])
        for feed in self._crowd.feeds:
            self._say(action="subscribe", feed=feed.replace("{}", str(self._number)), **self._crowd.options)
        return len(head) + len(separator)

    def _board(self, payload: bytes, record: Record) -> None:
        kind = payload[: payload.index(b'"data":')].partition(b'"type":"')[2].decode("ascii").rstrip('",')
        record.boards[kind] += 1
        record.board_bytes[kind] += len(payload)
        if self._number == 0:
            record.witness.take(json.loads(payload))

    def _answer(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self.socket.send(_frame(_PONG, payload))
        elif opcode == _CLOSE:
            self.over = self.closed = True
        elif payload.startswith(b'{"status":"subscribed"'):
            self._subscribed += 1
        elif payload != b'{"status":"authorized"}':
            raise Refused(f"not served: {payload[:200]!r}")

    def _say(self, **message: Any) -> None:
        self.socket.send(_frame(_TEXT, json.dumps(message).encode()))


def _handshake(port: int) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (
        *("GET /ws HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"),
        *(f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""),
    )
    return "\r\n".join(lines).encode()


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    # A mask of zeros leaves the payload as it is.
    return bytes((first,)) + size + bytes(4) + payload
