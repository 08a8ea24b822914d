"""How much components log."""

from typing import Final, Literal

from pydantic import Field

from control.operations.answers import ask, label_of
from control.operations.operation import Asked, Choice, Choices, Operation, Outcome, Parameters
from processors.components.report import components
from processors.store import Store

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class LogLevel(Parameters):
    """Whose, and which."""

    component: str = Field(
        title="Component", description="A name, a kind, a host:pid, or all.", max_length=200, examples=["listener"]
    )
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(title="Level", examples=["DEBUG"])


def _set_level(asked: Asked[LogLevel]) -> Outcome:
    return ask(asked, asked.parameters.component, "log_level", level=asked.parameters.level)


def _choices(store: Store) -> Choices:
    there = components(store.redis)
    kinds = sorted({one.kind for one in there} - {one.name for one in there})
    return {
        "component": [
            Choice("all", "All components"),
            *(Choice(kind, f"Every {kind}") for kind in kinds),
            *(Choice(one.address, f"{label_of(one)}, {one.log_level}") for one in there),
        ],
        "level": [Choice(level, level) for level in _LEVELS],
    }


OPERATIONS: Final = (
    Operation(
        "log.level",
        "Log level",
        "control.set_log_level",
        "The component logs from this level on until it is started anew, then as LOG_LEVEL says. DEBUG of a feed "
        "worker or the listener is some lines a batch: hundreds a second.",
        LogLevel,
        _set_level,
        target=lambda parameters: f"{parameters.component} {parameters.level}",
        choices=_choices,
    ),
)
