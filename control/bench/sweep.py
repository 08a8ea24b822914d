"""The highest rate at which nothing is lost: doubled until something is, then bisected."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from control.bench.ingest import Outcome, losses

MOST_RATE: Final = 1_000_000
LEAST_RATE: Final = 500
# The search ends when the bounds are this close.
_CLOSE_ENOUGH: Final = 1.06
# A machine has other things to do at times: what fails once is tried once more.
_TRIES: Final = 2


@dataclass(frozen=True)
class Step:
    """One run of the sweep, and why it did not pass, in words; empty when it did."""

    outcome: Outcome
    reason: str


def shortfall(outcome: Outcome) -> str:
    """Why a run is no proof that the system carries its rate; empty when it is one."""
    if not outcome["kept_pace"]:
        return f"the feed server sent only {outcome['sent_per_second']:,} a second"
    named = [f"{events:,} {name}" for name, events in losses(outcome).items() if events]
    if named:
        return ", ".join(named)
    if not outcome["nothing_lost"]:
        return "not every event is accounted for"
    return "" if outcome["keeps_up"] else f"only {outcome['events_per_second']:,} a second were processed meanwhile"


def sweep(measure: Callable[[int], Outcome], first: int, tell: Callable[[Step], None]) -> list[Step]:
    """Every step taken, in order.

    Args:
        measure: Runs a rate, events a second.
        first: The rate to begin with.
        tell: Called after each step.
    """
    steps: list[Step] = []

    def carries(rate: int) -> bool:
        for _ in range(_TRIES):
            outcome = measure(rate)
            steps.append(Step(outcome, shortfall(outcome)))
            tell(steps[-1])
            if not steps[-1].reason:
                return True
        return False

    good, bad, rate = 0, 0, first
    while not bad and rate <= MOST_RATE:
        if carries(rate):
            good, rate = rate, rate * 2
        else:
            bad = rate
    while not good and rate // 2 >= LEAST_RATE:
        rate //= 2
        if carries(rate):
            good = rate
        else:
            bad = rate
    while good and bad > good * _CLOSE_ENOUGH:
        middle = (good + bad) // 2
        if carries(middle):
            good = middle
        else:
            bad = middle
    return steps


def highest(steps: list[Step]) -> Outcome | None:
    """The step with the highest rate that passed."""
    passed = [step.outcome for step in steps if not step.reason]
    return max(passed, key=lambda outcome: outcome["rate"], default=None)
