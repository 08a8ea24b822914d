"""Events as Massive sends them, and their way into the table: sorted, in batches, through the feed tasks."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from time import time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from listener.events import Batch
from listener.sorting import sort_frame
from processors.accounts import accounts
from processors.interest import Interest
from processors.store import Source, Store
from processors.tasks import FEED_TASKS

NEW_YORK = ZoneInfo("America/New_York")
Event = dict[str, Any]


def as_anew(store: Store) -> None:
    """Let this process know no more of who listens than a worker that has just started: it asks with its next batch."""
    store.interest = Interest(store.redis)


def at(text: str) -> int:
    """Epoch milliseconds of a New York time such as `2024-03-11 09:30:00.000`."""
    return round(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp() * 1_000)


def trade(symbol: str, t: int, p: float, s: float = 100, **more: Any) -> Event:
    return {"ev": "T", "sym": symbol, "t": t, "p": p, "s": s, **more}


def quote(symbol: str, t: int, bid: float | None, ask: float | None, **more: Any) -> Event:
    return {"ev": "Q", "sym": symbol, "t": t, "bp": bid, "ap": ask, "bs": 3, "as": 4, **more}


def bar(symbol: str, s: int, o: float, h: float, low: float, c: float, v: float = 100, **more: Any) -> Event:
    """A second bar; `ev="AM"` makes it a minute bar."""
    length = 60_000 if more.get("ev") == "AM" else 1_000
    prices = {"o": o, "h": h, "l": low, "c": c}
    return {"ev": "A", "sym": symbol, "s": s, "e": s + length, **prices, "v": v, "av": 1_000, **more}


class _Nobody:
    """Listeners to nothing."""

    def wanted(self, channel: str) -> bool:
        return False

    def any_of(self, prefix: str) -> bool:
        return False


NOBODY = _Nobody()


def soon() -> int:
    """A time of receipt that is fresh for the whole of a long test, epoch milliseconds."""
    return int(time() * 1_000) + 3_600_000


def batch(
    events: Iterable[Event | bytes], source: str = "simulator:1", seq: int = 1, received_at: int = 0, name: str = ""
) -> Batch:
    """A batch of events as they are or as their bytes; its id is `name`, else made of what it holds."""
    raws = [msgspec.Raw(event if isinstance(event, bytes) else msgspec.json.encode(event)) for event in events]
    return Batch(name or f"{source}-{seq}-{random.random()}", source, seq, received_at or soon(), raws)


def batches_of(
    frames: Iterable[bytes | Sequence[Event]], size: int, source: str, received: Counter[str] | None = None
) -> list[tuple[str, Batch]]:
    """Frames as a listener makes batches of them: by feed, in order of receipt.

    Args:
        received: Events by feed that came before these; counted on.
    """
    before = Counter() if received is None else received
    events: dict[str, list[msgspec.Raw]] = defaultdict(list)
    for frame in frames:
        result = sort_frame(frame if isinstance(frame, bytes) else msgspec.json.encode(frame))
        assert not result.malformed
        for feed, raws in result.events.items():
            events[feed] += raws
    batches = []
    for feed, raws in events.items():
        for start in range(0, len(raws), size):
            seq = before[feed] + start
            part = raws[start : start + size]
            batches.append((feed, Batch(f"{source}-{feed}-{seq}", source, seq + 1, soon(), part)))
        before[feed] += len(raws)
    return batches


def feed_in(*pairs: tuple[str, Batch]) -> None:
    """Run the feed tasks over batches, in this order."""
    for feed, given in pairs:
        FEED_TASKS[feed](given)


def begin(store: Store, source: str = "simulator:1", clock: int = 0, kind: str = "") -> Source:
    """Make a source the present one."""
    declared = Source(source, kind or source.partition(":")[0], clock, 1.0, lossless=False)
    store.declare_source(declared)
    return declared


def terms(store: Store, feed: str, source: str = "simulator:1") -> dict[str, int]:
    """The processors' terms of a feed that are not zero."""
    found = accounts(store, source, 5_000)[feed]
    names = ("processed", "failed", "expired_age", "duplicate")
    return {name: found[name] for name in names if found[name]}
