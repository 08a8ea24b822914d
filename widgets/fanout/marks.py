"""Values read at a known place of the stream: what is heard before that place is in the value, what after it is not.

Redis says a word on a channel of this process in the step in which it reads the value (`processors.snapshots.Mark`): it
comes among the messages exactly where the value was read.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any, Final, TypeVar
from uuid import uuid4

import redis

from processors.snapshots import Mark, Value, read
from processors.store import default_store

_T = TypeVar("_T")

_TIMEOUT_S: Final = 5.0


class Marks:
    """Marks of one process that are on their way.

    Attributes:
        channel: Where they are said.
    """

    def __init__(self) -> None:
        self.channel: Final = f"tw:hub:{uuid4().hex}"
        self._words = count()
        self._awaited: dict[bytes, tuple[Callable[[], None], asyncio.Future[None]]] = {}

    async def read(self, reading: Callable[[Mark], _T], here: Callable[[], None]) -> _T:
        """Read a value; returns when its place has come.

        Args:
            reading: Reads it, in a thread, and sets the mark.
            here: Called at its place.

        Raises:
            redis.RedisError: It could not be read, or the stream is interrupted.
        """
        word = str(next(self._words))
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited[word.encode()] = (here, heard)
        try:
            value = await asyncio.to_thread(reading, Mark(self.channel, word))
            # `wait_for` of Python 3.11 would lose a cancellation that comes together with the mark.
            async with asyncio.timeout(_TIMEOUT_S):
                await heard
        except TimeoutError:
            raise redis.TimeoutError("it does not answer") from None
        finally:
            self._awaited.pop(word.encode(), None)
            heard.cancel()
        return value

    def heard(self, word: bytes) -> None:
        """A mark has come."""
        here, heard = self._awaited.get(word, (None, None))
        if here is not None and heard is not None and not heard.done():
            here()
            heard.set_result(None)

    def lost(self) -> None:
        """The stream is, or was, interrupted: no mark that is on its way will come."""
        for _, heard in self._awaited.values():
            if not heard.done():
                heard.set_exception(redis.ConnectionError("it is away"))
                # Looked at, for a reading that has failed already.
                heard.exception()


class _Reading:
    """A value that is being read for everybody who asks before its place has come."""

    def __init__(self) -> None:
        self.heres: list[Callable[[], None]] = []
        self.task: asyncio.Task[Value] | None = None


class Values:
    """Current values of feeds, each read once for all who want it at the same time."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._readings: dict[str, _Reading] = {}

    async def read(self, feed: str, here: Callable[[], None]) -> Value:
        """Read a feed's current value.

        Args:
            feed: A concrete feed.
            here: Called at the value's place in the stream, unless the caller has been cancelled by then.

        Raises:
            redis.RedisError: It could not be read, or the stream is interrupted.
        """
        reading = self._readings.get(feed)
        if reading is None:
            reading = self._readings[feed] = _Reading()
            reading.task = asyncio.create_task(self._read(feed, reading))
            # Its error is for those who wait; there may be none any more.
            reading.task.add_done_callback(_look_at)
        assert reading.task is not None  # noqa: S101 - made with it
        reading.heres.append(here)
        try:
            return await asyncio.shield(reading.task)
        except asyncio.CancelledError:
            if here in reading.heres:
                reading.heres.remove(here)
            raise

    async def _read(self, feed: str, reading: _Reading) -> Value:
        def here() -> None:
            # Who asks from here on needs a later place.
            self._close(feed, reading)
            for call in reading.heres:
                call()
            reading.heres.clear()

        try:
            return await self._marks.read(lambda mark: read(default_store(), feed, mark=mark), here)
        finally:
            self._close(feed, reading)

    def _close(self, feed: str, reading: _Reading) -> None:
        if self._readings.get(feed) is reading:
            del self._readings[feed]


def _look_at(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()
