"""One row, put together when it is asked for."""

from typing import Any, Final

from processors.reference import reference_state
from processors.sessions import CLOSED, TradingDay, session_at
from processors.store import REFERENCE, Source, Store
from processors.table import SymbolTable

# A recording begins with its first event, not at 04:00 sharp.
_RECORDING_SLACK_MS: Final = 60_000


def is_complete(source: Source, day: TradingDay | None) -> bool:
    """Whether the source was there from the day's first moment on."""
    slack = _RECORDING_SLACK_MS if source.kind == "recording" else 0
    return day is not None and source.clock <= day.start + slack


def row_of(store: Store, symbol: str) -> dict[str, Any] | None:
    """The row of one symbol as of now, or None when it has none."""
    source = store.source()
    if source is None:
        return None
    table = SymbolTable()
    table.put([symbol.encode()], store.read_parts([symbol.encode()]))
    state = reference_state(store)
    if state is not None and state.source == source.id:
        raw = store.redis.hget(REFERENCE, symbol)
        table.put_reference({symbol.encode(): raw} if raw else {})
    day, session = session_at(source.market_clock)
    # A quiet symbol keeps its row until its own day's successor begins.
    rows = table.rows(None, session if day else CLOSED, is_complete(source, day)).to_dicts()
    return rows[0] if rows else None
