"""Loading in jobs: what is missing is asked for one call at a time, in the order in which boards need it."""

import logging
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from math import inf
from secrets import token_hex
from time import monotonic, time
from typing import Final

import msgspec
from kombu.exceptions import OperationalError

from listener.events import market_of
from processors import parts
from processors.merging.conditions import keep_rules
from processors.reference.cache import Cache
from processors.reference.daily import AVERAGE_DAYS, load_day
from processors.reference.days import day_of, sessions_before
from processors.reference.rows import reference_rows
from processors.reference.splits import Splits
from processors.reference.state import Kind, ReferenceState, put_reference, reference_state
from processors.reference.tables import FLOAT, RATIOS, SPLITS, TICKERS, Table, load_details, load_some
from processors.reference.update_rules import load_rules
from processors.reference.vendor import (
    NotEntitledError,
    TooManyCallsError,
    UnreachableError,
    Vendor,
    VendorError,
)
from processors.sessions import TradingDay
from processors.store import REFERENCE, Source, Store
from project.queues import JOBS

log = logging.getLogger(__name__)

PREVIOUS_DAY: Final = "previous_day"
AVERAGE_VOLUME: Final = "average_volume"
CONDITIONS: Final = "conditions"
_NEW_SYMBOLS: Final = "new_symbols"
_BULK: Final = (FLOAT, RATIOS, TICKERS)
# What the state tells of.
_KINDS: Final = (SPLITS.name, PREVIOUS_DAY, *(table.name for table in _BULK), CONDITIONS, AVERAGE_VOLUME)
# The beat comes every 15 s; a worker is left to other jobs in between.
_RUN_S: Final = 12.0
# Longer than a run and its last call take.
_LEASE_MS: Final = 60_000
# A recording tells what it holds as it is played.
_RECORDING_LIFE_S: Final = 60.0
# Before something is asked for again: that is not there yet; that failed; that the key may not have.
_EMPTY_AGAIN_S: Final = 60.0
_FAILED_AGAIN_S: Final = 60.0
_REFUSED_AGAIN_S: Final = 600.0
# Daily bars: of a session that is over for good; of one that may be corrected overnight, until after a long weekend;
# of one that the vendor has nothing of; of one whose answer was no use.
_FINAL_S: Final = 60 * 86_400
_EARLY_S: Final = 4 * 86_400
_NO_BARS_S: Final = 6 * 3_600
_BAD_BARS_S: Final = 600
# Symbols that nobody told of before they traded: how many are asked for in a run (names need a call each), and before
# one that the vendor does not know is asked for again.
_MOST_NEW_SYMBOLS: Final = 20
_UNKNOWN_AGAIN_S: Final = 6 * 3_600.0
# A vendor that has a next page for ever.
_MOST_ROWS: Final = 200_000

_Call = tuple[str, Callable[[], None]]


def refresh(store: Store, base: str, key: str) -> int:
    """Load what the table lacks of reference data, as much as a job's time and the vendor allow.

    Args:
        store: The cache.
        base: Where REST calls go.
        key: The key that they take there.

    Returns:
        How many answers were taken in; 0 when nothing had to be or could be. What fails is logged in a sentence, once,
        stands in the state, and is tried again by a later call.
    """
    source = store.source()
    # Rows are of stocks alone.
    if source is None or market_of(source.id) != "stocks" or (today := day_of(source)) is None:
        return 0
    lease, token = f"tw:lease:reference:{source.id}", token_hex(8)
    if not store.hold_lease(lease, token, _LEASE_MS):
        return 0
    try:
        with Vendor(base, key) as vendor:
            return _Loading(store, source, today, vendor, Cache(store.redis, source, base)).run()
    finally:
        store.release_lease(lease, token)


