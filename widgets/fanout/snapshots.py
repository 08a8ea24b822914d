"""Current values for those who ask for them: before the stream, where messages were lost, and when the cache is back.

A snapshot says all that was published before its place in the stream, so a feed's messages are held back from that
place on until it has gone out: nothing is missing between the two, and nothing comes twice. A board that is followed by
deltas is known here already.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from redis.exceptions import RedisError

from processors.snapshots import TooManyFeeds, feeds_matching
from processors.store import default_store
from widgets.fanout.following import BOARD, Following
from widgets.fanout.marks import Values
from widgets.fanout.member import Member
from widgets.protocol import Error
from widgets.sending.outbox import Subscription, conflates
from widgets.visitors.ownership import owner_of

log = logging.getLogger(__name__)

# A pattern that matches more feeds brings no snapshots.
_MOST_FEEDS: Final = 1_000
# While so much waits for a client to read it, no further snapshots are read for it.
_MUCH_BYTES: Final = 256 * 1024
_LOOK_AGAIN_S: Final = 0.02
_RETRY_S: Final = 1.0

Join = Callable[[], Awaitable[None]]


class Snapshots:
    """Brings members the current values that they are to have.

    Args:
        values: Current values of feeds.
        following: The boards that are followed by deltas.
        board_owner: Whose a board is.
    """

    def __init__(self, values: Values, following: Following, board_owner: Callable[[str], int]) -> None:
        self._values = values
        self._following = following
        self._board_owner = board_owner

    async def join(self, member: Member, feed: str, asked: Subscription, join: Join) -> None:
        """Let a subscription stand by `join`, and bring what it is to begin with, if it asks for that.

        Raises:
            RedisError: A value could not be read.
            TooManyFeeds: A pattern matches too many.
        """
        standing = member.subscriptions.get(feed)
        if not asked.envelope or not (asked.snapshot or (asked.delta and not (standing and standing.delta))):
            await join()
        elif feed.endswith("*"):
            await self._join_pattern(member, feed, join, again=standing is not None)
        elif asked.delta and feed.startswith(BOARD):
            await join()
            self._show(member, feed, whole=standing is not None)
        else:
            # What a standing subscription brings in order goes on until the snapshot's place: the value, which may be
            # the last print alone, does not say all of it.
            await self._bring(member, feed, join, at_once=conflates(feed) or member.chosen(feed) is None)

    async def bring_owed(self, member: Member) -> None:
        """Bring a member the values that it is owed, until there are none."""
        while member.stale:
            feed = next(iter(member.stale))
            # Now: it may be owed anew while it is brought, which takes as long as the client takes to read.
            del member.stale[feed]
            try:
                async with member.turn:
                    for name in await _matching(feed) if feed.endswith("*") else [feed]:
                        await self._renew(member, name)
            except TooManyFeeds as error:
                member.tell(Error(str(error), feed))
            except RedisError as error:
                log.warning("cache unreachable, a snapshot follows later: %s", error)
                member.stale[feed] = None
                await asyncio.sleep(_RETRY_S)

    async def _renew(self, member: Member, feed: str) -> None:
        subscription = member.chosen(feed)
        if subscription is None or not subscription.envelope:
            return
        await _room(member)
        if subscription.delta and feed.startswith(BOARD):
            self._show(member, feed, whole=True)
        else:
            await self._bring(member, feed)

    async def _join_pattern(self, member: Member, pattern: str, join: Join, *, again: bool) -> None:
        try:
            feeds = await _matching(pattern)
        except (RedisError, TooManyFeeds):
            await join()
            raise
        held = dict.fromkeys(feed for feed in feeds if member.chosen(feed) is None)
        for feed in held:
            member.outbox.hold(feed)
        try:
            await join()
            # Those too that have come to be meanwhile.
            for feed in dict.fromkeys((*feeds, *await _matching(pattern))):
                subscription = member.chosen(feed)
                if subscription is None or subscription is not member.subscriptions.get(pattern):
                    continue
                await _room(member)
                if subscription.delta and feed.startswith(BOARD):
                    if feed in held:
                        _release(member, feed, None)
                    self._show(member, feed, whole=again)
                else:
                    await self._bring(member, feed)
                held.pop(feed, None)
        finally:
            for feed in held:
                _release(member, feed, None)

    async def _bring(self, member: Member, feed: str, join: Join | None = None, *, at_once: bool = False) -> None:
        """Read a feed's value and let it go out, before what is published after it.

        Args:
            member: Gets it.
            feed: A concrete feed.
            join: Makes the subscription stand.
            at_once: Whether to hold the feed's messages back from now on, or only from the value's place on.
        """
        data: bytes | None = None
        if at_once:
            member.outbox.hold(feed)
        try:
            if join is not None:
                await join()
            value = await self._values.read(feed, lambda: member.outbox.hold(feed))
            owner = owner_of(feed, lambda rule: value.owner)
            if member.may_see(owner):
                data = b"null" if value.data is None else value.data
            elif feed in member.subscriptions:
                # Who asked by a pattern does not even learn the names of others' rules.
                data = b"null"
        finally:
            _release(member, feed, data)

    def _show(self, member: Member, feed: str, *, whole: bool) -> None:
        """Let a board go out; one that has yet to be read goes out to all who follow it when it was."""
        subscription = member.chosen(feed)
        if subscription is None or not subscription.delta:
            # It has ended meanwhile: perhaps nobody's deltas bring the board up to date.
            return
        board = self._following.board(feed)
        if board is not None and member.may_see(self._board_owner(feed)):
            member.outbox.put_board(feed, board, subscription, whole=whole)


def _release(member: Member, feed: str, data: bytes | None) -> None:
    """Let a feed's messages go on after a value, if its subscription still stands and is for one who knows values."""
    subscription = member.chosen(feed)
    if subscription is None or not subscription.envelope:
        data = None
    member.outbox.release(feed, data, subscription or Subscription())


async def _matching(pattern: str) -> list[str]:
    return await asyncio.to_thread(feeds_matching, default_store(), pattern[:-1], _MOST_FEEDS)


async def _room(member: Member) -> None:
    """Wait until the client has read most of what it has got."""
    while member.outbox.waiting_bytes > _MUCH_BYTES:
        await asyncio.sleep(_LOOK_AGAIN_S)
