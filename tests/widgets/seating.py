"""Seats for tests of the registry: a member is no more than its figures."""

from dataclasses import dataclass, field
from typing import Any

from widgets.sending.outbox import Subscription
from widgets.visitors.sockets import Seat, Sockets


@dataclass
class Figures:
    """What an outbox says of itself, as a test wants it."""

    sent: int = 0
    sent_bytes: int = 0
    dropped: int = 0
    conflated: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    behind_s: float = 0.0


@dataclass
class Occupant:
    """Somebody with figures and subscriptions."""

    outbox: Figures = field(default_factory=Figures)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)


def new_seat(address: str = "10.0.0.1", *feeds: str, **figures: Any) -> Seat:
    """A seat that is not taken yet."""
    return Seat(address, Occupant(Figures(**figures), {feed: Subscription() for feed in feeds}))


def seated(sockets: Sockets, address: str = "10.0.0.1", *feeds: str, user: int | None = None, **figures: Any) -> Seat:
    """A seat that is taken, by somebody who has said who it is or not."""
    seat = new_seat(address, *feeds, **figures)
    sockets.enter(seat)
    if user is not None:
        sockets.sign_in(seat, user, f"user{user}")
    return seat
