"""The listener put together: connection, sorting, buffer, publisher, and its own report each half second."""

import asyncio
import logging
import os
import secrets
import threading
from dataclasses import asdict
from pathlib import Path
from time import time

import msgspec
import redis
from celery import Celery
from django.conf import settings
from django.db import DatabaseError

from control.models import FeedSettings
from listener.address import SourceInfo
from listener.batching import BatchLimits, Buffer
from listener.beside import BesideStream
from listener.dispatch import ListenerAccounts, Publisher
from listener.feed import FeedConnection, Patience, Report, State
from listener.feed_recording import FeedRecording
from listener.gap_marks import GapMarks
from listener.lease import Lease
from listener.recording_folder import Keep, folder_use
from listener.sorting import SortedFrame, sort_frame
from listener.wishes import OFF, Wish, read_wish, wish_of
from processors import store as keys
from processors.reference import refresh_soon
from processors.store import LISTENER_STATE, Source, Store

log = logging.getLogger(__name__)

_REPORT_EVERY_S = 0.5
_LOOK_EVERY_S = 0.25
# A standby takes over within this and one round of standing by.
_LEASE_S = 3.0
_RENEW_EVERY_S = 0.5
_LEVELS = {State.REFUSED: logging.ERROR, State.BACKING_OFF: logging.WARNING}
_REPORT_LIFE_MS = 10_000
_STOP_TIMEOUT_S = 2.0
_SAMPLES_A_REPORT = 20


