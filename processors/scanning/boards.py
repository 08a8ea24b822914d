"""All scanners at once: which rows each board shows, best first, from one evaluation of the whole table.

What several scanners have in common is computed once, and all of it in one pass over the columns. A scanner that fails
or takes too long is found by ranking them one by one; it is named, and the others go on without it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from time import monotonic, process_time
from typing import Any, Final, Self

import msgspec
import numpy as np
import polars as pl

from processors.scanning.scan import ExpressionError, Formula, compile_condition, compile_order, evaluate

# Of the processor's time, so that a busy machine makes nobody slow: for all due scanners together; one that alone takes
# such a share of it is slow, and waits its turn.
BUDGET_S: Final = 0.05
_SHARE_OF_ONE: Final = 0.2
_SLOW_EVERY_S: Final = 5.0

# A panic inside polars is no `Exception`; it is the scanner's failure all the same.
_FAILURES: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException)

Indices = np.ndarray[Any, np.dtype[np.intp]]


class ScannerRow(msgspec.Struct, frozen=True):
    """A scanner as the engine needs it; the fields mean what they mean in `control.models.Scanner`."""

    slug: str
    where: str
    order_by: str
    descending: bool = True
    limit: int = 50
    tick_ms: int = 1_000
    alert_on: str = ""
    cooldown_s: int = 300
    columns: list[str] = []
    owner_id: int | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one evaluation gave.

    Attributes:
        order: By slug, the indices of the board's rows in the frame, best first, at most its limit. A scanner that was
            not due, does not run, or is slow and waits its turn is not in it: its board stays as it is.
        errors: By slug, why a scanner does not run: those of `ScanSet.errors` that were due, and what failed now.
        seconds: By slug, the processor's time it took, where each was ranked alone.
    """

    order: dict[str, Indices]
    errors: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Compiled:
    scanner: ScannerRow
    where: Formula
    order_by: Formula


class ScanSet:
    """Scanners, compiled and ready to rank. It remembers which of them are slow.

    Attributes:
        errors: By slug, the author's error of a scanner that cannot be used.
        slow: Slugs of the scanners that took too long when they were last ranked alone.
    """

    def __init__(self, scanners: Sequence[_Compiled], errors: dict[str, str], budget_s: float) -> None:
        self.errors = errors
        self.slow: set[str] = set()
        self._by_slug = {compiled.scanner.slug: compiled for compiled in scanners}
        self._budget_s = budget_s
        self._one_by_one = False
        self._next_turn: dict[str, float] = {}

    @classmethod
    def compile(cls, scanners: Sequence[ScannerRow], budget_s: float = BUDGET_S) -> Self:
        """Check and translate scanners; one that cannot be used is in `errors`, the others stand.

        Args:
            budget_s: What ranking all of them may take before the slow ones are looked for; `math.inf` where nothing
                may depend on how fast the machine is, as in a backtest.
        """
        compiled, errors = [], {}
        for scanner in scanners:
            try:
                where, order_by = compile_condition(scanner.where), compile_order(scanner.order_by)
            except ExpressionError as error:
                errors[scanner.slug] = str(error)
            else:
                compiled.append(_Compiled(scanner, where, order_by))
        return cls(compiled, errors, budget_s)

    def rank(self, rows: pl.DataFrame, due: Collection[str]) -> Ranking:
        """Rank the scanners that are due.

        Nulls rank last, ties by symbol.

        Args:
            rows: The table, every field a column.
            due: Slugs; unknown ones are passed over.
        """
        ranking = Ranking({}, {slug: self.errors[slug] for slug in due if slug in self.errors})
        now = monotonic()
        scanners = [
            compiled
            for slug, compiled in self._by_slug.items()
            if slug in due and self._next_turn.get(slug, 0.0) <= now
        ]
        apart = {one.scanner.slug for one in scanners} if self._one_by_one else self.slow
        together = [one for one in scanners if one.scanner.slug not in apart]
        alone = [one for one in scanners if one.scanner.slug in apart]
        self._one_by_one = False
        if together:
            began = process_time()
            try:
                ranking.order.update(_evaluate(rows, together))
            except _FAILURES:
                alone = scanners
            else:
                self._one_by_one = process_time() - began > self._budget_s
        for one in alone:
            self._rank_alone(rows, one, ranking)
        return ranking

    def rank_each(self, rows: pl.DataFrame, lengths: Sequence[int]) -> list[Ranking]:
        """Rank all scanners in each of several tables, such as those of one moment after another.

        Args:
            rows: The tables, one below the other.
            lengths: How many rows each of them has.
        """
        scanners = list(self._by_slug.values())
        ends = list(accumulate(lengths))
        parts = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        try:
            values = _values(rows, scanners)
        except _FAILURES:
            return [self.rank(rows[part], self._by_slug) for part in parts]
        return [Ranking(_ordered(values, scanners, part), dict(self.errors)) for part in parts]

    def _rank_alone(self, rows: pl.DataFrame, compiled: _Compiled, ranking: Ranking) -> None:
        slug, began = compiled.scanner.slug, process_time()
        try:
            ranking.order.update(_evaluate(rows, [compiled]))
        except _FAILURES as error:
            ranking.errors[slug] = str(error)
        took = ranking.seconds[slug] = process_time() - began
        if took > self._budget_s * _SHARE_OF_ONE:
            self.slow.add(slug)
            self._next_turn[slug] = monotonic() + _SLOW_EVERY_S
        else:
            self.slow.discard(slug)
            self._next_turn.pop(slug, None)


