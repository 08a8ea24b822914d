"""Feed workers: how many, and a new start."""

from typing import Any, Final

from pydantic import Field

from control.models import MOST_FEED_WORKERS
from control.operations.answers import ask, choices_of, reporting, successors
from control.operations.operation import (
    Asked,
    CannotBeDone,
    Choice,
    Choices,
    Operation,
    Outcome,
    Parameters,
    done,
    unanswered,
)
from control.operations.settings import change, have_look
from control.selectors import feed_crew, feed_settings
from processors.components.report import Component
from processors.store import Store

_PERMISSION: Final = "control.run_workers"
KIND: Final = "feed worker"
ALL: Final = "all"
# One after the other: a worker is back within three seconds, on a busy machine later, and one that is stuck does not
# keep the others waiting. But where one has ended and none comes, the others go on working.
_FOR_ONE_S: Final = 8.0
_FOR_ALL_S: Final = 30.0


class Count(Parameters):
    """How many."""

    count: int | None = Field(
        title="Feed workers",
        description="Empty: as many as `up` was started with.",
        ge=1,
        le=MOST_FEED_WORKERS,
        examples=[2],
    )


class Which(Parameters):
    """One of them, or all."""

    name: str = Field(title="Worker", description="A worker's name, or all.", max_length=100, examples=["feed1"])


def _count(asked: Asked[Count]) -> Outcome:
    crew = feed_crew(asked.store.redis)
    if crew is None:
        raise CannotBeDone(
            "No `manage.py up` keeps the feed workers here: scale their containers, such as with "
            "`docker compose up --scale worker=3`."
        )
    count = asked.parameters.count
    saved, _ = change(feed_workers=count)
    before = {"count": saved["feed_workers"], "wanted": crew.wanted, "running": crew.running}
    answers = have_look(asked, "up")
    if not answers:
        return unanswered("`up` does not answer. The setting is saved, and followed when it is back.", before)
    if not answers[0].ok:
        return unanswered(f"The setting is saved. {answers[0].said}", before)
    after = {"count": count, **answers[0].after}
    return done(f"`up` keeps {after['wanted']} from now on; {after['running']} run at this moment.", before, after)


def _restart(asked: Asked[Which]) -> Outcome:
    name = asked.parameters.name
    workers = [one for one in reporting(asked.store, KIND if name == ALL else name) if one.kind == KIND]
    if not workers:
        called = "" if name == ALL else f" called {name}"
        raise CannotBeDone(f"No feed worker{called} reports; one that hangs is ended by restarting the part.")
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    words: list[str] = []
    for number, worker in enumerate(workers):
        if not asked.left_s:
            left = ", ".join(_name(one, workers) for one in workers[number:])
            return unanswered(f"{' '.join(words)} Time is over: {left} were not asked; do it again.", before, after)
        outcome = ask(asked, worker.address, "restart")
        before[_name(worker, workers)] = worker.address
        if outcome.state != "done":
            return Outcome(outcome.state, f"{' '.join(words)} {outcome.said}".strip(), before, after)
        new = successors(asked, [worker], _FOR_ONE_S)[worker.name]
        if new is not None:
            after[_name(worker, workers)] = new.address
        words.append(outcome.said if new is not None else f"{outcome.said} Its successor has not reported yet.")
        others = workers[number + 1 :]
        if new is None and others and not reporting(asked.store, worker.address):
            left = ", ".join(_name(one, workers) for one in others)
            return unanswered(f"{' '.join(words)} The others ({left}) go on as they are: see first why.", before, after)
    return done(" ".join(words), before, after)


def _name(worker: Component, workers: list[Component]) -> str:
    return worker.name if sum(one.name == worker.name for one in workers) == 1 else f"{worker.name} {worker.host}"


def _choices(store: Store) -> Choices:
    return {"name": [Choice(ALL, "All, one after the other"), *choices_of(store, KIND)]}


def _count_now(store: Store) -> dict[str, Any]:
    return {"count": feed_settings().feed_workers}


OPERATIONS: Final = (
    Operation(
        "workers.count",
        "Number of feed workers",
        _PERMISSION,
        "`up` starts the workers that are missing, and asks those that are too many to end after the batch in their "
        "hands. Nothing is lost: what they have not begun goes to the others.",
        Count,
        _count,
        target=lambda parameters: "as started" if parameters.count is None else str(parameters.count),
        current=_count_now,
    ),
    Operation(
        "workers.restart",
        "Restart feed workers",
        _PERMISSION,
        "The worker finishes the batch in its hands, ends, and is started anew by whoever keeps it, in two or three "
        "seconds. All: one after the other. While a single worker is away batches wait; what gets older than its "
        "time to live expires, and is counted.",
        Which,
        _restart,
        danger=True,
        target=lambda parameters: parameters.name,
        choices=_choices,
        patience_s=_FOR_ALL_S,
    ),
)
