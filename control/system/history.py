"""The last fifteen minutes: a few dozen figures every five seconds, in a capped list."""

from typing import Any, Final

import msgspec

from control.system.state import FeedAccounts, SystemState

HISTORY: Final = "tw:history"
EVERY_MS: Final = 5_000
MINUTES: Final = 15
_MOST: Final = MINUTES * 60_000 // EVERY_MS
_LIFE_MS: Final = 2 * MINUTES * 60_000


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """The figures of one moment.

    Attributes:
        at: Epoch milliseconds.
        figures: By name; None where one was not known.
    """

    at: int
    figures: dict[str, float | None]


class History(msgspec.Struct, frozen=True):
    """Figures over time, oldest first.

    Attributes:
        every_ms: How far samples are apart, unless nobody gathered.
        at: When each was taken, epoch milliseconds.
        figures: By name, as many values as there are times; None where one was not known.
    """

    every_ms: int
    at: list[int]
    figures: dict[str, list[float | None]]


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Sample).decode


def figures(state: SystemState) -> dict[str, float | None]:
    """The figures of a state that are kept. Rates are a second."""
    feeds, queues = state.feeds, {queue.name: queue for queue in state.queues}
    crew = [worker for worker in state.workers if worker.kind == "feed worker" and worker.state == "running"]
    latency = state.latency.get("frame_to_socket")
    all_feeds = list(feeds.values())
    ages = [queue.oldest_ms for queue in state.queues if queue.oldest_ms is not None and queue.name in feeds]
    depths = [queue.depth for queue in state.queues if queue.depth is not None and queue.name in feeds]
    return {
        **{f"{feed}_in_per_s": terms.in_per_s for feed, terms in feeds.items()},
        **{f"{feed}_out_per_s": terms.out_per_s for feed, terms in feeds.items()},
        **{f"{name}_depth": queues[name].depth for name in (*feeds, "scans", "jobs") if name in queues},
        "in_per_s": round(sum(terms.in_per_s for terms in all_feeds), 1),
        "out_per_s": round(sum(terms.out_per_s for terms in all_feeds), 1),
        "lost_per_min": sum(terms.lost_per_min for terms in all_feeds),
        "malformed_per_min": sum(terms.malformed_per_min for terms in all_feeds),
        "in_flight": _total(all_feeds, "in_flight"),
        "queue_depth": sum(depths) if depths else None,
        "queue_oldest_ms": max(ages, default=None),
        "listener_buffered_bytes": state.listener.buffered_bytes,
        "feed_workers": len(crew),
        "feed_workers_busy_pct": round(sum(worker.busy_pct for worker in crew) / len(crew), 1) if crew else None,
        "feed_workers_rss_bytes": sum(worker.rss_bytes for worker in crew),
        "jobs_busy": state.jobs.busy,
        "jobs_processes": state.jobs.processes,
        "tick_p50_ms": state.engine.tick_ms.p50,
        "tick_p99_ms": state.engine.tick_ms.p99,
        "ticks_per_s": state.engine.ticks_per_s,
        "cache_used_bytes": state.cache.used_bytes,
        "cache_keys": state.cache.keys,
        "cache_hit_rate": state.cache.hit_rate,
        "cache_ops_per_s": state.cache.ops_per_s,
        "cache_answer_ms": state.cache.answer_ms,
        "wds_sockets": state.wds.sockets,
        "wds_subscriptions": state.wds.subscriptions,
        "wds_deliveries_per_s": state.wds.deliveries_per_s,
        "wds_bytes_per_s": state.wds.bytes_per_s,
        "wds_behind_ms": state.wds.behind_ms,
        "latency_p50_ms": latency.p50 if latency is not None else None,
        "latency_p99_ms": latency.p99 if latency is not None else None,
        "recordings_bytes": state.recordings.bytes,
        "recordings_free_bytes": state.recordings.free_bytes,
        "cpu_pct": round(sum(one.cpu_pct for one in state.components if one.state == "running"), 1),
        "rss_bytes": sum(one.rss_bytes for one in state.components if one.state == "running"),
        "problems": len(state.problems),
    }


def _total(terms: list[FeedAccounts], name: str) -> int:
    return sum(getattr(one, name) for one in terms)


def keep(pipe: Any, at: int, sample: dict[str, float | None]) -> None:
    """Add a sample, within a pipeline."""
    pipe.lpush(HISTORY, _pack(Sample(at, sample)))
    pipe.ltrim(HISTORY, 0, _MOST - 1)
    pipe.pexpire(HISTORY, _LIFE_MS)


def read_history(cache: Any, since: int) -> History:
    """What was kept since a time.

    Args:
        cache: A client that gives bytes.
        since: Epoch milliseconds.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    samples = [sample for raw in reversed(cache.lrange(HISTORY, 0, -1)) if (sample := _unpack(raw)).at >= since]
    names = dict.fromkeys(name for sample in samples for name in sample.figures)
    return History(
        EVERY_MS,
        [sample.at for sample in samples],
        {name: [sample.figures.get(name) for sample in samples] for name in names},
    )