@dataclass(frozen=True, slots=True)
class _Values:
    """What the texts of scanners come to, row by row, and each row's place by symbol."""

    by_symbol: np.ndarray[Any, Any]
    of_text: dict[str, np.ndarray[Any, Any]]


def _values(rows: pl.DataFrame, scanners: Sequence[_Compiled]) -> _Values:
    """One pass over the columns for all of these; a text that several have is computed once."""
    found = evaluate(
        rows,
        {f"where {one.scanner.where}": one.where for one in scanners}
        | {f"order_by {one.scanner.order_by}": one.order_by for one in scanners},
    )
    return _Values(
        found["symbol"].rank("ordinal").to_numpy(),
        {
            text: found[text].fill_null(value=False).to_numpy() if text.startswith("where") else found[text].to_numpy()
            for text in found.columns
            if text != "symbol"
        },
    )


def _ordered(values: _Values, scanners: Sequence[_Compiled], part: slice) -> dict[str, Indices]:
    """The best rows of a part of the frame by slug; indices count from the part's beginning."""
    by_symbol = values.by_symbol[part]
    ordered: dict[str, Indices] = {}
    for one in scanners:
        matching = values.of_text[f"where {one.scanner.where}"][part]
        key = values.of_text[f"order_by {one.scanner.order_by}"][part]
        ordered[one.scanner.slug] = _best(np.flatnonzero(matching), key, by_symbol, one.scanner)
    return ordered


def _evaluate(rows: pl.DataFrame, scanners: Sequence[_Compiled]) -> dict[str, Indices]:
    return _ordered(_values(rows, scanners), scanners, slice(None))


def _best(
    matching: Indices, key: np.ndarray[Any, Any], by_symbol: np.ndarray[Any, Any], scanner: ScannerRow
) -> Indices:
    """The best of the matching rows: by key, what is not known (NaN) last, then by symbol."""
    key = -key[matching] if scanner.descending else key[matching]
    if len(matching) > scanner.limit:
        # Only what is not worse than the last one shown needs to be sorted; NaN is greater than all.
        last = np.partition(key, scanner.limit - 1)[scanner.limit - 1]
        if not np.isnan(last):
            chosen = key <= last
            matching, key = matching[chosen], key[chosen]
    return matching[np.lexsort((by_symbol[matching], key))[: scanner.limit]]
