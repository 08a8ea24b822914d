"""The symbol table in memory, column by column: what the engine ranks, and what answers for a single row.

What is kept in the cache comes in by what changed (`changes.py`); what is derived is computed for all rows at once, by
`windows.py` and its like over time, and by `fields` over one row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from listener.events import Quote
from processors import bars, parts
from processors.changes import Changes, Chunk
from processors.reference import REFERENCE_COLUMNS, REFERENCE_TEXTS
from processors.seeding.volume_profile import Profile
from processors.sessions import TradingDay, trading_day
from processors.store import NEWS_RECENT, REFERENCE, Store
from processors.symbols.base_columns import Base, rows_of
from processors.symbols.columns import Columns, Floats, Mask, Whole, grown
from processors.symbols.halts import halt_figures
from processors.symbols.moment import Moment
from processors.symbols.news_times import NewsTimes
from processors.symbols.trade_activity import MINUTE_MS, TradeActivity
from processors.symbols.windows import Windows

_QUOTE_COLUMNS: Final = ("bid", "ask", "bid_size", "ask_size")
_OF_THE_DAY_BEFORE: Final = tuple(name for name in REFERENCE_COLUMNS if name.startswith("prev_day_"))
_BANDS: Final = ("upper", "lower")
_HALT_COLUMNS: Final = (*_BANDS, "bands_at", "halted_at", "resumed_at", "resume_at")
_HALT_PARTS: Final = (parts.BANDS, parts.HALT, parts.RESUME)
# What a row needs of a part; the order columns decide merges and are not shown.
_EXTREMES: Final = ("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low")
_TRADE_NEEDS: Final = ("last_t", "last_p", "first_t", "first_p", "regular_t", "regular_p", *_EXTREMES, "volume")
_LATEST: Final = ("s", "e", "open", "high", "low", "close", "volume", "vw", "a", "z")
_BAR_NEEDS: Final = ("e", "close", "accumulated", "op", "first_s", "first_o", "regular_s", "regular_o", *_EXTREMES)
_OF_TRADES: Final = ("day", *_TRADE_NEEDS)
_OF_BARS: Final = tuple(dict.fromkeys(("day", *_BAR_NEEDS, *_LATEST)))
# By part its table key, all its columns, and those that a row needs.
_FIGURES: Final = {
    "T": (parts.TRADES, parts.TRADE_COLUMNS, _OF_TRADES),
    "S": (parts.SECOND_BARS, parts.BAR_COLUMNS, _OF_BARS),
    "M": (parts.MINUTE_BARS, parts.BAR_COLUMNS, _OF_BARS),
    "D": (parts.SEEDED, parts.BAR_COLUMNS, _OF_BARS),
}
# How many symbols' days are in memory at a time while they are loaded.
_PAGE: Final = 200
_REST: Final = "R"
_NO_BARS: Final = np.empty(0, parts.BAR)
_NO_ROWS: Final = np.empty(0, np.int64)

_decode_part = msgspec.msgpack.Decoder().decode
_decode_quotes = msgspec.json.Decoder(list[Quote]).decode


class SymbolTable:
    """All rows of one source: `put_changes` takes in what changed, `rows` gives every field of every row."""

    def __init__(self) -> None:
        self._index: dict[bytes, int] = {}
        self._symbols: list[bytes] = []
        self._names: list[str] = []
        self._figures = {part: Columns(needs) for part, (_, _, needs) in _FIGURES.items()}
        self._quotes = Columns(_QUOTE_COLUMNS)
        self._reference = Columns(REFERENCE_COLUMNS)
        self._halts = Columns(_HALT_COLUMNS)
        self._halt_events: dict[int, list[bytes | None]] = {}
        self._texts: dict[str, list[str | None]] = {name: [] for name in ("reason", *REFERENCE_TEXTS)}
        self._series: dict[str, pl.Series] = {}
        # Day and place in `parts.BAR_KINDS` of the bars that a row's windows are made of.
        self._day: Whole = np.empty(0, np.int64)
        self._kind: Whole = np.empty(0, np.int64)
        self._windows = Windows()
        self._activity = TradeActivity()
        self._news = NewsTimes()
        self._usual: tuple[Any, Floats] = (None, np.empty(0))

    def __len__(self) -> int:
        return len(self._symbols)

    def _row(self, symbol: bytes) -> int:
        row = self._index.get(symbol)
        if row is None:
            row = self._index[symbol] = len(self._symbols)
            self._symbols.append(symbol)
            self._names.append(symbol.decode())
            for texts in self._texts.values():
                texts.append(None)
            self._series.clear()
        return row

    def _rows(self, symbols: Iterable[bytes]) -> Whole:
        return np.array([self._row(symbol) for symbol in symbols], np.int64)

    def put_changes(self, store: Store, changes: Changes) -> None:
        """Read what changed, and take it in.

        Args:
            store: The cache.
            changes: As `Store.changes_since` gives them; where they are everything, of symbols that may be known.

        Raises:
            redis.RedisError: The cache cannot be read.
        """
        known = len(self)
        self._put_bars(store, self._put_parts(store.read_changed(changes)), changes)
        if changes.news:
            self._news.put(store.redis.zrange(NEWS_RECENT, 0, -1, withscores=True), self._row)
        # Reference data come for the whole market, before a symbol's first event: it is read for those that have a row.
        told = self._symbols[:known] if changes.everything else changes.reference & self._index.keys()
        self._put_reference(store, [*told, *self._symbols[known:]])

    def _put_parts(self, kept: Mapping[str, Mapping[bytes, bytes]]) -> Whole:
        """Take in parts by table key and symbol; the rows whose trades or bars they are."""
        traded = [_NO_ROWS]
        for part, (key, names, needs) in _FIGURES.items():
            of_part = kept.get(key, {})
            traded.append(rows := self._rows(of_part))
            figures = parts.figures(b"".join(of_part.values())).reshape(-1, len(names))
            self._figures[part].put(rows, figures[:, [names.index(name) for name in needs]])
        trades, rings = kept.get(parts.TRADES, {}), kept.get(parts.ACTIVITY_RINGS, {})
        activity = parts.activity(list(trades.values()), [rings.get(symbol) for symbol in trades])
        self._activity.put(self._rows(trades), activity)
        quotes = kept.get(parts.QUOTES, {})
        self._quotes.put(self._rows(quotes), _quote_values(quotes.values()))
        halted: set[int] = set()
        for position, key in enumerate(_HALT_PARTS):
            for symbol, event in kept.get(key, {}).items():
                row = self._row(symbol)
                self._halt_events.setdefault(row, [None] * len(_HALT_PARTS))[position] = event
                halted.add(row)
        halts = [(row, halt_figures(*self._halt_events[row])) for row in halted]
        self._halts.put([row for row, _ in halts], [[getattr(halt, n) for n in _HALT_COLUMNS] for _, halt in halts])
        self._put_texts("reason", [(row, halt.reason) for row, halt in halts])
        return np.unique(np.concatenate(traded))

    def _put_texts(self, name: str, texts: Iterable[tuple[int, str | None]]) -> None:
        kept = self._texts[name]
        for row, text in texts:
            if kept[row] != text:
                kept[row] = text
                self._series.pop(name, None)

    def _put_reference(self, store: Store, symbols: Sequence[bytes]) -> None:
        if not symbols:
            return
        rows = [self._index[symbol] for symbol in symbols]
        unknown: list[Any] = [np.nan] * len(REFERENCE_COLUMNS) + [None] * len(REFERENCE_TEXTS)
        found = [_decode_part(raw) if raw else unknown for raw in store.redis.hmget(REFERENCE, symbols)]
        self._reference.put(rows, [values[: len(REFERENCE_COLUMNS)] for values in found])
        for position, name in enumerate(REFERENCE_TEXTS, len(REFERENCE_COLUMNS)):
            self._put_texts(name, [(row, values[position]) for row, values in zip(rows, found, strict=True)])

    def _days(self) -> Floats:
        """The day of each row, as a number; NaN for one without a trade or bar."""
        length = len(self)
        days: Floats = np.fmax.reduce([columns.column("day", length) for columns in self._figures.values()])
        return days

    def _put_bars(self, store: Store, rows: Whole, changes: Changes) -> None:
        length = len(self)
        self._windows.extend(length)
        self._day, self._kind = grown(self._day, length, 0), grown(self._kind, length, 0)
        days = np.nan_to_num(self._days()[rows]).astype(np.int64)
        kinds = np.full(len(rows), parts.BAR_KINDS.index("T"))
        for part, kind in (("M", "AM"), ("S", "A")):
            kinds[self._figures[part].column("day", length)[rows] == days] = parts.BAR_KINDS.index(kind)
        anew = (self._day[rows] != days) | (self._kind[rows] != kinds) | changes.everything
        self._day[rows], self._kind[rows] = days, kinds
        reloaded = set(rows[anew].tolist())
        seeded = changes.seeded | {symbol for symbol, kind, _ in changes.chunks if kind == _REST}
        reloaded |= {self._index[symbol] for symbol in seeded if symbol in self._index}
        self._load(store, reloaded)
        self._load(store, set(self._put_chunks(store, changes.chunks, reloaded).tolist()))

    def _put_chunks(self, store: Store, chunks: Iterable[Chunk], reloaded: set[int]) -> Whole:
        """Take in bars of symbols that were not loaded anew; the rows that have to be."""
        wanted, rows = [], []
        for chunk in sorted(chunks):
            row = self._index.get(chunk[0])
            if row is not None and row not in reloaded and parts.BAR_KINDS[self._kind[row]] == chunk[1]:
                wanted.append(chunk)
                rows.append(row)
        if not wanted:
            return _NO_ROWS
        indices, found = bars.read_chunks(store, wanted)
        return self._windows.put(np.array(rows, np.int64)[indices], found)

    def _load(self, store: Store, rows: set[int]) -> None:
        """Read the days of rows anew; those of an earlier day than the newest have none that counts."""
        everyone = np.array(sorted(rows), np.int64)
        self._windows.begin(everyone)
        current = everyone[self._day[everyone] == self._day.max(initial=0)]
        for start in range(0, len(current), _PAGE):
            page = current[start : start + _PAGE].tolist()
            kept = bars.read_days(store, [self._symbols[row] for row in page])
            own, rest = [], []
            for row in page:
                by_kind = kept.get(self._symbols[row], {})
                own.append(by_kind.get(parts.BAR_KINDS[self._kind[row]], _NO_BARS))
                rest.append(by_kind.get(_REST, _NO_BARS))
            self._windows.load(_owned(page, own), _owned(page, rest))

    def rows(self, moment: Moment, profile: Profile | None = None) -> pl.DataFrame:
        """The rows with every field of `fields.FIELDS`, one a symbol that has the trading day.

        Args:
            moment: As of when; without a day, the newest day that any row has stands.
            profile: The usual volume by minute of the day.
        """
        return rows_of([self.base(moment, profile)])

    def base(self, moment: Moment, profile: Profile | None = None) -> Base:
        """What `rows_of` makes rows of; arguments as for `rows`. It stands until the table changes."""
        days = self._days()
        number = moment.day.number if moment.day is not None else int(np.nan_to_num(days).max(initial=0))
        day = moment.day or (trading_day(_date(number)) if number else None)
        columns = self._base(moment, day, days, profile)
        present = days == number
        if not present.all():
            shown = np.flatnonzero(present)
            # Both arrays and series take the indices of what is wanted.
            columns = {name: column[shown] for name, column in columns.items()}
        date_ = _date(number).isoformat() if number else None
        shared = (date_, moment.session, float(moment.clock), float(day.start if day is not None else 0))
        return Base(columns, shared, None if moment.whole_day else moment.seeded)

    def _base(self, moment: Moment, day: TradingDay | None, days: Floats, profile: Profile | None) -> dict[str, Any]:
        """The columns that formulas are written over, but for those that all rows share; NaN for unknown."""
        length = len(self)
        columns: dict[str, Any] = {"symbol": self._column_of_texts("symbol", self._names)}
        for part, needs in (("T", _TRADE_NEEDS), *((part, (*_BAR_NEEDS, *_LATEST)) for part in "SMD")):
            figures = self._figures[part]
            # A part of an older day is as good as empty: the row began anew with the newer day's first event.
            stale = figures.column("day", length) < days
            clean = _without(stale) if stale.any() else _as_it_is
            columns |= {f"{part}.{name}": clean(figures.column(name, length)) for name in needs}
        # Of the latest bar, minute bars stand in where there are no second bars.
        known = {part: np.isfinite(columns[f"{part}.s"]) for part in "SM"}
        for name in _LATEST:
            second, minute, rest = (columns[f"{part}.{name}"] for part in "SMD")
            columns[f"B.{name}"] = np.where(known["S"], second, np.where(known["M"], minute, rest))
        for prefix, figures, names in (
            ("Q", self._quotes, _QUOTE_COLUMNS),
            ("R", self._reference, REFERENCE_COLUMNS),
            ("H", self._halts, _HALT_COLUMNS),
        ):
            columns |= {f"{prefix}.{name}": figures.column(name, length) for name in names}
        # An earlier day's bands are not today's.
        stale = columns.pop("H.bands_at") < (day.start if day is not None else 0)
        columns |= {f"H.{name}": _without(stale)(columns[f"H.{name}"]) for name in _BANDS}
        if moment.reference_day is not None and day is not None and moment.reference_day != day.number:
            # Better unknown than another day's, until they are loaded.
            columns |= {f"R.{name}": np.full(length, np.nan) for name in _OF_THE_DAY_BEFORE}
        columns["H.reason"] = self._column_of_texts("reason", self._texts["reason"])
        columns |= {f"R.{name}": self._column_of_texts(name, self._texts[name]) for name in REFERENCE_TEXTS}
        for prefix, over_time in (("W", self._windows), ("A", self._activity), ("N", self._news)):
            columns |= {f"{prefix}.{name}": values for name, values in over_time.at(moment.clock, length).items()}
        columns["P.usual"] = self._usual_volume(profile, moment.clock, day)
        return columns

    def _column_of_texts(self, name: str, texts: Sequence[str | None]) -> pl.Series:
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = pl.Series(name, texts, dtype=pl.String)
        return series

    def _usual_volume(self, profile: Profile | None, clock: int, day: TradingDay | None) -> Floats:
        """The usual volume up to a clock's minute of the day; it is asked for once a minute."""
        length = len(self)
        if profile is None or day is None:
            return np.full(length, np.nan)
        minute = min(max(clock - day.start, 0), day.end - day.start - 1) // MINUTE_MS
        asked = (profile, minute, length)
        if self._usual[0] is None or self._usual[0][0] is not profile or self._usual[0][1:] != asked[1:]:
            self._usual = (asked, profile.at(self._names, minute))
        return self._usual[1]


def _as_it_is(column: Floats) -> Floats:
    return column


def _without(rows: Mask) -> Callable[[Floats], Floats]:
    return lambda column: np.where(rows, np.nan, column)


def _owned(rows: Sequence[int], found: Sequence[np.ndarray[Any, Any]]) -> tuple[Whole, np.ndarray[Any, Any]]:
    """Bars of several rows in one array, and the row of each; as bytes they join far faster than as structures."""
    joined = np.frombuffer(b"".join(of_row.data for of_row in found), parts.BAR)
    return np.repeat(np.array(rows, np.int64), [len(of_row) for of_row in found]), joined


def _date(number: int) -> date:
    return date(number // 10_000, number // 100 % 100, number % 100)


def _quote_values(kept: Iterable[bytes]) -> list[tuple[float, ...]]:
    quotes = _decode_quotes(b"[%b]" % b",".join(map(parts.event_of, kept)))
    # A side without a price is no side.
    return [
        (
            *(quote.bp or np.nan, quote.ap or np.nan),
            *(np.nan if quote.bs is None else quote.bs, np.nan if quote.as_ is None else quote.as_),
        )
        for quote in quotes
    ]
