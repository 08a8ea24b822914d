"""Spans for whoever collects traces: with `OTEL_EXPORTER_OTLP_ENDPOINT` set batches, requests and jobs make some.

Without it nothing of OpenTelemetry is imported, and nothing is done: ask `enabled` first. Contexts are passed on as
W3C's `traceparent`, times are epoch microseconds.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Final, Protocol

from django.conf import settings

Attributes = Mapping[str, str | int | float | bool]
HEADER: Final = "traceparent"


class Kind(Enum):
    """What a span does with what it is about."""

    INTERNAL = "internal"
    SERVER = "server"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class OpenSpan(Protocol):
    """A span that has not ended.

    Attributes:
        traceparent: What makes others its children.
    """

    traceparent: str

    def note(self, attributes: Attributes) -> None:
        """Add what is known by now."""
        ...

    def rename(self, name: str) -> None:
        """Call it by what it turned out to be."""
        ...

    def end(self, at: int | None = None, problem: str = "") -> None:
        """End it, now or at a time; `problem` says in words what went wrong."""
        ...


def enabled() -> bool:
    """Whether traces are collected."""
    return bool(settings.OTEL_EXPORTER_OTLP_ENDPOINT)


def begin(
    part: str,
    name: str,
    kind: Kind,
    parent: str = "",
    at: int | None = None,
    attributes: Attributes | None = None,
    trace: str = "",
) -> OpenSpan:
    """Begin a span.

    Args:
        part: The part of the system that it is of; a process sticks to one.
        name: What happens.
        kind: What it does with what it is about.
        parent: A `traceparent`; none begins a trace.
        at: When it began; None: now.
        attributes: What there is to know about it.
        trace: The id of the trace that it begins, 32 hexadecimal digits; none: a random one.
    """
    from project import otlp

    return otlp.begin(part, name, kind, parent, at, attributes or {}, trace)


def record(part: str, name: str, kind: Kind, parent: str, began_at: int, ended_at: int, attributes: Attributes) -> str:
    """A span that is over; its `traceparent`."""
    span = begin(part, name, kind, parent, began_at, attributes)
    span.end(ended_at)
    return span.traceparent


@contextmanager
def span(part: str, name: str, kind: Kind, parent: str, attributes: Attributes) -> Iterator[OpenSpan]:
    """A span around what is done; an exception is its problem."""
    opened = begin(part, name, kind, parent, attributes=attributes)
    try:
        yield opened
    except BaseException as error:
        opened.end(problem=type(error).__name__)
        raise
    opened.end()


def flush() -> None:
    """Send what has ended, before a process ends that does not say so."""
    from project import otlp

    otlp.flush()
