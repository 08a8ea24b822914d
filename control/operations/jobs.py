"""The `jobs` workers: more and fewer processes, their queues, new processes."""

from typing import Any, Final

from django.core.exceptions import ValidationError
from pydantic import Field

from control.operations.answers import ask, reporting
from control.operations.operation import Asked, Choice, Choices, Nothing, Operation, Outcome, Parameters
from processors.store import Store
from project import queues

_PERMISSION: Final = "control.run_workers"
_KIND: Final = "jobs"
# What a pool takes: processors.components.pool, which loads Celery's worker.
_MOST: Final = 32
_QUEUES: Final = (queues.JOBS, *queues.FEED_WORKER_QUEUES)


class By(Parameters):
    """How many."""

    by: int = Field(1, title="Processes", ge=1, le=_MOST, examples=[1])


class Range(Parameters):
    """Between how many processes a pool scales by itself."""

    most: int = Field(title="At most", ge=1, le=_MOST, examples=[4])
    least: int = Field(title="At least", ge=1, le=_MOST, examples=[2])


class OneQueue(Parameters):
    """A queue."""

    queue: str = Field(title="Queue", max_length=100, examples=["jobs"])


def _grow(asked: Asked[By]) -> Outcome:
    return ask(asked, _KIND, "grow", by=asked.parameters.by)


def _shrink(asked: Asked[By]) -> Outcome:
    return ask(asked, _KIND, "shrink", by=asked.parameters.by)


def _autoscale(asked: Asked[Range]) -> Outcome:
    return ask(asked, _KIND, "autoscale", most=asked.parameters.most, least=asked.parameters.least)


def _add_queue(asked: Asked[OneQueue]) -> Outcome:
    return ask(asked, _KIND, "add_queue", queue=asked.parameters.queue)


def _cancel_queue(asked: Asked[OneQueue]) -> Outcome:
    return ask(asked, _KIND, "cancel_queue", queue=asked.parameters.queue)


def _restart(asked: Asked[Nothing]) -> Outcome:
    return ask(asked, _KIND, "restart_pool")


def _check_range(parameters: Range) -> None:
    if parameters.least > parameters.most:
        raise ValidationError({"least": "At least cannot be more than at most."})


def _check_queue(parameters: OneQueue) -> None:
    if parameters.queue not in _QUEUES:
        raise ValidationError({"queue": f"There is no such queue; there are {', '.join(_QUEUES)}."})


def _other_queues(store: Store) -> Choices:
    taken = {queue for one in reporting(store, _KIND) for queue in one.queues}
    return {"queue": [Choice(name, name) for name in _QUEUES if name not in taken]}


def _their_queues(store: Store) -> Choices:
    taken = {queue for one in reporting(store, _KIND) for queue in one.queues}
    return {"queue": [Choice(name, name) for name in _QUEUES if name in taken]}


def _range_now(store: Store) -> dict[str, Any]:
    pools = [one.figures["pool"] for one in reporting(store, _KIND) if "pool" in one.figures]
    return {name: max(pool[name] for pool in pools) for name in ("most", "least")} if pools else {}


OPERATIONS: Final = (
    Operation(
        "jobs.grow",
        "Grow",
        _PERMISSION,
        "Each jobs worker gets so many processes more, and keeps them. A process takes about a hundred megabytes.",
        By,
        _grow,
        target=lambda parameters: f"+{parameters.by}",
    ),
    Operation(
        "jobs.shrink",
        "Shrink",
        _PERMISSION,
        "Each jobs worker gives up so many processes; what they do at the moment is finished first. With few of them "
        "a long job, such as a backtest, keeps reference data and notifications waiting.",
        By,
        _shrink,
        target=lambda parameters: f"-{parameters.by}",
    ),
    Operation(
        "jobs.autoscale",
        "Scale by itself",
        _PERMISSION,
        "Each jobs worker has as many processes as it has work for, within these bounds.",
        Range,
        _autoscale,
        target=lambda parameters: f"{parameters.least} to {parameters.most}",
        check=_check_range,
        current=_range_now,
    ),
    Operation(
        "jobs.add_queue",
        "Take from a queue",
        _PERMISSION,
        "The jobs workers take from this queue, too, until they are started anew. Batches of a feed they merge "
        "beside the feed workers, and reference data, alerts' storing and notifications share the processes with it.",
        OneQueue,
        _add_queue,
        target=lambda parameters: parameters.queue,
        check=_check_queue,
        choices=_other_queues,
    ),
    Operation(
        "jobs.cancel_queue",
        "Leave a queue",
        _PERMISSION,
        "The jobs workers take nothing more from this queue until they are told to, or started anew. Without jobs "
        "there is no reference data, no alert in the history and no notification: what is due waits or expires.",
        OneQueue,
        _cancel_queue,
        danger=True,
        target=lambda parameters: parameters.queue,
        check=_check_queue,
        choices=_their_queues,
    ),
    Operation(
        "jobs.restart",
        "New processes",
        _PERMISSION,
        "Each process of the jobs workers ends after the job in its hands, and another takes its place: nothing that "
        "has begun is cut off. The workers' own process stays; to start that anew restart the part.",
        Nothing,
        _restart,
    ),
)
