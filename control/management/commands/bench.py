"""`manage.py bench`: how fast the system is, measured over real parts that it starts itself."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from control.bench import fanout, fanout_boards, fanout_idle, report
from control.bench.fanout_messages import LEAST_SIZE
from control.bench.ingest import run
from control.bench.measuring import machine
from control.bench.parts import PartEnded, interruptible, printed_by
from control.bench.scan import MOST_SCANNERS, MOST_SYMBOLS, MOST_TICKS
from control.bench.stream import MAX_BAR_ROUNDS, MIXES, bars_a_second
from control.bench.sweep import LEAST_RATE, MOST_RATE, Step, highest, sweep
from control.bench.system import Load, System, tuning
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
        _fanout_arguments(benches.add_parser("fanout", help="cache → sockets: deliveries a second, latency, cost"))

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
        broker, workers, with_socket = options["broker"], options["workers"], options["socket"]
        with System(broker, workers, folder, interrupted, with_socket=with_socket) as system:
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

    def fanout(self, folder: Path, interrupted: Event, options: dict[str, Any]) -> None:
        """Messages to clients, idle sockets, or a board."""
        names = ("clients", "size", "rate", "stalled", "seconds", "web", "idle", "board", "delta")
        asked = {name: options[name] for name in names}
        if asked["rate"] is None:
            asked["rate"] = 400.0 if asked["board"] is None else 1.0
        for name, least, most in _FANOUT_BOUNDS:
            if asked[name] is not None:
                _check(f"--{name}", asked[name], least, most)
        if asked["idle"] is not None and asked["board"] is not None:
            raise CommandError("--idle and --board are two benches: give one of them.")
        if asked["delta"] and asked["board"] is None:
            raise CommandError("--delta is of a board: give --board ROWS too.")
        seconds, web = asked["seconds"], asked["web"]
        if asked["idle"] is not None:
            outcome: Any = fanout_idle.run(asked["idle"], seconds, web, folder, interrupted)
            shown = report.idle_lines
        elif asked["board"] is not None:
            board = fanout_boards.Asked(asked["board"], asked["clients"], asked["rate"], seconds, web, asked["delta"])
            outcome, shown = fanout_boards.run(board, folder, interrupted), report.board_lines
        else:
            load = fanout.Asked(asked["clients"], asked["size"], asked["rate"], asked["stalled"], seconds, web)
            outcome, shown = fanout.run(load, folder, interrupted), report.fanout_lines
        result: dict[str, Any] = {"bench": "fanout", "parameters": asked, "machine": machine()} | outcome
        self.stdout.write(json.dumps(result) if options["json"] else "\n".join(shown(result)))

    def _tell(self, as_json: bool) -> Callable[[Step], None]:
        # With --json standard output is for the result alone.
        stream = self.stderr if as_json else self.stdout
        return lambda step: stream.write(report.step_line(step))


_BENCHES: dict[str, Callable[[Command, Path, Event, dict[str, Any]], None]] = {
    "ingest": Command.ingest,
    "scan": Command.scan,
    "fanout": Command.fanout,
}
_FANOUT_BOUNDS: Final = (
    ("clients", 1, 10_000),
    ("size", LEAST_SIZE, 1_000_000),
    ("rate", 0.1, 10_000),
    ("stalled", 0, 1_000),
    ("seconds", 1, 3_600),
    ("web", 1, 64),
    ("idle", 1, 50_000),
    ("board", 1, 10_000),
)


def _ingest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rate", type=int, metavar="N", help="events a second (10,000; of a sweep's first step 25,000)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="of measuring, after the warm-up (10; in a sweep 5)")
    parser.add_argument("--feeds", choices=tuple(MIXES), default="mix", help="mix: 2 trades, 8 quotes, 1 bar (mix)")
    parser.add_argument("--broker", choices=("amqp", "redis"), default="amqp", help="RabbitMQ or the cache (amqp)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="feed workers (2)")
    parser.add_argument("--symbols", type=int, default=8_000, metavar="N", help="number of symbols (8000)")
    parser.add_argument("--socket", action="store_true", help="also feed → a client's socket, over a web server")
    parser.add_argument("--sweep", action="store_true", help="find the highest rate with nothing lost")
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def _scan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbols", type=int, default=12_000, metavar="N", help="number of symbols (12000)")
    parser.add_argument("--scanners", type=int, default=50, metavar="N", help="number of scanners (50)")
    parser.add_argument("--ticks", type=int, default=60, metavar="N", help="ticks by share of changed rows (60)")
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def _fanout_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=200, metavar="N", help="who read (200)")
    parser.add_argument("--size", type=int, default=2_000, metavar="BYTES", help="of a message (2000)")
    parser.add_argument("--rate", type=float, metavar="N", help="messages a second, each to every client (400)")
    parser.add_argument("--stalled", type=int, default=5, metavar="N", help="who stop reading in a second part (5)")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of measuring each part (5)")
    parser.add_argument("--web", type=int, default=1, metavar="N", help="web processes (1)")
    parser.add_argument("--idle", type=int, metavar="N", help="instead: the memory of so many idle sockets")
    parser.add_argument("--board", type=int, metavar="ROWS", help="instead: a board of the engine, at --rate ticks (1)")
    parser.add_argument("--delta", action="store_true", help="with --board: as deltas, and what they save")
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
    return asdict(load) | {name: options[name] for name in ("broker", "workers", "socket")} | dict(tuning())
