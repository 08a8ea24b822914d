"""What is wrong with a system, in words that say what to do: one function a subject."""

from control.system.problems import machinery, traffic
from control.system.problems.finding import Signs
from control.system.problems.missed import missed
from control.system.standing import Found
from control.system.state import SystemState


def problems(state: SystemState, signs: Signs) -> list[Found]:
    """Everything that is wrong at this moment."""
    return [
        *missed(state),
        *traffic.listener(state, signs),
        *machinery.services(state),
        *traffic.accounts(state),
        *traffic.queue_depths(state, signs),
        *traffic.workers(state),
        *traffic.latency(state),
        *machinery.engine(state),
        *machinery.cache(state, signs),
        *machinery.web(state, signs),
        *machinery.data(state),
        *machinery.clocks(signs),
    ]
