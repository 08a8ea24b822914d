"""How long an event takes from the feed's frame to the browsers' sockets, stage by stage, over the last minute."""

from collections import defaultdict
from collections.abc import Iterable
from time import time
from typing import Any, Final

import msgspec

from control.bench.percentiles import percentiles
from processors.batch_traces import DELIVERED, MERGED, Delivered, Merged

# In the order of an event's way: from the frame to the broker, until it is merged, until it is written to the sockets;
# and from end to end.
STAGES: Final[tuple[str, ...]] = ("frame_to_queue", "queue_to_merge", "merge_to_socket", "frame_to_socket")
_OVER_MS: Final = 60_000

_merged = msgspec.msgpack.Decoder(Merged).decode
_delivered = msgspec.msgpack.Decoder(Delivered).decode


class StageLatency(msgspec.Struct, frozen=True):
    """One stage; milliseconds. Below zero where hosts' clocks differ.

    Attributes:
        batches: How many were measured.
    """

    p50: float
    p99: float
    max: float
    batches: int


class BatchLatency(msgspec.Struct, frozen=True):
    """The stages of `STAGES` that were measured in the last minute; those to the sockets only while there are some.

    Attributes:
        stages: Over all feeds.
        feeds: By feed.
    """

    stages: dict[str, StageLatency]
    feeds: dict[str, dict[str, StageLatency]]


def batch_latency(cache: Any, now_ms: int | None = None) -> BatchLatency:
    """The latencies of the batches that were measured in the last minute, one a second and feed.

    Args:
        cache: A client that gives bytes.
        now_ms: The wall clock, epoch milliseconds.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    since = (round(time() * 1_000) if now_ms is None else now_ms) - _OVER_MS
    with cache.pipeline(transaction=False) as pipe:
        pipe.lrange(MERGED, 0, -1)
        pipe.lrange(DELIVERED, 0, -1)
        merged, delivered = pipe.execute()
    notes: list[Merged | Delivered] = [*map(_merged, merged), *map(_delivered, delivered)]
    return _summed_up(note for note in notes if note.at > since)


def _summed_up(notes: Iterable[Merged | Delivered]) -> BatchLatency:
    samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for note in notes:
        for stage, milliseconds in _stages_of(note):
            samples[note.feed][stage].append(milliseconds)
            samples[""][stage].append(milliseconds)
    feeds = {
        feed: {stage: _latency(stages[stage]) for stage in STAGES if stage in stages}
        for feed, stages in samples.items()
    }
    return BatchLatency(feeds.pop("", {}), feeds)


def _stages_of(note: Merged | Delivered) -> tuple[tuple[str, float], ...]:
    if isinstance(note, Merged):
        return ("frame_to_queue", note.collect), ("queue_to_merge", note.queue + note.merge)
    return ("merge_to_socket", note.socket), ("frame_to_socket", note.total)


def _latency(milliseconds: list[float]) -> StageLatency:
    figures = percentiles(milliseconds)
    return StageLatency(figures["p50"] or 0.0, figures["p99"] or 0.0, figures["max"] or 0.0, figures["samples"])
