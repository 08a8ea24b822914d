"""The Celery tasks: edges of a few lines. One feed task a queue; the scan tick; reference data."""

import logging
from collections.abc import Callable
from time import sleep, time
from typing import Any

import redis
from celery import Task, shared_task
from celery.signals import task_revoked
from django.conf import settings

from listener.events import Batch
from processors import merge_raw
from processors.merge import Merge
from processors.merge_bars import merge_bars
from processors.merge_quotes import merge_halts, merge_quotes
from processors.merge_trades import merge_trades
from processors.sessions import DayLookup
from processors.store import Store, default_store
from project import queues

log = logging.getLogger(__name__)

_days = DayLookup()
_RETRY_S = 0.2


def market_of(source: str) -> str:
    """The market of a source id: `live:crypto:…` carries crypto, simulator and recordings carry stocks."""
    kind, _, rest = source.partition(":")
    return rest.partition(":")[0] if kind == "live" else "stocks"


def _apply(task: "Task[..., None]", feed: str, batch: Batch, prepare: Callable[[Store], Merge]) -> None:
    """Merge a batch, unless it is too old; while the cache is away wait for it, as long as the batch is worth it."""
    store = default_store()
    lossless = (task.request.delivery_info or {}).get("routing_key") == queues.LOSSLESS
    prepared: Merge | None = None
    disposal = ""
    while True:
        if not lossless and time() * 1_000 - batch.received_at > settings.MESSAGE_TTL_MS:
            disposal = disposal or "expired_age"
        try:
            if disposal:
                store.settle(batch.source, batch.id, feed, disposal, len(batch.events), batch.received_at)
                return
            if prepared is None:
                store.interest.refresh()
                prepared = prepare(store)
            store.merge(prepared, batch, feed)
            return
        except (redis.ConnectionError, redis.TimeoutError) as error:
            log.warning("cache unreachable, %s batch waits: %s", feed, error)
            sleep(_RETRY_S)
        except Exception:
            if disposal:
                raise
            log.exception("a %s batch of %d events cannot be merged", feed, len(batch.events))
            disposal = "failed"


def _feed_task(function: Callable[..., None]) -> Any:
    """A task whose messages live shortly, are acknowledged late and may come twice."""
    make: Any = shared_task  # the stubs know nothing of a task's own request
    return make(
        bind=True,
        acks_late=True,
        ignore_result=True,
        serializer="tapewatch-batch",
        Request="processors.requests:FeedRequest",
    )(function)


def _other(market: str, kind: str, batch: Batch, store: Store) -> Merge:
    return merge_raw.merge_other_market(batch, market, kind, store.interest)


@_feed_task
def process_aggregates(self: "Task[..., None]", batch: Batch) -> None:
    """Second and minute bars."""

    def prepare(store: Store) -> Merge:
        if (market := market_of(batch.source)) != "stocks":
            return _other(market, "agg", batch, store)
        return merge_bars(batch, store.interest, _days)

    _apply(self, "aggregate", batch, prepare)


@_feed_task
def process_trades(self: "Task[..., None]", batch: Batch) -> None:
    """Prints."""

    def prepare(store: Store) -> Merge:
        if (market := market_of(batch.source)) != "stocks":
            return _other(market, "trades", batch, store)
        return merge_trades(batch, store.interest, _days)

    _apply(self, "trades", batch, prepare)


@_feed_task
def process_quotes(self: "Task[..., None]", batch: Batch) -> None:
    """Best bids and offers."""

    def prepare(store: Store) -> Merge:
        if (market := market_of(batch.source)) != "stocks":
            return _other(market, "quotes", batch, store)
        return merge_quotes(batch, store.interest)

    _apply(self, "quotes", batch, prepare)


@_feed_task
def process_halts(self: "Task[..., None]", batch: Batch) -> None:
    """Price bands and halts."""
    _apply(self, "halts", batch, lambda store: merge_halts(batch, store.interest))


@_feed_task
def process_news(self: "Task[..., None]", batch: Batch) -> None:
    """News articles."""
    _apply(self, "news", batch, lambda store: merge_raw.merge_news(batch))


@_feed_task
def process_unknown(self: "Task[..., None]", batch: Batch) -> None:
    """Whatever has no feed of its own."""
    _apply(self, "unknown", batch, lambda store: merge_raw.merge_unknown(batch, store.interest))


FEED_TASKS = {
    "aggregate": process_aggregates,
    "trades": process_trades,
    "quotes": process_quotes,
    "halts": process_halts,
    "news": process_news,
    "unknown": process_unknown,
}


@task_revoked.connect
def count_expired(request: Any = None, expired: bool = False, **kwargs: Any) -> None:
    """Count a batch that the worker found expired, by the headers alone."""
    headers = getattr(request, "headers", None) or {}
    if expired and queues.HEADER_BATCH in headers:
        count_disposed(headers, "expired_worker")


def count_disposed(headers: dict[str, Any], term: str) -> None:
    """Account for a batch that was disposed of unopened.

    Args:
        headers: The message's, as the listener wrote them.
        term: The reason in the accounts.
    """
    try:
        default_store().settle(
            headers[queues.HEADER_SOURCE],
            headers[queues.HEADER_BATCH],
            headers[queues.HEADER_FEED],
            term,
            int(headers[queues.HEADER_EVENTS]),
            int(headers[queues.HEADER_RECEIVED]),
        )
    except redis.RedisError as error:
        # What cannot be counted here shows as lost, fifteen seconds later.
        log.warning("cache unreachable, an expired batch is not counted under %s: %s", term, error)


@shared_task(acks_late=False, ignore_result=True)
def scan_tick() -> None:
    """Rank the boards once; every other engine's tick is a no-op while one holds the lease."""
    from processors.engine import default_engine  # polars with it: only the scans worker needs it

    default_engine().tick()


@shared_task(acks_late=False, ignore_result=True)
def refresh_reference() -> None:
    """Load the previous day's bars when the market's day is not the one they were loaded for."""
    from processors.reference import refresh

    refresh(default_store())
