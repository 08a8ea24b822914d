"""What is published of processes: every component, the workers, jobs and engine among them, and what `up` keeps."""

from typing import Literal

import msgspec


class ComponentState(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the system.

    Attributes:
        name: Such as `listener`, `feed1`, `scans`, `jobs`, `beat`, `web`, `up`, `simulate`.
        kind: `listener`, `feed worker`, `scans`, `jobs`, `beat`, `web`, `up` or `source`.
        state: `running`; `silent`: it exists, or might, and says nothing; `gone`: it ended without saying so.
        silent_ms: How long ago it last said something.
        since: When it began.
        cpu_pct: Of one core.
    """

    name: str
    kind: str
    host: str
    pid: int
    since: int
    state: Literal["running", "silent", "gone"]
    silent_ms: int
    rss_bytes: int
    cpu_pct: float
    threads: int
    log_level: str


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of the last minute's values, in milliseconds; None where there were none."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """A process that takes tasks from queues: feed workers, `scans` and `jobs`.

    Attributes:
        name: As of its component.
        busy_pct: Of its time (of `jobs`, of all its processes'), in tasks.
        batches_per_s: Of feed workers; else tasks, where known.
        events_per_s: Of feed workers; else 0.
        merge_ms: What a batch took within the last minute.
    """

    name: str
    kind: str
    host: str
    pid: int
    queues: list[str]
    since: int
    state: Literal["running", "silent", "gone"]
    busy_pct: float
    batches_per_s: float
    events_per_s: float
    rss_bytes: int
    cpu_pct: float
    log_level: str
    merge_ms: Percentiles


class JobsState(msgspec.Struct, frozen=True, kw_only=True):
    """The long tasks: their workers' processes and what these do, over all `jobs` workers.

    Attributes:
        processes: There are.
        least: Autoscaling keeps at least.
        most: And at most; the same as `least` without autoscaling.
        busy: How many are at work.
        active: The tasks that run, by name.
        reserved: Those that a worker has taken and not begun.
    """

    processes: int
    least: int
    most: int
    busy: int
    active: list[str]
    reserved: list[str]


class ScannerState(msgspec.Struct, frozen=True, kw_only=True):
    """A scanner as the engine runs it.

    Attributes:
        rows: On its board.
        ms: What it took at its last turn.
        failing: Why it does not run, in words; empty when it does.
        slow: Whether the engine gives it fewer turns because it takes long.
    """

    rows: int | None = None
    ms: float | None = None
    failing: str = ""
    slow: bool = False


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """The scanner engine.

    Attributes:
        last_tick_ms: What the last tick took; the others are those of the last minute.
        ticks_per_s: 4 when it does well.
        silent_ms: How long ago its process last said something; None without any.
        running: How many scanners it runs.
        scanners: By slug.
    """

    last_tick_ms: float | None
    tick_ms: Percentiles
    ticks_per_s: float
    silent_ms: int | None
    running: int
    scanners: dict[str, ScannerState]


class PartState(msgspec.Struct, frozen=True, kw_only=True):
    """A process that `up` keeps running.

    Attributes:
        state: `running`; `starting`: it runs and has not reported yet; `waiting` until it is started again; `ending`
            for good; `down`: it has ended regularly, or stays down.
        restarts: How often it was started again.
        last_ending: How it last ended, in words; empty when it never did.
        next_start_at: When it is started again, if it waits.
    """

    pid: int | None
    state: str
    restarts: int
    last_ending: str
    next_start_at: int | None


class SupervisorState(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` keeps; None in the state where it does not run, as where containers are scaled instead.

    Attributes:
        feed_workers_wanted: How many there should be.
        feed_workers_running: How many there are.
    """

    host: str
    parts: dict[str, PartState]
    feed_workers_wanted: int | None
    feed_workers_running: int | None


class RunningOperation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that somebody asked for and that has not ended.

    Attributes:
        audit_id: Of its entry in the audit log.
    """

    audit_id: int
    operation: str
    target: str
    username: str
    at: int
