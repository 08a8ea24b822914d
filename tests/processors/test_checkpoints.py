"""Whole days against the independent computation: every field and board at moments of it, every alert of a backtest."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from math import isclose
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import polars as pl
import pytest

from control.backtests import asked_scanners
from listener.recording import RecordingWriter
from processors.backtesting import backtest
from processors.fields import FIELDS
from processors.scanning.boards import ScannerRow, ScanSet
from processors.store import REFERENCE, Store
from processors.symbols.rows import moment_of
from processors.symbols.table import SymbolTable
from tests import day_maker, independent
from tests.independent.alerts import Rule
from tests.independent.boards import BOARDS, board
from tests.processors.feeding import Event, batch, batches_of, begin, feed_in

SOURCE = "recording:checkpoints"
# From 04:00 to 20:00 there are 20 of these.
_CHECKPOINT_MS = 48 * 60_000
_TICK_MS = 4 * 60_000
# Batches finish out of order by seconds, not by hours: bars leave the rings in which they can be corrected.
_SHUFFLED_MS = 300_000
# Beside the shipped rules those of other kinds, over shipped boards.
_MORE_RULES = (
    ("top_trades:5m", "leave", 600),
    ("top_volume", "new_high", 300),
    ("top_volume", "new_low", 0),
)
Frame = tuple[int, list[Event]]
Row = dict[str, Any]


class _System:
    """The system's way from frames to rows and boards."""

    def __init__(self, store: Store, clock: int, size: int) -> None:
        self._store, self._size = store, size
        self._table = SymbolTable()
        self._version = 0
        self._received: Counter[str] = Counter()
        self._chance = Random(7)
        self._scans = ScanSet.compile(asked_scanners(BOARDS))
        begin(store, SOURCE, clock)

    def know(self, reference: dict[str, Row]) -> None:
        arrays = {symbol: backtest.reference_array(fields) for symbol, fields in reference.items()}
        self._store.redis.hset(REFERENCE, mapping=arrays)
        self._store.mark_changed("reference", arrays)

    def read(self, articles: list[Row]) -> None:
        self._received["news"] += 1
        feed_in(("news", batch(articles, SOURCE, self._received["news"])))

    def take(self, frames: Iterable[Frame]) -> None:
        """Merge frames, in batches out of order, some of them twice."""
        for _, near in groupby(frames, key=lambda frame: frame[0] // _SHUFFLED_MS):
            pairs = batches_of((events for _, events in near), self._size, SOURCE, self._received)
            pairs += self._chance.sample(pairs, len(pairs) // 20)
            self._chance.shuffle(pairs)
            feed_in(*pairs)

    def check(self, wanted: list[Row]) -> None:
        """Compare rows and boards as of now."""
        changes = self._store.changes_since(self._version)
        self._table.put_changes(self._store, changes)
        self._version = changes.version
        source = self._store.source()
        assert source is not None
        rows = self._table.rows(moment_of(self._store, source))
        assert set(wanted[0]) == {field.name for field in FIELDS}
        assert _differences(rows, wanted) == []
        ranking = self._scans.rank(rows, BOARDS)
        assert ranking.errors == {}
        boards = {slug: rows["symbol"].gather(ranking.order[slug]).to_list() for slug in BOARDS}
        assert boards == {slug: [row["symbol"] for row in board(slug, wanted)] for slug in BOARDS}


def _differences(rows: pl.DataFrame, wanted: list[Row]) -> list[Any]:
    """Symbol, field, what it is and what it should be, wherever they differ."""
    got = {row["symbol"]: row for row in rows.to_dicts()}
    assert got.keys() == {row["symbol"] for row in wanted}
    return [
        (row["symbol"], name, got[row["symbol"]][name], value)
        for row in wanted
        if got[row["symbol"]] != row
        for name, value in row.items()
        if got[row["symbol"]][name] != value and not _close(got[row["symbol"]][name], value)
    ]


def _close(got: Any, wanted: Any) -> bool:
    """Whether two figures differ by no more than the order in which doubles were added."""
    return isinstance(got, float) and isinstance(wanted, float | int) and isclose(got, wanted, rel_tol=1e-9)


class _Rules:
    """The rules of a backtest, and what they tell by the independent computation."""

    def __init__(self) -> None:
        shipped = {scanner.slug: scanner for scanner in asked_scanners(BOARDS)}
        more = [
            msgspec.structs.replace(shipped[slug], slug=f"{slug}:{kind}", alert_on=kind, cooldown_s=cooldown)
            for slug, kind, cooldown in _MORE_RULES
        ]
        self.scanners: list[ScannerRow] = [*shipped.values(), *more]
        self._rules = [Rule(each.slug, each.alert_on, each.cooldown_s * 1_000) for each in self.scanners]
        self.alerts: list[Row] = []

    def look(self, rows: list[Row], clock: int) -> None:
        by_symbol = {row["symbol"]: row for row in rows}
        boards = {slug: board(slug, rows) for slug in BOARDS}
        for rule in self._rules:
            shown = boards[rule.slug] if rule.slug in boards else boards[rule.slug.rpartition(":")[0]]
            self.alerts += rule.look(shown, by_symbol, clock)


def _by_time(frames: Iterable[Frame], every_ms: int) -> Iterator[tuple[int, list[Frame]]]:
    return ((tick, list(part)) for tick, part in groupby(frames, key=lambda frame: frame[0] // every_ms))


def _told(result: backtest.Result) -> list[Row]:
    names = ("id", "rule", "kind", "symbol", "at", "price")
    return [{name: getattr(alert, name) for name in names} for alert in result.alerts]


def _in_order(alerts: list[Row]) -> list[Row]:
    return sorted(alerts, key=lambda alert: (alert["rule"], alert["at"], alert["symbol"]))


@pytest.mark.django_db
def test_the_real_day_equals_the_independent_computation_at_20_checkpoints_and_in_every_alert(
    store: Store, real_day: Path
) -> None:
    begins = next(independent.lines(real_day))["at"]
    system, market, rules = _System(store, begins, 300), independent.Market(begins), _Rules()
    frames = ((line["at"], line["frame"]) for line in independent.lines(real_day))
    checkpoints = 0
    for _, part in _by_time(frames, _CHECKPOINT_MS):
        for _, between in _by_time(part, _TICK_MS):
            market.take_all(between)
            rules.look(market.rows(), market.clock)
        system.take(part)
        system.check(market.rows())
        checkpoints += 1
    assert checkpoints == 21  # the last second's bars come at 20:00
    result = backtest.run(real_day, rules.scanners, _TICK_MS)
    assert _in_order(_told(result)) == _in_order(rules.alerts)
    assert {alert["kind"] for alert in rules.alerts} == {"enter", "leave", "new_high", "new_low"}


@pytest.mark.django_db
def test_a_made_day_of_2000_symbols_equals_the_independent_computation_at_20_checkpoints_and_in_every_alert(
    store: Store, tmp_path: Path
) -> None:
    day = day_maker.make_day(seed=4)
    frames, articles = day.frames, list(day.articles)
    system, market, rules = _System(store, frames[0][0], 120), independent.Market(frames[0][0]), _Rules()
    system.know(day.reference)
    market.reference = day.reference
    checkpoints = 0
    with RecordingWriter(tmp_path / "made.ndjson") as recording:
        recording.reference(frames[0][0], day.reference)
        for _, part in _by_time(frames, _CHECKPOINT_MS):
            published = [article for article in articles if day_maker.published_at(article) <= part[-1][0]]
            del articles[: len(published)]
            system.read(published)
            for article in published:
                recording.news(part[0][0], article)
                market.read(article)
            for moment, events in part:
                recording.frame(moment, events)
            system.take(part)
            market.take_all(part)
            rows = market.rows()
            system.check(rows)
            rules.look(rows, market.clock)
            checkpoints += 1
    assert checkpoints == 20
    result = backtest.run(tmp_path / "made.ndjson", rules.scanners, _CHECKPOINT_MS)
    assert _in_order(_told(result)) == _in_order(rules.alerts)
    assert {alert["kind"] for alert in rules.alerts} == {"enter", "leave", "new_high", "new_low", "halt", "resume"}
