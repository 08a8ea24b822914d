"""A run of a bench as people read it."""

from collections.abc import Iterator, Mapping
from typing import Any

from control.bench.ingest import Outcome, losses
from control.bench.measuring import ProcessCost
from control.bench.percentiles import Latency
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
    if outcome["socket_latency_ms"] is not None:
        yield "feed → socket"
        for kind, figures in {"all": outcome["socket_latency_ms"], **outcome["socket_latency_ms_by_type"]}.items():
            yield f"{kind:<14}{_latency(figures)}"
    yield ""
    yield from _costs(outcome["processes"], outcome["others_cpu_percent"])


def _costs(processes: Mapping[str, ProcessCost], others_percent: float) -> Iterator[str]:
    yield f"{'process':<16}{'CPU s':>10}{'% of core':>10}{'share':>10}{'most MB':>10}"
    for name, cost in processes.items():
        cpu = f"{cost['cpu_seconds']:>10.2f}{cost['cpu_percent']:>10.1f}{cost['cpu_share']:>10.1%}"
        yield f"{name:<16}{cpu}{cost['max_rss_mb']:>10.1f}"
    yield f"others used {others_percent:.0f} % of a core"


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


def fanout_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The figures of `bench fanout`, line by line."""
    asked = result["parameters"]
    yield _machine(result["machine"])
    yield f"asked for    {asked['rate']:g} messages of {asked['size']:,} bytes a second to {asked['clients']:,} clients"
    for title, part in (("all read", result["healthy"]), (f"{asked['stalled']:,} do not", result["with_stalled"])):
        if part is None:
            continue
        yield ""
        delivered, attempted = part["delivered_per_second"], part["attempted_per_second"]
        yield f"{title:<13}{delivered:,} of {attempted:,} deliveries a second; {part['lost']:,} lost"
        yield f"{'latency':<14}{'median':>10}{'99 %':>10}{'99.9 %':>10}{'most':>10}   messages"
        yield f"{'':<14}{_latency(part['latency_ms'])}"
        yield from _costs(part["processes"], part["others_cpu_percent"])
    yield ""
    yield f"memory       {_memory(result['web_mb'])}; {result['kb_a_client']:,} KB a client before the first message"
    yield f"cut off      {result['cut_off']:,}; the publisher was late by {result['latest_message_ms']:g} ms at most"


def idle_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The figures of `bench fanout --idle`, line by line."""
    yield _machine(result["machine"])
    came = f"{result['sockets_per_second']:,} came a second"
    yield f"idle         {result['sockets']:,} sockets with a subscription each; {came}; {result['cut_off']:,} cut off"
    yield f"memory       {_memory(result['web_mb'])}; {result['kb_a_socket']:,} KB a socket"
    yield from _costs(result["processes"], result["others_cpu_percent"])


def board_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The figures of `bench fanout --board`, line by line."""
    asked = result["parameters"]
    yield _machine(result["machine"])
    board = f"a board of {asked['board']:,} rows"
    yield f"asked for    {board}, {asked['rate']:g} ticks a second, {asked['clients']:,} clients"
    each = ", ".join(f"{kind} {size:,} bytes" for kind, size in result["bytes_a_message"].items())
    yield f"board        {result['mb_per_second']:,} MB a second; {each}; {result['complete']:.0%} of all changes came"
    whole = f"{result['whole_mb_per_second']:,} MB a second as whole boards of {result['board_bytes']:,} bytes"
    yield f"saved        {result['saved']:.1%}; it would be {whole}"
    yield f"rebuilt      {'as in the cache' if result['rebuilt'] else 'NOT AS IN THE CACHE'}"
    yield f"{'right behind':<14}{'median':>10}{'99 %':>10}{'99.9 %':>10}{'most':>10}   messages"
    yield f"{'':<14}{_latency(result['latency_ms'])}"
    yield f"memory       {_memory(result['web_mb'])}; {result['cut_off']:,} cut off"
    yield from _costs(result["processes"], result["others_cpu_percent"])


def _machine(facts: Mapping[str, Any]) -> str:
    return f"machine      {facts['cores']} cores of {facts['cpu']}; python {facts['python']}"


def _memory(by_moment: Mapping[str, float]) -> str:
    return ", ".join(f"{moment.replace('_', ' ')} {mb:,.0f} MB" for moment, mb in by_moment.items())
