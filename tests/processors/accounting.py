"""Batches that are published, settled or lost, for tests of the accounts."""

from time import time
from typing import Any

import msgspec

from listener.batching import BatchLimits, Buffer
from listener.dispatch import ListenerAccounts
from listener.events import Batch
from listener.sorting import Malformed, SortedFrame
from processors.accounts import accounts, imbalance
from processors.store import Store
from project import queues
from tests.processors.feeding import at, trade

SOURCE = "simulator:1"
OPEN = at("2024-03-11 09:30:00.000")
TTL_MS = 5_000


def now_ms() -> int:
    return int(time() * 1_000)


def buffer() -> Buffer:
    made = Buffer(BatchLimits(10, 20, 1_000_000, TTL_MS), now_ms() * 1_000)
    made.begin_source(SOURCE)
    return made


def frame(count: int, malformed: int = 0, first: int = 0) -> SortedFrame:
    events = [msgspec.Raw(msgspec.json.encode(trade("ABC", OPEN + first + n, 5.0, 1))) for n in range(count)]
    return SortedFrame({"trades": events} if events else {}, [Malformed("trades", "bad", "")] * malformed)


def terms(store: Store, now: float | None = None) -> dict[str, int]:
    """The terms of the trades feed that are not zero."""
    found = accounts(store, SOURCE, TTL_MS, now)["trades"]
    assert imbalance(found) == (0, 0)
    return {name: value for name, value in found.items() if value}


def headers(batch: Batch) -> dict[str, Any]:
    return {
        queues.HEADER_EVENTS: len(batch.events),
        queues.HEADER_SOURCE: batch.source,
        queues.HEADER_FEED: "trades",
        queues.HEADER_BATCH: batch.id,
        queues.HEADER_RECEIVED: batch.received_at,
    }


class Letter:
    """What a dead-letter consumer sees of a message."""

    def __init__(self, of: dict[str, Any]) -> None:
        self.headers = of
        self.acknowledged = False

    def ack(self) -> None:
        self.acknowledged = True


def intended(store: Store, of: Buffer, run: str = "run") -> list[Batch]:
    """Everything that waits, counted as published."""
    written = ListenerAccounts(store, of, run)
    batches = [batch for _, batch in written.count(of.take(0))]
    written.write()
    return batches


def tell(written: ListenerAccounts, of: Buffer) -> list[Batch]:
    """A round, counted and written."""
    batches = [batch for _, batch in written.count(of.take(0))]
    written.write()
    return batches


def aged(seconds: int) -> Buffer:
    """A buffer whose clock is behind by so much."""
    made = Buffer(BatchLimits(10, 20, 1_000_000, TTL_MS), 1, lambda: now_ms() - seconds * 1_000)
    made.begin_source(SOURCE)
    return made
