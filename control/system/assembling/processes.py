"""Processes: every component, the workers, jobs and engine among them, and what `up` keeps."""

from typing import Any

import msgspec

from control.system.assembling.counters import Counters
from control.system.assembling.reports import mapping, number, percentiles, total
from control.system.liveness import Seen
from control.system.reading import Facts
from control.system.state import (
    ComponentState,
    EngineState,
    JobsState,
    PartState,
    ScannerState,
    SupervisorState,
    WorkerState,
)
from processors.components.report import SILENT_MS, Component


def component_states(seen: list[Seen]) -> list[ComponentState]:
    """Every process."""
    return [
        ComponentState(
            name=one.said.name,
            kind=one.said.kind,
            host=one.said.host,
            pid=one.said.pid,
            since=one.said.since,
            state=one.state,
            silent_ms=one.said.silent_ms,
            rss_bytes=one.said.rss_bytes,
            cpu_pct=one.said.cpu_pct,
            threads=one.said.threads,
            log_level=one.said.log_level,
        )
        for one in seen
    ]


def worker_states(seen: list[Seen], counters: Counters, now_s: float) -> list[WorkerState]:
    """Those that take tasks."""
    found = []
    for one in seen:
        said, figures = one.said, one.said.figures
        if not said.queues and said.kind not in {"feed worker", "scans", "jobs"}:
            continue
        own = said.address
        events = sum(mapping(figures, "events").values())
        batches = number(figures, "batches") or number(figures, "ticks") or 0
        busy = 100 * counters.rate(f"{own} busy", number(figures, "busy_s") or 0.0, now_s)
        if said.kind == "jobs" and (processes := number(mapping(figures, "pool"), "processes")):
            busy = 100 * (number(figures, "busy") or 0) / processes
        elif said.kind == "scans":
            # What a tick takes, times its ticks a second.
            tick_ms = number(mapping(figures, "tick_ms"), "p50") or 0.0
            busy = counters.rate(f"{own} ticks", batches, now_s) * tick_ms / 10
        found.append(
            WorkerState(
                name=said.name,
                kind=said.kind,
                host=said.host,
                pid=said.pid,
                queues=said.queues,
                since=said.since,
                state=one.state,
                busy_pct=round(min(busy, 100.0), 1),
                batches_per_s=counters.rate(f"{own} batches", batches, now_s),
                events_per_s=counters.rate(f"{own} events", events, now_s),
                rss_bytes=said.rss_bytes,
                cpu_pct=said.cpu_pct,
                log_level=said.log_level,
                merge_ms=percentiles(figures.get("merge_ms")),
            )
        )
    return found


def jobs_state(seen: list[Seen]) -> JobsState:
    """All `jobs` workers together."""
    figures = [one.said.figures for one in seen if one.said.kind == "jobs" and one.state == "running"]

    def all_of(name: str) -> int:
        return sum(number(mapping(one, "pool"), name) or 0 for one in figures)

    return JobsState(
        processes=all_of("processes"),
        least=all_of("least"),
        most=all_of("most"),
        busy=sum(number(one, "busy") or 0 for one in figures),
        active=[str(name) for one in figures for name in one.get("active") or ()],
        reserved=[str(name) for one in figures for name in one.get("reserved") or ()],
    )


def engine_state(facts: Facts, seen: list[Seen], counters: Counters, now_s: float) -> EngineState:
    """The engine, from its worker's figures and from the status that it publishes."""
    workers = [one.said for one in seen if one.said.kind == "scans"]
    running = [one.said for one in seen if one.said.kind == "scans" and one.state == "running"]
    # One has the turn; others stand by.
    leader = max(running, key=lambda said: bool(said.figures.get("leads")), default=None)
    figures = leader.figures if leader is not None else {}
    scans = facts.status.get("scans") or {}
    scanners = {
        slug: ScannerState(
            rows=number(said, "rows"),
            ms=number(said, "ms"),
            failing=str(said.get("failing") or ""),
            slow=bool(said.get("slow")),
        )
        for slug, said in mapping(figures, "scanners").items()
    }
    for slug, why in (scans.get("failing") or {}).items():
        scanners[slug] = msgspec.structs.replace(scanners.get(slug, ScannerState()), failing=str(why))
    for slug in scans.get("slow") or ():
        scanners[slug] = msgspec.structs.replace(scanners.get(slug, ScannerState()), slow=True)
    ticks = mapping(figures, "tick_ms")
    last = number(ticks, "last")
    return EngineState(
        last_tick_ms=last if last is not None else number(scans, "tick_ms"),
        tick_ms=percentiles(ticks),
        ticks_per_s=counters.rate("ticks", total(seen, "scans", "ticks"), now_s),
        silent_ms=min((said.silent_ms for said in workers), default=None),
        running=len(scanners),
        scanners=scanners,
    )


def supervisor_state(expected: list[Component], crew: dict[str, Any]) -> SupervisorState | None:
    """What `up` keeps; None where it does not run."""
    # What one that is gone said of its parts holds no more: they are gone with it, or somebody else has started them.
    keepers = [said for said in expected if said.kind == "up" and said.silent_ms <= SILENT_MS]
    if not keepers:
        return None
    keeper = max(keepers, key=lambda said: said.since)
    parts = {name: msgspec.convert(part, PartState) for name, part in mapping(keeper.figures, "parts").items()}
    return SupervisorState(
        host=keeper.host,
        parts=parts,
        feed_workers_wanted=crew.get("wanted"),
        feed_workers_running=crew.get("running"),
    )
