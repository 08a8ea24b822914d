"""Queues: what waits in one is given up, and every event of it counted."""

from typing import Final

from django.core.exceptions import ValidationError
from pydantic import Field

from control.operations.operation import Asked, Choice, Choices, Operation, Outcome, Parameters, done, unanswered
from control.operations.purging import purge
from processors.store import Store
from project import queues

# The dead letters are not among them: their counting is what makes the accounts hold.
_QUEUES: Final = (*queues.FEED_WORKER_QUEUES, queues.SCANS, queues.JOBS)


class WhichQueue(Parameters):
    """A queue."""

    queue: str = Field(title="Queue", max_length=100, examples=["quotes"])


def _purge(asked: Asked[WhichQueue]) -> Outcome:
    queue = asked.parameters.queue
    found = purge(asked.store, queue, lambda: asked.left_s > 0)
    before = {"messages": found.waiting}
    after = {"messages": max(0, found.waiting - found.messages), "purged": found.messages, "events": found.events}
    if not found.waiting:
        return done(f"Nothing waited in {queue}.", before, after)
    events = f" with {found.events:,} events, counted as overflowed" if queue in queues.FEED_WORKER_QUEUES else ""
    words = f"{found.messages:,} of {found.waiting:,} messages of {queue} were given up{events}."
    if found.messages < found.waiting and not asked.left_s:
        return unanswered(f"{words} There are more than could be counted in time: purge again.", before, after)
    return done(words, before, after)


def _check(parameters: WhichQueue) -> None:
    if parameters.queue not in _QUEUES:
        raise ValidationError({"queue": f"There is no such queue: {', '.join(_QUEUES)}."})


def _choices(store: Store) -> Choices:
    return {"queue": [Choice(name, name) for name in _QUEUES]}


OPERATIONS: Final = (
    Operation(
        "queues.purge",
        "Purge",
        "control.purge_queue",
        "Everything that waits in this queue now is given up. Of a feed's queue the events never reach the table, the "
        "boards or anybody's page, and count as overflowed; of jobs, what was asked for is not done: a backtest that "
        "waits stays queued for ever. What workers have taken already is not touched.",
        WhichQueue,
        _purge,
        danger=True,
        target=lambda parameters: parameters.queue,
        check=_check,
        choices=_choices,
    ),
)
