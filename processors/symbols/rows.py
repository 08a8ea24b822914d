"""One row, put together when it is asked for; and the moment for which rows are computed."""

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
    source = store.source()
    if source is None:
        return None
    only = frozenset((symbol.encode(),))
    of_parts = dict.fromkeys(parts.PARTS, only)
    table = SymbolTable()
    table.put_changes(store, Changes(0, True, only, of_parts, trades=only, reference=only, news=only, seeded=only))
    # A quiet symbol keeps its row until its own day's successor begins.
    moment = replace(moment_of(store, source), day=None)
    rows = table.rows(moment, default_profile(store)).to_dicts()
    return rows[0] if rows else None
