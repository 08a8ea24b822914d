"""The symbol table in memory, column by column: what the engine ranks, and what answers for a single row.

Kept parts (`parts.py`) come in by changed symbol; what is derived is computed for all rows at once by `fields.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from listener.events import Quote
from processors import parts
from processors.fields import with_fields
from processors.reference import REFERENCE_COLUMNS
from processors.sessions import TradingDay

_QUOTE_COLUMNS: Final = ("bid", "ask", "bid_size", "ask_size")
_decode_part = msgspec.msgpack.Decoder().decode
_decode_quote = msgspec.json.Decoder(Quote).decode
# What a row needs of a part; the order columns decide merges and are not shown.
_TRADE_NEEDS: Final = (
    *("last_t", "last_p", "first_t", "first_p", "regular_t", "regular_p"),
    *("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low", "volume"),
)
_BAR_NEEDS: Final = (
    *("s", "e", "open", "high", "low", "close", "volume", "accumulated", "op"),
    *("first_s", "first_o", "regular_s", "regular_o"),
    *("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low"),
    *("vw", "a", "z"),
)

Values = Sequence[float] | np.ndarray[Any, Any]


class _Columns:
    """Named float columns of one part, growing by rows; NaN where nothing is known."""

    def __init__(self, names: Sequence[str]) -> None:
        self.position = {name: index for index, name in enumerate(names)}
        self.values = np.full((1_024, len(names)), np.nan, order="F")

    def put(self, rows: list[int], values: Sequence[Values]) -> None:
        if not rows:
            return
        if (most := max(rows)) >= len(self.values):
            grown = np.full((max(2 * len(self.values), most + 1), self.values.shape[1]), np.nan, order="F")
            grown[: len(self.values)] = self.values
            self.values = grown
        self.values[rows] = values

    def column(self, name: str, length: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        column = self.values[:length, self.position[name]]
        if len(column) < length:
            column = np.concatenate([column, np.full(length - len(column), np.nan)])
        return column


class SymbolTable:
    """All rows of one source.

    `put` takes parts of changed symbols, `rows` gives the frame of fields, one row a symbol of the newest trading day.
    """

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._symbols: list[str] = []
        self._trades = _Columns(parts.TRADE_COLUMNS)
        self._seconds = _Columns(parts.BAR_COLUMNS)
        self._minutes = _Columns(parts.BAR_COLUMNS)
        self._quotes = _Columns(_QUOTE_COLUMNS)
        self._reference = _Columns(REFERENCE_COLUMNS)

    def __len__(self) -> int:
        return len(self._symbols)

    def _row(self, symbol: str) -> int:
        row = self._index.get(symbol)
        if row is None:
            row = self._index[symbol] = len(self._symbols)
            self._symbols.append(symbol)
        return row

    def put(self, symbols: Sequence[bytes], kept: Mapping[str, Sequence[bytes | None]]) -> None:
        """Take in the parts of changed symbols, as `Store.read_parts` gives them."""
        rows = [self._row(symbol.decode()) for symbol in symbols]

        def gather(columns: _Columns, key: str, read: Callable[[bytes], Values]) -> None:
            found = [(row, read(part)) for row, part in zip(rows, kept[key], strict=True) if part]
            columns.put([row for row, _ in found], [values for _, values in found])

        gather(self._trades, parts.TRADES, parts.figures)
        gather(self._seconds, parts.SECOND_BARS, parts.figures)
        gather(self._minutes, parts.MINUTE_BARS, parts.figures)
        gather(self._quotes, parts.QUOTES, _quote_values)

    def put_reference(self, reference: Mapping[bytes, bytes], only: Iterable[str] | None = None) -> None:
        """Take in reference arrays by symbol; of `only` these symbols, else of all that have a row."""
        if only is None:
            self._reference = _Columns(REFERENCE_COLUMNS)
        wanted = self._index if only is None else only
        found = [(self._row(symbol), raw) for symbol in wanted if (raw := reference.get(symbol.encode())) is not None]
        self._reference.put([row for row, _ in found], [_decode_part(raw) for _, raw in found])

    def base(self, day: TradingDay | None, session: str, complete: bool) -> pl.DataFrame:
        """The base columns that formulas are written over, of every symbol that has the newest trading day.

        Args:
            day: The market's trading day; rows of another day are left out. None: the newest that any row has.
            session: The market's session.
            complete: Whether the day was seen from its start.
        """
        length = len(self._symbols)
        days = np.fmax.reduce([part.column("day", length) for part in (self._trades, self._seconds, self._minutes)])
        present = days == (day.number if day is not None else days[np.isfinite(days)].max(initial=0))
        columns: dict[str, Any] = {}

        def take(prefix: str, part: _Columns, names: Iterable[str]) -> None:
            # A part of an older day is as good as empty: the row began anew with the newer day's first event.
            stale = part.column("day", length) != days
            for name in names:
                column = part.column(name, length).copy()
                column[stale] = np.nan
                columns[f"{prefix}.{name}"] = column[present]

        take("T", self._trades, _TRADE_NEEDS)
        take("S", self._seconds, _BAR_NEEDS)
        take("M", self._minutes, _BAR_NEEDS)
        # Of the latest bar, minute bars stand in where there are no second bars.
        have_seconds = np.isfinite(columns["S.s"])
        for name in _BAR_NEEDS:
            columns[f"B.{name}"] = np.where(have_seconds, columns[f"S.{name}"], columns[f"M.{name}"])
        for name in _QUOTE_COLUMNS:
            columns[f"Q.{name}"] = self._quotes.column(name, length)[present]
        for name in REFERENCE_COLUMNS:
            columns[f"R.{name}"] = self._reference.column(name, length)[present]
        symbols = [symbol for symbol, is_in in zip(self._symbols, present, strict=True) if is_in]
        number = int(days[present][0]) if symbols else 0
        frame = pl.DataFrame(columns).with_columns(pl.all().fill_nan(None)) if symbols else _EMPTY
        return frame.with_columns(
            pl.Series("symbol", symbols, dtype=pl.String),
            pl.lit(f"{number // 10_000:04d}-{number // 100 % 100:02d}-{number % 100:02d}").alias("trading_day"),
            pl.lit(session).alias("session"),
            pl.lit(complete).alias("complete"),
        )

    def rows(self, day: TradingDay | None, session: str, complete: bool) -> pl.DataFrame:
        """The rows with every field of `fields.FIELDS`; arguments as for `base`."""
        return with_fields(self.base(day, session, complete))


def _quote_values(kept: bytes) -> list[float]:
    quote = _decode_quote(parts.event_of(kept))
    # A side without a price is no side.
    bid, ask = quote.bp or np.nan, quote.ap or np.nan
    sizes = (np.nan if size is None else size for size in (quote.bs, quote.as_))
    return [bid, ask, *sizes]


_EMPTY: Final = pl.DataFrame(
    schema={
        **{f"T.{name}": pl.Float64 for name in _TRADE_NEEDS},
        **{f"{part}.{name}": pl.Float64 for part in "SMB" for name in _BAR_NEEDS},
        **{f"Q.{name}": pl.Float64 for name in _QUOTE_COLUMNS},
        **{f"R.{name}": pl.Float64 for name in REFERENCE_COLUMNS},
    }
)
