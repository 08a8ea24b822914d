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
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from processors.store import INTEREST, OWNERS, PATTERNS
from widgets.outbox import Outbox, Subscription
from widgets.ownership import EVERYONE, owner_of, read_change, read_owners

log = logging.getLogger(__name__)

# A pattern stands this long at the workers; it is written anew well before.
_PATTERN_LIFE_S: Final = 6.0
_RENEW_S: Final = 2.0
_RECONNECT_S: Final = 0.5
# After this long without a message Redis is asked whether it is still there; after as long again, it is not.
_SILENCE_S: Final = 5.0
# The subscription is only complete when Redis has answered; a client does not wait longer than this for it.
_CONFIRM_TIMEOUT_S: Final = 2.0


class Member:
    """One socket at the hub: what it subscribed to, and its outbox.

    Attributes:
        user_id: Of whose rules it gets messages, beside everyone's; None: of all.
    """

    def __init__(self, user_id: int | None = None) -> None:
        self.user_id = user_id
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
        self._owners: dict[str, int] = {}
        self._redis: redis_async.Redis | None = None
        self._pubsub: redis_async.client.PubSub | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.connected = False

    def start(self) -> None:
        """Begin to listen, with the first member."""
        if not self._tasks or self._tasks[0].done():
            # No retries of the client's own: it would reconnect behind our back, and from two tasks at once.
            self._redis = redis_async.Redis.from_url(
                settings.REDIS_URL, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)
            )
            self._tasks = [asyncio.create_task(self._listen_for_ever()), asyncio.create_task(self._renew_for_ever())]

    async def subscribe(self, member: Member, feed: str, subscription: Subscription) -> None:
        """Add a member's subscription; returns when Redis has confirmed it, so that nothing after it is missed."""
        self.start()
        members = self._members.setdefault(feed, set())
        members.add(member)
        event = self._confirmed.get(feed)
        try:
            if event is None:
                event = self._confirmed[feed] = asyncio.Event()
                await self._ask(feed)
            await asyncio.wait_for(event.wait(), _CONFIRM_TIMEOUT_S)
        except TimeoutError:
            # Redis is away: the reader subscribes to all of it again when it is back.
            log.warning("cache unreachable: a subscription waits for it")
        except asyncio.CancelledError:
            self._take_out(member, feed)
            raise
        # Not before it is confirmed: until then a wider pattern, if the member has one, brings its messages.
        member.subscriptions[feed] = subscription
        await self._tell_workers(feed)

    async def unsubscribe(self, member: Member, feed: str) -> None:
        """Take a member's subscription away."""
        if self._take_out(member, feed):
            await self._give_up(feed)

    async def leave(self, member: Member) -> None:
        """Take all subscriptions of a member away."""
        # All of them first: from here on nothing reaches the member, whatever becomes of the rest.
        for feed in [feed for feed in list(member.subscriptions) if self._take_out(member, feed)]:
            await self._give_up(feed)

    def _take_out(self, member: Member, feed: str) -> bool:
        """Returns whether the member was the last that wanted the feed."""
        subscription = member.subscriptions.pop(feed, None)
        if subscription is not None:
            member.outbox.forget(subscription)
        members = self._members.get(feed)
        if members is None:
            return False
        members.discard(member)
        if members:
            return False
        del self._members[feed]
        self._confirmed.pop(feed, None)
        return True

    async def _ask(self, feed: str) -> None:
        """Ask Redis for a channel or pattern. While it is away nothing is asked: coming back, it is asked for all."""
        if self._pubsub is None or not self.connected:
            return
        try:
            await (self._pubsub.psubscribe(feed) if feed.endswith("*") else self._pubsub.subscribe(feed))
        except (RedisError, OSError) as error:
            log.warning("cache unreachable, subscriptions are renewed when it is back: %s", error)

    async def _give_up(self, feed: str) -> None:
        """Tell Redis that a channel or pattern is no longer wanted, unless somebody came back to it meanwhile."""
        if self._pubsub is None or not self.connected or feed in self._members:
            return
        try:
            await (self._pubsub.punsubscribe(feed) if feed.endswith("*") else self._pubsub.unsubscribe(feed))
        except (RedisError, OSError) as error:
            log.warning("cache unreachable, subscriptions are renewed when it is back: %s", error)
        await self._tell_workers()

    async def _tell_workers(self, feed: str = "") -> None:
        """Tell the workers that interest has changed; they ask Redis for the channels, and the patterns stand there."""
        if self._redis is None or not self.connected:
            return
        try:
            if feed.endswith("*"):
                await self._redis.zadd(PATTERNS, {feed: time() + _PATTERN_LIFE_S})
            await self._redis.incr(INTEREST)
        except (RedisError, OSError) as error:
            log.warning("cache unreachable, workers hear of a subscription later: %s", error)

    async def _renew_for_ever(self) -> None:
        """Keep this hub's patterns standing at the workers, and clear away those that nobody keeps."""
        while True:
            await asyncio.sleep(_RENEW_S)
            patterns = {feed: time() + _PATTERN_LIFE_S for feed in self._members if feed.endswith("*")}
            if patterns and self._redis is not None:
                try:
                    await self._redis.zadd(PATTERNS, patterns)
                    await self._redis.zremrangebyscore(PATTERNS, "-inf", time())
                except (RedisError, OSError) as error:
                    log.warning("cache unreachable: %s", error)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.warning("cache unreachable, listening again soon: %s", error)
            except Exception:
                # Ended here, it would leave every socket of this process silent for good.
                log.exception("the hub stumbled, listening again soon")
            self.connected = False
            await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        assert self._redis is not None  # noqa: S101 - start() made it
        async with self._redis.pubsub() as pubsub:
            self._pubsub = pubsub
            for event in self._confirmed.values():
                event.clear()
            # It also keeps the connection in subscriber mode while no client wants anything.
            await pubsub.subscribe(OWNERS)
            if await pubsub.get_message(timeout=_SILENCE_S) is None:
                raise redis_async.TimeoutError("it does not answer")
            # Only now: what is said from here on comes as a message.
            self._owners = read_owners(await self._redis.hgetall(OWNERS))
            self.connected = True
            for feed in list(self._members):
                if feed in self._members:
                    await (pubsub.psubscribe(feed) if feed.endswith("*") else pubsub.subscribe(feed))
            for feed in [feed for feed in self._members if feed.endswith("*")] or [""] * bool(self._members):
                await self._tell_workers(feed)
            await self._read(pubsub)

    async def _read(self, pubsub: "redis_async.client.PubSub") -> None:
        asked = False
        while True:
            message = await pubsub.get_message(timeout=_SILENCE_S)
            if message is not None:
                asked = False
                self._handle(message)
            elif asked:
                raise redis_async.TimeoutError("it does not answer")
            else:
                asked = True
                await pubsub.ping()

    def _handle(self, message: dict[str, object]) -> None:
        kind = message["type"]
        channel = _text(message["channel"])
        if kind in {"subscribe", "psubscribe"}:
            if (event := self._confirmed.get(channel)) is not None:
                event.set()
        elif kind in {"message", "pmessage"}:
            via = _text(message["pattern"]) if kind == "pmessage" else channel
            data = _text(message["data"])
            if channel == OWNERS:
                rule, owner = read_change(data)
                self._owners[rule] = owner
            members = self._members.get(via)
            if members:
                owner = owner_of(channel, self._owners.get)
                for member in members:
                    subscription = member.subscription_for(via, channel)
                    if subscription is not None and (owner == EVERYONE or member.user_id in {None, owner}):
                        member.outbox.put(channel, data, subscription)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


hub = Hub()