class _Loading:
    """One run."""

    def __init__(self, store: Store, source: Source, today: TradingDay, vendor: Vendor, cache: Cache) -> None:
        self._store, self._source, self._today, self._vendor, self._cache = store, source, today, vendor, cache
        self._begun = source.market_clock >= today.start
        self._sessions = sessions_before(today.date, AVERAGE_DAYS)
        self._kinds = cache.kinds()
        self._ends = monotonic() + _RUN_S
        self._changed_at = 0.0

    def run(self) -> int:
        """The answers taken in."""
        state = reference_state(self._store)
        if state is not None and (state.source, state.day) == (self._source.id, self._today.number):
            self._changed_at = state.loaded_at
        else:
            # Better unknown than another day's, as long as it takes to load.
            self._show()
        answers = shown = 0
        for name, call in self._calls():
            try:
                call()
            except TooManyCallsError as error:
                self._cache.wait(error.wait_s)
                log.warning("reference data: the vendor asks to wait %.0f s (%s)", error.wait_s, error)
                break
            except UnreachableError as error:
                self._fail(name, str(error), 0.0)
                break
            except NotEntitledError as error:
                self._fail(name, f"not entitled: {error}", _REFUSED_AGAIN_S)
            except VendorError as error:
                self._fail(name, str(error), _FAILED_AGAIN_S, error.status in (400, 404))
            else:
                answers += 1
            if name == PREVIOUS_DAY and answers:
                shown = answers
                self._show()
        if answers > shown:
            self._show()
        elif self._state() != reference_state(self._store):
            put_reference(self._store, self._state(), {})
        return answers

    def _calls(self) -> Iterator[_Call]:
        """What is to be asked for, one call at a time, as long as there is time."""
        for call in self._all_calls():
            source = self._store.source()
            if monotonic() >= self._ends or source is None or source.id != self._source.id:
                return
            if self._cache.waits_until():
                return
            yield call

    def _all_calls(self) -> Iterator[_Call]:
        yield from self._pages(SPLITS)
        if self._due(PREVIOUS_DAY) or self._lacks_previous_day():
            yield PREVIOUS_DAY, self._load_previous_day
        for table in _BULK:
            yield from self._pages(table)
        if self._due(CONDITIONS):
            yield CONDITIONS, self._load_conditions
        absent = self._cache.absent_days(self._sessions[1:])
        average = self._kind(AVERAGE_VOLUME)
        if not absent and not (average.whole and average.day == self._today.number):
            # From the second day on they are all there: the previous days of the days before.
            self._note(AVERAGE_VOLUME, self._loaded(AVERAGE_DAYS))
        for day in absent:
            if self._kind(AVERAGE_VOLUME).again_at > time():
                break
            if self._cache.is_bad(day):
                continue
            yield AVERAGE_VOLUME, partial(self._load_session, day)
        yield from self._new_symbols()

    def _kind(self, name: str) -> Kind:
        return self._kinds.get(name, Kind())

    def _note(self, name: str, kind: Kind) -> None:
        self._kinds[name] = kind
        self._cache.put_kind(name, kind)

    def _due(self, name: str, life_s: float = inf) -> bool:
        life_s = min(life_s, _RECORDING_LIFE_S) if self._source.kind == "recording" else life_s
        return self._kind(name).is_due(self._today.number, self._begun, time(), life_s)

    def _fail(self, name: str, problem: str, again_s: float, start_over: bool = False) -> None:
        kind = self._kind(name)
        if kind.problem != problem:
            log.warning("reference data: %s cannot be loaded: %s", name, problem)
        again_at = time() + again_s if again_s else kind.again_at
        cursor = {} if start_over else kind.cursor
        self._note(name, msgspec.structs.replace(kind, problem=problem, again_at=again_at, cursor=cursor))

    def _loaded(self, symbols: int, whole: bool = True, cursor: dict[str, str] | None = None) -> Kind:
        return Kind(self._today.number, time(), symbols, whole, early=not self._begun, cursor=cursor or {})

    def _pages(self, table: Table) -> Iterator[_Call]:
        while self._due(table.name, table.life_s):
            yield table.name, partial(self._load_page, table)

    def _load_page(self, table: Table) -> None:
        before = self._kind(table.name)
        # A page of another day's table, or of one that has grown old, goes on with nothing.
        goes_on = bool(before.cursor) and before.day == self._today.number
        page = self._vendor.page(table.path, before.cursor if goes_on else table.query(self._today.date))
        rows = table.rows(page)
        count = len(rows) + (before.symbols if goes_on else 0)
        more = bool(page.cursor) and bool(rows) and count < _MOST_ROWS
        kind = self._loaded(count, not more, page.cursor if more else None)
        self._cache.put_page(table, rows, kind, first=not goes_on)
        self._kinds[table.name] = kind

    @property
    def _knows_splits(self) -> bool:
        # The newest come first: what there is after a first page is of weeks ago.
        return self._kind(SPLITS.name).day == self._today.number

    def _lacks_previous_day(self) -> bool:
        absent = self._cache.absent_days(self._sessions[:1], adjusted=not self._knows_splits)
        return bool(absent) and self._kind(PREVIOUS_DAY).again_at <= time()

    def _load_previous_day(self) -> None:
        # Where splits are unknown, the vendor has to adjust: an unadjusted price would top the gappers.
        bars = load_day(self._vendor, self._sessions[0], adjusted=not self._knows_splits)
        kind = self._loaded(len(bars.bars), whole=bool(bars.bars))
        if bars.bars:
            self._cache.put_day(bars, _FINAL_S if self._begun else _EARLY_S)
            log.info("previous day %s loaded: %d symbols", bars.date, len(bars.bars))
        else:
            problem = f"the vendor has no bars of {bars.date}"
            kind = msgspec.structs.replace(kind, problem=problem, again_at=time() + _EMPTY_AGAIN_S)
        self._note(PREVIOUS_DAY, kind)

    def _load_session(self, day: date) -> None:
        try:
            bars = load_day(self._vendor, day, adjusted=False)
        except (NotEntitledError, TooManyCallsError):
            raise
        except VendorError as error:
            if not error.status:
                raise
            # One bad day does not keep the others.
            self._cache.put_bad_day(day, _BAD_BARS_S)
            self._fail(AVERAGE_VOLUME, str(error), 0.0)
            return
        self._cache.put_day(bars, _FINAL_S if bars.bars else _NO_BARS_S)
        absent = len(self._cache.absent_days(self._sessions[1:]))
        problem = self._kind(AVERAGE_VOLUME).problem if absent else ""
        kind = self._loaded(AVERAGE_DAYS - absent, whole=not absent)
        self._note(AVERAGE_VOLUME, msgspec.structs.replace(kind, problem=problem))

    def _load_conditions(self) -> None:
        rules = load_rules(self._vendor)
        if rules:
            keep_rules(self._store, rules)
        self._note(CONDITIONS, self._loaded(len(rules)))

    def _new_symbols(self) -> Iterator[_Call]:
        """Symbols that trade and were in no table of this morning: new listings, mostly."""
        if not all(self._kind(name).whole for name in (TICKERS.name, PREVIOUS_DAY)):
            return
        known = self._cache.names(TICKERS)
        for day in self._cache.days(self._sessions[:1], adjusted=not self._knows_splits):
            known |= day.bars.keys()
        with self._store.redis.pipeline(transaction=False) as pipe:
            for key in (parts.TRADES, parts.SECOND_BARS, parts.MINUTE_BARS):
                pipe.hkeys(key)
            traded = {symbol.decode() for symbols in pipe.execute() for symbol in symbols}
        asked_since = time() - _UNKNOWN_AGAIN_S
        asked = {symbol for symbol, at in self._cache.asked().items() if at > asked_since}
        new = sorted(traded - known - asked)[:_MOST_NEW_SYMBOLS]
        for table in (FLOAT, RATIOS) if new and self._kind(_NEW_SYMBOLS).again_at <= time() else ():
            if self._kind(table.name).whole:
                yield _NEW_SYMBOLS, partial(self._load_some, table, new)
        for symbol in new:
            if self._kind(_NEW_SYMBOLS).again_at > time():
                return
            yield _NEW_SYMBOLS, partial(self._load_details, symbol)

    def _load_some(self, table: Table, symbols: list[str]) -> None:
        self._cache.add(table, load_some(self._vendor, table, symbols))

    def _load_details(self, symbol: str) -> None:
        self._cache.add(TICKERS, load_details(self._vendor, symbol))
        # Known or not.
        self._cache.put_asked(symbol, time())

    def _show(self) -> None:
        """Put together what has come, and tell readers what is new."""
        cache, sessions, today = self._cache, self._sessions, self._today.date
        previous = cache.days(sessions[:1]) if self._knows_splits else []
        days = [*(previous or cache.days(sessions[:1], adjusted=True)), *cache.days(sessions[1:])]
        splits = Splits(cache.table(SPLITS).values(), today)
        floats, ratios, tickers = (cache.table(table) for table in _BULK)
        rows = reference_rows(sessions[0], days, floats, ratios, tickers, splits, today)
        kept = {symbol.decode(): row for symbol, row in self._store.redis.hgetall(REFERENCE).items()}
        changed = {symbol: row for symbol, row in rows.items() if kept.get(symbol) != row}
        gone = list(kept.keys() - rows.keys())
        if changed or gone:
            self._changed_at = time()
        put_reference(self._store, self._state(), changed, gone)

    def _state(self) -> ReferenceState:
        kinds = {name: self._kind(name) for name in _KINDS}
        previous = kinds[PREVIOUS_DAY]
        return ReferenceState(
            source=self._source.id,
            day=self._today.number,
            symbols=previous.symbols if previous.day == self._today.number else 0,
            loaded_at=self._changed_at,
            kinds=kinds,
            waits_until=self._cache.waits_until(),
        )


def refresh_soon() -> None:
    """Ask the jobs worker for the reference data of a new source; the beat asks again if this is lost."""
    from processors.jobs import refresh_reference

    try:
        refresh_reference.apply_async(queue=JOBS, expires=15, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("broker unreachable, reference data will be asked for later: %s", type(error).__name__)
