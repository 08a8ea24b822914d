"""How a problem is put into words, and what shows one beside the state."""

import msgspec

from control.system.standing import Found
from control.system.state import Severity


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What the state alone does not show.

    Attributes:
        now: Epoch milliseconds.
        depth_grown: By queue, how many messages more wait than some seconds ago.
        evicted: Keys that the cache threw away within the last minute.
        web_dropped: Messages to clients that went lost within the last minute.
        clocks_ahead_ms: Of each host, as against the cache's.
    """

    now: int
    depth_grown: dict[str, float]
    evicted: float
    web_dropped: float
    clocks_ahead_ms: dict[str, int]


def problem(
    name: str,
    severity: Severity,
    component: str,
    text: str,
    advice: str,
    well: str,
    after_ms: int = 2_000,
    until_ms: int = 5_000,
) -> Found:
    """A problem as it is seen at this moment; the arguments are those of `Found`."""
    return Found(
        id=name,
        severity=severity,
        component=component,
        text=text,
        advice=advice,
        well=well,
        after_ms=after_ms,
        until_ms=until_ms,
    )
