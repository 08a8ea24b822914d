"""Who is connected, over all web processes: each says once a second what it has, and hears what the others have.

What a process says stands in the cache for a few seconds. One that is killed says no more, and nothing of its sockets
is left there.
"""

import asyncio
import heapq
import logging
import os
import socket
from collections import Counter
from itertools import islice
from time import monotonic, time
from typing import Any, Final

import msgspec
import redis
import redis.asyncio as redis_async
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from processors.store import WDS_PROCESSES, wds_process_key
from widgets.visitors.sockets import Seat, Sockets, Totals, sockets

log = logging.getLogger(__name__)

_EVERY_S: Final = 1.0
_LIFE_S: Final = 5
# Names of processes are kept longer than what they say, so that clocks of hosts may differ.
_NAMES_LIFE_S: Final = 60
_TIMEOUT_S: Final = 2.0
# A process that ends has little time.
_LEAVE_TIMEOUT_S: Final = 0.5
# A report stays small, whatever there is: so many connections, feeds, and feeds of a connection.
_MOST_CONNECTIONS: Final = 500
_MOST_FEEDS: Final = 100
_MOST_FEEDS_OF_ONE: Final = 20


class Connection(msgspec.Struct, frozen=True):
    """One open socket.

    Attributes:
        id: Counts the sockets of its process.
        user_id: Whose it is; None until it is authorised.
        username: The user's name.
        address: The client's.
        since: When it came, epoch ms.
        feeds: What it subscribed to, the first twenty.
        subscriptions: How many they are.
        sent: Messages that went out.
        sent_bytes: And their bytes.
        dropped: Messages that were lost because it does not read them.
        conflated: Messages that a newer one has replaced.
        waiting: Messages that wait for it to read.
        waiting_bytes: And their bytes.
        behind_ms: How long the oldest of them has waited.
    """

    id: int
    user_id: int | None
    username: str
    address: str
    since: int
    feeds: list[str]
    subscriptions: int
    sent: int
    sent_bytes: int
    dropped: int
    conflated: int
    waiting: int
    waiting_bytes: int
    behind_ms: int


class Process(msgspec.Struct, frozen=True):
    """What one web process says of itself.

    Attributes:
        name: Its host and process id.
        since: When it began, epoch ms.
        at: When it said so, epoch ms.
        sockets: How many are open.
        authorised: How many of them have said who they are.
        subscriptions: Of all its sockets.
        feeds: Subscribers by feed or pattern, of the most wanted hundred.
        deliveries_per_s: Messages a second to clients, since it last said so.
        bytes_per_s: And their bytes.
        sent: Messages since it began; so are `dropped` and `conflated`.
        dropped: Messages lost because clients do not read them.
        conflated: Messages that a newer one has replaced.
        behind_ms: How long the oldest message of the slowest client has waited.
        users: Sockets by user.
        addresses: Sockets by address; IPv6 by /64.
        connections: Its sockets, the most backward first, then the oldest; at most five hundred.
    """

    name: str
    since: int
    at: int
    sockets: int
    authorised: int
    subscriptions: int
    feeds: dict[str, int]
    deliveries_per_s: float
    bytes_per_s: float
    sent: int
    dropped: int
    conflated: int
    behind_ms: int
    users: dict[int, int]
    addresses: dict[str, int]
    connections: list[Connection]


class _Counts(msgspec.Struct, frozen=True):
    """What the limits need of the others' reports."""

    users: dict[int, int]
    addresses: dict[str, int]


