"""Reading what components say of themselves: any of it may be missing, from an older version."""

from typing import Any

from control.system.liveness import Seen
from control.system.state import Percentiles


def mapping(said: dict[str, Any], name: str) -> dict[str, Any]:
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def number(said: dict[str, Any], name: str) -> Any:
    value = said.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def percentiles(said: Any) -> Percentiles:
    if not isinstance(said, dict):
        return Percentiles()
    return Percentiles(p50=number(said, "p50"), p99=number(said, "p99"), max=number(said, "max"))


def total(seen: list[Seen], kind: str, name: str) -> float:
    """The sum of a figure over all components of a kind."""
    return sum(number(one.said.figures, name) or 0 for one in seen if one.said.kind == kind)
