"""An example of the system's state, with one of each type that it is made of."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from control.system.state import (
    CacheState,
    ComponentState,
    EngineState,
    FeedAccounts,
    JobsState,
    ListenerState,
    PartState,
    Percentiles,
    QueueState,
    RecordingNow,
    RecordingsState,
    ReferenceData,
    ReferenceKind,
    RunningOperation,
    ScannerState,
    ServiceState,
    SlowClient,
    SourceState,
    SupervisorState,
    SystemProblem,
    SystemRecovery,
    SystemState,
    WdsState,
    WebState,
    WorkerState,
)

# Tuesday, 3 March 2026, 09:30:01 in New York.
_AT: Final = 1_772_548_201_000
_BEGAN: Final = _AT - 3_600_000
_MB: Final = 2**20

EXAMPLE: Final = SystemState(
    at=_AT,
    gathered_by="trading-1:4242",
    health="warning",
    problems=[
        SystemProblem(
            id="component:feed2@trading-1",
            severity="warning",
            component="feed2",
            text="feed2 (process 4250) was ended by SIGKILL. The other one takes its batches.",
            advice="Wait: `up` starts it again in 0.5 s. If it goes on ending, its lines in `up` say why.",
            since=_AT - 400,
        )
    ],
    recoveries=[
        SystemRecovery(
            id="broker",
            component="broker",
            text="The broker answers again, after 3.0 s.",
            at=_AT - 9_000,
            lasted_ms=3_000,
        )
    ],
    source=SourceState(
        id="live:stocks:1772530000",
        kind="live",
        speed=1.0,
        lossless=False,
        since=_BEGAN,
        session="regular",
        market_clock=_AT - 40,
        newest_event_at=_AT - 40,
        delay_ms=40,
    ),
    listener=ListenerState(
        state="live",
        since=_BEGAN,
        reason="Subscribed to A.*, T.*, Q.*, LULD.* at real-time.",
        feed="real-time",
        market="stocks",
        subscriptions=["A.*", "T.*", "Q.*", "LULD.*"],
        buffered_bytes=0,
        buffer_bytes=64 * _MB,
        settings_revision=3,
        wanted_revision=3,
        in_per_s=10_004.0,
        published_per_s=10_004.0,
    ),
    feeds={
        "trades": FeedAccounts(
            received=7_201_400,
            published=7_201_400,
            processed=7_201_380,
            in_flight=20,
            in_per_s=2_001.0,
            out_per_s=2_001.0,
        )
    },
    queues=[QueueState(name="trades", depth=1, oldest_ms=4, in_per_s=2_001.0, out_per_s=2_001.0, consumers=2)],
    components=[
        ComponentState(
            name="feed1",
            kind="feed worker",
            host="trading-1",
            pid=4_249,
            since=_BEGAN,
            state="running",
            silent_ms=310,
            rss_bytes=142 * _MB,
            cpu_pct=31.2,
            threads=7,
            log_level="INFO",
        )
    ],
    workers=[
        WorkerState(
            name="feed1",
            kind="feed worker",
            host="trading-1",
            pid=4_249,
            queues=["aggregate", "trades", "quotes", "halts", "news", "unknown", "lossless"],
            since=_BEGAN,
            state="running",
            busy_pct=28.4,
            batches_per_s=61.0,
            events_per_s=10_004.0,
            rss_bytes=142 * _MB,
            cpu_pct=31.2,
            log_level="INFO",
            merge_ms=Percentiles(p50=4.1, p99=9.8, max=14.0),
        )
    ],
    jobs=JobsState(processes=2, least=2, most=4, busy=1, active=["refresh_reference"], reserved=[]),
    engine=EngineState(
        last_tick_ms=31.0,
        tick_ms=Percentiles(p50=30.2, p99=58.7, max=71.0),
        ticks_per_s=4.0,
        silent_ms=120,
        running=16,
        scanners={"top_gainers": ScannerState(rows=50, ms=1.4)},
    ),
    latency={"frame_to_socket": Percentiles(p50=11.8, p99=41.0, max=52.3)},
    cache=CacheState(
        server="Valkey 9.1.2",
        since=_BEGAN,
        answer_ms=0.2,
        used_bytes=96 * _MB,
        max_bytes=2_048 * _MB,
        keys=41_200,
        hit_rate=0.98,
        ops_per_s=1_900.0,
        clients=41,
        evicted=0,
        aof="ok",
    ),
    broker=ServiceState(kind="RabbitMQ", ok=True, answer_ms=2.1, problem="", since=_BEGAN),
    database=ServiceState(kind="PostgreSQL", ok=True, answer_ms=1.3, problem="", since=_BEGAN),
    web=[
        WebState(
            process="trading-1:4242",
            name="web",
            since=_BEGAN,
            sockets=3,
            authorised=3,
            subscriptions=21,
            deliveries_per_s=118.0,
            bytes_per_s=402_000.0,
            sent=402_112,
            dropped=0,
            conflated=310,
            behind_ms=120,
            draining=False,
            gathers=True,
            rss_bytes=181 * _MB,
            cpu_pct=6.0,
        )
    ],
    wds=WdsState(
        sockets=3,
        subscriptions=21,
        deliveries_per_s=118.0,
        bytes_per_s=402_000.0,
        dropped=0,
        conflated=310,
        behind_ms=120,
        feeds={"scanners:top_gainers": 3},
        slowest=[
            SlowClient(
                process="trading-1:4242",
                username="trader",
                address="10.0.0.7",
                behind_ms=120,
                waiting_bytes=18_000,
                dropped=0,
            )
        ],
    ),
    reference=ReferenceData(
        day=20260303,
        symbols=8_000,
        age_s=1_800,
        kinds={"splits": ReferenceKind(symbols=64, at=_BEGAN, age_s=3_600, whole=True, problem="")},
    ),
    recordings=RecordingsState(
        bytes=12_400 * _MB,
        free_bytes=91_000 * _MB,
        disk_bytes=240_000 * _MB,
        files=9,
        most_bytes=51_200 * _MB,
        now=RecordingNow(file="2026-03-03.01.ndjson.zst", frames=61_000, bytes=310 * _MB, dropped=0, problem=""),
    ),
    supervisor=SupervisorState(
        host="trading-1",
        parts={
            "feed2": PartState(
                pid=None, state="waiting", restarts=1, last_ending="was ended by SIGKILL", next_start_at=_AT + 500
            )
        },
        feed_workers_wanted=2,
        feed_workers_running=1,
    ),
    operations_running=[
        RunningOperation(audit_id=17, operation="listener.restart", target="listener", username="chief", at=_AT - 300)
    ],
    figures={"in_per_s": 10_004.0, "out_per_s": 10_004.0, "queue_depth": 1, "queue_oldest_ms": 4},
)


def parts_of(value: Any) -> Iterator[msgspec.Struct]:
    """A struct and every one within it."""
    if isinstance(value, msgspec.Struct):
        yield value
        value = msgspec.structs.asdict(value)
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in within:
        yield from parts_of(one)
