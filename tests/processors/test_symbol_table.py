"""The symbol table that follows what changes, against one that has just read everything."""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.store import Store
from processors.symbols.moment import Moment
from processors.symbols.rows import moment_of, row_of
from processors.symbols.table import SymbolTable
from tests.processors.feeding import Event, at, bar, batches_of, begin, feed_in, quote, trade

OPEN = at("2024-03-11 09:30:00.000")
MINUTE = 60_000


class Follower:
    """A reader of the cache, as the engine is one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = 0
        self._received: Counter[str] = Counter()
        self.table = SymbolTable()

    def give(self, *events: Event) -> None:
        """Have events merged, and read what changed."""
        self.merge(*events)
        self.follow()

    def merge(self, *events: Event) -> None:
        feed_in(*batches_of([events], 100, "simulator:1", self._received))

    def follow(self) -> None:
        changes = self._store.changes_since(self._version)
        self.table.put_changes(self._store, changes)
        self._version = changes.version

    def rows(self) -> dict[str, dict[str, Any]]:
        source = self._store.source()
        assert source is not None
        found = self.table.rows(moment_of(self._store, source)).to_dicts()
        return {row["symbol"]: row for row in found}


def _anew(store: Store) -> dict[str, dict[str, Any]]:
    follower = Follower(store)
    follower.follow()
    return follower.rows()


def test_bars_take_the_place_of_those_made_of_trades(store: Store) -> None:
    begin(store)
    follower = Follower(store)
    follower.give(trade("ABC", OPEN, 5.0, 100), trade("ABC", OPEN + MINUTE, 6.0, 100))
    assert (follower.rows()["ABC"]["volume_5m"], follower.rows()["ABC"]["hod_count"]) == (200, 1)
    follower.give(bar("ABC", OPEN + MINUTE, 6, 6, 6, 6, 30))
    assert (follower.rows()["ABC"]["volume_5m"], follower.rows()["ABC"]["hod_count"]) == (30, 0)
    assert follower.rows() == _anew(store)


def test_a_reader_that_fell_behind_reads_everything(store: Store) -> None:
    begin(store)
    follower = Follower(store)
    follower.give(bar("ABC", OPEN, 5, 5, 5, 5), quote("ABC", OPEN, 1.0, 2.0))
    follower.merge(bar("ABC", OPEN + MINUTE, 6, 6, 6, 6), bar("XYZ", OPEN, 1, 1, 1, 1))
    store.redis.delete("tw:changed")
    follower.give(bar("XYZ", OPEN + 2 * MINUTE, 2, 2, 2, 2))
    assert follower.rows() == _anew(store)
    assert follower.rows()["ABC"]["hod_count"] == follower.rows()["XYZ"]["hod_count"] == 1


def test_rows_of_an_older_day_are_left_out_when_the_next_begins(store: Store) -> None:
    begin(store)
    follower = Follower(store)
    follower.give(bar("ABC", OPEN, 5, 5, 5, 5), bar("XYZ", OPEN, 5, 5, 5, 5))
    assert len(follower.table) == 2
    tomorrow = at("2024-03-12 04:00:00.000")
    follower.give(trade("XYZ", tomorrow, 6.0))
    rows = follower.rows()
    assert rows.keys() == {"XYZ"}
    assert (rows["XYZ"]["session"], rows["XYZ"]["volume_1m"], rows["XYZ"]["close"]) == ("pre", 100, None)
    # The quiet one keeps its row for who asks for it by name.
    kept = row_of(store, "ABC")
    assert kept is not None
    assert (kept["trading_day"], kept["price"], kept["volume_5m"]) == ("2024-03-11", 5, 0)


def test_only_symbols_whose_day_is_known_whole_are_complete(store: Store) -> None:
    begin(store)
    follower = Follower(store)
    follower.give(bar("ABC", OPEN, 5, 5, 5, 5), bar("XYZ", OPEN, 5, 5, 5, 5))
    source = store.source()
    assert source is not None
    late = Moment(OPEN, moment_of(store, source).day, "regular", whole_day=False, seeded=frozenset(("XYZ",)))
    assert dict(follower.table.rows(late).select("symbol", "complete").iter_rows()) == {"ABC": False, "XYZ": True}


_DAYS = ("2024-03-11", "2024-03-12")
_TIMES = ("04:00:00", "09:28:59", "09:29:59", "09:30:00", "09:30:01", "09:31:00", "09:46:30", "10:20:00", "16:00:05")
_moments = st.builds(lambda day, time: at(f"{day} {time}.000"), st.sampled_from(_DAYS), st.sampled_from(_TIMES))
_symbols = st.sampled_from(("ABC", "XYZ"))
_prices = st.integers(4, 12).map(lambda quarters: quarters / 4)


def _a_bar(symbol: str, s: int, prices: list[float], v: int, kind: str) -> Event:
    low, one, other, high = sorted(prices)
    return bar(symbol, s // MINUTE * MINUTE if kind == "AM" else s, one, high, low, other, v, ev=kind, a=one, vw=one)


_events = st.one_of(
    st.builds(trade, _symbols, _moments, _prices, st.integers(0, 300)),
    st.builds(
        _a_bar,
        *(_symbols, _moments, st.lists(_prices, min_size=4, max_size=4), st.integers(0, 300)),
        st.sampled_from(("A", "A", "AM")),
    ),
    st.builds(quote, _symbols, _moments, _prices, _prices),
)


@given(steps=st.lists(st.lists(_events, min_size=1, max_size=4), min_size=1, max_size=8))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_following_what_changes_gives_what_reading_everything_gives(store: Store, steps: list[list[Event]]) -> None:
    store.redis.flushall()
    begin(store)
    follower = Follower(store)
    for events in steps:
        follower.give(*events)
        assert follower.rows() == _anew(store)
