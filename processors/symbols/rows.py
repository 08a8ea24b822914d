"""One row, put together when it is asked for; and the moment for which rows are computed."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from processors import parts
from processors.changes import Changes
from processors.reference import reference_state
from processors.seeding.coverage import coverage
from processors.seeding.volume_profile import default_profile
from processors.sessions import session_at
from processors.store import Source, Store
from processors.symbols.moment import Moment
from processors.symbols.table import SymbolTable


def moment_of(store: Store, source: Source) -> Moment:
    """The present moment of a source.

    Args:
        store: The cache.
        source: The source, as it is now.
    """
    day, session = session_at(source.market_clock)
    whole_day, seeded = coverage(store, source, day)
    state = reference_state(store)
    reference_day = state.day if state is not None else None
    return Moment(source.market_clock, day, session, whole_day, seeded, reference_day)


def row_of(store: Store, symbol: str) -> dict[str, Any] | None:
    """The row of one symbol as of now, or None when it has none."""
    return rows_by_symbol(store, (symbol,)).get(symbol)


def rows_by_symbol(store: Store, symbols: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The rows of some symbols as of now, in their order; those that have none are left out."""
    source = store.source()
    if source is None:
        return {}
    asked = list(dict.fromkeys(symbols))
    moment, profile = replace(moment_of(store, source), day=None), default_profile(store)
    found: dict[str, dict[str, Any]] = {}
    # A table shows its newest day alone; a quiet symbol keeps its row until its own day's successor begins.
    while left := frozenset(symbol.encode() for symbol in asked if symbol not in found):
        of_parts = dict.fromkeys(parts.PARTS, left)
        table = SymbolTable()
        table.put_changes(store, Changes(0, True, left, of_parts, trades=left, reference=left, news=left, seeded=left))
        rows = table.rows(moment, profile).to_dicts()
        if not rows:
            break
        found |= {row["symbol"]: row for row in rows}
    return {symbol: found[symbol] for symbol in asked if symbol in found}
