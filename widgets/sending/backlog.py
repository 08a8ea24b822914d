"""What waits for a socket whose transport has no room: bounded, conflated where only the latest counts."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from widgets.fanout.boards import LiveBoard

_CONFLATED: Final = ("scanners:", "quote:", "status", "stocks:quotes:", "stocks:agg:", "top_10_lists")
MOST_IN_ORDER: Final = 2_000

Kind = Literal["snapshot", "update"]


@dataclass(slots=True, eq=False)
class Subscription:
    """What a client asked for with one feed or pattern.

    Attributes:
        envelope: Messages come in an envelope with the feed and a number.
        snapshot: The current value was asked for, to begin with.
        delta: Boards come as changes.
        max_rate: The most messages a second of each feed; None: all of them.
    """

    envelope: bool = False
    snapshot: bool = False
    delta: bool = False
    max_rate: float | None = None


@dataclass(slots=True, eq=False)
class Message:
    """A feed's message on its way to one socket.

    Attributes:
        data: JSON, or the board that is put into words when it goes out.
        since: When it, or the first of those that it replaced, began to wait; by the outbox's clock.
    """

    feed: str
    data: "bytes | LiveBoard"
    subscription: Subscription
    kind: Kind
    since: float

    @property
    def size(self) -> int:
        """Its bytes; none for a board, which all sockets share."""
        return len(self.data) if isinstance(self.data, bytes) else 0


def conflates(feed: str) -> bool:
    """Whether each message of a feed is its whole state, so that only the latest has to arrive."""
    return feed.startswith(_CONFLATED)


class _Line:
    """Messages of one kind, oldest first."""

    __slots__ = ("messages", "size")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.size = 0


class Backlog:
    """Messages that wait, taken in turn from those where the latest counts and those where all do.

    Args:
        most_bytes: The most that wait, all together.
    """

    __slots__ = ("_in_order", "_latest", "_latest_next", "_most_bytes", "_places")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._latest = _Line()
        self._in_order = _Line()
        # What a newer message of the same feed replaces, in whichever of the two it waits.
        self._places: dict[str, Message] = {}
        self._latest_next = False

    def __len__(self) -> int:
        return len(self._latest.messages) + len(self._in_order.messages)

    @property
    def size(self) -> int:
        """The bytes that wait, without the boards that all sockets share."""
        return self._latest.size + self._in_order.size

    @property
    def oldest(self) -> float | None:
        """When the oldest began to wait; None when nothing waits."""
        return min((line.messages[0].since for line in self._lines() if line.messages), default=None)

    def _lines(self) -> tuple[_Line, _Line]:
        return self._latest, self._in_order

    def _line(self, feed: str) -> _Line:
        return self._latest if conflates(feed) else self._in_order

    def replace(self, feed: str, data: "bytes | LiveBoard", subscription: Subscription, kind: Kind) -> bool:
        """Put a newer message of a feed in the place of one that waits.

        It keeps the place, so that a busy board does not overtake a quiet one for ever, and is a snapshot if either
        was one: each message is the whole state.

        Returns:
            Whether one was waiting.
        """
        waiting = self._places.get(feed)
        if waiting is None:
            return False
        line = self._line(feed)
        line.size -= waiting.size
        waiting.data, waiting.subscription = data, subscription
        if kind == "snapshot":
            waiting.kind = kind
        line.size += waiting.size
        return True

    def add(self, message: Message, *, replaceable: bool) -> None:
        """Let a message wait, last of its kind; a replaceable one until the next of its feed."""
        line = self._line(message.feed)
        line.messages.append(message)
        line.size += message.size
        if replaceable:
            self._places[message.feed] = message
        else:
            # A newer one has to come after this one.
            self._places.pop(message.feed, None)

    def overflowing(self) -> Message | None:
        """Take away the oldest message when there are too many; None when there are not.

        Too many bytes are taken from the kind that has more of them; a single message may have any size.
        """
        if len(self._in_order.messages) > MOST_IN_ORDER:
            return self._out(self._in_order)
        if self.size > self._most_bytes and len(self) > 1:
            return self._out(max(self._lines(), key=lambda line: line.size))
        return None

    def take(self) -> Message:
        """The next message, of both kinds in turn, so that neither waits for ever behind the other."""
        from_latest = bool(self._latest.messages) and (self._latest_next or not self._in_order.messages)
        self._latest_next = not from_latest
        return self._out(self._latest if from_latest else self._in_order)

    def _out(self, line: _Line) -> Message:
        message = line.messages.popleft()
        line.size -= message.size
        if self._places.get(message.feed) is message:
            del self._places[message.feed]
        return message

    def forget(self, subscription: Subscription) -> None:
        """Drop what waits for a subscription."""
        for line in self._lines():
            line.messages = deque(message for message in line.messages if message.subscription is not subscription)
            line.size = sum(message.size for message in line.messages)
        self._places = {
            feed: message for feed, message in self._places.items() if message.subscription is not subscription
        }
