"""Latency from feed to cache, and on to a client's socket: probes among the events, seen when they are published.

A merge publishes in the same atomic script that writes the table, so a probe is seen when it is in the cache. What an
observer needs to be scheduled and to read the message counts against the system.
"""

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import time_ns
from typing import Any

import msgspec
import redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_socket

from control.bench.percentiles import Latency, percentiles
from control.bench.stream import CHANNELS, PROBE_SYMBOLS, probe_sent_us
from processors.store import INTEREST, connect

_WAIT_S = 0.2
_ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One probe: its event type, when it was sent and when it was published, epoch microseconds."""

    kind: str
    sent: int
    published: int


class Observer(threading.Thread):
    """Sees the probes until it is stopped, or what it looks at ends."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._over = threading.Event()
        self._seen: list[Seen] = []

    def _saw(self, message: bytes | str) -> None:
        kind, sent = probe_sent_us(message)
        self._seen.append(Seen(kind, sent, time_ns() // 1_000))

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.join(2 * _WAIT_S)

    def between(self, begin: int, end: int) -> list[Seen]:
        """The probes sent in a span of time, epoch microseconds."""
        return [seen for seen in self._seen if begin <= seen.sent <= end]


class ProbeObserver(Observer):
    """Listens to the probes' channels.

    Args:
        url: The cache's address.
    """

    def __init__(self, url: str) -> None:
        super().__init__("probes")
        # As in `Store`: the library types every answer as bytes or str; this connection gives bytes.
        self._redis: Any = connect(url)

    def run(self) -> None:
        try:
            self._listen()
        except redis.RedisError:
            # The cache ends before this thread does; one that dies earlier is noticed by whoever runs it.
            return

    def _listen(self) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.subscribe(*probe_channels())
            # As a hub does: workers ask again which channels somebody listens to.
            self._redis.incr(INTEREST)
            while not self._over.is_set():
                message = subscription.get_message(timeout=_WAIT_S)
                if message is not None:
                    self._saw(message["data"])


class SocketObserver(Observer):
    """Has subscribed to the probes' feeds at `/ws`.

    Args:
        port: The web server's.
        token: A user's.

    Raises:
        ConnectionError: The server does not serve it.
    """

    def __init__(self, port: int, token: str) -> None:
        super().__init__("socket probes")
        self._socket = connect_socket(f"ws://127.0.0.1:{port}/ws", compression=None, proxy=None, legacy=True)
        requests = [{"action": "auth", "api_key": token}]
        requests += [{"action": "subscribe", "feed": feed} for feed in probe_channels()]
        for request in requests:
            self._socket.send(msgspec.json.encode(request).decode())
            answer = msgspec.json.decode(self._socket.recv(_ANSWER_S), type=dict[str, str])
            if answer["status"] not in {"authorized", "subscribed"}:
                raise ConnectionError(f"The web server answers {answer}.")

    def run(self) -> None:
        with suppress(ConnectionClosed), self._socket:
            while not self._over.is_set():
                with suppress(TimeoutError):
                    self._saw(self._socket.recv(_WAIT_S))


def probe_channels() -> list[str]:
    """Where probes are published, by type and symbol."""
    return [channel + symbol for channel in CHANNELS.values() for symbol in PROBE_SYMBOLS]


def latency(seen: Iterable[Seen]) -> Latency:
    """Of probes, from their sending to their being seen."""
    return percentiles((probe.published - probe.sent) / 1_000 for probe in seen)
