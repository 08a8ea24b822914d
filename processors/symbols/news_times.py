"""How much news of a symbol there is, and when the last of it came out."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from processors.symbols.columns import Floats, Whole

_DAY_MS: Final = 86_400_000


class NewsTimes:
    """When articles were published, by row of the symbol table."""

    def __init__(self) -> None:
        self._times: Whole = np.empty(0, np.int64)
        self._rows: Whole = np.empty(0, np.int64)

    def put(self, articles: Sequence[tuple[bytes, float]], row: Callable[[bytes], int]) -> None:
        """Take in all recent articles: `SYM|id` and when it was published (epoch ms), ascending by that."""
        self._times = np.array([at for _, at in articles], np.int64)
        self._rows = np.array([row(name.partition(b"|")[0]) for name, _ in articles], np.int64)

    def at(self, clock: int, length: int) -> dict[str, Floats]:
        """`count`: articles of the 24 hours up to a clock (epoch ms); `last_at`: the newest up to it, NaN for none."""
        first, end = np.searchsorted(self._times, (clock - _DAY_MS, clock), side="right")
        count = np.bincount(self._rows[first:end], minlength=length)[:length]
        last_at = np.full(length, np.nan)
        # Of a symbol's several articles the last assigned stays: they ascend.
        last_at[self._rows[:end]] = self._times[:end]
        return {"count": count.astype(np.float64), "last_at": last_at}
