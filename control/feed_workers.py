"""The feed workers that `up` keeps: as many as people want, while it runs."""

import asyncio
import logging
import socket
from typing import Final

import msgspec
import redis
from django.db import DatabaseError, close_old_connections

from control import roster
from control.models import MOST_FEED_WORKERS
from control.selectors import FeedCrew, feed_settings
from control.supervisor import Supervisor
from processors.components.agent import prompt_client
from processors.components.report import forget
from processors.store import FEED_CREW

log = logging.getLogger(__name__)

_REPORT_LIFE_S: Final = 10
_LOOK_EVERY_S: Final = 0.25
_REPORT_EVERY_S: Final = 1.0
# A worker ends after the batch in its hands, which waits for a lost cache as long as it is worth it: five seconds. One
# that is killed all the same loses nothing either, its batches come back.
_GRACE_S: Final = 8.0
_NUMBERS: Final = {roster.feed_worker_name(number): number for number in range(1, MOST_FEED_WORKERS + 1)}


class FeedWorkers:
    """Starts, ends and counts feed workers; that one which died comes back is the supervisor's own affair.

    Args:
        supervisor: Keeps them running.
        wish: How they are started; its `workers` is the count when nobody has set another.

    Attributes:
        keeping: Whether it has begun to.
    """

    def __init__(self, supervisor: Supervisor, wish: roster.Wish) -> None:
        self._supervisor, self._wish = supervisor, wish
        self._wanted = wish.workers
        self.keeping = False
        self._problem = ""
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._cache = prompt_client()
        self._looking = asyncio.Lock()
        self._reported: FeedCrew | None = None
        self._report_at = 0.0

    async def keep(self) -> None:
        """Follow the settings until cancelled."""
        clock = asyncio.get_running_loop().time
        self.keeping = True
        while True:
            crew = await self.look()
            if crew != self._reported or clock() >= self._report_at:
                self._reported, self._report_at = crew, clock() + _REPORT_EVERY_S
                await asyncio.to_thread(self._report, crew)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> FeedCrew:
        """Follow the settings as they are saved now; how many are wanted and run."""
        async with self._looking:
            count = await asyncio.to_thread(self._look)
            if count != self._wanted:
                self._supervisor.say("up", f"feed workers: {count} wanted, {self._wanted} before")
            self._wanted = count
            self.adjust(count)
            return self.crew()

    def crew(self) -> FeedCrew:
        """How many are wanted, and how many run at this moment."""
        running = [
            name for name, state in self._supervisor.states().items() if name in _NUMBERS and state.pid is not None
        ]
        return FeedCrew(self._wanted, len(running))

    def wanted(self) -> int:
        """How many are wanted; while the settings cannot be read the last count stands."""
        try:
            count = feed_settings().feed_workers
        except DatabaseError as error:
            if not self._problem:
                log.warning("the feed's settings cannot be read, %d feed workers stay: %s", self._wanted, error)
            self._problem = str(error)
            return self._wanted
        self._problem = ""
        # The form refuses other numbers; a row can be written without it.
        return self._wish.workers if count is None else min(max(count, 1), MOST_FEED_WORKERS)

    def adjust(self, count: int) -> None:
        """Start those of 1 to `count` that are missing and ask the others to end; those already there stay as they are.

        One that is wanted again while it ends is started at the next call after its end.
        """
        kept = self._supervisor.kept
        missing = [number for name, number in _NUMBERS.items() if number <= count and name not in kept]
        self._supervisor.start(roster.feed_worker(self._wish, number) for number in missing)
        for name in kept - self._leaving.keys():
            if _NUMBERS.get(name, 0) > count:
                self._leaving[name] = asyncio.create_task(self._retire(name), name=f"retire {name}")

    def _look(self) -> int:
        close_old_connections()
        return self.wanted()

    async def _retire(self, name: str) -> None:
        pid = self._supervisor.running().get(name)
        await self._supervisor.retire(name, _GRACE_S)
        if pid is not None:
            # One that had to be killed could not say goodbye.
            await asyncio.to_thread(self._forget, f"{socket.gethostname()}:{pid}")
        del self._leaving[name]

    def _forget(self, address: str) -> None:
        try:
            forget(self._cache, address)
        except redis.RedisError as error:
            log.debug("cache unreachable, a feed worker that has ended is missed there for a while: %s", error)

    def _report(self, crew: FeedCrew) -> None:
        try:
            self._cache.set(FEED_CREW, msgspec.json.encode(crew), ex=_REPORT_LIFE_S)
        except redis.RedisError as error:
            log.debug("cache unreachable, the number of feed workers is not shown: %s", error)
