"""Every figure of the system page for Prometheus, from the state that one process publishes for all.

Names and labels stand here alone; units are Prometheus' own: seconds, bytes, ratios.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from control.system.state import Percentiles, SystemState
from processors.accounts import TERMS

# These go down, too: what is on its way, and what turns up that was taken for lost.
_ON_THE_WAY: Final = frozenset({"buffered", "in_flight", "lost"})

Labelled = Iterable[tuple[tuple[str, ...], float | None]]


def exposition(state: SystemState) -> bytes:
    """The state in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SystemCollector(state))
    return generate_latest(registry)


class _SystemCollector(Collector):
    """Makes metrics of a state, at each reading."""

    def __init__(self, state: SystemState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        for part in (_health, _way, _queues, _processes, _engine, _servers, _web, _data):
            yield from part(self._state)


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    family = GaugeMetricFamily(f"tapewatch_{name}", meaning)
    if value is not None:
        family.add_metric([], value)
    return family


def _gauges(name: str, meaning: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = GaugeMetricFamily(f"tapewatch_{name}", meaning, labels=labels)
    for of, value in values:
        if value is not None:
            family.add_metric(of, value)
    return family


def _counters(name: str, meaning: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = CounterMetricFamily(f"tapewatch_{name}", meaning, labels=labels)
    for of, value in values:
        if value is not None:
            family.add_metric(of, value)
    return family


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1_000


def _quantiles(of: tuple[str, ...], said: Percentiles) -> Labelled:
    for quantile, value in (("0.5", said.p50), ("0.99", said.p99), ("1", said.max)):
        yield (*of, quantile), _seconds(value)


def _health(state: SystemState) -> Iterator[Metric]:
    yield _gauge("state_timestamp_seconds", "When the system's state was gathered.", state.at / 1_000)
    severities = Counter(problem.severity for problem in state.problems)
    yield _gauges(
        "problems",
        "Problems that stand, by severity.",
        ("severity",),
        [((severity,), severities[severity]) for severity in ("error", "warning")],
    )
    yield _gauges(
        "problem",
        "1 for each problem that stands.",
        ("problem", "severity", "component"),
        [((problem.id, problem.severity, problem.component), 1) for problem in state.problems],
    )
    yield _gauge("operations_running", "Operations that have not ended.", len(state.operations_running))


def _way(state: SystemState) -> Iterator[Metric]:
    source, listener = state.source, state.listener
    yield _gauges(
        "source_info", "1 for the present source.", ("kind", "session"), [((source.kind or "none", source.session), 1)]
    )
    yield _gauge("source_delay_seconds", "How far the newest event lies behind the clock.", _seconds(source.delay_ms))
    yield _gauge("newest_event_timestamp_seconds", "The newest event's own time.", _seconds(source.newest_event_at))
    yield _gauges("listener_state", "1 for the state that the listener is in.", ("state",), [((listener.state,), 1)])
    yield _gauge("listener_state_since_seconds", "Since when it is in that state.", listener.since / 1_000)
    yield _gauge("listener_buffered_bytes", "What waits in the listener's buffer.", listener.buffered_bytes)
    yield _gauge("listener_buffer_bytes", "What fits in there.", listener.buffer_bytes)
    yield _gauge("listener_subscriptions", "Subscriptions of the feed.", len(listener.subscriptions))
    yield _gauge("listener_settings_revision", "The revision that it follows.", listener.settings_revision)
    yield _gauge("settings_revision", "The feed settings' revision.", listener.wanted_revision)
    yield _counters(
        "events",
        "Events of the present source, by the accounts' terms that only grow.",
        ("feed", "term"),
        [
            ((feed, term), max(getattr(terms, term), 0))
            for feed, terms in state.feeds.items()
            for term in TERMS
            if term not in _ON_THE_WAY
        ],
    )
    yield _gauges(
        "events_open",
        "Events that are buffered, in flight or lost, as far as is known.",
        ("feed", "term"),
        [((feed, term), getattr(terms, term)) for feed, terms in state.feeds.items() for term in sorted(_ON_THE_WAY)],
    )
    yield _gauges(
        "events_unbalanced",
        "Events that are not accounted for.",
        ("feed",),
        [((feed,), terms.unbalanced) for feed, terms in state.feeds.items()],
    )
    yield _gauges(
        "events_per_second",
        "Events received and processed.",
        ("feed", "direction"),
        [
            ((feed, direction), value)
            for feed, terms in state.feeds.items()
            for direction, value in (("in", terms.in_per_s), ("out", terms.out_per_s))
        ],
    )
    yield _gauges(
        "events_last_minute",
        "Events of the last minute that were of no use: wasted (dropped, expired, failed, lost) or malformed.",
        ("feed", "kind"),
        [
            ((feed, kind), value)
            for feed, terms in state.feeds.items()
            for kind, value in (("wasted", terms.lost_per_min), ("malformed", terms.malformed_per_min))
        ],
    )
    yield _gauges(
        "latency_seconds",
        "From stage to stage of an event's way, of the last minute.",
        ("stage", "quantile"),
        [entry for stage, said in state.latency.items() for entry in _quantiles((stage,), said)],
    )


def _queues(state: SystemState) -> Iterator[Metric]:
    by_name = {queue.name: queue for queue in state.queues}
    for name, meaning, values in (
        ("queue_messages", "Messages that wait.", {of: queue.depth for of, queue in by_name.items()}),
        ("queue_consumers", "Workers that take from it.", {of: queue.consumers for of, queue in by_name.items()}),
    ):
        yield _gauges(name, meaning, ("queue",), [((of,), value) for of, value in values.items()])
    yield _gauges(
        "queue_oldest_seconds",
        "How long the oldest message has waited.",
        ("queue",),
        [((queue.name,), _seconds(queue.oldest_ms) if queue.depth else 0) for queue in state.queues],
    )
    yield _gauges(
        "queue_events_per_second",
        "Events put into a feed's queue and taken out of it; of scans, ticks.",
        ("queue", "direction"),
        [
            ((queue.name, direction), value)
            for queue in state.queues
            for direction, value in (("in", queue.in_per_s), ("out", queue.out_per_s))
        ],
    )


def _processes(state: SystemState) -> Iterator[Metric]:
    # A scrape with the same labels twice is refused whole.
    names = Counter((one.name, one.host) for one in state.components)
    labels = ("process", "kind", "host")
    of = {
        (one.host, one.pid): (
            one.name if names[one.name, one.host] == 1 else f"{one.name}:{one.pid}",
            one.kind,
            one.host,
        )
        for one in state.components
    }
    parts = [(of[one.host, one.pid], one) for one in state.components]
    running = [(labelled, one) for labelled, one in parts if one.state == "running"]
    yield _gauges(
        "process_up", "1 for a process that answers.", labels, [(who, one.state == "running") for who, one in parts]
    )
    yield _gauges("process_silent_seconds", "Since its last word.", labels, [(w, o.silent_ms / 1e3) for w, o in parts])
    yield _gauges("process_start_time_seconds", "When it began.", labels, [(w, o.since / 1e3) for w, o in running])
    yield _gauges("process_resident_memory_bytes", "Memory.", labels, [(w, one.rss_bytes) for w, one in running])
    yield _gauges("process_cpu_ratio", "Of one core.", labels, [(w, one.cpu_pct / 100) for w, one in running])
    yield _gauges("process_threads", "Threads.", labels, [(w, one.threads) for w, one in running])
    workers = [(of[one.host, one.pid][::2], one) for one in state.workers if (one.host, one.pid) in of]
    by_worker = ("worker", "host")
    yield _gauges("worker_busy_ratio", "Of its time, in tasks.", by_worker, [(w, o.busy_pct / 100) for w, o in workers])
    yield _gauges("worker_batches_per_second", "Batches.", by_worker, [(w, o.batches_per_s) for w, o in workers])
    yield _gauges("worker_events_per_second", "Events.", by_worker, [(w, o.events_per_s) for w, o in workers])
    yield _gauges(
        "worker_merge_seconds",
        "What a batch took within the last minute.",
        (*by_worker, "quantile"),
        [entry for who, one in workers for entry in _quantiles(who, one.merge_ms)],
    )
    jobs = state.jobs
    yield _gauges(
        "jobs_processes",
        "Processes of the jobs workers: now, at least and at most.",
        ("bound",),
        [(("now",), jobs.processes), (("least",), jobs.least), (("most",), jobs.most)],
    )
    yield _gauge("jobs_busy", "Processes that are at work.", jobs.busy)
    yield _gauge("jobs_reserved", "Tasks that a worker has taken and not begun.", len(jobs.reserved))
    kept = state.supervisor
    yield _gauges(
        "part_up",
        "1 for a part that `up` has running.",
        ("part",),
        [((name,), part.state == "running") for name, part in kept.parts.items()] if kept is not None else (),
    )
    yield _counters(
        "part_restarts",
        "How often `up` has started it again.",
        ("part",),
        [((name,), part.restarts) for name, part in kept.parts.items()] if kept is not None else (),
    )
    yield _gauge("feed_workers_wanted", "As set.", kept.feed_workers_wanted if kept is not None else None)
    yield _gauge(
        "feed_workers_running",
        "As counted.",
        sum(one.kind == "feed worker" and one.state == "running" for one in state.components),
    )


def _engine(state: SystemState) -> Iterator[Metric]:
    engine = state.engine
    yield _gauge("engine_ticks_per_second", "4 when it does well.", engine.ticks_per_s)
    yield _gauge("engine_last_tick_seconds", "What the last tick took.", _seconds(engine.last_tick_ms))
    yield _gauges("engine_tick_seconds", "Of the last minute.", ("quantile",), _quantiles((), engine.tick_ms))
    yield _gauge("scanners", "Scanners that it runs.", engine.running)
    of = [((slug,), one) for slug, one in engine.scanners.items()]
    yield _gauges("scanner_rows", "On its board.", ("scanner",), [(slug, one.rows) for slug, one in of])
    yield _gauges("scanner_seconds", "Its last turn.", ("scanner",), [(slug, _seconds(one.ms)) for slug, one in of])
    yield _gauges(
        "scanner_failing", "1: it does not run.", ("scanner",), [(slug, bool(one.failing)) for slug, one in of]
    )
    yield _gauges("scanner_slow", "1: it gets fewer turns.", ("scanner",), [(slug, one.slow) for slug, one in of])


def _servers(state: SystemState) -> Iterator[Metric]:
    cache = state.cache
    yield _gauge("cache_used_bytes", "Memory that the cache uses.", cache.used_bytes)
    yield _gauge("cache_max_bytes", "Memory that it may use; 0: all there is.", cache.max_bytes)
    yield _gauge("cache_keys", "Its keys.", cache.keys)
    yield _gauge("cache_hit_ratio", "Keys asked for that were there, lately.", cache.hit_rate)
    yield _gauge("cache_commands_per_second", "What it is asked.", cache.ops_per_s)
    yield _gauge("cache_clients", "Connections.", cache.clients)
    yield _counters("cache_evicted_keys", "Keys that it had to throw away.", (), [((), cache.evicted)])
    yield _gauge("cache_aof_ok", "0: its append-only file cannot be written.", cache.aof in {"ok", "off"})
    yield _gauge("cache_start_time_seconds", "When it began.", cache.since / 1_000)
    services = (("broker", state.broker), ("database", state.database))
    yield _gauges("service_up", "1: it answers.", ("service",), [((name,), one.ok) for name, one in services])
    yield _gauges(
        "service_answer_seconds",
        "How long an answer takes.",
        ("service",),
        [(("cache",), cache.answer_ms / 1_000), *(((name,), _seconds(one.answer_ms)) for name, one in services)],
    )


def _web(state: SystemState) -> Iterator[Metric]:
    of = [((one.process,), one) for one in state.web]
    label = ("process",)
    yield _gauges("wds_sockets", "Open sockets.", label, [(who, one.sockets) for who, one in of])
    yield _gauges("wds_authorised", "Of these, authorised.", label, [(who, one.authorised) for who, one in of])
    yield _gauges("wds_subscriptions", "Subscriptions.", label, [(who, one.subscriptions) for who, one in of])
    yield _gauges("wds_messages_per_second", "To clients.", label, [(who, one.deliveries_per_s) for who, one in of])
    yield _gauges("wds_bytes_per_second", "To clients.", label, [(who, one.bytes_per_s) for who, one in of])
    yield _gauges("wds_behind_seconds", "Its slowest client.", label, [(who, one.behind_ms / 1e3) for who, one in of])
    yield _gauges("wds_draining", "1: it is about to end.", label, [(who, one.draining) for who, one in of])
    yield _counters("wds_messages", "Sent to clients.", label, [(who, one.sent) for who, one in of])
    yield _counters("wds_dropped", "Lost, unread.", label, [(who, one.dropped) for who, one in of])
    yield _counters("wds_conflated", "Replaced by newer ones.", label, [(who, one.conflated) for who, one in of])


def _data(state: SystemState) -> Iterator[Metric]:
    reference, recordings = state.reference, state.recordings
    kinds = [((name,), kind) for name, kind in reference.kinds.items()]
    yield _gauge("reference_symbols", "Symbols with a previous day.", reference.symbols)
    yield _gauges("reference_known", "What a kind knows.", ("kind",), [(name, kind.symbols) for name, kind in kinds])
    yield _gauges("reference_age_seconds", "Its age.", ("kind",), [(name, kind.age_s) for name, kind in kinds])
    yield _gauges("reference_whole", "1: all of it has come.", ("kind",), [(name, kind.whole) for name, kind in kinds])
    yield _gauge("recordings_bytes", "What recordings take.", recordings.bytes)
    yield _gauge("recordings_files", "How many there are.", recordings.files)
    yield _gauge("recordings_free_bytes", "What their disk has left.", recordings.free_bytes)
    yield _gauge("recordings_disk_bytes", "Their disk.", recordings.disk_bytes)
    yield _gauge("recordings_most_bytes", "What they may take.", recordings.most_bytes)
    now = recordings.now
    yield _gauge("recording", "1: the feed is recorded now.", now is not None and not now.problem)
    yield _gauge("recording_file_bytes", "Of the present file.", now.bytes if now is not None else None)
    yield _gauge("recording_dropped_events", "That did not fit.", now.dropped if now is not None else None)
