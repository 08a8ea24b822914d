"""Which batches are followed on their way, and what the listener says of them (`processors.batch_traces`)."""

import logging
from time import monotonic
from typing import Any, Final

from listener.events import Batch
from processors.batch_traces import now_us
from project import queues, tracing
from project.tracing import Attributes, Kind, OpenSpan

log = logging.getLogger(__name__)

_MEASURE_EVERY_S: Final = 1.0


class Following:
    """One batch a second and feed, and all of them while the log shows it."""

    def __init__(self) -> None:
        self._measured_at: dict[str, float] = {}
        # Until the broker has answered.
        self._spans: dict[str, OpenSpan] = {}

    def headers(self, feed: str, batch: Batch) -> dict[str, Any]:
        """What a batch that is handed to the broker now carries; nothing, of one that is not followed."""
        now = monotonic()
        measured = now - self._measured_at.get(feed, float("-inf")) >= _MEASURE_EVERY_S
        logged = log.isEnabledFor(logging.DEBUG)
        if not measured and not logged:
            return {}
        at = now_us()
        if logged:
            collected_ms = round(at / 1_000 - batch.received_at, 2)
            log.debug(
                "a batch is published",
                extra={"batch": batch.id, "feed": feed, "events": len(batch.events), "collect_ms": collected_ms},
            )
        headers: dict[str, Any] = {queues.HEADER_PUBLISHED: at, queues.HEADER_MEASURED: measured}
        if measured:
            self._measured_at[feed] = now
            if tracing.enabled():
                headers[queues.HEADER_TRACE] = self._spans_of(feed, batch, at)
        return headers

    def answered(self, batch: str) -> None:
        """The broker has a batch."""
        if self._spans and (span := self._spans.pop(batch, None)) is not None:
            span.end()

    def given_up(self) -> None:
        """What the broker has not answered, it never will."""
        for span in self._spans.values():
            span.end(problem="the broker did not answer")
        self._spans.clear()

    def _spans_of(self, feed: str, batch: Batch, at: int) -> str:
        """What was done so far, and what begins: its `traceparent`."""
        known: Attributes = {"tapewatch.feed": feed, "tapewatch.events": len(batch.events), "tapewatch.batch": batch.id}
        collecting = tracing.begin(
            "listener", "batch", Kind.INTERNAL, at=batch.received_at * 1_000, attributes=known, trace=batch.id
        )
        collecting.end(at)
        publishing = tracing.begin("listener", "publish", Kind.PRODUCER, collecting.traceparent, at, known)
        self._spans[batch.id] = publishing
        return publishing.traceparent
