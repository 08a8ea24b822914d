"""A run of a bench as people read it."""

from collections.abc import Iterator, Mapping
from typing import Any

from control.bench.ingest import Outcome, losses
from control.bench.latency import Latency
from control.bench.sweep import Step, shortfall


def lines(outcome: Outcome, machine: Mapping[str, Any]) -> Iterator[str]:
    """The figures of one run, line by line."""
    servers = ", ".join(f"{name} {machine[name]}" for name in ("valkey", "rabbitmq", "python") if name in machine)
    yield f"machine      {machine['cores']} cores of {machine['cpu']}; {servers}"
    yield f"asked for    {outcome['rate']:,} events a second for {outcome['seconds']:g} s"
    yield f"processed    {outcome['events_per_second']:,} a second; sent {outcome['sent_per_second']:,} a second"
    yield f"             {shortfall(outcome) or 'nothing was lost'}"
    yield ""
    counted = {"sent": outcome["sent"], "received": outcome["received"], "processed": outcome["processed"]}
    for term, events in (counted | losses(outcome) | {"duplicates": outcome["duplicates"]}).items():
        yield f"{term:<16}{events:>14,}"
    yield "both equations hold" if outcome["balanced"] else f"NOT ACCOUNTED FOR: {outcome['imbalance']}"
    yield ""
    yield f"{'feed → cache':<14}{'median':>10}{'99 %':>10}{'99.9 %':>10}{'most':>10}   probes"
    for kind, figures in {"all": outcome["latency_ms"], **outcome["latency_ms_by_type"]}.items():
        yield f"{kind:<14}{_latency(figures)}"
    yield ""
    yield f"{'process':<14}{'CPU s':>10}{'% of core':>10}{'share':>10}{'most MB':>10}"
    for name, cost in outcome["processes"].items():
        cpu = f"{cost['cpu_seconds']:>10.2f}{cost['cpu_percent']:>10.1f}{cost['cpu_share']:>10.1%}"
        yield f"{name:<14}{cpu}{cost['max_rss_mb']:>10.1f}"
    yield f"others used {outcome['others_cpu_percent']:.0f} % of a core"


def _latency(figures: Latency) -> str:
    values = (figures["p50"], figures["p99"], figures["p99_9"], figures["max"])
    shown = "".join(f"{'-' if value is None else f'{value:.1f} ms':>10}" for value in values)
    return f"{shown}{figures['samples']:>9,}"


def step_line(step: Step) -> str:
    """One step of a sweep."""
    outcome = step.outcome
    p99 = outcome["latency_ms"]["p99"]
    delay = "" if p99 is None else f", 99 % within {p99:,.0f} ms"
    others = f", others at {outcome['others_cpu_percent']:.0f} %"
    return f"{outcome['rate']:>10,}/s  {step.reason or 'nothing lost'}{delay}{others}"


def scan_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The figures of `bench scan`, line by line."""
    asked, machine = result["parameters"], result["machine"]
    yield f"machine      {machine['cores']} cores of {machine['cpu']}; polars in {result['polars_threads']} thread"
    yield f"asked for    {asked['symbols']:,} symbols, {asked['scanners']:,} scanners, {asked['ticks']:,} ticks each"
    take_over = result["take_over_ms"]
    yield f"take-over    {take_over['tick']:,.0f} ms, of which reading everything {take_over['reading']:,.0f} ms"
    yield f"memory       engine {result['engine_rss_mb']:,} MB; cache {result['cache_mb']:,} MB"
    yield ""
    steps = next(iter(result["tick_ms"].values()))["steps"]
    yield f"{'changed':<9}{'median':>9}{'99 %':>9}{'CPU':>9}" + "".join(f"{step:>12}" for step in steps) + "   ms"
    for share, tick in result["tick_ms"].items():
        each = "".join(f"{value:>12.1f}" for value in tick["steps"].values())
        yield f"{share:<9}{tick['median']:>9.1f}{tick['p99']:>9.1f}{tick['cpu']:>9.1f}{each}"
