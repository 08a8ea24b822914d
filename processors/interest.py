"""Who listens to what, so that nothing is encoded and published for nobody."""

from time import monotonic, time
from typing import Final

import redis

INTEREST: Final = "tw:interest"
PATTERNS: Final = "tw:patterns"


class Interest:
    """Which channels somebody listens to.

    Every merge reports a counter that the hubs raise when a subscription comes or goes; only then are the channels
    asked for again, and every two seconds for hubs that died. Patterns cannot be asked of Redis: hubs write them down
    with the time until which they stand.
    """

    _REFRESH_S = 2.0
    # Asking for a hundred thousand channels takes a tenth of a second. From so long on, ten times that goes into work
    # before they are asked for again: who subscribes to and fro slows his own beginning, not the feed.
    _LONG_S = 0.01
    _WORK = 10

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client
        self._known = -1
        self._told = 0
        self._asked = 0.0
        self._not_before = 0.0
        self._channels: frozenset[str] = frozenset()
        self._prefixes: tuple[str, ...] = ()
        self._any_of: dict[str, bool] = {}

    def told(self, counter: int) -> None:
        """Take note of the counter that a merge reported."""
        self._told = counter

    def refresh(self) -> None:
        """Ask again if something changed, or the last answer is old. Called once a batch."""
        now = monotonic()
        if now < self._not_before or (self._known == self._told and now - self._asked < self._REFRESH_S):
            return
        self._known, self._asked = self._told, now
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.pubsub_channels("*")
            pipe.zrangebyscore(PATTERNS, time(), "+inf")
            channels, patterns = pipe.execute()
        self._channels = frozenset(channel.decode() for channel in channels)
        self._prefixes = tuple(pattern.decode().removesuffix("*") for pattern in patterns)
        self._any_of.clear()
        done = monotonic()
        if done - now > self._LONG_S:
            self._not_before = done + self._WORK * (done - now)

    def wanted(self, channel: str) -> bool:
        """Whether somebody listens to a channel."""
        return channel in self._channels or (bool(self._prefixes) and channel.startswith(self._prefixes))

    def any_of(self, prefix: str) -> bool:
        """Whether somebody listens to some channel that begins so."""
        known = self._any_of.get(prefix)
        if known is None:
            known = self._any_of[prefix] = any(channel.startswith(prefix) for channel in self._channels) or any(
                pattern.startswith(prefix) or prefix.startswith(pattern) for pattern in self._prefixes
            )
        return known
