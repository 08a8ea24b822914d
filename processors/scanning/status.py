"""The `status` message: market clock, session, and how the feed does, each second, for everyone."""

from typing import Any, TypedDict

import msgspec

from processors.sessions import next_bell, session_at
from processors.store import Source
from processors.symbols.halts import halts_coverage


class FeedState(TypedDict):
    """What the listener does: a state's name, since when (epoch ms), and why, in words."""

    state: str
    since: int
    reason: str


class ScansState(TypedDict):
    """How the engine does: its longest tick of late, why scanners fail, and which are too slow, by slug."""

    tick_ms: int
    failing: dict[str, str]
    slow: list[str]


class HaltsState(TypedDict):
    """Which halts are seen at all, in words."""

    covers: str


class Status(TypedDict):
    """The payload of `status`. Times are epoch milliseconds; `at` is the wall clock, the others the market's.

    Before any source, `source` and `kind` are empty and the session is that of the wall clock.
    """

    at: int
    market_clock: int | None
    session: str
    next_bell_at: int | None
    trading_day: str | None
    source: str
    kind: str
    speed: float
    newest_event_at: int | None
    delay_ms: int | None
    feed: FeedState
    scans: ScansState
    halts: HaltsState


def status_message(
    source: Source | None, listener: bytes | None, now_ms: float, scans: ScansState | None = None
) -> Status:
    """Put the message together.

    Args:
        source: The present source; None before any.
        listener: The listener's own report as JSON, None when it has not reported for ten seconds.
        now_ms: The wall clock, epoch milliseconds.
        scans: The engine's own report; None when somebody else asks.
    """
    clock = source.market_clock if source is not None else 0
    day, session = session_at(clock if source is not None else int(now_ms))
    report: dict[str, Any] = msgspec.json.decode(listener) if listener else {}
    return Status(
        at=int(now_ms),
        market_clock=clock or None,
        session=session,
        next_bell_at=next_bell(clock) if clock else None,
        trading_day=day.date.isoformat() if day else None,
        source=source.id if source is not None else "",
        kind=source.kind if source is not None else "",
        speed=source.speed if source is not None else 0.0,
        newest_event_at=(source.newest or None) if source is not None else None,
        delay_ms=_delay(source, now_ms) if source is not None else None,
        feed=FeedState(
            state=str(report.get("state", "stopped")),
            since=int(report.get("since", 0)),
            reason=str(report.get("reason", "No listener is running.")),
        ),
        scans=scans or ScansState(tick_ms=0, failing={}, slow=[]),
        halts=HaltsState(covers=halts_coverage(report)),
    )


def _delay(source: Source, now_ms: float) -> int | None:
    """How far the newest event lies behind where the market's clock should be; None when nothing paces the source."""
    if not source.newest:
        return None
    if source.kind == "live":
        return max(0, int(now_ms - source.newest))
    if source.speed <= 0:
        return None
    expected = source.clock + (now_ms - source.since) * source.speed
    return max(0, int((expected - source.newest) / source.speed))
