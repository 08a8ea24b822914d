"""What the Python client's loops read: a board rebuilt from its messages, or a feed's messages one by one.

Nothing here knows of the socket; widgets/client.py puts in what arrives there.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

# A loop that is further behind loses the oldest messages, and is told how many.
_MOST_UNREAD: Final = 10_000
_FEED: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,100}|[A-Za-z0-9_.:/-]{0,99}\*")
_SLUG: Final = re.compile(r"(?!scanners:)[a-z0-9_:]{1,90}")
_RATES: Final = (0.01, 1_000)
# A program that kept the event loop busy finds what arrived meanwhile within so long.
_CATCH_UP_S: Final = 1.0

Row = dict[str, Any]


class ClientError(Exception):
    """What a program that uses the client has to know."""


class Unreachable(ClientError):
    """There is no Tapewatch at the address."""


class NotAuthorised(ClientError):
    """The token is not, or no longer, good."""


class Forbidden(ClientError):
    """The user may not read a feed, or may not any more."""


class Refused(ClientError):
    """The server could not answer a request."""


class Stale(ClientError):
    """A board has said nothing for too long; one that is alive says every five seconds that it stands."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a feed.

    Attributes:
        feed: Its concrete feed, where a pattern was asked for too.
        type: `snapshot` for the whole current value, `update` for what is new.
        data: The payload.
        lost: How many messages of this feed went lost before this one, other than while there was no connection.
    """

    feed: str
    type: str
    data: Any
    lost: int = 0


class BoardCopy:
    """A board, rebuilt from the enveloped messages of its feed."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._seq = 0

    def take(self, message: dict[str, Any]) -> bool:
        """Follow a message.

        Returns:
            False for a delta that builds on a message that did not arrive: the whole board is needed.
        """
        data = message["data"]
        if message["type"] != "delta":
            self._rows = {row["symbol"]: row for row in data or ()}
        elif data["base"] != self._seq:
            self._seq = 0
            return False
        else:
            for symbol in data["remove"]:
                self._rows.pop(symbol, None)
            for row in data["upsert"]:
                symbol = row["symbol"]
                self._rows[symbol] = self._rows.get(symbol, {}) | row
            if "order" in data:
                self._rows = {symbol: self._rows[symbol] for symbol in data["order"]}
        self._seq = message["seq"]
        return True

    def rows(self) -> list[Row]:
        """The rows, best first, each with its rank; the caller's to keep."""
        return [row | {"rank": rank} for rank, row in enumerate(self._rows.values(), 1)]


class Reading(ABC):
    """What one loop reads.

    Attributes:
        feed: A feed or pattern.
        request: What asks for it.
        confirmed: Whether this connection's server has said that it is subscribed.
    """

    def __init__(self, feed: str, max_rate: float | None, **options: bool) -> None:
        if not _FEED.fullmatch(feed):
            raise ValueError(f"{feed!r} is no feed: letters, digits and _ . : / - only, and * at the end alone.")
        if max_rate is not None and not _RATES[0] <= max_rate <= _RATES[1]:
            raise ValueError(f"A max_rate is between {_RATES[0]} and {_RATES[1]} messages a second.")
        self.feed = feed
        self.request = {"action": "subscribe", "feed": feed, "envelope": True, "snapshot": True, **options}
        if max_rate is not None:
            self.request["max_rate"] = max_rate
        self.confirmed = False
        self._error: ClientError | None = None
        self._changed = asyncio.Event()

    @abstractmethod
    def take(self, message: dict[str, Any], connection: int) -> bool:
        """Take in a message.

        Args:
            connection: The how many-th connection brought it.

        Returns:
            False when the current value has to be asked for, because it cannot be understood without.
        """

    def fail(self, error: ClientError) -> None:
        """End the loop."""
        self._error = error
        self._changed.set()


class BoardReading(Reading):
    """A board, of which a slow loop reads the latest state.

    Args:
        stale_s: How long the server may say nothing of it; None: for ever.
    """

    def __init__(self, slug: str, max_rate: float | None, stale_s: float | None) -> None:
        if not _SLUG.fullmatch(slug):
            raise ValueError(f"{slug!r} is no board: it has a name such as top_gainers, and one loop reads one board.")
        super().__init__(f"scanners:{slug}", max_rate, delta=True)
        self._board = BoardCopy()
        # To subscribe is to ask for it.
        self._whole_asked = True
        self._stale_s = stale_s
        self._heard_at = monotonic()

    def take(self, message: dict[str, Any], connection: int) -> bool:
        self._heard_at = monotonic()
        if not self._board.take(message):
            asked, self._whole_asked = self._whole_asked, True
            return asked
        self._whole_asked = False
        data = message["data"]
        if message["type"] != "delta" or data["upsert"] or data["remove"] or "order" in data:
            self._changed.set()
        return True

    async def next(self) -> list[Row]:
        """The rows, when they have changed.

        Raises:
            ClientError: There will be none any more, or `Stale`.
        """
        caught_up_at = monotonic() + min(_CATCH_UP_S, self._stale_s or 0.0)
        while not self._changed.is_set():
            silent_s = monotonic() - self._heard_at
            wait_s = None
            if self._stale_s is not None:
                wait_s = max(self._stale_s - silent_s, caught_up_at - monotonic())
            if wait_s is not None and wait_s <= 0:
                raise Stale(f"{self.feed} has said nothing for {silent_s:.0f} s.")
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
        if self._error is not None:
            raise self._error
        self._changed.clear()
        return self._board.rows()


class FeedReading(Reading):
    """A feed or pattern: every message, in order."""

    def __init__(self, feed: str, max_rate: float | None) -> None:
        super().__init__(feed, max_rate)
        self._unread: deque[tuple[dict[str, Any], int]] = deque(maxlen=_MOST_UNREAD)
        # Where each feed stands: a connection, and the number of the last message there.
        self._read: dict[str, tuple[int, int]] = {}
        # Boards that come to a pattern by a board's own loop, as deltas.
        self._boards: dict[str, BoardCopy] = {}

    def take(self, message: dict[str, Any], connection: int) -> bool:
        feed = message["feed"]
        if feed.startswith("scanners:"):
            met = feed in self._boards
            board = self._boards.setdefault(feed, BoardCopy())
            if not board.take(message):
                # The board's own loop asks for it by itself, unless it has it already.
                return met
            if message["type"] == "delta":
                message = message | {"type": "update", "data": board.rows()}
        self._unread.append((message, connection))
        self._changed.set()
        return True

    async def next(self) -> Message:
        """The next message.

        Raises:
            ClientError: There will be none any more.
        """
        while not self._unread:
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()
        message, connection = self._unread.popleft()
        feed, seq = message["feed"], message["seq"]
        # The numbers begin anew with each connection, and with the first message that this loop reads.
        before, number = self._read.get(feed, (connection, seq - 1))
        self._read[feed] = (connection, seq)
        lost = seq - 1 - (number if before == connection else 0)
        return Message(feed, message["type"], message["data"], lost)
