"""The clients of `bench fanout`: a crowd of sockets in one process.

`python -m control.bench.fanout_clients ARGUMENTS`, one JSON object. It says on standard output, one JSON object a line,
when everybody has subscribed, and at last what came.
"""

import hashlib
import json
import resource
import selectors
import sys
from time import monotonic, sleep
from typing import Any, Final

import msgspec

from control.bench.fanout_client import Client, Crowd, Record, Refused
from control.bench.fanout_messages import SETTLING
from control.bench.percentiles import Latency, percentiles
from control.bench.saying import say

# Handshakes and logins under way at once.
_TOGETHER: Final = 32
_CONNECT_S: Final = 120.0
# A board may wait behind the last message.
_QUIET_S: Final = 1.0


class Ready(msgspec.Struct, frozen=True, tag_field="is", tag="ready"):
    """Everybody has subscribed, which took so many seconds."""

    seconds: float


class Phase(msgspec.Struct, frozen=True):
    """What came of one phase.

    Attributes:
        by_client: Messages.
        last_at: When the last of them was read, epoch microseconds.
        latency_ms: From publishing to reading.
    """

    by_client: list[int]
    last_at: int
    latency_ms: Latency


class Heard(msgspec.Struct, frozen=True, tag_field="is", tag="heard"):
    """What came, until the last message or until there was no more time for it.

    Attributes:
        phases: Stamped messages.
        closed: Sockets that the server ended.
        boards: Messages and their bytes by type.
        witness: A digest of the board that one client has put together.
    """

    phases: dict[int, Phase]
    closed: int
    boards: dict[str, tuple[int, int]]
    witness: str


class Audience:
    """All the clients."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._clients: list[Client] = []
        self._listening: set[Client] = set()
        self._selector = selectors.DefaultSelector()
        self._record = Record()

    def come_in(self) -> None:
        """Connect and subscribe everybody.

        Raises:
            Refused: Somebody is not served, or not in time.
        """
        deadline = monotonic() + _CONNECT_S
        coming: list[Client] = []
        while len(self._clients) < self._crowd.clients or coming:
            while len(coming) < _TOGETHER and len(self._clients) < self._crowd.clients:
                client = Client(self._crowd, len(self._clients))
                self._clients.append(client)
                self._listening.add(client)
                coming.append(client)
                self._selector.register(client.socket, selectors.EVENT_READ, client)
            self._read(0.1)
            coming = [client for client in coming if not client.ready]
            if any(client.closed for client in coming) or monotonic() > deadline:
                raise Refused(f"{len(coming)} clients did not get as far as their subscription")

    def listen(self) -> None:
        """Read until everybody has the last message, or the time is over."""
        deadline = monotonic() + self._crowd.seconds
        while monotonic() < deadline and self._listening:
            self._read(0.2)
            if self._crowd.stall and self._record.last_at[SETTLING]:
                sleep(self._crowd.seconds)
        while monotonic() < deadline and self._read(_QUIET_S):
            pass

    def _read(self, seconds: float) -> bool:
        """Read what comes; False when nothing does."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            client: Client = key.data
            client.read(self._record)
            if client.over:
                self._listening.discard(client)
            if client.closed:
                self._selector.unregister(client.socket)
        return bool(ready)

    def heard(self) -> Heard:
        """What came."""
        return Heard(
            {
                phase: Phase(
                    [client.messages[phase] for client in self._clients],
                    self._record.last_at[phase],
                    percentiles([value / 1_000 for value in latencies]),
                )
                for phase, latencies in enumerate(self._record.latencies)
            },
            sum(client.closed for client in self._clients),
            {kind: (messages, self._record.board_bytes[kind]) for kind, messages in self._record.boards.items()},
            board_digest(self._record.witness.rows()) if self._record.boards else "",
        )


def board_digest(rows: list[dict[str, Any]]) -> str:
    """Equal boards have equal ones."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def main() -> None:
    """Come, listen, tell."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    audience = Audience(msgspec.json.decode(sys.argv[1], type=Crowd))
    began = monotonic()
    audience.come_in()
    say(Ready(monotonic() - began))
    audience.listen()
    say(audience.heard())


if __name__ == "__main__":
    main()
