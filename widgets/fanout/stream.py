"""What Redis publishes, as one stream: asked for by name, and taken up again whenever Redis was away.

The workers are told by a counter that interest has changed, and find the patterns written down
(`processors.store.Interest`).
"""

import asyncio
import logging
from collections.abc import Callable
from time import time
from typing import Any, Final

from django.conf import settings
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError

from processors.store import INTEREST, PATTERNS
from widgets.fanout.line import Line, Push

log = logging.getLogger(__name__)

# A pattern stands this long at the workers; it is written anew well before.
_PATTERN_LIFE_S: Final = 6.0
_RENEW_S: Final = 2.0
_RECONNECT_S: Final = 0.5
# So long Redis may owe an answer before it is taken for gone.
_SILENCE_S: Final = 5.0
# Nobody waits longer than this for his place in the stream.
_CONFIRM_TIMEOUT_S: Final = 2.0


class Stream:
    """The messages of all channels and patterns that were asked for.

    Args:
        pushed: Gets each message.
        opened: Called with each new connection, to ask what has to be known before the first message.
        up: Called when messages come again; not the first time, unless Redis was away then.
        down: Called when they come no longer.

    Attributes:
        connected: Whether messages come.
    """

    def __init__(
        self,
        pushed: Callable[[Push], None],
        opened: Callable[[Line], None],
        up: Callable[[], None],
        down: Callable[[], None],
    ) -> None:
        self.connected = False
        self._pushed, self._opened, self._up, self._down = pushed, opened, up, down
        self._names: dict[str, None] = {}
        self._line: Line | None = None
        # Set when messages come for the first time, or Redis was found away.
        self._tried = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def ready(self) -> None:
        """Connect, and stay connected; returns when the first connection stands, or it is known that there is none."""
        if not self._tasks or self._tasks[0].done():
            self._tasks = [asyncio.create_task(self._read_for_ever()), asyncio.create_task(self._renew_for_ever())]
        await self._tried.wait()

    def listen(self, name: str) -> None:
        """Ask for a channel or pattern, from the next place on that is waited for."""
        self._names[name] = None
        if self._line is not None:
            self._line.listen(name)
            if name.endswith("*"):
                self._write_down(self._line, name)
            self._line.ask("INCR", INTEREST)

    def unlisten(self, name: str) -> None:
        """Ask no longer for a channel or pattern."""
        del self._names[name]
        if self._line is not None:
            self._line.unlisten(name)
            self._line.ask("INCR", INTEREST)

    async def at_a_place(self, then: Callable[[], None]) -> None:
        """Call `then` at a place in the stream behind all that was asked for, and between two publications.

        A publication that several channels and patterns match is several messages; they lie on the same side of it.
        While Redis is away, or takes too long, `then` is called at once.
        """
        if self._line is None:
            then()
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answered(answer: Any) -> None:
            if done.done():
                return
            try:
                then()
            except Exception as error:  # noqa: BLE001 - whatever it is
                # For who asked; the stream goes on for all others.
                done.set_exception(error)
            else:
                done.set_result(None)

        self._line.ask("PING", then=answered)
        try:
            # `wait_for` of Python 3.11 would lose a cancellation that comes together with the answer.
            async with asyncio.timeout(_CONFIRM_TIMEOUT_S):
                await done
        except TimeoutError:
            if done.cancelled():
                log.warning("cache unreachable: a subscription waits for it")
                then()

    async def _read_for_ever(self) -> None:
        while True:
            try:
                await self._read()
            except (RedisError, OSError) as error:
                log.warning("cache unreachable, listening again soon: %s", error)
            except Exception:
                # Ended here, it would leave every socket of this process silent for good.
                log.exception("the stream stumbled, listening again soon")
            self._tried.set()
            await asyncio.sleep(_RECONNECT_S)

    async def _read(self) -> None:
        line = await Line.open(settings.REDIS_URL, self._pushed)
        try:
            self._opened(line)
            line.listen(*self._names)
            self._line = line
            self._renew(line)
            line.ask("INCR", INTEREST, then=self._established)
            await line.read()
        finally:
            self._line = None
            try:
                line.close()
            finally:
                if self.connected:
                    self.connected = False
                    self._down()

    def _established(self, answer: Any) -> None:
        if self._line is None or isinstance(answer, LostConnection):
            # It came and went.
            return
        again, self.connected = self._tried.is_set(), True
        self._tried.set()
        if again:
            self._up()

    async def _renew_for_ever(self) -> None:
        """Keep this process's patterns standing at the workers, and find out when Redis is silently gone."""
        while True:
            await asyncio.sleep(_RENEW_S)
            if self._line is not None:
                if self._line.silent_s > _SILENCE_S:
                    log.warning("the cache does not answer")
                    self._line.close()
                else:
                    self._renew(self._line)

    def _renew(self, line: Line) -> None:
        self._write_down(line, *(name for name in self._names if name.endswith("*")))
        # Those that nobody keeps go.
        line.ask("ZREMRANGEBYSCORE", PATTERNS, "-inf", time())

    def _write_down(self, line: Line, *patterns: str) -> None:
        until = time() + _PATTERN_LIFE_S
        if patterns:
            line.ask("ZADD", PATTERNS, *(word for pattern in patterns for word in (until, pattern)))
