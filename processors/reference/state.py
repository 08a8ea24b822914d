"""What `tw:reference` holds, and what is said about it."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from processors.store import REFERENCE_STATE, Store, script

# A symbol's array in `tw:reference`: these numbers, NaN where unknown, then these texts, nil where unknown.
REFERENCE_COLUMNS: Final = (
    "prev_day_open",
    "prev_day_high",
    "prev_day_low",
    "prev_day_close",
    "prev_day_volume",
    "prev_day_vwap",
    "avg_volume",
    "free_float",
    "market_cap",
)
REFERENCE_TEXTS: Final = ("name", "primary_exchange")


class Kind(msgspec.Struct, frozen=True):
    """How far one kind of data has been loaded.

    Attributes:
        day: The trading day (yyyymmdd) it was loaded for.
        at: When the last answer came, epoch seconds; 0 before any.
        symbols: How many symbols it knows; of splits and conditions, how many; of `average_volume`, days.
        whole: Whether all of it has come.
        early: Whether that was before its day began: it is asked for once more then, for what came overnight.
        cursor: What asks for the next page.
        problem: Why it is not whole, in words.
        again_at: It is not asked for before this, epoch seconds.
    """

    day: int = 0
    at: float = 0.0
    symbols: int = 0
    whole: bool = False
    early: bool = False
    cursor: dict[str, str] = {}
    problem: str = ""
    again_at: float = 0.0

    def is_due(self, day: int, begun: bool, now: float, life_s: float) -> bool:
        """Whether it is to be asked for now; `life_s` is how long an answer stands."""
        stands = self.day == day and self.whole and not (self.early and begun) and now < self.at + life_s
        return not stands and now >= self.again_at


class ReferenceState(msgspec.Struct, frozen=True):
    """What `tw:reference` holds.

    Attributes:
        source: The source it was loaded for.
        day: The trading day (yyyymmdd) whose previous day it is.
        symbols: How many symbols have a previous day.
        loaded_at: When a symbol last changed, epoch seconds.
        kinds: How far each kind of data has been loaded.
        waits_until: The vendor asked to be left alone until then, epoch seconds; 0: it did not.
    """

    source: str
    day: int
    symbols: int
    loaded_at: float
    kinds: dict[str, Kind] = {}
    waits_until: float = 0.0

    @property
    def missing(self) -> dict[str, str]:
        """The kinds that are not whole for this day, and why."""
        waits = "the vendor asked to wait" if self.waits_until else "not loaded yet"
        return {
            name: kind.problem or waits
            for name, kind in self.kinds.items()
            if kind.problem or not kind.whole or kind.day != self.day
        }

    @property
    def settled(self) -> bool:
        """Whether every kind has come, or will not come for now."""
        return all(kind.problem or (kind.whole and kind.day == self.day) for kind in self.kinds.values())


def reference_state(store: Store) -> ReferenceState | None:
    """What was loaded last, or None."""
    raw = store.redis.get(REFERENCE_STATE)
    return msgspec.json.decode(raw, type=ReferenceState) if raw else None


def put_reference(store: Store, state: ReferenceState, rows: Mapping[str, bytes], gone: Sequence[str] = ()) -> bool:
    """Put reference arrays and the state, in one step, and tell readers whose changed.

    Args:
        store: The cache.
        state: Its source must be the present one.
        rows: Packed arrays by symbol.
        gone: Symbols of which nothing is known any more.

    Returns:
        False when another source has begun; then nothing was put.
    """
    put = store.redis.register_script(script("changed", "reference"))
    flat = [value for row in rows.items() for value in row]
    return bool(put(args=[state.source, msgspec.json.encode(state), len(rows), *flat, *gone]))
