"""Web processes: one is emptied of its clients, and ends."""

from typing import Final

from pydantic import Field

from control.operations.answers import ask, label_of, reporting
from control.operations.operation import Asked, CannotBeDone, Choice, Choices, Operation, Outcome, Parameters
from processors.store import Store

_KIND: Final = "web"


class Drain(Parameters):
    """Which, and how long its clients have."""

    process: str = Field(title="Process", description="Its host:pid.", max_length=200, examples=["localhost:4711"])
    seconds: int = Field(
        30, title="Seconds", description="Over which its clients are sent away.", ge=0, le=300, examples=[30]
    )


def _drain(asked: Asked[Drain]) -> Outcome:
    process = asked.parameters.process
    meant = [one for one in reporting(asked.store, _KIND) if process in (one.name, one.address)]
    if not meant:
        raise CannotBeDone(f"No web process called {process} reports.")
    if len(meant) > 1:
        raise CannotBeDone(f"{len(meant)} web processes are called {process}: name one by its host:pid.")
    return ask(asked, meant[0].address, "drain", seconds=asked.parameters.seconds)


def _choices(store: Store) -> Choices:
    return {"process": [Choice(one.address, label_of(one)) for one in reporting(store, _KIND)]}


OPERATIONS: Final = (
    Operation(
        "web.drain",
        "Drain",
        "control.drain_web",
        "The process takes no new connections and sends its clients away, one after the other over these seconds; "
        "they come back at another process by themselves. Then it ends, and is started anew. With a single process "
        "pages and sockets are away until its start is over, some seconds.",
        Drain,
        _drain,
        danger=True,
        target=lambda parameters: parameters.process,
        choices=_choices,
    ),
)
