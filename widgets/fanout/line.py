"""One connection to Redis that listens and asks.

Redis writes to it in the order in which it does things: a message that comes before an answer was published before the
command was done, and one that comes after it after. redis-py connects (TLS, login, database); its own reader takes ten
times as long for a message as this one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, cast

import hiredis
import redis.asyncio as redis_async
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)

Push = list[Any]
Then = Callable[[Any], None]

_READ_BYTES: Final = 65_536
# After so long without a pause for the rest of the process, there is one.
_SLICE_S: Final = 0.005
_CONNECT_TIMEOUT_S: Final = 5
# What is full or cannot write its file takes no more data, but answers, listens and publishes as ever.
_REFUSES_DATA_ALONE: Final = ("OOM", "MISCONF", "NOREPLICAS")

# hiredis types it for commands of one word.
_pack: Callable[[tuple[Any, ...]], bytes] = cast(Any, hiredis.pack_command)


def _nothing(answer: Any) -> None:
    """What is done with an answer that nobody waits for."""


class Line:
    """An open connection.

    Args:
        pushed: Gets what nobody asked for: `[b"message", channel, data]`, `[b"pmessage", pattern, channel, data]` and
            the confirmations of subscriptions.
    """

    def __init__(self, connection: "AbstractConnection", pushed: Callable[[Push], None]) -> None:
        self._connection = connection
        reader, writer = connection._reader, connection._writer
        if reader is None or writer is None:
            raise LostConnection("it is closed")
        self._reader, self._writer = reader, writer
        self._pushed = pushed
        self._waiting: deque[Then] = deque()
        self._heard_at = monotonic()

    @classmethod
    async def open(cls, url: str, pushed: Callable[[Push], None]) -> "Line":
        """Connect.

        Raises:
            RedisError: It cannot be reached, or does not let us in.
            OSError: It cannot be reached.
        """
        # No retries of the client's own: it would reconnect behind our back.
        pool = redis_async.ConnectionPool.from_url(
            url, protocol=3, socket_connect_timeout=_CONNECT_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        connection = pool.connection_class(**pool.connection_kwargs)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await connection.connect()  # type: ignore[no-untyped-call]
        return cls(connection, pushed)

    def ask(self, *command: "str | bytes | float", then: Then = _nothing) -> None:
        """Send a command that has one answer, and have `then` called with it, in its place among the messages.

        It is called too when the connection ends before: with the exception.
        """
        self._waiting.append(then)
        self._writer.write(_pack(command))

    def listen(self, *names: str) -> None:
        """Subscribe to channels, and to patterns (which end in `*`). The confirmation is a message."""
        self._switch(b"SUBSCRIBE", b"PSUBSCRIBE", names)

    def unlisten(self, *names: str) -> None:
        """End subscriptions."""
        self._switch(b"UNSUBSCRIBE", b"PUNSUBSCRIBE", names)

    def _switch(self, channels: bytes, patterns: bytes, names: tuple[str, ...]) -> None:
        for command, asked in (
            (channels, [name for name in names if not name.endswith("*")]),
            (patterns, [name for name in names if name.endswith("*")]),
        ):
            if asked:
                self._writer.write(_pack((command, *asked)))

    @property
    def silent_s(self) -> float:
        """How long it has said nothing, though it owes an answer."""
        return monotonic() - self._heard_at if self._waiting else 0.0

    async def read(self) -> None:
        """Pass on what comes, until the connection ends.

        Raises:
            RedisError: It has ended, or refuses what we need: it may be loading its data, be a replica by now, or not
                allow it.
            OSError: It has ended.
        """
        replies = hiredis.Reader(notEnoughData=...)
        until = monotonic() + _SLICE_S
        while True:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise LostConnection("it was closed")
            self._heard_at = monotonic()
            replies.feed(data)
            while (reply := replies.gets()) is not ...:
                if type(reply) is hiredis.PushNotification:
                    self._pushed(reply)
                elif isinstance(reply, hiredis.ReplyError):
                    self._refused(reply)
                else:
                    self._waiting.popleft()(reply)
                if monotonic() > until:
                    await asyncio.sleep(0)
                    until = monotonic() + _SLICE_S

    def _refused(self, error: Exception) -> None:
        if not str(error).startswith(_REFUSES_DATA_ALONE):
            # It may be of a subscription, which has no other answer: from here on answers would be taken for others'.
            raise ResponseError(str(error))
        log.warning("the cache refuses a command: %s", error)
        self._waiting.popleft()(error)

    def close(self) -> None:
        """End it at once; who waits for an answer gets an exception for one."""
        self._writer.transport.abort()
        while self._waiting:
            self._waiting.popleft()(LostConnection("it has ended"))
