"""What waits for its time: the newest message of each feed that a client wants no more often than so many a second."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Final

from widgets.sending.backlog import Message, Subscription

# What is due goes out in portions, not each with a timer of its own.
_PORTION_S: Final = 0.005

_ordinals = itertools.count()


class Pace:
    """When each feed of one socket may have its next message.

    Args:
        clock: Seconds.
        when_due: Called with a message whose time has come. It is still in `waiting`.

    Attributes:
        waiting: What waits for its time, by feed.
    """

    __slots__ = ("_clock", "_due", "_sent_at", "_timer", "_when_due", "waiting")

    def __init__(self, clock: Callable[[], float], when_due: Callable[[Message], None]) -> None:
        self._clock = clock
        self._when_due = when_due
        self.waiting: dict[str, Message] = {}
        self._sent_at: dict[str, float] = {}
        self._due: list[tuple[float, int, Message]] = []
        self._timer: asyncio.TimerHandle | None = None

    def sent(self, feed: str) -> None:
        """A feed has its message."""
        self._sent_at[feed] = self._clock()

    def wait_for(self, feed: str, subscription: Subscription) -> float | None:
        """When a feed may have its next message; None: now."""
        if subscription.max_rate is None or feed not in self._sent_at:
            return None
        due = self._sent_at[feed] + 1 / subscription.max_rate
        return due if due > self._clock() else None

    def defer(self, message: Message, due: float) -> None:
        """Let the first message of a feed wait for its time."""
        self.waiting[message.feed] = message
        heapq.heappush(self._due, (due, next(_ordinals), message))
        if self._timer is not None and self._due[0][2] is message:
            self._timer.cancel()
            self._timer = None
        self._set_timer()

    def forget(self, subscription: Subscription) -> None:
        """Drop what waits for a subscription."""
        self.waiting = {
            feed: message for feed, message in self.waiting.items() if message.subscription is not subscription
        }

    def close(self) -> None:
        """Drop everything."""
        if self._timer is not None:
            self._timer.cancel()
        self.waiting.clear()
        self._due.clear()

    def _set_timer(self) -> None:
        if self._timer is None and self._due:
            wait = max(self._due[0][0] - self._clock(), _PORTION_S)
            self._timer = asyncio.get_running_loop().call_later(wait, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            message = heapq.heappop(self._due)[2]
            if self.waiting.get(message.feed) is message:
                self._when_due(message)
        self._set_timer()
