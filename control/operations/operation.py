"""What an operation is: who may ask for it, with which parameters, and what comes of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ninja import Schema
from pydantic import ConfigDict

from control.models import AuditEntry
from processors.store import Store

State = AuditEntry.State

# How long a component may take to answer; the page waits with it.
PATIENCE_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.02


class Parameters(Schema):
    """What an operation is told; of what it does not know it wants nothing."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Parameters):
    """No parameters."""


P = TypeVar("P", bound=Parameters)


class CannotBeDone(Exception):
    """As things are, it cannot be done, and nothing was changed; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an operation.

    Attributes:
        state: `done`, `failed` or `unanswered`.
        said: What the component answered, in words.
        before: What was, as JSON.
        after: What is now.
    """

    state: State
    said: str
    before: Any = None
    after: Any = None


def done(said: str, before: Any = None, after: Any = None) -> Outcome:
    """It was done, and the component says so."""
    return Outcome(State.DONE, said, before, after)


def failed(said: str, before: Any = None, after: Any = None) -> Outcome:
    """The component answered that it did not."""
    return Outcome(State.FAILED, said, before, after)


def unanswered(said: str, before: Any = None, after: Any = None) -> Outcome:
    """Nobody answered in time; it may still happen."""
    return Outcome(State.UNANSWERED, said, before, after)


class Asked(Generic[P]):
    """One operation under way.

    Args:
        parameters: As they were checked.
        store: The cache.
        patience_s: How long to wait for answers in all.
    """

    def __init__(self, parameters: P, store: Store, patience_s: float) -> None:
        self.parameters, self.store = parameters, store
        self._deadline = monotonic() + patience_s

    @property
    def left_s(self) -> float:
        """Seconds until waiting is over; 0 when it is."""
        return max(0.0, self._deadline - monotonic())

    def wait(self, condition: Callable[[], object], at_most_s: float = PATIENCE_S) -> bool:
        """Look again and again; whether `condition` came true in time."""
        deadline = min(self._deadline, monotonic() + at_most_s)
        while not condition():
            if monotonic() >= deadline:
                return False
            sleep(_LOOK_EVERY_S)
        return True


class Choice(NamedTuple):
    """A value that a parameter can have now, and what people call it."""

    value: str
    label: str


Choices = dict[str, Sequence[Choice]]


def _no_target(parameters: Any) -> str:
    return ""


@dataclass(frozen=True)
class Operation(Generic[P]):
    """One control of the running system.

    Attributes:
        name: Its subject and what is done, such as `listener.stop`.
        title: What its button says.
        permission: Who may ask for it, such as `control.run_listener`.
        confirm: What will happen, and to whom; said before it is done.
        parameters: What it is told.
        run: Does it and waits for the answer. It may raise `CannotBeDone`, and what cache, broker and database raise.
        danger: Whether something is lost or interrupted by it.
        target: What it is done to, in a word, for the audit log.
        check: Raises django's `ValidationError` for parameters that can never be used.
        choices: The values that parameters can have now, by parameter.
        current: The values that stand now, by parameter.
        patience_s: How long it waits for its answer.
    """

    name: str
    title: str
    permission: str
    confirm: str
    parameters: type[P]
    run: Callable[[Asked[P]], Outcome]
    danger: bool = False
    target: Callable[[P], str] = _no_target
    check: Callable[[P], None] | None = None
    choices: Callable[[Store], Choices] | None = None
    current: Callable[[Store], dict[str, Any]] | None = None
    patience_s: float = PATIENCE_S

    @property
    def subject(self) -> str:
        """What it is about, such as `listener`."""
        return self.name.partition(".")[0]
