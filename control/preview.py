"""What a scanner would show now, for whoever is writing one."""

from functools import lru_cache
from threading import Lock
from time import monotonic, perf_counter
from typing import Any, Final, TypedDict

import polars as pl
from django.core.exceptions import ValidationError

from processors.scanning.boards import ScannerRow, ScanSet
from processors.scanning.scan import problems
from processors.seeding.volume_profile import default_profile
from processors.store import Source, Store, default_store
from processors.symbols.rows import moment_of
from processors.symbols.table import SymbolTable

# Somebody who types asks again and again.
_FRESH_S: Final = 1.0
_TRIAL: Final = "preview"


class Preview(TypedDict):
    """Rows as a board would show them, as of which market clock (epoch ms), and how long finding them took."""

    rows: list[dict[str, Any]]
    market_clock: int | None
    took_ms: float


class LiveRows:
    """The whole table in this process, read by what changed, and computed at most once a second.

    Any number of threads may ask; one at a time reads.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._table = SymbolTable()
        self._version = 0
        self._source = ("", 0)
        self._rows: pl.DataFrame | None = None
        self._clock: int | None = None
        self._at = 0.0

    def rows(self) -> tuple[pl.DataFrame | None, int | None]:
        """The rows with every field and the market's clock; None before there is a source.

        Raises:
            redis.RedisError: The cache cannot be read.
        """
        with self._lock:
            if monotonic() - self._at > _FRESH_S:
                source = self._store.source()
                self._rows, self._clock = (None, None) if source is None else (self._read(source), source.market_clock)
                self._at = monotonic()
            return self._rows, self._clock

    def _read(self, source: Source) -> pl.DataFrame:
        changes = self._store.changes_since(self._version)
        if (source.id, source.since) != self._source or changes.version < self._version:
            self._table = SymbolTable()
            changes = self._store.changes_since(0)
        self._table.put_changes(self._store, changes)
        # Only now: what could not be read is read again.
        self._source, self._version = (source.id, source.since), changes.version
        return self._table.rows(moment_of(self._store, source), default_profile(self._store))


@lru_cache(maxsize=1)
def live_rows() -> LiveRows:
    """The process's own."""
    return LiveRows(default_store())


def preview_rows(where: str, order_by: str, descending: bool, limit: int) -> Preview:
    """The rows that a scanner would show now, best first.

    Raises:
        ValidationError: The texts cannot be used; it says why.
        redis.RedisError: The cache cannot be read.
    """
    if wrong := problems(where, order_by):
        raise ValidationError({name: str(error) for name, error in wrong.items()})
    rows, clock = live_rows().rows()
    if rows is None:
        return Preview(rows=[], market_clock=None, took_ms=0.0)
    began = perf_counter()
    ranking = ScanSet.compile([ScannerRow(_TRIAL, where, order_by, descending, limit)]).rank(rows, (_TRIAL,))
    if _TRIAL in ranking.errors:
        raise ValidationError({"where": ranking.errors[_TRIAL]})
    shown = rows[ranking.order[_TRIAL]].with_row_index("rank", offset=1).to_dicts()
    return Preview(rows=shown, market_clock=clock, took_ms=round((perf_counter() - began) * 1_000, 1))
