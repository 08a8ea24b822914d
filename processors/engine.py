"""The scanner engine: at each tick reads what changed, ranks every board, and publishes them with the system's status.

One engine at a time holds a lease, and the publishing script checks it again, so that two never publish for the same
moment. A tick reads the rows that changed since the last one; an engine that has just taken over reads them all.
"""

import logging
import secrets
from functools import lru_cache
from time import time
from typing import Any

import msgspec
import polars as pl
from django.db import DatabaseError

from control.models import Scanner
from processors import store as keys
from processors.reference import ReferenceState, reference_state
from processors.rows import is_complete
from processors.scan import Board, ExpressionError
from processors.sessions import session_at
from processors.status import status_message
from processors.store import Source, Store, default_store
from processors.table import SymbolTable

log = logging.getLogger(__name__)

_LEASE_MS = 3_000
_BOARD_LIFE_MS = 3 * 86_400_000
_STATUS_LIFE_MS = 10_000

_encode = msgspec.json.Encoder().encode


class Engine:
    """State between ticks: the rows in memory, and how far they are read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = secrets.token_hex(8)
        self._table = SymbolTable()
        # The source and when it began: after the cache was lost the same one begins again, with a version of its own.
        self._source = ("", 0)
        self._cursor = 0
        self._reference: ReferenceState | None = None
        self._boards: dict[str, tuple[tuple[Any, ...], Board]] = {}
        self._failing: dict[str, str] = {}

    def tick(self) -> bool:
        """Read, rank, publish.

        Returns:
            Whether this engine holds the lease and published.
        """
        store = self._store
        if not store.hold_lease(keys.SCANS_LEASE, self._token, _LEASE_MS):
            # Another engine's turn: what is kept here grows old, so a later turn starts from nothing.
            self._source = ("", 0)
            return False
        source = store.source()
        if source is None:
            return False
        symbols = self._read(source)
        day, session = session_at(source.market_clock)
        rows = self._table.rows(day, session, is_complete(source, day))
        shown = set(self._boards)
        messages: list[tuple[str, int, bytes]] = []
        for board in self._current_boards():
            try:
                ranked = board.run(rows).to_dicts()
            except pl.exceptions.PolarsError as error:
                self._report(board.slug, str(error))
                continue
            self._failing.pop(board.slug, None)
            messages.append((f"scanners:{board.slug}", _BOARD_LIFE_MS, _encode(ranked)))
        # Nobody keeps looking at what a scanner showed before it was switched off, deleted or broken.
        messages += [(f"scanners:{slug}", _BOARD_LIFE_MS, b"[]") for slug in sorted(shown - set(self._boards))]
        messages += self._quotes(symbols, rows)
        listener = store.redis.get(keys.LISTENER_STATE)
        messages.append((keys.STATUS, _STATUS_LIFE_MS, _encode(status_message(source, listener, time() * 1_000))))
        return store.publish_boards(self._token, source.id, messages)

    def _read(self, source: Source) -> list[bytes]:
        """Bring the table up to date; the symbols that changed."""
        if (source.id, source.since) != self._source:
            self._table, self._cursor, self._reference = SymbolTable(), 0, None
            self._source = (source.id, source.since)
        version, symbols = self._store.changed_since(self._cursor)
        if version < self._cursor:
            # The cache came back without its last moments: what was seen of them may come again as another version.
            version, symbols = self._store.changed_since(0)
        known = len(self._table)
        self._table.put(symbols, self._store.read_parts(symbols))
        self._cursor = version
        state = reference_state(self._store)
        if state is not None and state.source == source.id and (state != self._reference or len(self._table) > known):
            self._table.put_reference(self._store.redis.hgetall(keys.REFERENCE))
            self._reference = state
        return symbols

    def _current_boards(self) -> list[Board]:
        """The enabled scanners, compiled when they are new or changed; one that cannot be used is reported by name."""
        try:
            scanners: list[Any] = list(
                Scanner.objects.filter(enabled=True).values_list(
                    "slug", "where", "order_by", "descending", "limit", named=True
                )
            )
        except DatabaseError as error:
            log.warning("scanners cannot be read, the last ones stay: %s", error)
            return [board for _, board in self._boards.values()]
        boards: dict[str, tuple[tuple[Any, ...], Board]] = {}
        for scanner in scanners:
            kept = self._boards.get(scanner.slug)
            if kept is not None and kept[0] == tuple(scanner):
                boards[scanner.slug] = kept
                continue
            try:
                boards[scanner.slug] = (tuple(scanner), Board.compile(*scanner))
            except ExpressionError as error:
                self._report(scanner.slug, str(error))
        self._boards = boards
        return [board for _, board in boards.values()]

    def _quotes(self, symbols: list[bytes], rows: pl.DataFrame) -> list[tuple[str, int, bytes]]:
        """Rows of changed symbols whose `quote:{SYM}` somebody listens to."""
        interest = self._store.interest
        interest.told(int(self._store.redis.get(keys.INTEREST) or 0))
        interest.refresh()
        wanted = [symbol for raw in symbols if interest.wanted(f"quote:{(symbol := raw.decode())}")]
        if not wanted:
            return []
        found = rows.filter(pl.col("symbol").is_in(wanted)).to_dicts()
        return [(f"quote:{row['symbol']}", 0, _encode(row)) for row in found]

    def _report(self, slug: str, problem: str) -> None:
        if self._failing.get(slug) != problem:
            self._failing[slug] = problem
            log.error("scanner %s does not run: %s", slug, problem)


@lru_cache(maxsize=1)
def default_engine() -> Engine:
    """The process's own engine."""
    return Engine(default_store())
