"""One socket's outbox: straight through while its transport has room; else bounded, so that it delays nobody.

A slow client gets the latest state later. Of boards, quotes and status only the latest waits; alerts, prints and news
wait in order, the oldest dropped first, the gap told by the sequence number and followed by a snapshot.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from django.conf import settings

from widgets.protocol import envelope_head
from widgets.sending.backlog import Backlog, Kind, Message, Subscription, conflates
from widgets.sending.outlet import Outlet
from widgets.sending.pacing import Pace

if TYPE_CHECKING:
    from widgets.fanout.boards import LiveBoard

__all__ = ["Outbox", "Subscription", "conflates"]

# A client that loses messages all the time is sent the current values this often, not each time that it has room.
_TELL_LOSSES_S: Final = 1.0
_NEVER_SENT: Final = -2


def _nobody_cares(feed: str, subscription: Subscription) -> None:
    """What becomes of a loss until somebody wants to know."""


class Outbox:
    """Messages on their way to one socket.

    Args:
        outlet: Takes them.
        clock: Seconds.

    Attributes:
        on_loss: Called with a feed that lost messages and its enveloped subscription, when there is room again: it is
            time for its current value.
        sent: Messages given to the transport.
        sent_bytes: Their size.
        dropped: Messages that were lost, because too much waited.
        conflated: Messages that a newer one of their feed replaced.
    """

    __slots__ = (
        "_boards",
        "_clock",
        "_draining",
        "_held",
        "_lost",
        "_opening",
        "_outlet",
        "_pace",
        "_seq",
        "_told_at",
        "_waiting",
        "conflated",
        "dropped",
        "on_loss",
        "sent",
        "sent_bytes",
    )

    def __init__(self, outlet: Outlet, clock: Callable[[], float] = time.monotonic) -> None:
        self._outlet = outlet
        self._clock = clock
        self.on_loss: Callable[[str, Subscription], None] = _nobody_cares
        self.sent = self.sent_bytes = self.dropped = self.conflated = 0
        # The number of each feed's last message, which goes on should it be subscribed again.
        self._seq: dict[str, int] = {}
        # The board's version that went out last, and the number of that message.
        self._boards: dict[str, tuple[int, int, Subscription]] = {}
        # None while nothing waits, which is nearly always.
        self._waiting: Backlog | None = None
        self._draining = False
        self._held: dict[str, Backlog] = {}
        # Feeds whose snapshot could not be read: the first whole state is one.
        self._opening: dict[str, None] = {}
        self._lost: dict[str, Subscription] = {}
        self._told_at = float("-inf")
        # None while no feed has a `max_rate`.
        self._pace: Pace | None = None
        outlet.when_room(self._on_room)

    @property
    def waiting(self) -> int:
        """How many messages wait for room."""
        return 0 if self._waiting is None else len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """How much waits for room."""
        return 0 if self._waiting is None else self._waiting.size

    @property
    def behind_s(self) -> float:
        """How long the oldest of what waits for room has been waiting."""
        oldest = None if self._waiting is None else self._waiting.oldest
        return 0.0 if oldest is None else self._clock() - oldest

    def put(self, feed: str, data: bytes, subscription: Subscription) -> None:
        """Send a feed's message, or let it wait. Never blocks.

        Args:
            feed: The concrete feed.
            data: The message as JSON.
            subscription: Through which the client gets it.
        """
        if (
            self._waiting is None
            and self._outlet.has_room
            and subscription.max_rate is None
            and feed not in self._held
            and feed not in self._opening
            and (self._pace is None or feed not in self._pace.waiting)
        ):
            self._send(feed, data, subscription)
        else:
            self._put(feed, data, subscription)

    def put_board(self, feed: str, board: "LiveBoard", subscription: Subscription, *, whole: bool = False) -> None:
        """Send what changed of a board since the client got it last, or let it wait and be put into words later.

        Args:
            feed: The concrete feed.
            board: What it shows now.
            subscription: Through which the client gets it.
            whole: The client has to get all of it.
        """
        if whole:
            self._boards.pop(feed, None)
        self._put(feed, board, subscription)

    def _put(self, feed: str, data: "bytes | LiveBoard", subscription: Subscription) -> None:
        if self._outlet is _CLOSED:
            return
        if (held := self._held.get(feed)) is not None:
            self._keep(held, feed, data, subscription, "update")
        elif subscription.max_rate is not None or self._pace is not None:
            self._pass_in_time(feed, data, subscription)
        else:
            self._pass_on(feed, data, subscription)

    def _pass_on(self, feed: str, data: "bytes | LiveBoard", subscription: Subscription, kind: Kind = "update") -> None:
        """Send a message if there is room and nothing waits before it."""
        if feed in self._opening:
            del self._opening[feed]
            kind = "snapshot"
        if self._waiting is None and self._outlet.has_room:
            self._send(feed, data, subscription, kind)
            return
        if self._waiting is None:
            self._waiting = _backlog()
        self._keep(self._waiting, feed, data, subscription, kind)

    def _keep(
        self, backlog: Backlog, feed: str, data: "bytes | LiveBoard", subscription: Subscription, kind: Kind
    ) -> None:
        """Let a message wait in a backlog, and drop what is too much there."""
        conflating = conflates(feed)
        # A snapshot of what comes in order is a list that no single message replaces, nor does it replace one.
        replaceable = conflating or (subscription.max_rate is not None and kind == "update")
        if replaceable and backlog.replace(feed, data, subscription, kind):
            self.conflated += 1
        else:
            backlog.add(Message(feed, data, subscription, kind, self._clock()), replaceable=replaceable)
        while (lost := backlog.overflowing()) is not None:
            self.dropped += 1
            if lost.subscription.envelope:
                self._seq[lost.feed] = self._seq.get(lost.feed, 0) + 1
                self._lost[lost.feed] = lost.subscription

    def _send(self, feed: str, data: "bytes | LiveBoard", subscription: Subscription, kind: Kind = "update") -> None:
        """Give a message to the transport."""
        if subscription.max_rate is not None:
            self._paced().sent(feed)
        if not isinstance(data, bytes):
            self._send_board(feed, data, subscription)
            return
        if self._boards:
            # The next delta would build on something that the client no longer shows.
            self._boards.pop(feed, None)
        self.sent += 1
        if subscription.envelope:
            self._seq[feed] = seq = self._seq.get(feed, 0) + 1
            head = envelope_head(feed, seq, kind)
            self.sent_bytes += len(head) + len(data) + 1
            self._outlet.write(head, data, b"}")
        else:
            self.sent_bytes += len(data)
            self._outlet.write(data)

    def _send_board(self, feed: str, board: "LiveBoard", subscription: Subscription) -> None:
        """Give a board to the transport, as the change since the client got it last where that is known."""
        version, base, _ = self._boards.get(feed, (_NEVER_SENT, 0, None))
        self._seq[feed] = seq = self._seq.get(feed, 0) + 1
        self._boards[feed] = (board.version, seq, subscription)
        changes = None if version == _NEVER_SENT else board.since(version)
        parts: tuple[bytes, ...]
        if changes is None:
            parts = (envelope_head(feed, seq, "snapshot"), board.snapshot(), b"}")
        else:
            parts = (envelope_head(feed, seq, "delta"), b'{"base":%d,' % base, changes, b"}")
        self.sent += 1
        self.sent_bytes += sum(map(len, parts))
        self._outlet.write(*parts)

    def _paced(self) -> Pace:
        if self._pace is None:
            self._pace = Pace(self._clock, self._on_time)
        return self._pace

    def _pass_in_time(self, feed: str, data: "bytes | LiveBoard", subscription: Subscription) -> None:
        """Send a message if its feed may have one now, else let it wait for its time, instead of the one before it."""
        pace = self._paced()
        due = pace.wait_for(feed, subscription)
        before = pace.waiting.get(feed)
        if due is None:
            if before is not None:
                del pace.waiting[feed]
                if subscription.max_rate is None and not conflates(feed):
                    # The rate was lifted: from here on each message counts.
                    self._pass_on(feed, before.data, before.subscription)
                else:
                    self.conflated += 1
            self._pass_on(feed, data, subscription)
        elif before is not None:
            before.data, before.subscription = data, subscription
            self.conflated += 1
        else:
            pace.defer(Message(feed, data, subscription, "update", self._clock()), due)

    def _on_time(self, message: Message) -> None:
        """Send what has waited for its time."""
        if message.feed not in self._held:
            del self._paced().waiting[message.feed]
            self._pass_in_time(message.feed, message.data, message.subscription)

    def _on_room(self) -> None:
        """Send what waits while there is room."""
        if self._draining or not self._outlet.has_room:
            return
        if self._lost and (self._waiting is None or self._clock() - self._told_at >= _TELL_LOSSES_S):
            self._tell_losses()
        # The transport may find room while it is written to, and say so.
        self._draining = True
        try:
            while self._waiting is not None and self._outlet.has_room:
                message = self._waiting.take()
                if not self._waiting:
                    self._waiting = None
                self._send_waiting(message)
        finally:
            self._draining = False
        if self._lost and self._waiting is None:
            self._tell_losses()

    def _send_waiting(self, message: Message) -> None:
        pace = self._pace
        due = None if pace is None else pace.wait_for(message.feed, message.subscription)
        if pace is None or due is None or message.kind == "snapshot":
            self._send(message.feed, message.data, message.subscription, message.kind)
        elif message.feed in pace.waiting:
            self.conflated += 1
        else:
            # It waited behind a snapshot that has just gone out.
            pace.defer(message, due)

    def _tell_losses(self) -> None:
        lost, self._lost = self._lost, {}
        self._told_at = self._clock()
        for feed, subscription in lost.items():
            self.on_loss(feed, subscription)

    def hold(self, feed: str) -> None:
        """Keep a feed's messages back while its current value is being read: that one goes out first.

        Called again it drops what it kept: a value that is read from now on says all of it.
        """
        self._held[feed] = _backlog()

    def release(self, feed: str, snapshot: bytes | None, subscription: Subscription) -> None:
        """Send the current value, then a feed's messages again, without one that says the same.

        Args:
            feed: The concrete feed.
            snapshot: The current value as JSON; None when it could not be read.
            subscription: Which asked for it.
        """
        held = self._held.pop(feed, None)
        paced = None if self._pace is None else self._pace.waiting.pop(feed, None)
        if snapshot is not None:
            self.conflated += paced is not None
            self._pass_on(feed, snapshot, subscription, "snapshot")
        else:
            if conflates(feed):
                self._opening[feed] = None
            if paced is not None:
                self._put(feed, paced.data, paced.subscription)
        while held:
            message = held.take()
            if message.data != snapshot:
                self._put(feed, message.data, message.subscription)
        # What was held may have been too much.
        self._on_room()

    def forget(self, subscription: Subscription) -> None:
        """Drop what waits for a subscription that has ended. A feed's numbers go on, should it be subscribed again."""
        for backlog in (self._waiting, *self._held.values()):
            if backlog is not None:
                backlog.forget(subscription)
        if not self._waiting:
            self._waiting = None
        if self._pace is not None:
            self._pace.forget(subscription)
        self._lost = {feed: lost for feed, lost in self._lost.items() if lost is not subscription}
        self._boards = {feed: sent for feed, sent in self._boards.items() if sent[2] is not subscription}

    def close(self) -> None:
        """Drop everything; nothing goes out any more."""
        self._outlet.when_room(_nothing)
        self._outlet = _CLOSED
        if self._pace is not None:
            self._pace.close()
        self._waiting = None
        for kept in (self._held, self._lost, self._boards, self._opening):
            kept.clear()


def _backlog() -> Backlog:
    return Backlog(settings.WDS_BACKLOG_MB * 1024 * 1024)


def _nothing() -> None:
    """What becomes of room when nothing is sent any more."""


class _Closed:
    """Where nothing goes any more."""

    has_room = False

    def write(self, *parts: bytes) -> None:
        """Drop it."""

    def when_room(self, call: Callable[[], None]) -> None:
        """There never is."""


_CLOSED: Final[Outlet] = _Closed()
