"""The pool of a `jobs` worker: how large it is, and how it is made larger, smaller, or to take other queues."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from threading import Event
from time import monotonic
from typing import Any, Final

from celery.worker import state
from celery.worker.autoscale import Autoscaler

from processors.components.agent import Carry
from processors.components.instructions import CannotDo, Said
from project import queues

# Each takes a hundred megabytes, and a database connection.
MOST_PROCESSES: Final = 32
# Tasks that are all due at once, as beat's are, are no reason for another process.
_SHORT_FOR_S: Final = 2.0
_SPARE_FOR_S: Final = 30.0
_DONE_WITHIN_S: Final = 1.8
_REPLACED_WITHIN_S: Final = 1.0


class PatientAutoscaler(Autoscaler):
    """Keeps as many processes as the work needs.

    Celery's own grows at each burst and never shrinks while any task comes: here there is one every second.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._enough_at = self._busy_at = monotonic()

    def _maybe_scale(self, req: Any = None) -> bool:
        """Called with each task that comes, and now and then; whether the pool has changed."""
        now, processes, work = monotonic(), self.processes, self.qty
        pool: Any = self.pool
        if work <= processes:
            self._enough_at = now
        if work >= processes:
            self._busy_at = now
        needed = max(min(work, self.max_concurrency), self.min_concurrency)
        if processes < self.min_concurrency or (needed > processes and now - self._enough_at >= _SHORT_FOR_S):
            pool.grow(needed - processes)
        elif processes > self.max_concurrency:
            self._let_go(processes - self.max_concurrency)
        elif needed < processes and now - self._busy_at >= _SPARE_FOR_S:
            self._let_go(processes - needed)
        return bool(self.processes != processes)

    def _let_go(self, count: int) -> None:
        # It lets go those that have nothing to do, and raises when they are fewer: the others go another time.
        pool: Any = self.pool
        with suppress(ValueError):
            pool.shrink(count)


class Pool:
    """What a `jobs` worker's agent says of its pool and does with it.

    Args:
        worker: Celery's worker.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def figures(self) -> dict[str, Any]:
        """`pool`: `processes` there are, between `least` and `most`; `busy`: how many of them; `reserved`: the names
        of the tasks that are taken and wait."""
        active = list(names(state.active_requests))
        taken = list(names(state.reserved_requests))
        for name in active:
            if name in taken:
                taken.remove(name)
        return {"pool": self._range(), "busy": len(active), "reserved": taken}

    def instructions(self) -> dict[str, Carry]:
        """What it can be told.

        `grow {by}`, `shrink {by}`, `autoscale {most, least}`, `add_queue {queue}`, `cancel_queue {queue}`,
        `restart_pool`: each process ends, after the task in its hands, and another takes its place.
        """
        return {
            "grow": lambda arguments: self._move(_count(arguments, "by")),
            "shrink": lambda arguments: self._move(-_count(arguments, "by")),
            "autoscale": lambda arguments: self._scale(_count(arguments, "most"), _count(arguments, "least")),
            "add_queue": self._add_queue,
            "cancel_queue": self._cancel_queue,
            "restart_pool": self._restart_pool,
        }

    def _range(self) -> dict[str, int]:
        scaler, processes = self._worker.autoscaler, int(self._worker.pool.num_processes)
        least, most = (scaler.min_concurrency, scaler.max_concurrency) if scaler else (processes, processes)
        return {"processes": processes, "least": least, "most": most}

    def _move(self, by: int) -> Said:
        """Make the pool larger or smaller by so many processes, with the range it moves in."""
        now = self._range()
        least = max(1, now["processes"] + by if by > 0 else min(now["least"], now["processes"] + by))
        most = max(least, now["most"] + by if by > 0 else min(now["most"], now["processes"] + by))
        return self._scale(most, least)

    def _scale(self, most: int, least: int) -> Said:
        if not 1 <= least <= most <= MOST_PROCESSES:
            raise CannotDo(f"A pool has 1 to {MOST_PROCESSES} processes, and not more at least than at most.")
        before = self._range()

        def scale() -> None:
            scaler, pool = self._worker.autoscaler, self._worker.pool
            if scaler is None:
                raise CannotDo("This worker was started without --autoscale: its pool stays as it is.")
            # The narrower end first, so that it is never the wrong way round.
            scaler.update(max=max(most, scaler.min_concurrency))
            scaler.update(min=least)
            scaler.update(max=most)
            pool.maintain_pool()

        self._on_loop(scale)
        after = self._range()
        rest = ", the busy ones among the others end after their tasks" if after["processes"] > most else ""
        return Said(f"The pool has {after['processes']} processes, {least} to {most} by need{rest}.", before, after)

    def _add_queue(self, arguments: dict[str, Any]) -> Said:
        queue = str(arguments.get("queue", ""))
        if queue not in (queues.JOBS, queues.SCANS, *queues.FEED_WORKER_QUEUES):
            raise CannotDo(f"There is no queue {queue}.")
        return self._with_queues(lambda: self._worker.consumer.add_task_queue(queue), f"It takes tasks from {queue}.")

    def _cancel_queue(self, arguments: dict[str, Any]) -> Said:
        queue = str(arguments.get("queue", ""))
        if queue not in self._queues():
            raise CannotDo(f"It does not take tasks from {queue}; it does from {', '.join(self._queues()) or 'none'}.")
        return self._with_queues(
            lambda: self._worker.consumer.cancel_task_queue(queue), f"It takes no more tasks from {queue}."
        )

    def _with_queues(self, change: Callable[[], object], said: str) -> Said:
        before = self._queues()
        self._on_loop(change)
        return Said(said, before, self._queues())

    def _queues(self) -> list[str]:
        return sorted(self._worker.app.amqp.queues.consume_from)

    def _restart_pool(self, arguments: dict[str, Any]) -> Said:
        before = sorted(process_ids(self._worker))

        def restart() -> None:
            # Of itself each looks whether it is to end only after a task.
            self._worker.pool.restart()
            processes = self._worker.pool._pool
            for idle in list(processes._iterinactive()):
                idle.terminate_controlled()

        self._on_loop(restart)
        deadline, pause = monotonic() + _REPLACED_WITHIN_S, Event()
        while set(before) & set(now := process_ids(self._worker)) and monotonic() < deadline:
            pause.wait(0.02)
        busy = len(set(before) & set(now))
        rest = f"; {busy} others end after the task in their hands" if busy else ""
        return Said(f"{len(before) - busy} of its processes are new{rest}.", before, sorted(now))

    def _on_loop(self, work: Callable[[], object]) -> None:
        """Do something in the worker's own event loop, which alone may touch pool and connection."""
        done: Future[None] = Future()

        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - raised where the result is awaited
                done.set_exception(error)
            else:
                done.set_result(None)

        self._worker.consumer.call_soon(run)
        try:
            done.result(_DONE_WITHIN_S)
        except TimeoutError:
            raise CannotDo("The worker is busy or without its broker; it is done as soon as it can.") from None


def names(requests: Iterable[Any]) -> list[str]:
    """The names of tasks, without their modules; the worker may change the collection meanwhile."""
    while True:
        try:
            return sorted(str(request.name).rpartition(".")[2] for request in list(requests))
        except RuntimeError:
            continue


def process_ids(worker: Any) -> list[int]:
    """The processes of a worker's pool beside its own."""
    processes = getattr(getattr(worker.pool, "_pool", None), "_pool", None)
    return [process.pid for process in list(processes or ()) if process.pid is not None]


def _count(arguments: dict[str, Any], name: str) -> int:
    value = arguments.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CannotDo(f"{name} should be a whole number from 1 on.")
    return value
