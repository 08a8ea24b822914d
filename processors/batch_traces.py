"""Following a batch: when it was received, published, taken, merged, and written to the sockets.

One batch a second and feed is *measured*: its times make the figures of the system page, and spans where traces are
collected (`project.tracing`). While the listener's log is at DEBUG every batch is followed, for the log alone. A
followed batch says so in its headers. The worker says on a channel that it is merged, after its messages and on their
way: a web process that hears it has heard them.

Times are epoch microseconds, by the clock of the host that noted them. `control.batch_latency` reads the figures.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import time_ns
from typing import Any, Final

import msgspec
import redis
from structlog.contextvars import bound_contextvars

from listener.events import Batch
from project import queues, tracing
from project.tracing import Kind

log = logging.getLogger(__name__)

# The channel on which workers say that a followed batch is merged.
TRACED: Final = "tw:traced"
# Lists of measured batches, newest first: what workers and what web processes noted of each.
MERGED: Final = "tw:latency:merged"
DELIVERED: Final = "tw:latency:delivered"
# A minute of every feed from one listener, and room for web processes, each of which notes every batch.
_MOST_MERGED: Final = 500
_MOST_DELIVERED: Final = 2_000
_LIFE_MS: Final = 120_000
# Of this process, as the agents and the web processes name themselves.
PROCESS: Final = f"{socket.gethostname()}:{os.getpid()}"


def now_us() -> int:
    """The wall clock, epoch microseconds."""
    return time_ns() // 1_000


class Trace(msgspec.Struct, frozen=True):
    """A followed batch that is merged: what is said on the channel.

    Attributes:
        batch: Its id, which is also the id of its trace.
        feed: The queue's name.
        events: How many it holds.
        received_at: When the oldest of its events was received.
        published_at: When it was handed to the broker.
        taken_at: When a worker took it.
        merged_at: When it was merged.
        worker: Which did, host and process id.
        measured: Whether its times make figures and spans.
        traceparent: Whose child the next span is (W3C trace context); empty where no traces are collected.
    """

    batch: str
    feed: str
    events: int
    received_at: int
    published_at: int
    taken_at: int
    merged_at: int
    worker: str
    measured: bool
    traceparent: str


class Merged(msgspec.Struct, frozen=True, array_like=True):
    """What a worker notes of a measured batch; milliseconds.

    Attributes:
        at: When it was merged, epoch milliseconds.
        collect: From the frame to the broker.
        queue: From the broker to the worker.
        merge: What the merge took.
    """

    at: int
    feed: str
    collect: float
    queue: float
    merge: float


class Delivered(msgspec.Struct, frozen=True, array_like=True):
    """What a web process notes of a measured batch; milliseconds.

    Attributes:
        at: When its messages were written, epoch milliseconds.
        socket: From the merge to the sockets.
        total: From the frame to the sockets.
    """

    at: int
    feed: str
    socket: float
    total: float


_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(Trace).decode
_pack = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Taken:
    """A batch in a worker's hands.

    Attributes:
        outcome: What became of it: `applied`, `duplicate`, `superseded`, or the term that it counts under. Of a batch
            in two parts, the last one's.
    """

    outcome: str = ""


@contextmanager
def taken(client: Any, headers: Mapping[str, Any] | None, feed: str, batch: Batch) -> Iterator[Taken]:
    """What a worker does with a batch: all that is logged meanwhile names it, and a followed one's way goes on.

    Args:
        client: The connection that merges.
        headers: The task's, or None.
        feed: The queue's name.
        batch: What is merged.
    """
    taken_at = now_us()
    with bound_contextvars(batch=batch.id, feed=feed):
        work = Taken()
        yield work
        merged_at = now_us()
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "a batch is done with",
                extra={"events": len(batch.events), "outcome": work.outcome, "merge_ms": _ms(taken_at, merged_at)},
            )
        if headers is None or queues.HEADER_PUBLISHED not in headers or work.outcome != "applied":
            return
        trace = Trace(
            batch=batch.id,
            feed=feed,
            events=len(batch.events),
            received_at=batch.received_at * 1_000,
            published_at=int(headers[queues.HEADER_PUBLISHED]),
            taken_at=taken_at,
            merged_at=merged_at,
            worker=PROCESS,
            measured=bool(headers[queues.HEADER_MEASURED]),
            traceparent=str(headers.get(queues.HEADER_TRACE, "")),
        )
        try:
            _tell(client, trace)
        except redis.RedisError as error:
            # It is merged; that nobody hears of it costs a figure.
            log.debug("cache unreachable, a batch is not followed further: %s", error)


def _tell(client: Any, trace: Trace) -> None:
    if not trace.measured:
        client.publish(TRACED, _to_json(trace))
        return
    if tracing.enabled():
        span = tracing.record(
            "worker",
            "merge",
            Kind.CONSUMER,
            trace.traceparent,
            trace.taken_at,
            trace.merged_at,
            {"tapewatch.feed": trace.feed, "tapewatch.events": trace.events, "tapewatch.batch": trace.batch},
        )
        trace = msgspec.structs.replace(trace, traceparent=span)
    note = Merged(
        trace.merged_at // 1_000,
        trace.feed,
        _ms(trace.received_at, trace.published_at),
        _ms(trace.published_at, trace.taken_at),
        _ms(trace.taken_at, trace.merged_at),
    )
    with client.pipeline(transaction=False) as pipe:
        pipe.publish(TRACED, _to_json(trace))
        for command in noting(MERGED, note):
            pipe.execute_command(*command)
        pipe.execute()


def noting(key: str, note: Merged | Delivered) -> tuple[tuple[str | bytes | int, ...], ...]:
    """The commands that put a note into its list."""
    most = _MOST_MERGED if key == MERGED else _MOST_DELIVERED
    return ("LPUSH", key, _pack(note)), ("LTRIM", key, 0, most - 1), ("PEXPIRE", key, _LIFE_MS)


def delivered(data: bytes, written_at: int) -> Delivered | None:
    """What a web process has to say and to note when it has written a followed batch's messages to its sockets.

    Args:
        data: What came on the channel.
        written_at: When they were written.

    Returns:
        What it notes; None of a batch that is not measured.
    """
    trace = _from_json(data)
    socket_ms, total_ms = _ms(trace.merged_at, written_at), _ms(trace.received_at, written_at)
    if log.isEnabledFor(logging.DEBUG):
        log.debug(
            "a batch's messages are written to the sockets",
            extra={
                "batch": trace.batch,
                "feed": trace.feed,
                "events": trace.events,
                "collect_ms": _ms(trace.received_at, trace.published_at),
                "queue_ms": _ms(trace.published_at, trace.taken_at),
                "merge_ms": _ms(trace.taken_at, trace.merged_at),
                "socket_ms": socket_ms,
                "total_ms": total_ms,
                "worker": trace.worker,
            },
        )
    if not trace.measured:
        return None
    if tracing.enabled():
        tracing.record(
            "web",
            "deliver",
            Kind.CONSUMER,
            trace.traceparent,
            trace.merged_at,
            written_at,
            {"tapewatch.feed": trace.feed, "tapewatch.batch": trace.batch},
        )
    return Delivered(written_at // 1_000, trace.feed, socket_ms, total_ms)


def _ms(begin: int, end: int) -> float:
    """From one time to another. Below zero where hosts' clocks differ."""
    return round((end - begin) / 1_000, 2)
