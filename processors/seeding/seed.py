"""Fills the day up after a late start, a gap of the feed or a lost cache: from REST, most active symbols first.

One snapshot of all tickers tells who traded in the time that was missed, and how much; their minute bars follow, symbol
by symbol, for as long as a run may take, and the next run goes on where the last one stopped. A symbol is noted as
seeded when its bars have been merged for all that was missed; one that did not trade then is so at once. Who traded in
the minute in which the feed came back has to wait for its end: a bar of a part of it would stand beside the feed's own.
"""

import logging
import secrets
import threading
from collections.abc import Iterable, Sequence
from math import nan
from time import monotonic, time_ns
from typing import Any, Final

import msgspec

from listener.events import market_of
from processors import parts
from processors.reference import day_of, reference_state
from processors.reference.vendor import NotEntitledError, TooManyCallsError, Vendor, VendorError
from processors.seeding.backfill import fill, put_figures
from processors.seeding.coverage import LIFE_S, Gap, coverage, missing, read_gaps, seeded_key, seeded_version_key
from processors.seeding.rest_bars import MINUTE_MS, for_each, minutes_of, seconds_apart
from processors.sessions import TradingDay
from processors.store import Source, Store, script

log = logging.getLogger(__name__)

_SNAPSHOT: Final = "/v2/snapshot/locale/us/markets/stocks/tickers"
_LEASE: Final = "tw:lease:seed"
_LEASE_MS: Final = 60_000
# Others wait for the worker meanwhile.
_RUN_S: Final = 4.0
# Bars are held for two seconds, and prints are reported late.
_SETTLING_MS: Final = 5_000
_AFTER_FAILURE_S: Final = 15.0
_AFTER_REFUSAL_S: Final = 600.0
_MARK_EVERY: Final = 200
# Does not have to be asked again: the vendor does not know the symbol.
_REFUSED: Final = -1.0
_UNKNOWN_SYMBOL: Final = frozenset({400, 404})


class _Day(msgspec.Struct, frozen=True, gc=False):
    o: float = 0.0
    h: float = 0.0
    l: float = 0.0  # noqa: E741 - Massive's name
    v: float = 0.0


class _Minute(msgspec.Struct, frozen=True, gc=False):
    av: float = 0.0


class _Trade(msgspec.Struct, frozen=True, gc=False):
    t: int = 0


class Snapshot(msgspec.Struct, frozen=True, rename={"last_trade": "lastTrade", "before": "prevDay"}):
    """What is used of a ticker's snapshot; a plan may leave any of it out."""

    ticker: str
    day: _Day | None = None
    min: _Minute | None = None
    last_trade: _Trade | None = None
    before: _Day | None = None

    @property
    def accumulated(self) -> float | None:
        """Shares traded today; None where it does not tell."""
        if self.day is None and self.min is None:
            return None
        return max(self.day.v if self.day else 0.0, self.min.av if self.min else 0.0)

    def traded_since(self, start: int) -> bool:
        """Whether there may have been a print at or after a moment of the day, epoch milliseconds."""
        if self.accumulated == 0:
            return False
        last = self.last_trade.t // 1_000_000 if self.last_trade else 0
        return last == 0 or last >= start


def todo_key(source: str) -> str:
    """Sorted set of the symbols that have yet to be filled up, by shares traded today."""
    return f"tw:seeding:{source}"


def waiting_key(source: str) -> str:
    """Those whose last minute runs yet, alike."""
    return f"tw:seeding:waiting:{source}"


def planned_key(source: str) -> str:
    """Until when the symbols of both are to be filled up, epoch milliseconds."""
    return f"tw:seeding:until:{source}"


def rest_key(source: str) -> str:
    """While it is there, the vendor is left alone."""
    return f"tw:seeding:rest:{source}"


