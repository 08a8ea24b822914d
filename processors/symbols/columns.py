"""Arrays with one row a symbol, that grow as symbols come: named columns of figures, and grids of time slots."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

_FIRST_ROWS = 16


def grown(values: np.ndarray[Any, Any], rows: int, fill: Any, axis: int = 0) -> np.ndarray[Any, Any]:
    """The array itself if it has so many rows, else a longer one that begins with it; further rows hold `fill`."""
    had = values.shape[axis]
    if rows <= had:
        return values
    # A third more at a time: half empty arrays of a hundred thousand symbols would weigh more than copying does.
    shape = list(values.shape)
    shape[axis] = max(rows, had * 4 // 3, _FIRST_ROWS)
    longer = np.full(shape, fill, values.dtype)
    longer[tuple(slice(size) for size in values.shape)] = values
    return longer


class Columns:
    """Named columns of figures; NaN where nothing is known."""

    def __init__(self, names: Sequence[str]) -> None:
        self._columns: dict[str, Floats] = {name: np.empty(0) for name in names}
        self._length = 0

    def put(self, rows: Sequence[int] | Whole, values: Floats | Sequence[Sequence[float]]) -> None:
        """Replace rows: `values` has one line a row, all columns in the order of the names."""
        if len(rows) == 0:
            return
        rows = np.asarray(rows, np.int64)
        self.extend(int(rows.max()) + 1)
        for column, of_column in zip(self._columns.values(), np.asarray(values, np.float64).T, strict=True):
            column[rows] = of_column

    def extend(self, length: int) -> None:
        """Have at least so many rows."""
        if length > self._length:
            self._columns = {name: grown(column, length, np.nan) for name, column in self._columns.items()}
            self._length = len(next(iter(self._columns.values())))

    def column(self, name: str, length: int) -> Floats:
        """The first so many values of a column: a view, not to be written to."""
        self.extend(length)
        return self._columns[name][:length]