class Listener:
    """Reads a feed until it is cancelled: one listener at a time, as the settings want it.

    Args:
        app: The Celery application.
        feed: The feed given on the command line, which no setting changes; None: as the settings say.
        lossless: Drop nothing, whatever the feed says about itself.
        record: Where to record from the start; None: as the settings say, in the folder that the environment names.
        patience: How long the connection waits for what.
    """

    def __init__(
        self,
        app: Celery,
        feed: str | None,
        lossless: bool,
        record: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._app, self._fixed_feed, self._always_lossless = app, feed, lossless
        self._patience = patience
        self._store = Store()
        self._lease = Lease(keys.LISTENER_LEASE, _LEASE_S)
        self._leads = False
        self._cache_problem = ""
        self._wish = wish_of(FeedSettings(), feed)
        self._wish_problem = ""
        self._changed = asyncio.Event()
        self._looking = asyncio.Lock()
        self._connection: FeedConnection | None = None
        self._idle = Report(State.STOPPED, int(time() * 1_000), "It has not started yet.")
        self._buffer: Buffer | None = None
        self._publisher: Publisher | None = None
        self._source: Source | None = None
        self._gaps = GapMarks(self._store)
        self._lossless = lossless
        self._malformed: list[tuple[str, str, str]] = []
        self._shown: Report | None = None
        self._writing = threading.Lock()
        self._ended = False
        keep = Keep(settings.RECORDINGS_MAX_GB * 2**30, settings.RECORDINGS_MAX_DAYS)
        self._recording = FeedRecording(self._store, record or settings.RECORDINGS_DIR, keep, on=record is not None)
        self._beside = BesideStream(self._on_polled)
        self._run_id = f"{int(time())}-{os.getpid()}-{secrets.token_hex(2)}"

    async def run(self) -> None:
        """Serve until cancelled; what is buffered then is still published, as far as two seconds allow."""
        await asyncio.to_thread(self._read_wish)
        tasks = {
            asyncio.create_task(self._keep_lease()),
            asyncio.create_task(self._report_for_ever()),
            asyncio.create_task(self._follow_wishes()),
            asyncio.create_task(self._serve_for_ever()),
        }
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            tasks.update(self._beside.stop())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._stop)

    async def _serve_for_ever(self) -> None:
        while True:
            await self._stand_by()
            self._changed.clear()
            await self._serve(self._wish)

    async def _stand_by(self) -> None:
        """Return when this listener leads: two of them would clear each other's table."""
        told = False
        while not self._leads:
            self._leads = await self._renew_lease()
            if not self._leads:
                self._idle = self._idle.then(State.STOPPED, "Another listener runs; this one stands by.")
                if not told and not self._cache_problem:
                    log.info("another listener runs; standing by")
                    told = True
                await asyncio.sleep(_RENEW_EVERY_S)

    async def _keep_lease(self) -> None:
        """Renew the lease while this listener leads; without it, it is another's turn."""
        while True:
            await asyncio.sleep(_RENEW_EVERY_S)
            if self._leads and not await self._renew_lease() and not self._cache_problem:
                log.warning("another listener has taken over")
                self._leads = False
                self._changed.set()

    async def _renew_lease(self) -> bool:
        try:
            mine = await asyncio.to_thread(self._lease.renew)
        except redis.RedisError as error:
            self._cache_trouble(str(error))
            return False
        self._cache_trouble("")
        return mine

    def _cache_trouble(self, problem: str) -> None:
        """Say once that the cache cannot be reached, and once that it can."""
        if problem and not self._cache_problem:
            log.warning("cache unreachable: %s", problem)
        elif self._cache_problem and not problem:
            log.info("cache reachable again")
        self._cache_problem = problem

    async def _serve(self, wish: Wish) -> None:
        """Do what is wanted until something else is, or another listener leads."""
        if not wish.enabled:
            self._beside.stop()
            self._idle = self._idle.then(State.STOPPED, OFF)
            await self._changed.wait()
            return
        connection = self._connection = FeedConnection(wish.address, self._on_source, self._on_frame, self._patience)
        serving = asyncio.create_task(connection.run())
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait((serving, changed), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                # Refused: trying again would change nothing; another setting, or a start with another key, may.
                self._idle, self._connection = connection.report, None
                await changed
        finally:
            self._idle, self._connection = connection.report, None
            for task in (serving, changed):
                task.cancel()
            await asyncio.gather(serving, changed, return_exceptions=True)
            if not self._leads:
                self._beside.stop()

    async def _follow_wishes(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Follow the settings as they are saved now."""
        async with self._looking:
            before = self._wish
            await asyncio.to_thread(self._read_wish)
            if self._wish == before:
                return
            log.info("the feed's settings have changed")
            if self._connection is not None and self._wish.same_connection(before):
                await self._connection.change_subscriptions(self._wish.address.subscriptions)
            else:
                self._changed.set()

    def reconnect(self) -> None:
        """End the connection and make it anew; also one that the feed has refused."""
        self._changed.set()

    @property
    def report(self) -> Report:
        """What it does at this moment, and why."""
        return self._connection.report if self._connection is not None else self._idle

    @property
    def settled(self) -> bool:
        """Whether the report says what came of the last change, not only that it is under way."""
        under_way = (State.STOPPED, State.CONNECTING, State.AUTHENTICATING)
        return not self._changed.is_set() and (self._connection is None or self.report.state not in under_way)

    def _read_wish(self) -> None:
        """Read the settings; while they cannot be read the last ones stand."""
        try:
            self._wish = read_wish(self._fixed_feed)
            self._wish_problem = ""
            self._recording.follow(self._wish.record)
        except (DatabaseError, ValueError) as error:
            if not self._wish_problem:
                log.warning("the feed's settings cannot be read, the last ones stand: %s", error)
            self._wish_problem = str(error)

    def _stop(self) -> None:
        self._recording.stop()
        if self._publisher is not None:
            self._publisher.stop(_STOP_TIMEOUT_S)
        if not self._leads:
            return
        report = self.report
        if report.state is not State.REFUSED:
            report = report.then(State.STOPPED, "The listener was stopped.")
        try:
            if self._lease.renew():
                self._write_report(report, last=True)
            self._lease.release()
        except redis.RedisError as error:
            log.warning("cache unreachable, the listener's end is not shown: %s", error)

    async def _on_source(self, info: SourceInfo) -> None:
        """Make the feed's run the present source before its first event."""
        lossless = self._always_lossless or info.lossless
        source = Source(info.source, info.kind, info.clock, info.speed, lossless)
        while True:
            try:
                # Nobody who only believes to lead may clear the table of who does.
                if self._lease.held:
                    is_new = await asyncio.to_thread(self._declare, source)
                    break
            except redis.RedisError as error:
                self._cache_trouble(str(error))
            await asyncio.sleep(_RENEW_EVERY_S)
        if self._publisher is None or lossless != self._lossless:
            await self._start_publisher(lossless)
        assert self._buffer is not None  # noqa: S101 - _start_publisher made it
        self._beside.begin(info, self._wish.address)
        self._buffer.begin_source(source.id)
        self._recording.begin_source(source)
        if is_new:
            log.info("source %s: table, bars and boards begin anew", source.id)
            await asyncio.to_thread(refresh_soon)

    async def _start_publisher(self, lossless: bool) -> None:
        # A start that is cancelled meanwhile must not leave one that has ended behind.
        before, self._publisher = self._publisher, None
        if before is not None:
            await asyncio.to_thread(before.stop, _STOP_TIMEOUT_S)
        self._lossless = lossless
        limits = BatchLimits(
            max_events=settings.BATCH_MAX_EVENTS,
            max_age_ms=settings.BATCH_MAX_AGE_MS,
            max_bytes=settings.LISTENER_BUFFER_MB * 1024 * 1024,
            ttl_ms=settings.MESSAGE_TTL_MS,
            lossless=lossless,
        )
        # Receipt numbers count from the microsecond of the start, so they grow across restarts: fewer than a million
        # events a second are given one.
        self._buffer = Buffer(limits, first_seq=int(time() * 1_000_000))
        self._publisher = Publisher(
            self._app, self._buffer, ListenerAccounts(self._store, self._buffer, self._run_id), limits
        )
        self._publisher.start()

    async def _on_polled(self, feed: str, events: list[msgspec.Raw]) -> None:
        # The source has marked them as delivered: they wait for their way to be open.
        while not self._lease.held or (self._publisher is not None and self._publisher.health.broker_error):
            await asyncio.sleep(_RENEW_EVERY_S)
        received_at = int(time() * 1_000)
        polled = SortedFrame(events={feed: events})
        if feed == "news":
            self._recording.articles(events, received_at)
        else:
            self._recording.frame(msgspec.json.encode(events), polled, received_at)
        if self._buffer is not None:
            self._buffer.add(polled, received_at)

    async def _on_frame(self, frame: str | bytes, received_at: int) -> None:
        buffer = self._buffer
        while self._lossless and not self._lease.held:
            await asyncio.sleep(_RENEW_EVERY_S)
        if buffer is None or not self._lease.held:
            # A process that was stopped for a while wakes to frames that another has read, too.
            return
        result = sort_frame(frame)
        connection = self._connection
        for status in result.statuses:
            if connection is not None:
                connection.server_status(str(status.get("status", "")), str(status.get("message", "")))
        if result.malformed and len(self._malformed) < _SAMPLES_A_REPORT:
            self._malformed += [(bad.feed, bad.reason, bad.sample) for bad in result.malformed[:_SAMPLES_A_REPORT]]
        buffer.add(result, received_at)
        self._gaps.hear(frame, received_at)
        self._recording.frame(frame, result, received_at)
        while self._lossless and (buffer.full or self._recording.behind):
            await asyncio.sleep(0.001)

    async def _report_for_ever(self) -> None:
        while True:
            if self._publisher is not None and self._publisher.failed is not None:
                raise self._publisher.failed
            report = self.report
            if self._lease.held:
                if report != self._shown:
                    self._shown = report
                    log.log(_LEVELS.get(report.state, logging.INFO), "%s: %s", report.state, report.reason)
                try:
                    await asyncio.to_thread(self._recording.look_for_reference)
                    await asyncio.to_thread(self._write_report, report)
                except redis.RedisError as error:
                    self._cache_trouble(str(error))
            await asyncio.sleep(_REPORT_EVERY_S)

    def _declare(self, source: Source) -> bool:
        """Make a source the present one, after which no report brings an earlier one back; whether it is new."""
        with self._writing:
            self._source = source
            is_new = self._store.declare_source(source)
            self._gaps.connecting(source, is_new)
            return is_new

    def _write_report(self, report: Report, last: bool = False) -> None:
        """State, samples of what was malformed, and the source again: a cache that was lost learns it anew.

        One that still runs in its thread while the listener ends must not follow the last one.
        """
        with self._writing:
            if self._ended:
                return
            self._ended = last
            if self._source is not None:
                present = self._store.source()
                # Declared over another's, it clears a table: only who leads at this very moment may do that.
                if present is None or present.id == self._source.id or self._lease.renew():
                    if self._store.declare_source(self._source):
                        self._gaps.cache_lost(self._source)
                    self._gaps.write()
            self._store.redis.set(LISTENER_STATE, msgspec.json.encode(self._content(report)), px=_REPORT_LIFE_MS)
            malformed, self._malformed = self._malformed, []
        for feed, reason, sample in malformed:
            log.warning("malformed %s event: %s", feed, reason)
            self._store.keep_samples(feed, [(reason, sample)])

    def figures(self) -> dict[str, object]:
        """What it says of itself in the cache, whether it is the one that leads, and what recordings take."""
        use = folder_use(settings.RECORDINGS_DIR)
        return {
            **self._content(self.report),
            "leads": self._lease.held,
            "recordings_folder": asdict(use) if use is not None else None,
        }

    def _content(self, report: Report) -> dict[str, object]:
        reasons = [report.reason]
        running = report.state is not State.STOPPED
        if running and self._publisher is not None and self._publisher.health.broker_error:
            reasons.append(f"Publishing waits for the broker: {self._publisher.health.broker_error.removesuffix('.')}.")
        if running:
            reasons += self._beside.problems()
        if self._wish_problem:
            reasons.append(f"The settings cannot be read, the last ones stand ({self._wish_problem}).")
        if recording := self._recording.sentence():
            reasons.append(recording)
        return {
            "state": str(report.state),
            "since": report.since,
            "reason": " ".join(reasons),
            "feed": self._wish.address.feed,
            "market": self._wish.address.market,
            "settings_revision": self._wish.revision,
            "subscriptions": self._wish.address.subscriptions,
            "buffered_bytes": self._buffer.buffered_bytes() if self._buffer else 0,
            "lossless": self._lossless,
            "recording": self._recording.report(),
            "trade_halts": self._beside.halts_report(),
        }
