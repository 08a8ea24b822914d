"""Engines at work on the tests' own scanners, and what they publish."""

from itertools import count
from typing import Any

import msgspec

from control.models import Scanner
from processors.scanning.engine import Engine
from processors.store import (
    Store,
)
from tests.processors.feeding import at, batch, feed_in, trade

OPEN = at("2024-03-11 09:30:00.000")


def heard(listening: Any) -> dict[str, list[Any]]:
    """What was published so far, by channel."""
    messages: dict[str, list[Any]] = {}
    while (message := listening.get_message(timeout=0.05)) is not None:
        messages.setdefault(message["channel"].decode(), []).append(msgspec.json.decode(message["data"]))
    return messages


def engine_of(store: Store) -> Engine:
    """An engine by whose clock a second goes by from tick to tick, so that every board is due at each."""
    seconds = count(1_000.0)
    return Engine(store, lambda: next(seconds))


def scanner(slug: str, where: str = "", order_by: str = "price", **more: Any) -> Scanner:
    return Scanner.objects.create(slug=slug, name=slug, where=where, order_by=order_by, **more)


def board(store: Store, slug: str) -> list[str] | None:
    """The symbols of a stored board."""
    raw = store.redis.get(f"scanners:{slug}")
    return [row["symbol"] for row in msgspec.json.decode(raw)] if raw is not None else None


def trades(store: Store, *pairs: tuple[str, float], t: int = OPEN, source: str = "simulator:1") -> None:
    feed_in(("trades", batch([trade(symbol, t, price) for symbol, price in pairs], source=source)))


def entered(store: Store) -> list[str]:
    """The symbols of kept alerts, oldest first."""
    return [msgspec.json.decode(raw)["symbol"] for raw in reversed(store.redis.lrange("alerts", 0, -1))]
