"""The listener put together: connection, sorting, buffer, publisher, and its own report each half second."""

import asyncio
import logging
import os
import secrets
from datetime import UTC, datetime
from time import time

import msgspec
import redis
from celery import Celery
from django.conf import settings

from listener.batching import BatchLimits, Buffer
from listener.dispatch import ListenerAccounts, Publisher
from listener.feed import FeedAddress, FeedConnection, Report, SourceInfo, State
from listener.news import NewsSource
from listener.sorting import SortedFrame, sort_frame
from processors.reference import refresh_soon, rest_url
from processors.store import LISTENER_STATE, Source, Store

log = logging.getLogger(__name__)

_REPORT_EVERY_S = 0.5
_REPORT_LIFE_MS = 10_000
_STOP_TIMEOUT_S = 2.0
_SAMPLES_A_REPORT = 20


class Listener:
    """Reads a feed until it is cancelled.

    Args:
        app: The Celery application.
        address: The feed's.
        lossless: Drop nothing, whatever the feed says about itself.
    """

    def __init__(self, app: Celery, address: FeedAddress, lossless: bool) -> None:
        self._app, self._always_lossless = app, lossless
        self._store = Store()
        self._connection = FeedConnection(address, self._on_source, self._on_frame)
        self._address = address
        self._buffer: Buffer | None = None
        self._publisher: Publisher | None = None
        self._source: Source | None = None
        self._lossless = lossless
        self._malformed: list[tuple[str, str, str]] = []
        self._shown: Report | None = None
        self._news: NewsSource | None = None
        self._news_task: asyncio.Task[None] | None = None
        self._run_id = f"{int(time())}-{os.getpid()}-{secrets.token_hex(2)}"

    async def run(self) -> None:
        """Serve until cancelled; what is buffered then is still published, as far as two seconds allow.

        Raises:
            listener.feed.FeedRefused: The key is not accepted.
        """
        tasks = {asyncio.create_task(self._report_for_ever()), asyncio.create_task(self._connection.run())}
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            if self._news_task is not None:
                tasks.add(self._news_task)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        if self._publisher is not None:
            self._publisher.stop(_STOP_TIMEOUT_S)
        report = self._connection.report
        if report.state is not State.REFUSED:
            report = Report(State.STOPPED, int(time() * 1_000), "The listener was stopped.")
        try:
            self._write_report(report)
        except redis.RedisError as error:
            log.warning("cache unreachable, the listener's end is not shown: %s", error)

    async def _on_source(self, info: SourceInfo) -> None:
        """Make the feed's run the present source before its first event."""
        lossless = self._always_lossless or info.lossless
        source = Source(info.source, info.kind, info.clock, info.speed, lossless)
        while True:
            try:
                is_new = await asyncio.to_thread(self._store.declare_source, source)
                break
            except redis.RedisError as error:
                log.warning("cache unreachable, the feed waits: %s", error)
                await asyncio.sleep(1)
        if self._publisher is None or lossless != self._lossless:
            self._start_publisher(lossless)
        assert self._buffer is not None  # noqa: S101 - _start_publisher made it
        if self._source is None or self._source.id != source.id:
            self._start_news(source)
        self._source = source
        self._buffer.begin_source(source.id)
        if is_new:
            log.info("source %s: table, bars and boards begin anew", source.id)
            await asyncio.to_thread(refresh_soon)

    def _start_publisher(self, lossless: bool) -> None:
        if self._publisher is not None:
            self._publisher.stop(_STOP_TIMEOUT_S)
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

    def _start_news(self, source: Source) -> None:
        """Poll the news of a source that has just begun, and no longer that of the one before."""
        if self._news_task is not None:
            self._news_task.cancel()
            self._news = self._news_task = None
        if self._address.market != "stocks":
            return
        since = datetime.fromtimestamp(source.clock / 1_000, UTC)
        self._news = NewsSource(self._address.key, rest_url(self._address.feed), since, self._on_articles)
        self._news_task = asyncio.create_task(self._news.run())

    async def _on_articles(self, articles: list[msgspec.Raw]) -> None:
        if self._buffer is not None:
            self._buffer.add(SortedFrame(events={"news": articles}), int(time() * 1_000))

    async def _on_frame(self, frame: str | bytes, received_at: int) -> None:
        buffer = self._buffer
        if buffer is None:
            return
        result = sort_frame(frame)
        for status in result.statuses:
            self._connection.server_status(str(status.get("status", "")), str(status.get("message", "")))
        if result.malformed and len(self._malformed) < _SAMPLES_A_REPORT:
            self._malformed += [(bad.feed, bad.reason, bad.sample) for bad in result.malformed[:_SAMPLES_A_REPORT]]
        buffer.add(result, received_at)
        while self._lossless and buffer.full:
            await asyncio.sleep(0.001)

    async def _report_for_ever(self) -> None:
        while True:
            if self._publisher is not None and self._publisher.failed is not None:
                raise self._publisher.failed
            report = self._connection.report
            if report != self._shown:
                self._shown = report
                log.info("%s: %s", report.state, report.reason)
            try:
                await asyncio.to_thread(self._write_report, report)
            except redis.RedisError as error:
                log.warning("cache unreachable: %s", error)
            await asyncio.sleep(_REPORT_EVERY_S)

    def _write_report(self, report: Report) -> None:
        """State, samples of what was malformed, and the source again: a cache that was lost learns it anew."""
        if self._source is not None:
            self._store.declare_source(self._source)
        problems = [report.reason]
        if self._publisher is not None and self._publisher.health.broker_error:
            problems.append(f"The broker cannot be reached ({self._publisher.health.broker_error}).")
        if self._news is not None and self._news.problem:
            problems.append(f"News cannot be loaded ({self._news.problem}).")
        content = {
            "state": str(report.state),
            "since": report.since,
            "reason": " ".join(problems),
            "feed": self._address.feed,
            "market": self._address.market,
            "subscriptions": self._address.subscriptions,
            "buffered_bytes": self._buffer.buffered_bytes() if self._buffer else 0,
            "lossless": self._lossless,
        }
        self._store.redis.set(LISTENER_STATE, msgspec.json.encode(content), px=_REPORT_LIFE_MS)
        malformed, self._malformed = self._malformed, []
        for feed, reason, sample in malformed:
            log.warning("malformed %s event: %s", feed, reason)
            self._store.keep_samples(feed, [(reason, sample)])
