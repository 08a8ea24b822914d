"""What a client has subscribed to: `A.*`, `T.ZZAB`, `*`."""

from collections.abc import Iterable
from typing import Final

# Channels of the stocks market; the simulator sends the first five.
STOCK_CHANNELS: Final = frozenset({"A", "AM", "T", "Q", "LULD", "FMV", "NOI", "LV"})


class Subscription:
    """A client's channels; empty to begin with."""

    def __init__(self) -> None:
        self._whole: frozenset[str] = frozenset()
        self._symbols: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._whole or self._symbols)

    def add(self, channel: str) -> bool:
        """Subscribe to one channel; returns False when there is no such channel."""
        if channel == "*":
            self._whole = STOCK_CHANNELS
            return True
        kind, _, symbol = channel.partition(".")
        if kind not in STOCK_CHANNELS or not symbol:
            return False
        if symbol == "*":
            self._whole |= {kind}
        else:
            self._symbols.setdefault(kind, set()).add(symbol)
        return True

    def remove(self, channel: str) -> bool:
        """Unsubscribe from one channel; returns False when there is no such channel."""
        if channel == "*":
            self._whole, self._symbols = frozenset(), {}
            return True
        kind, _, symbol = channel.partition(".")
        if kind not in STOCK_CHANNELS or not symbol:
            return False
        if symbol == "*":
            self._whole -= {kind}
        elif kind in self._symbols:
            self._symbols[kind].discard(symbol)
            if not self._symbols[kind]:
                del self._symbols[kind]
        return True

    def covers(self, kinds: Iterable[str]) -> bool:
        """Whether every event of these types is wanted, whatever its symbol."""
        return self._whole.issuperset(kinds)

    def touches(self, kind: str) -> bool:
        """Whether an event of this type can be wanted at all."""
        return kind in self._whole or kind in self._symbols

    def matches(self, kind: str, symbol: str | None) -> bool:
        """Whether an event is wanted."""
        return kind in self._whole or symbol in self._symbols.get(kind, ())
