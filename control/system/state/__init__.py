"""What is published as `status:components` each second: how every component of the system does, and what is wrong.

Times are epoch milliseconds of the host that gathers; rates are a second, over the last few seconds. What cannot be
known at this moment is None.
"""

from typing import Any, Final, Literal

import msgspec

from control.system.state.processes import (
    ComponentState,
    EngineState,
    JobsState,
    PartState,
    Percentiles,
    RunningOperation,
    ScannerState,
    SupervisorState,
    WorkerState,
)
from control.system.state.servers import (
    CacheState,
    RecordingNow,
    RecordingsState,
    ReferenceData,
    ReferenceKind,
    ServiceState,
    SlowClient,
    WdsState,
    WebState,
)
from control.system.state.traffic import (
    FeedAccounts,
    ListenerState,
    QueueState,
    SourceState,
)

__all__ = [
    "SYSTEM_STATE",
    "SYSTEM_STATE_LIFE_MS",
    "CacheState",
    "ComponentState",
    "EngineState",
    "FeedAccounts",
    "JobsState",
    "ListenerState",
    "PartState",
    "Percentiles",
    "QueueState",
    "RecordingNow",
    "RecordingsState",
    "ReferenceData",
    "ReferenceKind",
    "RunningOperation",
    "ScannerState",
    "ServiceState",
    "Severity",
    "SlowClient",
    "SourceState",
    "SupervisorState",
    "SystemProblem",
    "SystemRecovery",
    "SystemState",
    "WdsState",
    "WebState",
    "WorkerState",
    "read_state",
]

# Key and channel of the published state.
SYSTEM_STATE: Final = "status:components"
SYSTEM_STATE_LIFE_MS: Final = 10_000

Severity = Literal["error", "warning"]


class SystemProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong, in words.

    Attributes:
        id: Which problem it is; the same as long as it lasts.
        severity: `error`: events or answers are missing now; `warning`: they will be, or something does not do well.
        component: Whose it is: a component's name, or `queues`, `cache`, `broker`, `database`, `accounts` …
        text: What is wrong.
        advice: What to do.
        since: When it began.
    """

    id: str
    severity: Severity
    component: str
    text: str
    advice: str
    since: int


class SystemRecovery(msgspec.Struct, frozen=True, kw_only=True):
    """A problem that is over; told for a minute.

    Attributes:
        id: The problem's.
        component: The problem's.
        text: What is well again, and how long it was not.
        at: When it was over.
        lasted_ms: How long it lasted.
    """

    id: str
    component: str
    text: str
    at: int
    lasted_ms: int


class SystemState(msgspec.Struct, frozen=True, kw_only=True):
    """How the whole system does.

    Attributes:
        at: When it was gathered; older than some seconds, it is stale.
        gathered_by: The web process that did.
        health: `ok`, or the worst problem's severity.
        problems: What is wrong, the worst first.
        recoveries: What was wrong until a minute ago, the newest first.
        feeds: The accounts by feed.
        components: Every process.
        workers: Those among them that take tasks.
        latency: By stage of an event's way, `frame_to_queue`, `queue_to_merge`, `merge_to_socket`, `frame_to_socket`.
        supervisor: What `up` keeps; None where it does not run.
        figures: The present values of what `/api/v1/system/history` keeps, by the same names.
    """

    at: int
    gathered_by: str
    health: Literal["ok", "warning", "error"]
    problems: list[SystemProblem]
    recoveries: list[SystemRecovery]
    source: SourceState
    listener: ListenerState
    feeds: dict[str, FeedAccounts]
    queues: list[QueueState]
    components: list[ComponentState]
    workers: list[WorkerState]
    jobs: JobsState
    engine: EngineState
    latency: dict[str, Percentiles]
    cache: CacheState
    broker: ServiceState
    database: ServiceState
    web: list[WebState]
    wds: WdsState
    reference: ReferenceData
    recordings: RecordingsState
    supervisor: SupervisorState | None
    operations_running: list[RunningOperation]
    figures: dict[str, float | None]


_decode: Final = msgspec.json.Decoder(SystemState).decode


def read_state(cache: Any) -> SystemState | None:
    """The state as it was last published; None when nobody has published one for ten seconds.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    raw = cache.get(SYSTEM_STATE)
    return _decode(raw) if raw is not None else None
