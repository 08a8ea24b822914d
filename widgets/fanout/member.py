"""One socket at the hub: what it subscribed to, where its messages go, and whose it is."""

import asyncio
import logging
from collections.abc import Callable

from widgets.protocol import Status, encode
from widgets.sending.outbox import Outbox, Subscription
from widgets.sending.outlet import Outlet
from widgets.visitors.limits import BROKEN
from widgets.visitors.ownership import EVERYONE

log = logging.getLogger(__name__)

# Ends a socket with a close code and a reason. Returns at once.
End = Callable[[int, str], None]


class Member:
    """One socket.

    Args:
        outlet: Where its messages go.
        end: Ends it.

    Attributes:
        outbox: What is on its way there.
        user_id: Of whose rules it gets messages, beside everyone's; None: of all.
        subscriptions: What it asked for, by feed or pattern.
        coming: The feed that it is about to be subscribed to.
        turn: Held by whoever subscribes it or brings it current values: one after the other.
        stale: Feeds and patterns whose current values it is owed.
        interrupted: It was told that the cache is away.
    """

    def __init__(self, outlet: Outlet, end: End) -> None:
        self._outlet = outlet
        self.end = end
        self.outbox = Outbox(outlet)
        self.user_id: int | None = EVERYONE
        self.subscriptions: dict[str, Subscription] = {}
        self._patterns: dict[str, Subscription] = {}
        self.coming: str | None = None
        self.turn = asyncio.Lock()
        self.stale: dict[str, None] = {}
        self.bringing: asyncio.Task[None] | None = None
        self.interrupted = False

    @property
    def patterns(self) -> list[str]:
        """The patterns among what it asked for."""
        return list(self._patterns)

    @property
    def has_envelopes(self) -> bool:
        """Whether its program knows more of the protocol than bare messages."""
        return any(subscription.envelope for subscription in self.subscriptions.values())

    def add(self, feed: str, subscription: Subscription) -> None:
        """Take note of a subscription that stands."""
        self.subscriptions[feed] = subscription
        if feed.endswith("*"):
            self._patterns[feed] = subscription

    def remove(self, feed: str) -> Subscription | None:
        """Forget a subscription, and what waits for it."""
        self._patterns.pop(feed, None)
        subscription = self.subscriptions.pop(feed, None)
        if subscription is not None:
            self.outbox.forget(subscription)
        return subscription

    def chosen(self, feed: str) -> Subscription | None:
        """The subscription that a feed's messages come through, once: the feed's own, else the longest pattern."""
        subscription = self.subscriptions.get(feed)
        if subscription is not None or not self._patterns:
            return subscription
        matching = [pattern for pattern in self._patterns if feed.startswith(pattern[:-1])]
        return self._patterns[max(matching, key=len)] if matching else None

    def may_see(self, owner: int) -> bool:
        """Whether messages of somebody's rules are for it."""
        return owner == EVERYONE or self.user_id is None or self.user_id == owner

    def tell(self, notice: Status) -> None:
        """Send what nobody asked for, whether there is room or not: it is short, and there is little of it."""
        try:
            self._outlet.write(encode(notice).encode())
        except Exception:
            # As with its messages: the others, and the stream, go on.
            log.exception("a socket failed; it is closed")
            self.end(BROKEN, "broken")
