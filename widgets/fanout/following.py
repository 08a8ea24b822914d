"""The boards that somebody here follows by deltas: kept up to date by the engine's, read whole when one is missed."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import redis

from processors.snapshots import BoardValue, Mark, read_board
from processors.store import default_store
from widgets.fanout.boards import LiveBoard
from widgets.fanout.marks import Marks

log = logging.getLogger(__name__)

BOARD: Final = "scanners:"
_RETRY_S: Final = 1.0


@dataclass(slots=True)
class _Followed:
    board: LiveBoard = field(default_factory=LiveBoard)
    last: bytes = b""
    reading: "asyncio.Task[None] | None" = None


class Following:
    """The boards that are followed, by feed.

    Args:
        marks: Of the stream that brings the deltas.
        changed: Called with a feed and its board when the board was read whole.
    """

    def __init__(self, marks: Marks, changed: Callable[[str, LiveBoard], None]) -> None:
        self._marks = marks
        self._changed = changed
        self._followed: dict[str, _Followed] = {}

    def take(self, feed: str, message: bytes) -> LiveBoard | None:
        """Let a board follow a message of its delta channel; it may come several times, through several patterns.

        Returns:
            The board as it stands then; None while it has to be read.
        """
        followed = self._followed.setdefault(feed, _Followed())
        if message != followed.last:
            followed.last = message
            try:
                followed_it = followed.board.take(message)
            except (msgspec.MsgspecError, KeyError) as error:
                log.warning("a board's delta cannot be followed, the board is read whole: %s", error)
                followed_it = False
            if not followed_it:
                self._read(feed, followed)
        return followed.board if followed.reading is None else None

    def board(self, feed: str) -> LiveBoard | None:
        """A board as it stands; None while it is being read, which begins now if need be."""
        followed = self._followed.setdefault(feed, _Followed())
        if followed.board.version < 0:
            self._read(feed, followed)
        return followed.board if followed.reading is None else None

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Let go of the boards that nobody wants any more: their deltas come no longer."""
        for feed in [feed for feed in self._followed if not wanted(feed)]:
            self.forget(feed)

    def forget(self, feed: str) -> None:
        """Let go of a board. Who still has its last changes to send sends it as it was."""
        followed = self._followed.pop(feed, None)
        if followed is not None and followed.reading is not None:
            followed.reading.cancel()

    def clear(self) -> None:
        """Let go of all: the stream is interrupted."""
        self.keep(lambda feed: False)

    def _read(self, feed: str, followed: _Followed) -> None:
        if followed.reading is None:
            followed.reading = asyncio.create_task(self._read_whole(feed, followed))

    async def _read_whole(self, feed: str, followed: _Followed) -> None:
        def reading(mark: Mark) -> BoardValue:
            return read_board(default_store(), feed.removeprefix(BOARD), mark)

        try:
            while True:
                try:
                    # The mark tells that whose the board is, as it was read, is known here too.
                    value = await self._marks.read(reading, lambda: None)
                    followed.board.reset(value.version, value.payload)
                    break
                except (redis.RedisError, msgspec.MsgspecError, KeyError) as error:
                    # Somebody waits for it, and its next message may be far away.
                    log.warning("a board cannot be read, again soon: %s", error)
                    await asyncio.sleep(_RETRY_S)
        finally:
            followed.reading = None
        if self._followed.get(feed) is followed:
            self._changed(feed, followed.board)
