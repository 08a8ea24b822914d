"""`manage.py bench`: how fast the system is, measured over real parts that it starts itself."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from control.bench import report
from control.bench.ingest import run
from control.bench.measuring import machine
from control.bench.scan import MOST_SCANNERS, MOST_SYMBOLS, MOST_TICKS
from control.bench.stream import MAX_BAR_ROUNDS, MIXES, bars_a_second
from control.bench.sweep import LEAST_RATE, MOST_RATE, Step, highest, sweep
from control.bench.system import Load, PartEnded, System, interruptible, printed_by, tuning
from listener.simulator.universe import MAX_SYMBOLS
from project.processes import ServiceUnavailable

# Connections, caches and the interpreter's own optimiser have settled by then.
_WARM_UP_S = 2.5


class Command(BaseCommand):
    help = "Measure the running system over parts of its own; your cache, broker and database are not touched."
    requires_system_checks = ["tapewatch"]

    def add_arguments(self, parser: CommandParser) -> None:
        benches = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
        _ingest_arguments(benches.add_parser("ingest", help="feed → cache: events a second, latency, cost"))
        _scan_arguments(benches.add_parser("scan", help="a tick of the engine: reading, ranking, publishing, memory"))

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(tempfile.mkdtemp(prefix="tw-bench-"))
        try:
            with interruptible() as interrupted:
                _BENCHES[options["bench"]](self, folder, interrupted, options)
        except (PartEnded, ServiceUnavailable) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; nothing is left running", returncode=130) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def ingest(self, folder: Path, interrupted: Event, options: dict[str, Any]) -> None:
        """One run, or a sweep."""
        load = _load(options)
        with System(options["broker"], options["workers"], folder, interrupted) as system:
            facts = machine() | system.versions()
            result: dict[str, Any] = {"bench": "ingest", "parameters": _parameters(load, options), "machine": facts}
            if options["sweep"]:
                steps = sweep(
                    lambda rate: run(system, replace(load, rate=rate)), load.rate, self._tell(options["json"])
                )
                best = highest(steps)
                result["highest"] = best["rate"] if best else None
                result["steps"] = [step.outcome | {"reason": step.reason} for step in steps]
                shown = [] if best is None else ["", *report.lines(best, facts)]
                shown.append(f"highest rate with nothing lost: {best['rate']:,} a second" if best else "none passed")
            else:
                outcome = run(system, load)
                result |= outcome
                shown = list(report.lines(outcome, facts))
        self.stdout.write(json.dumps(result) if options["json"] else "\n".join(shown))

    def scan(self, folder: Path, interrupted: Event, options: dict[str, Any]) -> None:
        """Ticks of an engine in a process of its own, in which polars has one thread."""
        asked = {name: options[name] for name in ("symbols", "scanners", "ticks")}
        for name, most in (("symbols", MOST_SYMBOLS), ("scanners", MOST_SCANNERS), ("ticks", MOST_TICKS)):
            _check(f"--{name}", asked[name], 1, most)
        arguments = [argument for name, value in asked.items() for argument in (f"--{name}", str(value))]
        printed = printed_by("control.bench.scan", arguments, folder, interrupted, POLARS_MAX_THREADS="1")
        result: dict[str, Any] = {"bench": "scan", "parameters": asked, "machine": machine()} | json.loads(printed)
        self.stdout.write(json.dumps(result) if options["json"] else "\n".join(report.scan_lines(result)))

    def _tell(self, as_json: bool) -> Callable[[Step], None]:
        # With --json standard output is for the result alone.
        stream = self.stderr if as_json else self.stdout
        return lambda step: stream.write(report.step_line(step))


_BENCHES: dict[str, Callable[[Command, Path, Event, dict[str, Any]], None]] = {
    "ingest": Command.ingest,
    "scan": Command.scan,
}


def _ingest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rate", type=int, metavar="N", help="events a second (10,000; of a sweep's first step 25,000)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="of measuring, after the warm-up (10; in a sweep 5)")
    parser.add_argument("--feeds", choices=tuple(MIXES), default="mix", help="mix: 2 trades, 8 quotes, 1 bar (mix)")
    parser.add_argument("--broker", choices=("amqp", "redis"), default="amqp", help="RabbitMQ or the cache (amqp)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="feed workers (2)")
    parser.add_argument("--symbols", type=int, default=8_000, metavar="N", help="number of symbols (8000)")
    parser.add_argument("--sweep", action="store_true", help="find the highest rate with nothing lost")
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def _scan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbols", type=int, default=12_000, metavar="N", help="number of symbols (12000)")
    parser.add_argument("--scanners", type=int, default=50, metavar="N", help="number of scanners (50)")
    parser.add_argument("--ticks", type=int, default=60, metavar="N", help="ticks by share of changed rows (60)")
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def _load(options: dict[str, Any]) -> Load:
    """The options as a load.

    Raises:
        CommandError: One of them cannot be used.
    """
    sweeping = options["sweep"]
    rate = (25_000 if sweeping else 10_000) if options["rate"] is None else options["rate"]
    seconds = (5.0 if sweeping else 10.0) if options["seconds"] is None else options["seconds"]
    symbols, workers = options["symbols"], options["workers"]
    _check("--rate", rate, LEAST_RATE if sweeping else 1, MOST_RATE)
    _check("--seconds", seconds, 1, 3_600)
    _check("--workers", workers, 1, 64)
    _check("--symbols", symbols, 1, MAX_SYMBOLS)
    most_bars = symbols * MAX_BAR_ROUNDS
    if bars_a_second(rate, options["feeds"]) > most_bars:
        raise CommandError(
            f"--rate {rate:,} makes more than {MAX_BAR_ROUNDS} bars a second for each of {symbols:,} symbols: "
            "lower it, or give more --symbols."
        )
    return Load(rate, seconds, _WARM_UP_S, options["feeds"], symbols)


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise CommandError(f"{name} must be from {least:,} to {most:,}, not {value:,}.")


def _parameters(load: Load, options: dict[str, Any]) -> dict[str, Any]:
    return asdict(load) | {"broker": options["broker"], "workers": options["workers"]} | dict(tuning())
