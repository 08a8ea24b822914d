"""`manage.py backtest RECORDING`: what scanners would have told over a recording, and what became of it."""

from datetime import datetime
from os import EX_USAGE
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from control.backtests import asked_scanners, tried_scanner
from control.models import Scanner
from processors.backtesting.backtest import EVERY_MS, BacktestError, Result, run
from processors.backtesting.outcomes import HORIZONS, Outcome, RuleSummary
from processors.sessions import NEW_YORK
from project.processes import ServiceUnavailable

_LEAST_S, _MOST_S = 0.25, 3_600.0


class Command(BaseCommand):
    help = "Play a recording through scanners at full speed; list every alert and how the price moved after it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = [kind for kind in Scanner.AlertOn.values if kind]
        parser.add_argument("recording", help="the recording: NDJSON, plain, .gz or .zst")
        parser.add_argument(
            "--scanner",
            action="append",
            default=[],
            metavar="SLUG",
            help="a scanner to look at; can be given again (every enabled one that alerts)",
        )
        parser.add_argument("--where", default="", help='a condition to try, such as "pct_change > 5"')
        parser.add_argument("--order-by", default="", help="what ranks the rows of --where (accumulated_volume)")
        parser.add_argument("--alert-on", default="", choices=kinds, help="what of --where is worth an alert (enter)")
        parser.add_argument(
            "--every",
            type=float,
            default=EVERY_MS / 1_000,
            metavar="SECONDS",
            help=f"market time between two looks, {_LEAST_S:g} to {_MOST_S:g} ({EVERY_MS / 1_000:g})",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        if not _LEAST_S <= options["every"] <= _MOST_S:
            raise CommandError(f"--every takes {_LEAST_S:g} to {_MOST_S:g} seconds.", returncode=EX_USAGE)
        if (options["order_by"] or options["alert_on"]) and not options["where"]:
            raise CommandError("--order-by and --alert-on go with --where.", returncode=EX_USAGE)
        try:
            scanners = []
            if options["where"]:
                scanners.append(tried_scanner(options["where"], options["order_by"], options["alert_on"]))
            if options["scanner"] or not scanners:
                scanners += asked_scanners(options["scanner"])
            result = run(Path(options["recording"]), scanners, round(options["every"] * 1_000))
        except (BacktestError, ServiceUnavailable) as error:
            raise CommandError(f"{str(error).rstrip('.')}.") from error
        except DatabaseError as error:
            raise CommandError(
                f"The scanners cannot be read from the database ({error}): run `manage.py migrate`, or start `up` once."
            ) from error
        if options["json"]:
            self.stdout.write(msgspec.json.encode(result).decode())
        else:
            self.stdout.write("\n".join(_report(result)))


def _report(result: Result) -> list[str]:
    """The result for a person to read."""
    begins, ends = _time(result.begins, "%Y-%m-%d %H:%M:%S"), _time(result.ends)
    head = f"{result.recording}: {begins} to {ends} New York, {sum(result.events.values()):,} events"
    lines = [f"{head}, looked at every {result.every_s:g} s ({result.ticks:,} times)", *result.notes, ""]
    if result.alerts:
        titles = ["time", "rule", "kind", "symbol", "price", *HORIZONS, "note"]
        lines += [*_aligned([titles, *map(_alert_row, result.alerts)], left={1, 2, 3, 9}), ""]
    titles = ["rule", "alerts", *(f"{name} {horizon}" for horizon in HORIZONS for name in ("mean", "median", "up"))]
    return lines + _aligned([titles, *map(_rule_row, result.rules)], left={0})


def _alert_row(alert: Outcome) -> list[str]:
    price = f"{alert.price:.4f}".removesuffix("00") if alert.price is not None else "-"
    moves = [_percent(alert.moves[horizon]) for horizon in HORIZONS]
    return [_time(alert.told_at), alert.rule, alert.kind, alert.symbol, price, *moves, alert.note]


def _rule_row(rule: RuleSummary) -> list[str]:
    row = [rule.rule, f"{rule.alerts:,}"]
    for horizon in HORIZONS:
        spread = rule.after[horizon]
        up = f"{spread.share_up:.0%}" if spread.share_up is not None else "-"
        row += [_percent(spread.mean), _percent(spread.median), up]
    return row


def _percent(value: float | None) -> str:
    return f"{value:+.2f}%" if value is not None else "-"


def _time(at: int, form: str = "%H:%M:%S") -> str:
    return datetime.fromtimestamp(at / 1_000, NEW_YORK).strftime(form)


def _aligned(rows: list[list[str]], left: set[int]) -> list[str]:
    """Columns two blanks apart; numbers stand right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
