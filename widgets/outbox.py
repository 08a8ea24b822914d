"""One socket's bounded, conflating queue: a slow client gets the latest state later, and delays nobody.

Of boards, quotes and status only the latest waits; alerts, prints and news wait in order, the oldest dropped first and
the gap told by the sequence number.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from widgets import protocol

_CONFLATED: Final = ("scanners:", "quote:", "status", "stocks:quotes:", "stocks:agg:", "top_10_lists")
_MOST_IN_ORDER: Final = 2_000

Kind = Literal["snapshot", "update"]


@dataclass(slots=True, eq=False)
class Subscription:
    """What a client asked for with one feed or pattern."""

    envelope: bool = False


@dataclass(slots=True, frozen=True)
class _Waiting:
    feed: str
    data: str
    subscription: Subscription
    kind: Kind = "update"


def conflates(feed: str) -> bool:
    """Whether each message of a feed is its whole state, so that only the latest has to arrive."""
    return feed.startswith(_CONFLATED)


class Outbox:
    """Messages that wait for one socket."""

    def __init__(self) -> None:
        self._latest: dict[str, _Waiting] = {}
        self._in_order: deque[_Waiting] = deque()
        self._seq: dict[str, int] = {}
        self._held: dict[str, deque[_Waiting]] = {}
        self._without_snapshot: set[str] = set()
        self._ready = asyncio.Event()
        self._latest_next = False
        self.dropped = 0

    def put(self, feed: str, data: str, subscription: Subscription) -> None:
        """Let a feed's message wait. Never blocks.

        Args:
            feed: The concrete feed.
            data: The message as JSON.
            subscription: Through which the client gets it.
        """
        held = self._held.get(feed)
        if held is None:
            self._enqueue(_Waiting(feed, data, subscription))
            return
        if conflates(feed):
            held.clear()
        elif len(held) >= _MOST_IN_ORDER:
            self._drop(held.popleft())
        held.append(_Waiting(feed, data, subscription))

    def _enqueue(self, waiting: _Waiting) -> None:
        feed = waiting.feed
        if conflates(feed):
            before = self._latest.get(feed)
            if feed in self._without_snapshot or (before is not None and before.kind == "snapshot"):
                # Each message is the whole state, and the client waits for one to begin with.
                waiting = _Waiting(feed, waiting.data, waiting.subscription, "snapshot")
                self._without_snapshot.discard(feed)
            # The place in the queue is kept: a busy board does not overtake a quiet one for ever.
            self._latest[feed] = waiting
        else:
            if len(self._in_order) >= _MOST_IN_ORDER:
                self._drop(self._in_order.popleft())
            self._in_order.append(waiting)
        self._ready.set()

    def _drop(self, lost: _Waiting) -> None:
        self.dropped += 1
        if lost.subscription.envelope:
            self._next(lost.feed)

    def forget(self, subscription: Subscription) -> None:
        """Drop what waits for a subscription that has ended. A feed's numbers go on, should it be subscribed again."""
        self._latest = {feed: item for feed, item in self._latest.items() if item.subscription is not subscription}
        self._in_order = deque(item for item in self._in_order if item.subscription is not subscription)

    def hold(self, feed: str) -> None:
        """Keep a feed's messages back while its current value is being read: that one goes out first.

        Called again it drops what it kept: a value that is read from now on says all of it.
        """
        self._held[feed] = deque()

    def release(self, feed: str, snapshot: str | None, subscription: Subscription) -> None:
        """Let the current value wait, then a feed's messages again, without one that says the same.

        Args:
            feed: The concrete feed.
            snapshot: The current value as JSON; None when it could not be read.
            subscription: Which asked for it.
        """
        if snapshot is not None:
            self._enqueue(_Waiting(feed, snapshot, subscription, "snapshot"))
        elif conflates(feed):
            self._without_snapshot.add(feed)
        for waiting in self._held.pop(feed, ()):
            if waiting.data != snapshot:
                self._enqueue(waiting)

    def _next(self, feed: str) -> int:
        self._seq[feed] = number = self._seq.get(feed, 0) + 1
        return number

    async def take(self) -> str:
        """The next message as it goes out. Waits for one."""
        while not self._in_order and not self._latest:
            self._ready.clear()
            await self._ready.wait()
        # In turn, so that neither kind waits for ever behind the other.
        if self._latest and (self._latest_next or not self._in_order):
            waiting = self._latest.pop(next(iter(self._latest)))
            self._latest_next = False
        else:
            waiting = self._in_order.popleft()
            self._latest_next = True
        if not waiting.subscription.envelope:
            return waiting.data
        return protocol.enveloped(waiting.feed, self._next(waiting.feed), waiting.kind, waiting.data)
