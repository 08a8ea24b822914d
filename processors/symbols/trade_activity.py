"""How much is traded: trades and notional of the last minute, five minutes and hour, by slots of time.

The slots are those of `tw:ring:activity:{SYM}` (`parts.ACTIVITY`): first those of five seconds, then those of a minute.
What has left a window drops out as the market's clock advances, without an event of the symbol.
"""

from typing import Final

import numpy as np

from processors import parts
from processors.symbols.columns import Floats, Whole, grown

BUCKET_MS: Final = 5_000
MINUTE_MS: Final = 60_000
# An integer ten-thousandth of a dollar is what notional is added up in.
_PER_DOLLAR: Final = 10_000


def window_sum(ring: Floats, head: int, newest: int, length: int) -> Floats:
    """What the slots of a window come to, by row.

    Args:
        ring: Slot by row, so that a slot of all rows is added at once: number n stands in slot n % slots.
        head: The newest number that the ring holds; it holds as many numbers up to it as it has slots.
        newest: The window's last number.
        length: How many numbers the window has.
    """
    slots = len(ring)
    numbers = np.arange(max(newest - length, head - slots) + 1, min(newest, head) + 1)
    total: Floats = np.zeros(ring.shape[1])
    for slot in (numbers % slots).tolist():
        total += ring[slot]
    return total


class _Ring:
    """Trades and notional in slots of one length, slot by row."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.head = 0
        self._trades: Floats = np.zeros((slots, 0))
        self._notional: Floats = np.zeros((slots, 0))

    def extend(self, length: int) -> None:
        self._trades = grown(self._trades, length, 0, axis=1)
        self._notional = grown(self._notional, length, 0, axis=1)

    def advance(self, to: int) -> None:
        """Empty the slots of the numbers that begin."""
        if to > self.head:
            begun = np.arange(max(self.head, to - self.slots) + 1, to + 1) % self.slots
            self._trades[begun] = 0
            self._notional[begun] = 0
            self.head = to

    def put(self, rows: Whole, kept: np.ndarray) -> None:
        numbers = kept["bucket"].astype(np.int64)
        self.advance(int(numbers.max(initial=0)))
        # A symbol that was quiet for long still has what others have long dropped.
        current = numbers > self.head - self.slots
        self._trades[:, rows] = np.where(current, kept["trades"], 0).T
        self._notional[:, rows] = np.where(current, kept["notional"], 0).T

    def sums(self, newest: int, length: int, rows: int) -> tuple[Floats, Floats]:
        """Trades and notional of the first so many rows in the window of `length` numbers up to `newest`."""
        return (
            window_sum(self._trades[:, :rows], self.head, newest, length),
            window_sum(self._notional[:, :rows], self.head, newest, length),
        )


class TradeActivity:
    """The activity of every symbol, by row of the symbol table."""

    def __init__(self) -> None:
        self._fives = _Ring(parts.FIVE_SECONDS)
        self._minutes = _Ring(parts.MINUTES)

    def put(self, rows: Whole, slots: np.ndarray) -> None:
        """Take in the activity of rows, as `parts.activity` gives it."""
        if len(rows) == 0:
            return
        self._extend(int(rows.max()) + 1)
        self._fives.put(rows, slots[:, : parts.FIVE_SECONDS])
        self._minutes.put(rows, slots[:, parts.FIVE_SECONDS :])

    def at(self, clock: int, length: int) -> dict[str, Floats]:
        """`trades_…` and `notional_…` (dollars) of 1m, 5m, 1h for the first `length` rows as of a clock (epoch ms)."""
        self._extend(length)
        bucket, minute = clock // BUCKET_MS, clock // MINUTE_MS
        self._fives.advance(bucket)
        self._minutes.advance(minute)
        found: dict[str, Floats] = {}
        for window, ring, newest, of in (
            ("1m", self._fives, bucket, 12),
            ("5m", self._fives, bucket, 60),
            ("1h", self._minutes, minute, 60),
        ):
            trades, notional = ring.sums(newest, of, length)
            found |= {f"trades_{window}": trades, f"notional_{window}": notional / _PER_DOLLAR}
        return found

    def _extend(self, length: int) -> None:
        self._fives.extend(length)
        self._minutes.extend(length)
