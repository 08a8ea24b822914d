"""The sockets of this process: who sits where, since when, and whether there is room for one more.

Limits by user and address hold over all processes: each says once a second how many it has (`presence.py`), and counts
its own exactly. So many sockets opened on several processes within the same second can exceed them by what the other
processes let in meanwhile; the next ones are refused.
"""

import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from django.conf import settings

from widgets.visitors.limits import FULL, PROCESS_FULL, SOCKETS_OF_ADDRESS, SOCKETS_OF_USER, TOO_MANY, TooMany
from widgets.visitors.origins import household

_Key = TypeVar("_Key", int, str)
_NUMBERS = itertools.count(1)


class Figures(Protocol):
    """What an outbox says of itself."""

    @property
    def sent(self) -> int: ...
    @property
    def sent_bytes(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def conflated(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def waiting_bytes(self) -> int: ...
    @property
    def behind_s(self) -> float: ...


class Occupant(Protocol):
    """What the registry needs of a member of the hub."""

    @property
    def outbox(self) -> Figures: ...
    @property
    def subscriptions(self) -> Mapping[str, object]: ...


@dataclass(slots=True, eq=False)
class Seat:
    """One open socket.

    Attributes:
        address: The client's, as `origins.client_address` gives it.
        member: Its place at the hub.
        id: Counts the sockets of this process.
        since: When it came, epoch seconds.
        user_id: Whose it is; None until it is authorised.
        username: The user's name.
    """

    address: str
    member: Occupant
    id: int = field(default_factory=lambda: next(_NUMBERS))
    since: float = field(default_factory=time.time)
    user_id: int | None = None
    username: str = ""


@dataclass(slots=True)
class Totals:
    """What went out to all sockets of this process, those included that have left."""

    sent: int = 0
    sent_bytes: int = 0
    dropped: int = 0
    conflated: int = 0

    def add(self, figures: Figures) -> None:
        """Add one outbox's."""
        self.sent += figures.sent
        self.sent_bytes += figures.sent_bytes
        self.dropped += figures.dropped
        self.conflated += figures.conflated


class Sockets:
    """The open sockets of one process.

    Attributes:
        users: Sockets by user, of those that are signed in.
        addresses: Sockets by address (`origins.household`).
    """

    def __init__(self) -> None:
        self.users: Counter[int] = Counter()
        self.addresses: Counter[str] = Counter()
        self._fit = math.inf
        self._seats: set[Seat] = set()
        self._left = Totals()
        self._users_elsewhere: Mapping[int, int] = {}
        self._addresses_elsewhere: Mapping[str, int] = {}

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[Seat]:
        return iter(self._seats)

    def enter(self, seat: Seat) -> None:
        """Give a new socket its seat.

        Raises:
            TooMany: The process is full, or the address has too many; the seat is not taken.
        """
        if len(self._seats) >= min(settings.WDS_SOCKETS, self._fit):
            raise TooMany(FULL, PROCESS_FULL)
        home = household(seat.address)
        if self.addresses[home] + self._addresses_elsewhere.get(home, 0) >= settings.WDS_SOCKETS_PER_ADDRESS:
            raise TooMany(TOO_MANY, SOCKETS_OF_ADDRESS)
        self._seats.add(seat)
        self.addresses[home] += 1

    def sign_in(self, seat: Seat, user_id: int, username: str) -> None:
        """Say whose a seat is; said again, it changes hands.

        Raises:
            TooMany: The user has too many; the seat stays as it was.
        """
        if seat.user_id == user_id:
            return
        if self.users[user_id] + self._users_elsewhere.get(user_id, 0) >= settings.WDS_SOCKETS_PER_USER:
            raise TooMany(TOO_MANY, SOCKETS_OF_USER)
        self._sign_out(seat)
        seat.user_id, seat.username = user_id, username
        if seat in self._seats:
            self.users[user_id] += 1

    def leave(self, seat: Seat) -> None:
        """Give a seat up; one that was never taken, or was given up before, is no mistake."""
        if seat not in self._seats:
            return
        self._sign_out(seat)
        self._seats.discard(seat)
        _one_less(self.addresses, household(seat.address))
        self._left.add(seat.member.outbox)

    def _sign_out(self, seat: Seat) -> None:
        if seat.user_id is not None and seat in self._seats:
            _one_less(self.users, seat.user_id)

    def fit(self, most: int) -> None:
        """Take note of how many sockets the system lets this process hold (`limits.raise_open_files`)."""
        self._fit = most

    def elsewhere(self, users: Mapping[int, int], addresses: Mapping[str, int]) -> None:
        """Take note of the sockets that other processes have, by user and by address."""
        self._users_elsewhere, self._addresses_elsewhere = users, addresses

    def totals(self) -> Totals:
        """What went out so far. Looks at each socket."""
        totals = Totals(self._left.sent, self._left.sent_bytes, self._left.dropped, self._left.conflated)
        for seat in self._seats:
            totals.add(seat.member.outbox)
        return totals


def _one_less(counts: Counter[_Key], key: _Key) -> None:
    if counts[key] > 1:
        counts[key] -= 1
    else:
        # Nobody's count is kept: addresses come and go.
        del counts[key]


sockets = Sockets()
