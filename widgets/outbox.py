"""One socket's bounded, conflating queue: a slow client gets the latest state later, and delays nobody.

Of boards, quotes and status only the latest waits; alerts, prints and news wait in order, the oldest dropped first and
the gap told by the sequence number.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from widgets import protocol

_CONFLATED: Final = ("scanners:", "quote:", "status", "stocks:quotes:", "stocks:agg:", "top_10_lists")
_MOST_IN_ORDER: Final = 2_000


@dataclass(slots=True)
class Subscription:
    """What a client asked for with one feed or pattern."""

    envelope: bool = False


class Outbox:
    """Messages that wait for one socket."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[str, Subscription]] = {}
        self._in_order: deque[tuple[str, str, Subscription]] = deque()
        self._seq: dict[str, int] = {}
        self._held: dict[str, list[tuple[str, Subscription]]] = {}
        self._ready = asyncio.Event()
        self.dropped = 0

    def put(self, feed: str, data: str, subscription: Subscription) -> None:
        """Let a feed's message wait. Never blocks.

        Args:
            feed: The concrete feed.
            data: The message as JSON.
            subscription: Through which the client gets it.
        """
        held = self._held.get(feed)
        if held is not None:
            if feed.startswith(_CONFLATED):
                held.clear()
            if len(held) < _MOST_IN_ORDER:
                held.append((data, subscription))
            return
        if feed.startswith(_CONFLATED):
            # The place in the queue is kept: a busy board does not overtake a quiet one for ever.
            self._latest[feed] = (data, subscription)
        else:
            if len(self._in_order) >= _MOST_IN_ORDER:
                lost_feed, _, lost = self._in_order.popleft()
                self.dropped += 1
                if lost.envelope:
                    self._seq[lost_feed] = self._seq.get(lost_feed, 0) + 1
            self._in_order.append((feed, data, subscription))
        self._ready.set()

    def forget(self, feed: str) -> None:
        """Drop what waits of a feed that is no longer subscribed; its numbers begin anew with the next subscription."""
        self._latest.pop(feed, None)
        self._in_order = deque(item for item in self._in_order if item[0] != feed)
        self._seq.pop(feed, None)

    def hold(self, feed: str) -> None:
        """Keep a feed's messages back while its current value is being read: that one goes out first."""
        self._held[feed] = []

    def release(self, feed: str, snapshot: str) -> None:
        """Let a feed's messages go again, without one that says what the snapshot said."""
        for data, subscription in self._held.pop(feed, []):
            if data != snapshot:
                self.put(feed, data, subscription)

    def snapshot(self, feed: str, data: str) -> str:
        """The current value as the first message of an enveloped subscription."""
        return protocol.enveloped(feed, self._next(feed), "snapshot", data)

    def _next(self, feed: str) -> int:
        self._seq[feed] = number = self._seq.get(feed, 0) + 1
        return number

    async def take(self) -> str:
        """The next message as it goes out. Waits for one."""
        while True:
            if self._in_order:
                feed, data, subscription = self._in_order.popleft()
                break
            if self._latest:
                feed = next(iter(self._latest))
                data, subscription = self._latest.pop(feed)
                break
            self._ready.clear()
            await self._ready.wait()
        return protocol.enveloped(feed, self._next(feed), "update", data) if subscription.envelope else data
