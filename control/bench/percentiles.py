"""Latencies, summed up."""

from collections.abc import Iterable, Sequence
from typing import TypedDict


class Latency(TypedDict):
    """Milliseconds; None where nothing was seen."""

    p50: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    samples: int


def percentiles(milliseconds: Iterable[float]) -> Latency:
    """Percentiles by nearest rank."""
    values = sorted(milliseconds)
    return Latency(
        p50=_rank(values, 0.5),
        p99=_rank(values, 0.99),
        p99_9=_rank(values, 0.999),
        max=_rank(values, 1.0),
        samples=len(values),
    )


def _rank(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    return round(values[max(0, -int(-share * len(values) // 1) - 1)], 2)
