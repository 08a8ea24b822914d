"""The processes that `up` keeps: any of them, started anew."""

from typing import Final

from pydantic import Field

from control.operations.answers import ask, reporting, successors
from control.operations.operation import Asked, CannotBeDone, Choice, Choices, Operation, Outcome, Parameters, done
from processors.store import Store

_UP: Final = "up"
_WEB: Final = "web"


class Part(Parameters):
    """A process of `up`."""

    name: str = Field(title="Part", description="As `up` calls it.", max_length=100, examples=["scans"])


def _restart(asked: Asked[Part]) -> Outcome:
    name = asked.parameters.name
    known = _parts(asked.store)
    if not known:
        raise CannotBeDone("No `manage.py up` runs here: restart the container instead.")
    if name not in known:
        raise CannotBeDone(f"`up` keeps no {name}: {', '.join(known)}.")
    gone = [one for one in reporting(asked.store, name) if one.name == name]
    if gone and gone[0].kind == _WEB:
        # It may be the one that is asked: it answers, and lets this be answered, before it ends.
        return ask(asked, gone[0].address, "restart")
    outcome = ask(asked, _UP, "restart_part", name=name)
    if outcome.state != "done" or not gone:
        return outcome
    new = successors(asked, gone, asked.left_s)[name]
    before, after = gone[0].address, new and new.address
    said = "Its successor runs." if new is not None else "Its successor has not reported yet."
    return done(f"{outcome.said} {said}", before, after)


def _parts(store: Store) -> list[str]:
    return sorted({name for up in reporting(store, _UP) for name in up.figures.get("parts", ())})


def _choices(store: Store) -> Choices:
    return {"name": [Choice(name, name) for name in _parts(store)]}


OPERATIONS: Final = (
    Operation(
        "part.restart",
        "Restart a part",
        "control.run_workers",
        "`up` ends the process, killing it when it does not end by itself, and starts it anew. What that means "
        "depends on the part: without the listener no events come, without scans boards stand still, with a web "
        "process its clients reconnect; of a cache that runs beside `up` (valkey) the last second may be lost.",
        Part,
        _restart,
        danger=True,
        target=lambda parameters: parameters.name,
        choices=_choices,
        patience_s=8.0,
    ),
)
