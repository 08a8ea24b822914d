"""Backtests as they are asked for: which scanners and which file are meant, and how a job carries one out."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec
from django.conf import settings
from django.utils import timezone

from control.models import Backtest, Scanner
from control.models.scanners import ScannerQuerySet
from processors.backtesting.backtest import BacktestError, Result, run
from processors.scanning.boards import ScannerRow
from project.processes import ServiceUnavailable

# What a scanner without alerts of its own tells in a backtest.
_ALERT_ON: Final = "enter"
# The rule of a condition that is no scanner yet.
TRIED: Final = "where"
_ORDER_BY: Final = "accumulated_volume"
_LIMIT: Final = 500
# Some 5 MB: more alerts than that are of no use to a reader, and a burden to the database.
_MOST_ALERTS: Final = 20_000


def asked_scanners(slugs: Collection[str], scanners: ScannerQuerySet | None = None) -> list[ScannerRow]:
    """The scanners of these names; without names the enabled ones that alert.

    Args:
        slugs: Names; a scanner among them that gives no alerts is taken to alert on entering.
        scanners: Those that may be used; None: all that there are.

    Raises:
        BacktestError: One of them is not there, or there is none at all.
    """
    known = Scanner.objects.all() if scanners is None else scanners
    chosen = known.filter(slug__in=slugs) if slugs else known.filter(enabled=True).exclude(alert_on="")
    rows = [ScannerRow(*values) for values in chosen.values_list(*ScannerRow.__struct_fields__)]
    if missing := sorted(set(slugs) - {row.slug for row in rows}):
        there = ", ".join(known.values_list("slug", flat=True)) or "none"
        raise BacktestError(f"There is no scanner {missing[0]}; there are: {there}")
    if not rows:
        raise BacktestError("No scanner gives alerts: name one, or give a condition to try")
    return [msgspec.structs.replace(row, alert_on=row.alert_on or _ALERT_ON) for row in rows]


def tried_scanner(where: str, order_by: str = "", alert_on: str = "") -> ScannerRow:
    """A condition that is to be tried, as a scanner.

    Args:
        where: The condition.
        order_by: What ranks the rows; by default the day's volume.
        alert_on: What is worth an alert; by default entering.
    """
    return ScannerRow(TRIED, where, order_by or _ORDER_BY, limit=_LIMIT, alert_on=alert_on or _ALERT_ON)


def recording_path(name: str) -> Path:
    """The file of a recording's name: in the folder of the recordings, nowhere else.

    Raises:
        BacktestError: There is none of that name.
    """
    path = settings.RECORDINGS_DIR / name
    if not name or Path(name).name != name or not path.is_file():
        raise BacktestError(f"There is no recording {name!r} in the folder of the recordings")
    return path


def carry_out(backtest_id: int) -> None:
    """Run a backtest that somebody asked for, and write down what it found or why it could not be run.

    One that is not waiting any more is left alone: a job that comes twice runs it once.
    """
    waiting = Backtest.objects.filter(pk=backtest_id, state=Backtest.State.QUEUED)
    if not waiting.update(state=Backtest.State.RUNNING, started_at=timezone.now()):
        return
    backtest = Backtest.objects.select_related("user").get(pk=backtest_id)
    try:
        scanners = [tried_scanner(backtest.where)] if backtest.where else []
        if backtest.scanners or not scanners:
            scanners += asked_scanners(backtest.scanners, Scanner.objects.visible_to(backtest.user))
        result = run(recording_path(backtest.recording), scanners)
    except (BacktestError, ServiceUnavailable) as error:
        backtest.state, backtest.error = Backtest.State.FAILED, str(error)
    except Exception:
        backtest.state, backtest.error = Backtest.State.FAILED, "It failed for a reason that stands in the log."
        raise
    else:
        backtest.state, backtest.result = Backtest.State.DONE, msgspec.to_builtins(_shortened(result))
    finally:
        backtest.finished_at = timezone.now()
        backtest.save(update_fields=["state", "result", "error", "finished_at"])


def _shortened(result: Result) -> Result:
    if len(result.alerts) <= _MOST_ALERTS:
        return result
    note = f"Only the first {_MOST_ALERTS:,} of {len(result.alerts):,} alerts are listed; the summary is of all."
    return msgspec.structs.replace(result, alerts=result.alerts[:_MOST_ALERTS], notes=[*result.notes, note])
