"""What rows are made of, as of a moment, and how rows are made of it: of one moment, or of many at once.

The engine has one moment a tick. A backtest has thousands of small ones, which are cheaper computed together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from processors.fields import with_fields

# What all rows of a moment share.
_SHARED: Final[dict[str, Any]] = {
    "trading_day": pl.String,
    "session": pl.String,
    "clock": pl.Float64,
    "day_start": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Base:
    """The base columns of the rows of one moment.

    Attributes:
        columns: Arrays and series by name, one value a row; NaN and null for unknown.
        shared: The values that all rows share: trading day, session, clock, start of the day (epoch ms).
        complete: The symbols whose day is known whole; None: all.
    """

    columns: dict[str, Any]
    shared: tuple[str | None, str, float, float]
    complete: frozenset[str] | None

    def __len__(self) -> int:
        return len(self.columns["symbol"])

    def copied(self) -> "Base":
        """One that stands whatever becomes of the table; series are never written to."""
        arrays = {name: column.copy() for name, column in self.columns.items() if isinstance(column, np.ndarray)}
        return Base(self.columns | arrays, self.shared, self.complete)

    def known_whole(self) -> pl.Series:
        """Whether each row's day is known whole."""
        if self.complete is None:
            return pl.Series(np.ones(len(self), np.bool_))
        names: pl.Series = self.columns["symbol"]
        return names.is_in(sorted(self.complete))


def rows_of(bases: Sequence[Base]) -> pl.DataFrame:
    """The rows with every field of `fields.FIELDS`, those of each moment below those of the one before.

    Args:
        bases: At least one.
    """
    columns = {name: _below_each_other([base.columns[name] for base in bases]) for name in bases[0].columns}
    frame = pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None))
    moments = np.repeat(np.arange(len(bases)), [len(base) for base in bases])
    shared = [
        pl.Series(name, [base.shared[place] for base in bases], kind).gather(moments)
        for place, (name, kind) in enumerate(_SHARED.items())
    ]
    complete = _below_each_other([base.known_whole() for base in bases]).alias("complete")
    return with_fields(frame.with_columns(*shared, complete))


def _below_each_other(columns: Sequence[Any]) -> Any:
    if len(columns) == 1:
        return columns[0]
    return pl.concat(columns) if isinstance(columns[0], pl.Series) else np.concatenate(columns)