def seed(store: Store, base: str, key: str) -> int | None:
    """Fill up what is missing of the present source's day, for some seconds at most.

    Args:
        store: The cache.
        base: Where REST calls go.
        key: The key that they take there.

    Returns:
        How many symbols have yet to be filled up; None when nothing is to be done, or not yet. A failure is logged in a
        sentence and tried again at a later call.
    """
    source = store.source()
    # Rows are of stocks alone; and a replay has no bars beyond what it plays.
    if source is None or market_of(source.id) != "stocks" or source.kind == "recording":
        return None
    day = day_of(source)
    if day is None or not (spans := missing(source, read_gaps(store, source.id), day)):
        return None
    clock, until = source.market_clock, spans[-1].end
    if clock < until or store.redis.exists(rest_key(source.id)) or _reference_comes_first(store, source):
        return None
    token = secrets.token_hex(8)
    if not store.hold_lease(_LEASE, token, _LEASE_MS):
        return None
    try:
        seeding = _Seeding(store, base, key, source, day, spans)
        if int(store.redis.get(planned_key(source.id)) or 0) != until:
            seeding.plan()
        settled = -(-until // MINUTE_MS) * MINUTE_MS + int(_SETTLING_MS * max(1.0, source.speed))
        return seeding.run(is_settled=clock >= min(settled, day.end))
    except VendorError as error:
        _leave_alone(store, source.id, base, error)
        return None
    finally:
        store.release_lease(_LEASE, token)


def most_active(base: str, key: str, count: int) -> list[str]:
    """The symbols with the most shares traded today, or on the day before while there are none.

    Raises:
        VendorError: There is no snapshot.
    """
    with Vendor(base, key) as vendor:
        snapshots = vendor.page(_SNAPSHOT, {}).rows(Snapshot)
    snapshots.sort(key=lambda each: (-(each.accumulated or 0.0), -(each.before.v if each.before else 0.0), each.ticker))
    return [snapshot.ticker for snapshot in snapshots[:count]]


class _Seeding:
    """One run."""

    def __init__(
        self, store: Store, base: str, key: str, source: Source, day: TradingDay, spans: Sequence[Gap]
    ) -> None:
        self._store, self._base, self._key = store, base, key
        self._source, self._day, self._spans = source, day, spans
        self._until = spans[-1].end
        # Where the minutes end that are asked for: one that runs yet would be a part of one.
        self._end = self._until // MINUTE_MS * MINUTE_MS
        self._mark = store.redis.register_script(script("seeded"))
        self._done: list[str] = []
        self._marking = threading.Lock()

    def plan(self) -> None:
        """Find out who traded in the missed time; what the snapshot tells of them goes into their rows at once.

        Raises:
            VendorError: There is no snapshot.
        """
        store, source, day = self._store, self._source, self._day
        with Vendor(self._base, self._key) as vendor:
            snapshots = vendor.page(_SNAPSHOT, {}).rows(Snapshot)
        filled = {symbol.decode(): int(at) for symbol, at in store.redis.hgetall(seeded_key(source.id)).items()}
        todo: dict[str, float] = {}
        waiting: dict[str, float] = {}
        quiet: list[str] = []
        for snapshot in snapshots:
            symbol = snapshot.ticker
            until = filled.get(symbol, 0)
            missed = min((max(span.start, until) for span in self._spans if span.end > until), default=self._until)
            if not snapshot.traded_since(missed):
                quiet.append(symbol)
                continue
            runs_yet = snapshot.traded_since(self._until // MINUTE_MS * MINUTE_MS)
            (waiting if runs_yet else todo)[symbol] = snapshot.accumulated or 0.0
            put_figures(store, source.id, day, symbol, *self._figures(snapshot))
        waiting |= dict.fromkeys(self._in_the_table() - todo.keys() - waiting.keys() - set(quiet), 0.0)
        with store.redis.pipeline(transaction=True) as pipe:
            for symbols, key in ((todo, todo_key(source.id)), (waiting, waiting_key(source.id))):
                pipe.delete(key)
                if symbols:
                    pipe.zadd(key, symbols)
                    pipe.expire(key, LIFE_S)
            pipe.set(planned_key(source.id), self._until, ex=LIFE_S)
            pipe.execute()
        self._mark_seeded(quiet)
        count = len(todo) + len(waiting)
        log.info("the day was not seen whole: %d symbols are filled up, %d did not trade then", count, len(quiet))

    def _figures(self, snapshot: Snapshot) -> tuple[float, float, tuple[float, float]]:
        """Shares traded, official open, and the regular session's extremes while `day` is of that session alone."""
        day, clock = snapshot.day or _Day(), self._source.market_clock
        regular = self._day.open <= clock < self._day.close
        return (
            snapshot.accumulated or nan,
            day.o if day.o > 0 and clock >= self._day.open else nan,
            (day.h if regular and day.h > 0 else nan, day.l if regular and day.l > 0 else nan),
        )

    def _in_the_table(self) -> set[str]:
        """Symbols that the feed has brought something of; there are some that no snapshot knows."""
        with self._store.redis.pipeline(transaction=False) as pipe:
            for part in (parts.TRADES, parts.SECOND_BARS, parts.MINUTE_BARS):
                pipe.hkeys(part)
            return {symbol.decode() for symbols in pipe.execute() for symbol in symbols}

    def run(self, is_settled: bool) -> int:
        """Fill up as many symbols as can be in a run's time; how many are left.

        Args:
            is_settled: Whether the last minute of what was missed is over.
        """
        todo, waiting, redis = todo_key(self._source.id), waiting_key(self._source.id), self._store.redis
        if is_settled:
            self._end = -(-self._until // MINUTE_MS) * MINUTE_MS
            with redis.pipeline(transaction=True) as pipe:
                pipe.zunionstore(todo, (todo, waiting), aggregate="MAX")
                pipe.expire(todo, LIFE_S)
                pipe.delete(waiting)
                pipe.execute()
            if not redis.zcount(todo, 0, "+inf"):
                self._add_newcomers(todo)
        symbols = [symbol.decode() for symbol in redis.zrevrangebyscore(todo, "+inf", 0)]
        if not symbols:
            return int(redis.zcard(waiting))
        stopped = for_each(self._base, self._key, symbols, self._fill, monotonic() + _RUN_S)
        self._mark_seeded(self._done)
        left = int(redis.zcount(todo, 0, "+inf") + redis.zcard(waiting))
        if stopped is not None:
            _leave_alone(self._store, self._source.id, self._base, stopped)
        elif not left:
            log.info("the day is filled up")
        elif apart_ms := int(1_000 * seconds_apart(self._base)):
            # A pace slower than runs follow each other has to outlive this one.
            redis.set(rest_key(self._source.id), "the next call's turn has not come", px=apart_ms)
        return left

    def _add_newcomers(self, todo: str) -> None:
        """Symbols that came into the table after the plan was made, and that no snapshot knew."""
        _, seeded = coverage(self._store, self._source, self._day)
        newcomers = self._in_the_table() - seeded
        if newcomers:
            # Those that the vendor does not know stay where they are.
            self._store.redis.zadd(todo, dict.fromkeys(newcomers, 0.0), nx=True)

    def _fill(self, vendor: Vendor, symbol: str) -> None:
        try:
            rows = minutes_of(vendor, symbol, self._day.start, self._end)
        except VendorError as error:
            if error.status not in _UNKNOWN_SYMBOL:
                raise
            self._store.redis.zadd(todo_key(self._source.id), {symbol: _REFUSED})
            return
        fill(self._store, self._source.id, self._day, symbol, rows, self._spans)
        with self._marking:
            self._done.append(symbol)
            if len(self._done) >= _MARK_EVERY:
                done, self._done = self._done, []
                self._mark_seeded(done)

    def _mark_seeded(self, symbols: Sequence[str]) -> None:
        """Note that nothing is missing of symbols any more, and tell readers."""
        source = self._source
        for page in _pages(symbols, 1_000):
            arguments: list[Any] = [source.id, source.since, seeded_key(source.id), seeded_version_key(source.id)]
            if self._mark(args=[*arguments, time_ns(), LIFE_S, self._until, *page]):
                self._store.redis.zrem(todo_key(source.id), *page)
                self._store.mark_changed("seeded", page)


def _pages(symbols: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (symbols[start : start + size] for start in range(0, len(symbols), size))


def _reference_comes_first(store: Store, source: Source) -> bool:
    """Whether the vendor counts calls, and reference data has yet to come: it is left what calls there are."""
    state = reference_state(store)
    return state is not None and state.source == source.id and state.waits_until > 0 and not state.settled


def _leave_alone(store: Store, source: str, base: str, error: VendorError) -> None:
    wait_s = _AFTER_REFUSAL_S if isinstance(error, NotEntitledError) else _AFTER_FAILURE_S
    if isinstance(error, TooManyCallsError):
        wait_s = error.wait_s
    store.redis.set(rest_key(source), str(error), px=int(wait_s * 1_000))
    log.warning("the day cannot be filled up from %s, trying again in %.0f s: %s", base, wait_s, error)
