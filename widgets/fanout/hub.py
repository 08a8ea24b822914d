"""One connection to Redis a process for all its clients, fanned out in memory.

The hub listens to a channel while some client wants it. A channel-layer group would lose messages at its capacity and
cost a hundred times more. What comes from Redis goes to each client's outbox at once, in the order in which Redis says
it; what changes in between (who wants what, whose a rule is) takes effect at its place in that order.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from redis.exceptions import RedisError

from processors.batch_traces import TRACED
from processors.store import OWNERS
from widgets.fanout.boards import LiveBoard
from widgets.fanout.deliveries import Deliveries
from widgets.fanout.following import Following
from widgets.fanout.line import Line, Push
from widgets.fanout.marks import Marks, Values
from widgets.fanout.member import Member as Member
from widgets.fanout.routes import Listening, Route, deltas_of, name_of
from widgets.fanout.snapshots import Snapshots
from widgets.fanout.stream import Stream
from widgets.protocol import Interrupted, Reconnect, Resumed
from widgets.sending.outbox import Subscription
from widgets.visitors import limits
from widgets.visitors.ownership import owner_of, read_change, read_owners

log = logging.getLogger(__name__)

# Clients of a server that ends come to another one within this time.
_RETURN_MS: Final = 5_000
_AWAY: Final = "The cache cannot be reached at the moment. Messages go on when it is back."


class Hub:
    """Fans Redis messages out to the members of this process.

    Attributes:
        ending: The server ends: nobody is let in any more.
    """

    def __init__(self) -> None:
        self.ending = False
        self._members: set[Member] = set()
        self._listenings: dict[bytes, Listening] = {}
        self._patterns: set[Listening] = set()
        self._owners: dict[str, int] = {}
        self._marks = Marks()
        self._following = Following(self._marks, self._show)
        self._snapshots = Snapshots(Values(self._marks), self._following, self._owner_of)
        self._stream = Stream(self._pushed, self._opened, self._up, self._down)
        self._deliveries = Deliveries()

    @property
    def connected(self) -> bool:
        """Whether messages come."""
        return self._stream.connected

    def enter(self, member: Member) -> None:
        """Take in a socket."""
        self._members.add(member)
        member.outbox.on_loss = partial(self._owe, member)

    def leave(self, member: Member) -> None:
        """Let a socket go: nothing of it is left."""
        self.silence(member)
        self._members.discard(member)

    def silence(self, member: Member) -> None:
        """Let nothing reach a socket any more."""
        member.outbox.close()
        self.drop(member, lambda feed: True)
        if member.bringing is not None:
            member.bringing.cancel()

    async def subscribe(self, member: Member, feed: str, asked: Subscription) -> None:
        """Let a subscription stand, or have other options; returns when all that is published from then on comes.

        Where a snapshot was asked for, it has gone out then.

        Raises:
            RedisError: It stands, but its snapshot could not be read; it follows when the cache is back.
            TooManyFeeds: It stands, but matches too many feeds for snapshots.
        """
        # From here on, not from its turn: what becomes forbidden while it waits for a client to read never stands.
        member.coming = feed
        try:
            async with member.turn:
                await self._snapshots.join(member, feed, asked, partial(self._join, member, feed, asked))
        except RedisError:
            # Whatever refused it; when the whole stream was away, all are brought everything.
            if feed in member.subscriptions and self.connected:
                self._owe(member, feed, member.subscriptions[feed])
            raise
        finally:
            member.coming = None

    async def unsubscribe(self, member: Member, feed: str) -> None:
        """Take a member's subscription away."""
        if feed in member.subscriptions:
            await self._stream.at_a_place(lambda: self.drop(member, lambda standing: standing == feed))

    def drop(self, member: Member, which: Callable[[str], bool]) -> None:
        """Take subscriptions of a member away at once, those that are on their way too.

        Args:
            which: Says of a feed or pattern whether it is one of them.
        """
        if member.coming is not None and which(member.coming):
            member.coming = None
        for feed in [feed for feed in member.subscriptions if which(feed)]:
            subscription = member.remove(feed)
            if subscription is not None:
                listening = self._listenings[name_of(feed, subscription).encode()]
                listening.members.pop(member, None)
                self._changed(member, listening)
                self._let_go(listening)

    def reconsider(self, member: Member, user_id: int | None) -> None:
        """Take note of whose a member is: of whose rules it gets messages."""
        if member.user_id == user_id:
            return
        member.user_id = user_id
        for feed, subscription in member.subscriptions.items():
            self._listenings[name_of(feed, subscription).encode()].changed()
            if subscription.delta:
                # A board that waits is put into words when it goes out; it may be one that is no longer for him.
                member.outbox.forget(subscription)
                self._owe(member, feed, subscription)

    async def owner_of(self, feed: str) -> int:
        """Whose a feed is, as far as the engine has said; every message is looked at again."""
        await self._stream.ready()
        return self._owner_of(feed)

    async def farewell(self, seconds: float) -> None:
        """Tell every member, one after the other within so many seconds, that the server ends, and end its socket."""
        self.ending = True
        clock = asyncio.get_running_loop().time
        begun, members = clock(), list(self._members)
        for number, member in enumerate(members):
            share = number / len(members)
            while (early := begun + share * seconds - clock()) > 0.01:
                await asyncio.sleep(early)
            if member in self._members:
                if member.has_envelopes:
                    member.tell(Reconnect(round(share * _RETURN_MS)))
                member.end(limits.RESTART, "restart")
        while self._members and clock() - begun < seconds:
            await asyncio.sleep(0.02)

    # Who wants what

    async def _join(self, member: Member, feed: str, asked: Subscription) -> None:
        """Let a subscription stand, at a place in the stream where nothing is missed or doubled."""
        await self._stream.ready()
        if member.coming != feed:
            return
        name = name_of(feed, asked)
        listening = self._listenings.get(name.encode())
        if listening is None:
            listening = self._listenings[name.encode()] = Listening(name)
            if listening.is_pattern:
                self._patterns.add(listening)
            self._stream.listen(name)
        listening.expected.add(member)
        try:
            await self._stream.at_a_place(partial(self._stand, member, feed, asked, listening))
        finally:
            listening.expected.discard(member)
            self._let_go(listening)

    def _stand(self, member: Member, feed: str, asked: Subscription, listening: Listening) -> None:
        if member.coming != feed:
            # It has left meanwhile, or may no longer read it.
            return
        member.coming = None
        standing = member.subscriptions.get(feed)
        if standing is None:
            standing = asked
            member.add(feed, standing)
        else:
            # It stays the same subscription: nothing is doubled, nothing lost, and the numbers go on.
            before = self._listenings[name_of(feed, standing).encode()]
            if before is not listening:
                before.members.pop(member, None)
                # What waits has another form.
                member.outbox.forget(standing)
                if asked.envelope and not asked.delta and not asked.snapshot:
                    self._owe(member, feed, standing)
            standing.envelope, standing.snapshot = asked.envelope, asked.snapshot
            standing.delta, standing.max_rate = asked.delta, asked.max_rate
            before.changed()
            self._let_go(before)
        listening.members[member] = standing
        self._changed(member, listening)

    def _changed(self, member: Member, listening: Listening) -> None:
        """Work out anew what a subscription that comes or goes has a part in: the member's patterns too."""
        listening.changed()
        for pattern in member.patterns:
            self._listenings[name_of(pattern, member.subscriptions[pattern]).encode()].changed()

    def _let_go(self, listening: Listening) -> None:
        """Tell Redis that a channel or pattern is no longer wanted, if that is so."""
        if listening.members or listening.expected or self._listenings.get(listening.name.encode()) is not listening:
            return
        del self._listenings[listening.name.encode()]
        self._patterns.discard(listening)
        self._stream.unlisten(listening.name)
        if listening.deltas:
            self._following.keep(lambda feed: bool(self._listenings_of(deltas_of(feed))))

    def _listenings_of(self, channel: str) -> list[Listening]:
        """What brings the messages of a channel."""
        own = self._listenings.get(channel.encode())
        patterns = [listening for listening in self._patterns if listening.matches(channel)]
        return patterns if own is None else [own, *patterns]

    # What comes

    def _pushed(self, push: Push) -> None:
        kind = push[0]
        if kind == b"message":
            via = channel = push[1]
        elif kind == b"pmessage":
            via, channel = push[1], push[2]
        else:
            return
        listening = self._listenings.get(via)
        if listening is None:
            self._own(via, push[-1])
            return
        route = listening.route(channel, self._owner_of)
        if route.targets:
            data: bytes = push[-1]
            if not route.deltas:
                self._deliver(route, data)
            elif (board := self._following.take(route.feed, data)) is not None:
                self._deliver(route, board)

    def _own(self, channel: bytes, data: bytes) -> None:
        """What is said to hubs."""
        if channel == OWNERS.encode():
            rule, owner = read_change(data.decode())
            if self._owners.get(rule, 0) != owner:
                self._owners[rule] = owner
                self._passed_on(rule)
        elif channel == self._marks.channel.encode():
            self._marks.heard(data)
        elif channel == TRACED.encode() and self._members:
            self._deliveries.heard(data)

    def _passed_on(self, rule: str) -> None:
        """A rule is somebody else's now."""
        # Its board is followed anew: what waits to be sent to those who could see it stays as they could see it.
        self._following.forget(f"scanners:{rule}")
        for channel in (f"scanners:{rule}", deltas_of(f"scanners:{rule}"), f"alerts:{rule}"):
            for listening in self._listenings_of(channel):
                listening.changed(channel)

    def _owner_of(self, feed: str) -> int:
        return owner_of(feed, self._owners.get)

    def _deliver(self, route: Route, data: "bytes | LiveBoard") -> None:
        feed = route.feed
        for member, subscription in route.targets:
            try:
                if isinstance(data, bytes):
                    member.outbox.put(feed, data, subscription)
                else:
                    member.outbox.put_board(feed, data, subscription)
            except Exception:
                # A socket that cannot be written to must not look alive, nor take the others with it.
                log.exception("a socket failed; it is closed")
                member.end(limits.BROKEN, "broken")

    def _show(self, feed: str, board: LiveBoard) -> None:
        """A board was read whole: all who follow it get it."""
        channel = deltas_of(feed)
        for listening in self._listenings_of(channel):
            self._deliver(listening.route(channel.encode(), self._owner_of), board)

    def _owe(self, member: Member, feed: str, subscription: Subscription) -> None:
        """A member is owed the current value of a feed or pattern."""
        member.stale[feed] = None
        if member.bringing is None or member.bringing.done():
            member.bringing = asyncio.create_task(self._snapshots.bring_owed(member))

    # The connection

    def _opened(self, line: Line) -> None:
        # Answered in this order: whose the rules are is known before the first message of one.
        line.listen(OWNERS, self._marks.channel, TRACED)
        line.ask("HGETALL", OWNERS, then=self._learn_owners)
        self._deliveries.note_through(line.ask)

    def _learn_owners(self, answer: Any) -> None:
        if isinstance(answer, dict):
            self._owners = read_owners(answer)
            for listening in self._listenings.values():
                listening.changed()

    def _up(self) -> None:
        # What was asked of the cache while nothing was heard: its marks went by.
        self._marks.lost()
        self._following.clear()
        for member in list(self._members):
            if member.interrupted:
                member.interrupted = False
                member.tell(Resumed())
            for feed, subscription in member.subscriptions.items():
                if subscription.envelope and (subscription.snapshot or subscription.delta):
                    self._owe(member, feed, subscription)

    def _down(self) -> None:
        self._marks.lost()
        self._following.clear()
        for member in list(self._members):
            if member.has_envelopes:
                member.interrupted = True
                member.tell(Interrupted(_AWAY))


hub = Hub()
