"""OpenTelemetry's own: spans in portions over OTLP/HTTP. Imported only where traces are collected.

`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER` and the like are read by OpenTelemetry itself.
"""

import os
import socket
from contextvars import ContextVar
from functools import lru_cache

from django.conf import settings
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from project.tracing import HEADER, Attributes, Kind

_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_FLUSH_MS = 2_000
_context = TraceContextTextMapPropagator()
_given: ContextVar[str] = ContextVar("given", default="")


class _Ids(RandomIdGenerator):
    """Random ids, but the trace of a batch has the batch's own."""

    def generate_trace_id(self) -> int:
        given = _given.get()
        return int(given, 16) if given else super().generate_trace_id()


class _Span:
    """A span that has not ended."""

    def __init__(self, span: api.Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _context.inject(carrier, api.set_span_in_context(span, Context()))
        self.traceparent = carrier.get(HEADER, "")

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def end(self, at: int | None = None, problem: str = "") -> None:
        if problem:
            self._span.set_status(Status(StatusCode.ERROR, problem))
        self._span.end(at * 1_000 if at is not None else None)


@lru_cache(maxsize=1)
def _provider(part: str) -> TracerProvider:
    resource = Resource.create(
        {
            "service.name": f"tapewatch-{part}",
            "service.version": settings.VERSION,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
    )
    provider = TracerProvider(resource=resource, id_generator=_Ids())
    # The address is OpenTelemetry's own variable: it knows what belongs behind it.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    api.set_tracer_provider(provider)
    return provider


def begin(part: str, name: str, kind: Kind, parent: str, at: int | None, attributes: Attributes, trace: str) -> _Span:
    """See `project.tracing.begin`."""
    tracer = _provider(part).get_tracer("tapewatch", settings.VERSION)
    # Never the one that may stand in this thread: whose child it is was said.
    context = _context.extract({HEADER: parent}, Context()) if parent else Context()
    token = _given.set("" if parent else trace)
    try:
        span = tracer.start_span(
            name, context, _KINDS[kind], attributes, start_time=at * 1_000 if at is not None else None
        )
    finally:
        _given.reset(token)
    return _Span(span)


def flush() -> None:
    """Send what has ended."""
    provider = api.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.force_flush(_FLUSH_MS)
