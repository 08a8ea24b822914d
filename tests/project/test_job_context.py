"""Jobs know which request asked for them, and whose trace they belong to."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import shared_task
from celery.signals import after_task_publish
from structlog.contextvars import bound_contextvars, get_contextvars

from processors.jobs import backfill_bars
from project import queues, tracing
from project.embedded import EmbeddedValkey
from tests.otlp_receiver import Traces, receiving_traces

_PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@shared_task
def look_around() -> dict[str, Any]:
    """What a job's lines would carry."""
    return dict(get_contextvars())


@shared_task
def stumble() -> None:
    """End badly."""
    raise LookupError("nothing there")


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Traces]:
    """A collector that this process sends its spans to."""
    with receiving_traces() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.address)
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = traces.address
        yield traces


def test_a_job_is_told_who_asks_for_it(valkey: EmbeddedValkey) -> None:
    told: list[dict[str, Any]] = []

    def listen(headers: dict[str, Any], **kwargs: Any) -> None:
        told.append(headers)

    after_task_publish.connect(listen)
    try:
        with bound_contextvars(request_id="from-the-proxy-1", traceparent=_PARENT):
            backfill_bars.apply_async(("AAPL",))
        backfill_bars.apply_async(("AAPL",))
    finally:
        after_task_publish.disconnect(listen)
    assert told[0]["tw_request_id"] == "from-the-proxy-1"
    assert told[0]["traceparent"] == _PARENT
    assert not {"tw_request_id", "traceparent"} & told[1].keys()


def test_a_jobs_lines_carry_its_name_and_request_while_it_runs() -> None:
    job = look_around.apply(headers={"tw_request_id": "from-the-proxy-1"}, routing_key=queues.JOBS)
    assert job.get() == {"job": "look_around", "job_id": job.id, "request_id": "from-the-proxy-1"}
    assert get_contextvars() == {}
    # Feed tasks and ticks of the engine are no jobs.
    assert look_around.apply(routing_key=queues.SCANS).get() == {}


def test_jobs_make_spans_of_the_trace_that_asked_for_them(traces: Traces) -> None:
    context = look_around.apply(headers={"traceparent": _PARENT}, routing_key=queues.JOBS).get()
    stumble.apply(routing_key=queues.JOBS)
    tracing.flush()
    good, bad = traces.spans()
    assert (good.name, good.trace_id.hex(), good.parent_span_id.hex()) == ("look_around", "ab" * 16, "cd" * 8)
    # What the job asks for goes on from its own span.
    assert context["traceparent"].split("-")[1:3] == ["ab" * 16, good.span_id.hex()]
    assert (good.status.code, bad.status.code) == (0, 2)
    assert bad.parent_span_id == b""
    assert traces.services() == {"tapewatch-jobs"}
