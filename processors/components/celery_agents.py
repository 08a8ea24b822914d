"""Agents of Celery's processes: feed workers, the scanner engine's, jobs, and beat. Signals start and end them."""

from threading import Event
from time import monotonic, time
from typing import Any, Final

from celery.signals import (
    after_task_publish,
    beat_init,
    task_prerun,
    worker_process_init,
    worker_ready,
    worker_shutdown,
)
from celery.worker import state

from processors.components import levels, pool
from processors.components.agent import Agent, Carry, Figures
from processors.components.feed_work import feed_work
from processors.components.instructions import CannotDo, Said
from project import queues

_agents: Final[list[Agent]] = []
# Two ticks of the base rate, and some patience with a busy machine.
_TICK_SEEN_S: Final = 1.5


class _Beat:
    """What beat has sent."""

    def __init__(self) -> None:
        self.sent = 0
        self.last_at: dict[str, int] = {}

    def note(self, sender: str = "", **kwargs: Any) -> None:
        self.sent += 1
        self.last_at[sender.rpartition(".")[2]] = round(time() * 1_000)

    def figures(self) -> dict[str, Any]:
        """`sent`: messages since it began; `last_tick_at`: when the last one went out, epoch ms; `last_at`: by task."""
        return {
            "sent": self.sent,
            "last_tick_at": max(self.last_at.values(), default=None),
            "last_at": {**self.last_at},
        }


@beat_init.connect
def _beat_begins(sender: Any = None, **kwargs: Any) -> None:
    beat = _Beat()
    after_task_publish.connect(beat.note, weak=False)
    _begin(Agent("beat", "beat", beat.figures))


@worker_ready.connect
def _worker_begins(sender: Any = None, **kwargs: Any) -> None:
    """Also called when a connection to the broker is made anew: the agent goes on."""
    if _agents:
        return
    worker = sender.controller
    taken = frozenset(sender.app.amqp.queues.consume_from)
    kind, figures, instructions = _kind(worker, taken)
    # A node name is what the part is called, a mark of its start, and the host: feed-1763@host.
    name = str(sender.hostname).partition("@")[0].rpartition("-")[0] or kind

    def all_figures() -> dict[str, Any]:
        return {"node": str(worker.hostname), "active": pool.names(state.active_requests), **figures()}

    _begin(
        Agent(
            name,
            kind,
            all_figures,
            instructions,
            queues=lambda: sorted(worker.app.amqp.queues.consume_from),
            children=lambda: pool.process_ids(worker),
        )
    )


def _kind(worker: Any, taken: frozenset[str]) -> tuple[str, Figures, dict[str, Carry]]:
    if taken & frozenset(queues.FEED_WORKER_QUEUES):
        return "feed worker", feed_work.figures, {}
    if queues.SCANS in taken:
        return "scans", _scans_figures, {"look": _look}
    jobs = pool.Pool(worker)
    return "jobs", jobs.figures, jobs.instructions()


def _scans_figures() -> dict[str, Any]:
    from processors.scanning.engine import default_engine  # polars with it: only the scans worker needs it

    return default_engine().work.figures()


def _look(arguments: dict[str, Any]) -> Said:
    """Answer when the scanners as they stand now are in effect: after a whole tick."""
    from processors.scanning.engine import default_engine

    work = default_engine().work
    # One may be under way that has read them already; the tick after it reads them anew.
    seen, deadline, pause = work.ticks + 2, monotonic() + _TICK_SEEN_S, Event()
    while work.ticks < seen and monotonic() < deadline:
        pause.wait(0.02)
    if work.ticks < seen:
        raise CannotDo("The engine has not ticked: is beat running, and is this the engine that has the turn?")
    scanners = sorted(work.scanners)
    return Said(f"{len(scanners)} scanners run.", after={"scanners": scanners, "revision": work.revision})


def _begin(agent: Agent) -> None:
    _agents.append(agent)
    agent.start()


@worker_shutdown.connect
def _worker_ends(**kwargs: Any) -> None:
    while _agents:
        _agents.pop().stop()


@worker_process_init.connect
def _pool_process_begins(sender: Any = None, **kwargs: Any) -> None:
    # Only a process of a pool has another's level to follow; a `solo` worker names no sender.
    if sender is not None:
        task_prerun.connect(levels.follow, weak=False)
