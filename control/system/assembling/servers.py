"""What the components use and serve: cache, sockets, reference data, the recordings' disk."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec
from django.conf import settings

from control.system.assembling.counters import Counters
from control.system.assembling.reports import mapping
from control.system.liveness import Seen
from control.system.reading import Facts
from control.system.state import (
    CacheState,
    RecordingNow,
    RecordingsState,
    ReferenceData,
    ReferenceKind,
    SlowClient,
    WdsState,
    WebState,
)
from processors.components.report import Component

_MOST_FEEDS: Final = 20
_MOST_SLOW: Final = 5
_LEAST_BEHIND_MS: Final = 100


def cache_state(facts: Facts, counters: Counters, now_s: float) -> CacheState:
    """The cache's own figures."""
    info = facts.info
    hits, misses = int(info.get("keyspace_hits", 0)), int(info.get("keyspace_misses", 0))
    found, missed = counters.grown("hits", hits, now_s), counters.grown("misses", misses, now_s)
    aof = "off"
    if info.get("aof_enabled"):
        states = {name: info.get(name, "ok") for name in ("aof_last_write_status", "aof_last_bgrewrite_status")}
        wrong = [f"{name} is {state}" for name, state in states.items() if state != "ok"]
        aof = ", ".join(wrong) or "ok"
    name = "Valkey" if info.get("server_name") == "valkey" or "valkey_version" in info else "Redis"
    return CacheState(
        server=f"{name} {info.get('valkey_version') or info.get('redis_version', '')}".strip(),
        since=facts.now - 1_000 * int(info.get("uptime_in_seconds", 0)),
        answer_ms=round(facts.answer_ms, 2),
        used_bytes=int(info.get("used_memory", 0)),
        max_bytes=int(info.get("maxmemory", 0)),
        keys=sum(int(said["keys"]) for name, said in info.items() if name.startswith("db") and isinstance(said, dict)),
        hit_rate=round(found / (found + missed), 3) if found + missed else None,
        ops_per_s=float(info.get("instantaneous_ops_per_sec", 0)),
        clients=int(info.get("connected_clients", 0)),
        evicted=int(info.get("evicted_keys", 0)),
        aof=aof,
    )


def web_states(facts: Facts, seen: list[Seen], gatherer: str) -> list[WebState]:
    """The web processes, as components and by their sockets."""
    presences = {process.name: process for process in facts.web}
    known = {one.said.address: one.said for one in seen if one.said.kind == "web" and one.state == "running"}
    return [_web_state(name, presences.get(name), known.get(name), gatherer) for name in sorted(presences | known)]


def _web_state(name: str, presence: Any, component: Component | None, gatherer: str) -> WebState:
    counts = {
        count: getattr(presence, count, 0)
        for count in (
            *("sockets", "authorised", "subscriptions", "deliveries_per_s", "bytes_per_s"),
            *("sent", "dropped", "conflated", "behind_ms"),
        )
    }
    return WebState(
        process=name,
        name=component.name if component is not None else "web",
        since=component.since if component is not None else presence.since,
        **counts,
        draining=bool(component.figures.get("draining")) if component is not None else False,
        gathers=name == gatherer,
        rss_bytes=component.rss_bytes if component is not None else 0,
        cpu_pct=component.cpu_pct if component is not None else 0.0,
    )


def wds_state(facts: Facts) -> WdsState:
    """All sockets together."""
    feeds: Counter[str] = Counter()
    for process in facts.web:
        feeds.update(process.feeds)
    slow = [
        SlowClient(
            process=process.name,
            username=client.username,
            address=client.address,
            behind_ms=client.behind_ms,
            waiting_bytes=client.waiting_bytes,
            dropped=client.dropped,
        )
        for process in facts.web
        # The most backward stand first.
        for client in process.connections[:_MOST_SLOW]
        if client.behind_ms >= _LEAST_BEHIND_MS
    ]
    return WdsState(
        sockets=sum(process.sockets for process in facts.web),
        subscriptions=sum(process.subscriptions for process in facts.web),
        deliveries_per_s=round(sum(process.deliveries_per_s for process in facts.web), 1),
        bytes_per_s=round(sum(process.bytes_per_s for process in facts.web), 1),
        dropped=sum(process.dropped for process in facts.web),
        conflated=sum(process.conflated for process in facts.web),
        behind_ms=max((process.behind_ms for process in facts.web), default=0),
        feeds=dict(feeds.most_common(_MOST_FEEDS)),
        slowest=sorted(slow, key=lambda client: -client.behind_ms)[:_MOST_SLOW],
    )


def reference_data(facts: Facts) -> ReferenceData:
    """What is known of symbols."""
    state = facts.reference
    if state is None or facts.source is None or state.source != facts.source.id:
        return ReferenceData(day=None, symbols=0, age_s=None, kinds={})
    missing = state.missing
    return ReferenceData(
        day=state.day,
        symbols=state.symbols,
        age_s=round(facts.now / 1_000 - state.loaded_at) if state.loaded_at else None,
        kinds={
            name: ReferenceKind(
                symbols=kind.symbols,
                at=round(kind.at * 1_000) if kind.at else None,
                age_s=round(facts.now / 1_000 - kind.at) if kind.at else None,
                whole=kind.whole and kind.day == state.day,
                problem=missing.get(name, ""),
            )
            for name, kind in state.kinds.items()
        },
    )


def recordings_state(facts: Facts, seen: list[Seen]) -> RecordingsState:
    """The recordings, as the listener says; its host has their disk."""
    now = facts.listener.get("recording")
    listeners = [one.said.figures for one in seen if one.said.kind == "listener"]
    use: dict[str, int] = next(filter(None, (mapping(one, "recordings_folder") for one in listeners)), {})
    return RecordingsState(
        bytes=use.get("bytes"),
        free_bytes=use.get("free_bytes"),
        disk_bytes=use.get("disk_bytes"),
        files=use.get("files"),
        most_bytes=settings.RECORDINGS_MAX_GB * 2**30,
        now=msgspec.convert({**now, "file": Path(now["file"]).name}, RecordingNow) if now else None,
    )
