"""Who gets what Redis sends: worked out once a channel, so that a message costs the calls to its outboxes alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from widgets.fanout.member import Member
from widgets.sending.outbox import Subscription

_DELTAS: Final = "tw:delta:"
_BOARDS: Final = "scanners"
# Of one pattern so many are remembered; they are worked out anew then.
_MOST_ROUTES: Final = 20_000


def deltas_of(feed: str) -> str:
    """The channel or pattern of boards' deltas."""
    return _DELTAS + feed


def name_of(feed: str, subscription: Subscription) -> str:
    """The channel or pattern that a subscription needs."""
    return deltas_of(feed) if subscription.delta and feed.startswith(_BOARDS) else feed


class Route(NamedTuple):
    """Where the messages of one channel go.

    Attributes:
        feed: What clients call it.
        deltas: Whether they are a board's deltas.
        targets: Who gets them, through which subscription.
    """

    feed: str
    deltas: bool
    targets: list[tuple[Member, Subscription]]


@dataclass(eq=False)
class Listening:
    """A channel or pattern that Redis was asked for.

    Attributes:
        name: As Redis knows it.
        members: Who wants it.
        expected: Who will.
    """

    name: str
    members: dict[Member, Subscription] = field(default_factory=dict)
    expected: set[Member] = field(default_factory=set)
    _routes: dict[bytes, Route] = field(default_factory=dict)

    @property
    def is_pattern(self) -> bool:
        """Whether it brings the messages of several channels."""
        return self.name.endswith("*")

    @property
    def deltas(self) -> bool:
        """Whether it brings boards' deltas."""
        return self.name.startswith(_DELTAS)

    def matches(self, channel: str) -> bool:
        """Whether this pattern brings the messages of a channel."""
        return channel.startswith(self.name[:-1])

    def route(self, channel: bytes, owner_of: Callable[[str], int]) -> Route:
        """Where a message of a channel goes that has come through this.

        A message that several subscriptions of one member match comes several times, and is sent once.
        """
        route = self._routes.get(channel)
        if route is None:
            route = self._worked_out(channel.decode("utf-8", "replace"), owner_of)
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            self._routes[channel] = route
        return route

    def _worked_out(self, channel: str, owner_of: Callable[[str], int]) -> Route:
        feed = channel.removeprefix(_DELTAS)
        owner = owner_of(feed)
        targets = [
            (member, subscription)
            for member, subscription in self.members.items()
            if member.may_see(owner) and member.chosen(feed) is subscription
        ]
        return Route(feed, feed != channel, targets)

    def changed(self, channel: str | None = None) -> None:
        """Something about its members has changed, or about this channel alone: work it out anew."""
        if channel is None:
            self._routes.clear()
        else:
            self._routes.pop(channel.encode(), None)
