"""What jobs have to do with who asked for them: request and trace go along in the task's headers.

Feed tasks take no part in this: of their batches `processors.batch_traces` knows more, at less cost.
"""

import logging
from contextlib import ExitStack
from typing import Any, Final

from celery.signals import before_task_publish, task_postrun, task_prerun, worker_process_shutdown
from structlog.contextvars import bound_contextvars, get_contextvars

from project import queues, tracing
from project.tracing import Kind, OpenSpan

log = logging.getLogger(__name__)

# Of tasks' headers.
_REQUEST: Final = "tw_request_id"
_running: Final[dict[str, tuple[ExitStack, OpenSpan | None]]] = {}


@before_task_publish.connect
def pass_on(headers: dict[str, Any] | None = None, routing_key: str = "", **kwargs: Any) -> None:
    """Tell a job which request asks for it, and whose trace it belongs to."""
    if headers is None or routing_key != queues.JOBS:
        return
    context = get_contextvars()
    if "request_id" in context:
        headers[_REQUEST] = context["request_id"]
    if "traceparent" in context:
        headers[tracing.HEADER] = context["traceparent"]


@task_prerun.connect
def begin(task_id: str = "", task: Any = None, **kwargs: Any) -> None:
    """From here on each line names the job."""
    if not _is_job(task):
        return
    headers = task.request.headers or {}
    said: dict[str, Any] = {"job": task.name.rpartition(".")[2], "job_id": task_id}
    if _REQUEST in headers:
        said["request_id"] = headers[_REQUEST]
    span = None
    if tracing.enabled():
        span = tracing.begin(
            "jobs",
            said["job"],
            Kind.CONSUMER,
            str(headers.get(tracing.HEADER, "")),
            attributes={"tapewatch.job": task.name, "tapewatch.job_id": task_id},
        )
        said["traceparent"] = span.traceparent
    stack = ExitStack()
    stack.enter_context(bound_contextvars(**said))
    _running[task_id] = stack, span


@task_postrun.connect
def end(task_id: str = "", state: str | None = None, **kwargs: Any) -> None:
    """The job is over."""
    stack, span = _running.pop(task_id, (None, None))
    if span is not None:
        span.end(problem="it failed" if state == "FAILURE" else "")
    if stack is not None:
        stack.close()


@worker_process_shutdown.connect
def send_the_rest(**kwargs: Any) -> None:
    """A pool's process ends without the usual farewells."""
    if tracing.enabled():
        tracing.flush()


def _is_job(task: Any) -> bool:
    return (task.request.delivery_info or {}).get("routing_key") == queues.JOBS
