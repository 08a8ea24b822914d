"""What a notification says."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from control.models import Alert

_NEW_YORK: Final = ZoneInfo("America/New_York")
_EDGES: Final = {
    "enter": "on {rule}",
    "leave": "has left {rule}",
    "new_high": "makes a new high ({rule})",
    "new_low": "makes a new low ({rule})",
    "halt": "is halted ({rule})",
    "resume": "resumes ({rule})",
    "level": "is at your level",
}


def subject(alerts: Sequence[Alert], names: dict[str, str], kind: str) -> str:
    """The first line: the alert, or how many there are.

    Args:
        alerts: At least one.
        names: The rules' names, by slug.
        kind: Of the source: what is no live market says so.
    """
    first = _edge(alerts[0], names)
    text = first if len(alerts) == 1 else f"{len(alerts)} alerts: {first}, …"
    return text if kind == "live" else f"[{kind}] {text}"


def body(alerts: Sequence[Alert], names: dict[str, str]) -> str:
    """The alerts, one paragraph each, with the id by which a receiver can tell a repeat."""
    return "\n\n".join(_paragraph(alert, names) for alert in alerts)


def _edge(alert: Alert, names: dict[str, str]) -> str:
    said = _EDGES.get(alert.kind, alert.kind).format(rule=names.get(alert.rule, alert.rule))
    return f"{alert.symbol} {said}{_price(alert)}"


def _price(alert: Alert) -> str:
    if alert.price is None:
        return ""
    return f" at {alert.price:,.2f}" if alert.price >= 1 else f" at {alert.price:.4f}"


def _paragraph(alert: Alert, names: dict[str, str]) -> str:
    lines = [_edge(alert, names), _figures(alert.row), alert.note, f"{_time(alert.at)} · alert {alert.id}"]
    return "\n".join(line for line in lines if line)


def _figures(row: dict[str, Any]) -> str:
    shown = (
        ("{:+.2f} %", "pct_change", 1.0),
        ("volume {:,.0f}", "accumulated_volume", 1.0),
        ("relative volume {:.1f}", "relative_volume", 1.0),
        ("float {:,.1f} M", "free_float", 1e-6),
    )
    return ", ".join(
        words.format(row[name] * factor)
        for words, name, factor in shown
        if isinstance(row.get(name), int | float) and not isinstance(row[name], bool)
    )


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, _NEW_YORK).strftime("%H:%M:%S New York, %d %B %Y")