class Presence:
    """One process's word about its sockets.

    Args:
        of: Its sockets.
        name: Its name, which no other process has.
    """

    def __init__(self, of: Sockets, name: str) -> None:
        self.name = name
        self._sockets = of
        self._since = round(time() * 1_000)
        self._before = Totals()
        self._before_at = monotonic()
        self._heard = True
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to say it, in the running loop; begun already, nothing changes."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._say_for_ever())

    async def _say_for_ever(self) -> None:
        async with self._cache(_TIMEOUT_S) as cache:
            while True:
                try:
                    await self.say(cache)
                except (redis.RedisError, OSError) as error:
                    if self._heard:
                        log.warning("cache unreachable, limits by user and address hold for each process: %s", error)
                    self._heard = False
                    self._sockets.elsewhere({}, {})
                except Exception:
                    # Ended here, this process would be missing from every count until its end.
                    log.exception("presence could not be said, it is tried again soon")
                await asyncio.sleep(_EVERY_S)

    async def say(self, cache: "redis_async.Redis") -> None:
        """Say it once, and hear the others.

        Raises:
            redis.RedisError: The cache cannot be reached.
        """
        said, now = msgspec.json.encode(self.report()), time()
        async with cache.pipeline(transaction=True) as pipe:
            pipe.set(wds_process_key(self.name), said, ex=_LIFE_S)
            pipe.zadd(WDS_PROCESSES, {self.name: now})
            pipe.zremrangebyscore(WDS_PROCESSES, "-inf", now - _NAMES_LIFE_S)
            pipe.expire(WDS_PROCESSES, _NAMES_LIFE_S)
            pipe.zrange(WDS_PROCESSES, 0, -1)
            *_, names = await pipe.execute()
        others = [wds_process_key(name.decode()) for name in names if name.decode() != self.name]
        users: Counter[int] = Counter()
        addresses: Counter[str] = Counter()
        for other in await cache.mget(others) if others else ():
            if other is not None:
                counts = msgspec.json.decode(other, type=_Counts)
                users.update(counts.users)
                addresses.update(counts.addresses)
        self._sockets.elsewhere(users, addresses)
        self._heard = True

    async def leave(self) -> None:
        """Say no more, and take back what was said: for a process that ends in peace."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await asyncio.wait((task,))
                async with self._cache(_LEAVE_TIMEOUT_S) as cache:
                    await cache.delete(wds_process_key(self.name))
                    await cache.zrem(WDS_PROCESSES, self.name)
        except (redis.RedisError, OSError) as error:
            log.warning("cache unreachable, this process is seen there for %d s yet: %s", _LIFE_S, error)

    def _cache(self, timeout_s: float) -> "redis_async.Redis":
        # No retries of the client's own: the next second is one.
        return redis_async.Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )

    def report(self) -> Process:
        """What this process has at this moment; the rates are those since the last call."""
        seats, totals, at = self._sockets, self._sockets.totals(), monotonic()
        seconds = max(at - self._before_at, 1e-3)
        feeds: Counter[str] = Counter()
        for seat in seats:
            feeds.update(seat.member.subscriptions.keys())
        shown = heapq.nlargest(
            _MOST_CONNECTIONS, seats, key=lambda seat: (seat.member.outbox.behind_s, -seat.since, -seat.id)
        )
        connections = [_connection(seat) for seat in shown]
        said = Process(
            name=self.name,
            since=self._since,
            at=round(time() * 1_000),
            sockets=len(seats),
            authorised=seats.users.total(),
            subscriptions=feeds.total(),
            feeds=dict(feeds.most_common(_MOST_FEEDS)),
            deliveries_per_s=round((totals.sent - self._before.sent) / seconds, 1),
            bytes_per_s=round((totals.sent_bytes - self._before.sent_bytes) / seconds, 1),
            sent=totals.sent,
            dropped=totals.dropped,
            conflated=totals.conflated,
            behind_ms=connections[0].behind_ms if connections else 0,
            users=dict(seats.users),
            addresses=dict(seats.addresses),
            connections=connections,
        )
        self._before, self._before_at = totals, at
        return said


def processes(cache: "redis.Redis") -> list[Process]:
    """What the web processes that are alive have said within the last seconds, by name.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    known: Any = cache.zrange(WDS_PROCESSES, 0, -1)
    names = [name.decode() for name in known]
    said = cache.mget([wds_process_key(name) for name in names]) if names else []
    found = [msgspec.json.decode(report, type=Process) for report in said if report is not None]
    return sorted(found, key=lambda process: process.name)


def _connection(seat: Seat) -> Connection:
    outbox, subscriptions = seat.member.outbox, seat.member.subscriptions
    return Connection(
        id=seat.id,
        user_id=seat.user_id,
        username=seat.username,
        address=seat.address,
        since=round(seat.since * 1_000),
        feeds=list(islice(subscriptions, _MOST_FEEDS_OF_ONE)),
        subscriptions=len(subscriptions),
        sent=outbox.sent,
        sent_bytes=outbox.sent_bytes,
        dropped=outbox.dropped,
        conflated=outbox.conflated,
        waiting=outbox.waiting,
        waiting_bytes=outbox.waiting_bytes,
        behind_ms=round(outbox.behind_s * 1_000),
    )


presence = Presence(sockets, f"{socket.gethostname()}:{os.getpid()}")
