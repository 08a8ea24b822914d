"""One Redis subscription a process for all its clients, fanned out in memory.

The hub subscribes to a channel while some client wants it, and tells the workers by a counter that interest has changed
(`processors.store.Interest`). A channel-layer group would lose messages at its capacity and cost a hundred times more.
"""

import asyncio
import logging
from time import time
from typing import Final

import redis.asyncio as redis_async
from django.conf import settings
from redis.exceptions import RedisError

from processors.store import INTEREST, PATTERNS
from widgets.outbox import Outbox, Subscription

log = logging.getLogger(__name__)

# A pattern stands this long at the workers; it is written anew well before.
_PATTERN_LIFE_S: Final = 6.0
_RENEW_S: Final = 2.0
_RECONNECT_S: Final = 0.5
# The subscription is only complete when Redis has answered; a client does not wait longer than this for it.
_CONFIRM_TIMEOUT_S: Final = 2.0


class Member:
    """One socket at the hub: what it subscribed to, and its outbox."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.subscriptions: dict[str, Subscription] = {}

    def subscription_for(self, via: str, channel: str) -> Subscription | None:
        """The subscription that a message arriving `via` a channel or pattern is for.

        A message that several subscriptions match is sent once: through the channel's own, else the longest pattern.
        """
        if channel in self.subscriptions:
            return self.subscriptions[channel] if via == channel else None
        matching = [name for name in self.subscriptions if name.endswith("*") and channel.startswith(name[:-1])]
        return self.subscriptions[via] if matching and via == max(matching, key=len) else None


class Hub:
    """Fans Redis messages out to the members of this process."""

    def __init__(self) -> None:
        self._members: dict[str, set[Member]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._redis: redis_async.Redis | None = None
        self._pubsub: redis_async.client.PubSub | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.connected = False

    def start(self) -> None:
        """Begin to listen, with the first member."""
        if not self._tasks:
            self._redis = redis_async.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=5)
            self._tasks = [asyncio.create_task(self._listen_for_ever()), asyncio.create_task(self._renew_for_ever())]

    async def subscribe(self, member: Member, feed: str, subscription: Subscription) -> None:
        """Add a member's subscription; returns when Redis has confirmed it, so that nothing after it is missed."""
        self.start()
        member.subscriptions[feed] = subscription
        members = self._members.setdefault(feed, set())
        members.add(member)
        event = self._confirmed.get(feed)
        if event is None:
            event = self._confirmed[feed] = asyncio.Event()
            await self._tell(feed)
        try:
            await asyncio.wait_for(event.wait(), _CONFIRM_TIMEOUT_S)
        except TimeoutError:
            # Redis is away: the reader subscribes to all of it again when it is back.
            log.warning("cache unreachable: a subscription waits for it")

    async def unsubscribe(self, member: Member, feed: str) -> None:
        """Take a member's subscription away."""
        member.subscriptions.pop(feed, None)
        members = self._members.get(feed)
        if members is None:
            return
        members.discard(member)
        if not members:
            del self._members[feed]
            self._confirmed.pop(feed, None)
            await self._tell(feed, away=True)

    async def leave(self, member: Member) -> None:
        """Take all subscriptions of a member away."""
        for feed in list(member.subscriptions):
            await self.unsubscribe(member, feed)

    async def _tell(self, feed: str, away: bool = False) -> None:
        """Tell Redis and the workers of a channel or pattern that is wanted, or no longer wanted."""
        assert self._redis is not None  # noqa: S101 - start() made it
        is_pattern = feed.endswith("*")
        try:
            if self._pubsub is not None and self.connected:
                if away:
                    await (self._pubsub.punsubscribe(feed) if is_pattern else self._pubsub.unsubscribe(feed))
                else:
                    await (self._pubsub.psubscribe(feed) if is_pattern else self._pubsub.subscribe(feed))
            if is_pattern and not away:
                await self._redis.zadd(PATTERNS, {feed: time() + _PATTERN_LIFE_S})
            await self._redis.incr(INTEREST)
        except (RedisError, OSError) as error:
            log.warning("cache unreachable, subscriptions are renewed when it is back: %s", error)

    async def _renew_for_ever(self) -> None:
        """Keep this hub's patterns standing at the workers."""
        while True:
            await asyncio.sleep(_RENEW_S)
            patterns = {feed: time() + _PATTERN_LIFE_S for feed in self._members if feed.endswith("*")}
            if patterns and self._redis is not None:
                try:
                    await self._redis.zadd(PATTERNS, patterns)
                except (RedisError, OSError) as error:
                    log.warning("cache unreachable: %s", error)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.warning("cache unreachable, listening again soon: %s", error)
            self.connected = False
            await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        assert self._redis is not None  # noqa: S101 - start() made it
        async with self._redis.pubsub() as pubsub:
            self._pubsub = pubsub
            # A subscription of our own keeps the connection in subscriber mode while no client wants anything.
            await pubsub.subscribe("tw:hub")
            self.connected = True
            for feed in list(self._members):
                await (pubsub.psubscribe(feed) if feed.endswith("*") else pubsub.subscribe(feed))
            if self._members:
                await self._redis.incr(INTEREST)
            while True:
                message = await pubsub.get_message(timeout=10.0)
                if message is not None:
                    self._handle(message)

    def _handle(self, message: dict[str, object]) -> None:
        kind = message["type"]
        channel = _text(message["channel"])
        if kind in {"subscribe", "psubscribe"}:
            if (event := self._confirmed.get(channel)) is not None:
                event.set()
        elif kind in {"message", "pmessage"}:
            via = _text(message["pattern"]) if kind == "pmessage" else channel
            members = self._members.get(via)
            if members:
                data = _text(message["data"])
                for member in members:
                    subscription = member.subscription_for(via, channel)
                    if subscription is not None:
                        member.outbox.put(channel, data, subscription)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


hub = Hub()
