"""What one connection is subscribed to: what was asked for, what the server confirmed, and what it refused.

Massive confirms each channel by name (`subscribed to: A.*`), refuses without one (`error: not authorized`, for the
whole request or for a part of it), and passes over a channel that it does not know in silence. So what is refused is
what was asked for and not confirmed.
"""

from collections.abc import Iterable
from time import monotonic
from typing import Final

import msgspec

_CONFIRMED: Final = "subscribed to: "
_MOST_NAMED: Final = 12


class Channels:
    """The subscriptions of one connection.

    Args:
        confirmed_within_s: What the server has not confirmed after so long is called refused or unknown.
    """

    def __init__(self, confirmed_within_s: float) -> None:
        self._confirmed_within_s = confirmed_within_s
        self._asked: dict[str, None] = {}
        self._confirmed: set[str] = set()
        self._refusal = ""
        self._asked_at = 0.0

    def ask(self, wanted: Iterable[str]) -> list[bytes]:
        """Want these channels and no others; the requests that bring it about."""
        target = dict.fromkeys(wanted)
        if target.keys() == self._asked.keys():
            return []
        new = [name for name in target if name not in self._asked]
        old = [name for name in self._asked if name not in target]
        if not any(name in self._asked and name not in self._confirmed for name in target):
            self._refusal = ""  # nothing is left that it was said of
        self._asked, self._asked_at = target, monotonic()
        self._confirmed.intersection_update(target)
        return [
            msgspec.json.encode({"action": action, "params": ",".join(names)})
            for action, names in (("subscribe", new), ("unsubscribe", old))
            if names
        ]

    def hear(self, status: str, message: str) -> None:
        """Take note of the server's answers."""
        if status == "success" and message.startswith(_CONFIRMED):
            self._confirmed.update(self._asked.keys() & {message.removeprefix(_CONFIRMED)})
        elif status == "error":
            self._refusal = message or status

    @property
    def refused(self) -> str:
        """Why there is nothing to wait for here: the server's words when it confirmed none and refused; else empty."""
        return self._refusal if self._settled and not self._confirmed else ""

    @property
    def _settled(self) -> bool:
        return monotonic() - self._asked_at >= self._confirmed_within_s or self._confirmed.issuperset(self._asked)

    def in_words(self, host: str) -> str:
        """What is subscribed, and what the server does not give us."""
        confirmed = [name for name in self._asked if name in self._confirmed]
        missing = [name for name in self._asked if name not in self._confirmed]
        if not missing or not self._settled or not (confirmed or self._refusal):
            return f"Subscribed to {_listed(self._asked)} at {host}."
        given = f"Subscribed to {_listed(confirmed) or 'nothing'} at {host}. "
        if self._refusal:
            return f"{given}Refused: {_listed(missing)} ({self._refusal})."
        return f"{given}Not confirmed, so perhaps unknown there: {_listed(missing)}."


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    rest = len(every) - _MOST_NAMED
    return ", ".join(every[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
