"""The Celery tasks: edges of a few lines. One feed task a queue; the scan tick; reference data."""

import gc
import logging
from collections.abc import Callable
from time import sleep, time
from typing import Any

import redis
from celery import Task, shared_task
from celery.signals import task_revoked, worker_ready
from django.conf import settings

from listener.events import Batch, market_of
from processors.batch_traces import taken
from processors.components.feed_work import feed_work
from processors.merging.bars import merge_bars
from processors.merging.base import Merge
from processors.merging.conditions import refresh_rules
from processors.merging.halts import merge_halts
from processors.merging.quotes import merge_quotes
from processors.merging.raw import merge_news, merge_raw, merge_unknown, parts_by_way
from processors.merging.trades import merge_trades
from processors.sessions import DayLookup
from processors.store import Store, default_store
from project import queues

log = logging.getLogger(__name__)

_days = DayLookup()
_RETRY_S = 0.2
# Beside these two feeds carry what no row is made of: values, auction imbalances.
_BARS = frozenset({"A", "AM"})
_HALTS = frozenset({"LULD", "HALT"})

Prepare = Callable[[Batch, Store], Merge]


def _apply(task: "Task[..., None]", feed: str, batch: Batch, prepare: Prepare) -> str:
    """Merge a batch, unless it is too old; while the cache is away wait for it, as long as the batch is worth it.

    Returns:
        What became of it: `applied`, `duplicate`, `superseded`, or the term that it counts under.
    """
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
                return disposal
            if prepared is None:
                store.interest.refresh()
                prepared = prepare(batch, store)
            return store.merge(prepared, batch, feed)
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


def _trades(batch: Batch, store: Store) -> Merge:
    refresh_rules(store)
    return merge_trades(batch, store.interest, _days, store.covered(batch.source))


# How a feed's events of stocks become rows, and which types those are where it carries others beside them.
_INTO_TABLE: dict[str, tuple[Prepare, frozenset[str] | None]] = {
    "aggregate": (lambda batch, store: merge_bars(batch, store.interest, _days), _BARS),
    "trades": (_trades, None),
    "quotes": (lambda batch, store: merge_quotes(batch, store.interest), None),
    "halts": (lambda batch, store: merge_halts(batch, store.interest), _HALTS),
}
_AS_THEY_CAME: dict[str, Prepare] = {
    "news": lambda batch, store: merge_news(batch),
    "unknown": lambda batch, store: merge_unknown(batch, store.interest),
}


def parts_of(feed: str, batch: Batch) -> list[tuple[Batch, Prepare]]:
    """A batch's parts, each with what merges it: what belongs in the symbol table, and the rest, kept as it came."""
    if feed in _AS_THEY_CAME:
        return [(batch, _AS_THEY_CAME[feed])]
    market = market_of(batch.source)
    into_table, in_table = _INTO_TABLE[feed]
    table: Batch | None = batch
    raw: Batch | None = None
    if market != "stocks":
        table, raw = None, batch
    elif in_table is not None:
        table, raw = parts_by_way(batch, in_table)
    ways: list[tuple[Batch | None, Prepare]] = [
        (table, into_table),
        (raw, lambda part, store: merge_raw(part, market, store.interest)),
    ]
    return [(part, prepare) for part, prepare in ways if part is not None]


def _process(task: "Task[..., None]", feed: str, batch: Batch) -> None:
    with feed_work.on(feed, batch), taken(default_store().redis, task.request.headers, feed, batch) as work:
        for part, prepare in parts_of(feed, batch):
            work.outcome = _apply(task, feed, part, prepare)


@_feed_task
def process_aggregates(self: "Task[..., None]", batch: Batch) -> None:
    """Second and minute bars; values of indices, fair market values."""
    _process(self, "aggregate", batch)


@_feed_task
def process_trades(self: "Task[..., None]", batch: Batch) -> None:
    """Prints."""
    _process(self, "trades", batch)


@_feed_task
def process_quotes(self: "Task[..., None]", batch: Batch) -> None:
    """Best bids and offers; books."""
    _process(self, "quotes", batch)


@_feed_task
def process_halts(self: "Task[..., None]", batch: Batch) -> None:
    """Price bands and halts; auction imbalances."""
    _process(self, "halts", batch)


@_feed_task
def process_news(self: "Task[..., None]", batch: Batch) -> None:
    """News articles."""
    _process(self, "news", batch)


@_feed_task
def process_unknown(self: "Task[..., None]", batch: Batch) -> None:
    """Whatever has no feed of its own."""
    _process(self, "unknown", batch)


FEED_TASKS = {
    "aggregate": process_aggregates,
    "trades": process_trades,
    "quotes": process_quotes,
    "halts": process_halts,
    "news": process_news,
    "unknown": process_unknown,
}


@worker_ready.connect
def leave_the_code_alone(**kwargs: Any) -> None:
    """Keep the garbage collector from going through everything that was imported, which lasts as long as the worker."""
    gc.collect()
    gc.freeze()


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
    log.debug(
        "a batch is disposed of unopened",
        extra={"batch": headers[queues.HEADER_BATCH], "feed": headers[queues.HEADER_FEED], "outcome": term},
    )
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
    from processors.scanning.engine import default_engine  # polars with it: only the scans worker needs it

    default_engine().tick()
