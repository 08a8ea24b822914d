"""Backtests: a recording played through the system's own code at full speed, and what its alerts were worth.

The frames go through the same sorting and merges, into a private Valkey; the same table, boards and rules look at it at
ticks of the recording's own time. No wall clock has a say, so the same recording gives the same alerts each time.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from math import inf, nan
from pathlib import Path
from typing import Any, Final

import msgspec

from listener.events import Batch
from listener.recording import NewsLine, RecordingError, ReferenceLine, read_recording
from listener.sorting import sort_frame
from processors.backtesting.outcomes import Outcome, Outcomes, RuleSummary, summary
from processors.reference import REFERENCE_COLUMNS, REFERENCE_TEXTS
from processors.scanning.alerts import AlertRules, State
from processors.scanning.boards import ScannerRow, ScanSet
from processors.store import REFERENCE, Source, Store, connect
from processors.symbols.base_columns import Base, rows_of
from processors.symbols.moment import Moment
from processors.symbols.rows import moment_of
from processors.symbols.table import SymbolTable
from processors.tasks import parts_of
from project.embedded import EmbeddedValkey

EVERY_MS: Final = 5_000
_BATCH_EVENTS: Final = 1_000
# Computing and ranking some thousand rows costs hardly more than four.
_ROWS_AT_ONCE: Final = 4_096
# A listener learns the day before within seconds of the first frame, whatever line of the recording has it.
_AHEAD_LINES: Final = 50_000


class BacktestError(Exception):
    """A backtest cannot be run; the message says why in a sentence."""


class Result(msgspec.Struct, frozen=True):
    """A finished backtest.

    Attributes:
        recording: The file's name.
        every_s: Seconds of market time between two looks at the boards.
        events: Events that were merged, by feed.
        ticks: Looks at the boards; where no event came there was none.
        begins: The market's clock at the first of them, epoch milliseconds.
        ends: At the last.
        notes: What the reader should know of the recording, in sentences.
        rules: Every rule, whether it gave alerts or not.
        alerts: In the order they were given.
    """

    recording: str
    every_s: float
    events: dict[str, int]
    ticks: int
    begins: int
    ends: int
    notes: list[str]
    rules: list[RuleSummary]
    alerts: list[Outcome]


def run(path: Path, scanners: Sequence[ScannerRow], every_ms: int = EVERY_MS) -> Result:
    """Play a recording through scanners.

    Args:
        path: The recording.
        scanners: Whose alerts are wanted.
        every_ms: Market time between two looks, milliseconds.

    Raises:
        BacktestError: A scanner cannot be used, or the recording cannot be read.
        project.processes.ServiceUnavailable: The private Valkey does not start.
    """
    scans = ScanSet.compile(scanners, budget_s=inf)
    _check(scans.errors)
    try:
        with _private_store() as store:
            return _Run(store, path, scanners, scans, every_ms).result()
    except RecordingError as error:
        raise BacktestError(str(error)) from error


def _check(errors: Mapping[str, str]) -> None:
    for slug, problem in errors.items():
        raise BacktestError(f"Scanner {slug} cannot be used: {problem}")


@contextmanager
def _private_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="backtest-") as folder:
        server = EmbeddedValkey(Path(folder) / "valkey.sock", Path(folder) / "data", persist=False)
        with server, connect(server.url) as client:
            yield Store(client)


class _Run:
    """One run: the market so far, and what was found in it."""

    def __init__(self, store: Store, path: Path, scanners: Sequence[ScannerRow], scans: ScanSet, every_ms: int) -> None:
        self._store, self._path, self._every_ms = store, path, every_ms
        self._slugs = [scanner.slug for scanner in scanners]
        self._scans, self._rules = scans, AlertRules(scanners)
        self._source = Source(f"recording:{path.name}", "recording", 0, 0.0, lossless=True)
        self._state: State = {}
        self._table = SymbolTable()
        self._version = 0
        # Ticks of which the boards are not known yet.
        self._seen: list[tuple[Moment, Base]] = []
        self._waiting: dict[str, list[msgspec.Raw]] = {}
        self._merged: dict[str, int] = {}
        self._reference: dict[str, dict[str, Any]] = {}
        self._bad_lines = self._ticks = self._begins = self._clock = 0
        self._whole_days = True
        self._outcomes = Outcomes()

    def result(self) -> Result:
        """Play it, and put together what was found."""
        for _ in self._pieces():
            self._look()
        self._judge()
        found = self._outcomes.found
        return Result(
            recording=self._path.name,
            every_s=self._every_ms / 1_000,
            events=self._merged,
            ticks=self._ticks,
            begins=self._begins,
            ends=self._clock,
            notes=self._notes(),
            rules=[summary(slug, found) for slug in self._slugs],
            alerts=found,
        )

    def _notes(self) -> list[str]:
        notes = []
        if self._bad_lines:
            notes.append(f"{self._bad_lines:,} lines that cannot be read were passed over.")
        if not self._whole_days:
            notes.append("It does not begin with the trading day: of what is incomplete nothing alerts but halts.")
        if not self._reference:
            notes.append("It holds no reference data: the day before, average volumes and floats are unknown.")
        return notes

    def _pieces(self) -> Iterator[int]:
        """Merge the recording piece by piece, each up to the next tick; yields the tick's number after each."""
        tick: int | None = None
        for line in read_recording(self._path, self._count_bad):
            now = line.at // self._every_ms
            if tick is None:
                self._begin(line.at)
            elif now != tick and self._waiting:
                self._merge()
                yield tick
            tick = now
            if isinstance(line, ReferenceLine):
                self._learn(line.reference)
            elif isinstance(line, NewsLine):
                self._waiting.setdefault("news", []).append(msgspec.Raw(msgspec.json.encode(line.news)))
            else:
                for feed, events in sort_frame(line.frame).events.items():
                    self._waiting.setdefault(feed, []).extend(events)
        if tick is not None and self._waiting:
            self._merge()
            yield tick

    def _count_bad(self, error: RecordingError) -> None:
        self._bad_lines += 1

    def _begin(self, at: int) -> None:
        self._source = replace(self._source, clock=at)
        self._store.declare_source(self._source)
        ahead = islice(read_recording(self._path, lambda error: None), _AHEAD_LINES)
        first = next((line for line in ahead if isinstance(line, ReferenceLine)), None)
        if first is not None:
            self._learn(first.reference)

    def _learn(self, reference: Mapping[str, Mapping[str, Any]]) -> None:
        for symbol, fields in reference.items():
            self._reference.setdefault(symbol, {}).update(fields)
        if reference:
            arrays = {symbol: reference_array(self._reference[symbol]) for symbol in reference}
            self._store.redis.hset(REFERENCE, mapping=arrays)
            self._store.mark_changed("reference", list(arrays))

    def _merge(self) -> None:
        for feed, events in self._waiting.items():
            for start in range(0, len(events), _BATCH_EVENTS):
                part = events[start : start + _BATCH_EVENTS]
                seq = self._merged.get(feed, 0) + 1
                self._merged[feed] = seq + len(part) - 1
                batch = Batch(f"{feed}:{seq}", self._source.id, seq, self._clock, part)
                for piece, prepare in parts_of(feed, batch):
                    merge = prepare(piece, self._store)
                    self._store.merge(merge, piece, feed)
                    self._source = replace(self._source, newest=max(self._source.newest, merge.newest))
        self._waiting = {}

    def _look(self) -> None:
        """The first half of a tick of the engine: the table brought up to date, and what it says at this moment."""
        moment = moment_of(self._store, self._source)
        changes = self._store.changes_since(self._version)
        self._table.put_changes(self._store, changes)
        self._version = changes.version
        self._seen.append((moment, self._table.base(moment).copied()))
        self._ticks += 1
        self._begins = self._begins or moment.clock
        self._clock, self._whole_days = moment.clock, self._whole_days and moment.whole_day
        if len(self._seen) * len(self._table) >= _ROWS_AT_ONCE:
            self._judge()

    def _judge(self) -> None:
        """The second half, of several ticks at once: their rows, their boards; and one after the other their edges."""
        if not self._seen:
            return
        bases = [base for _, base in self._seen]
        rows = rows_of(bases)
        rankings = self._scans.rank_each(rows, [len(base) for base in bases])
        start = 0
        for (moment, base), ranking in zip(self._seen, rankings, strict=True):
            _check(ranking.errors)
            part = rows[start : start + len(base)]
            alerts, self._state = self._rules.edges(part, ranking, moment, self._state)
            self._outcomes.look(moment.clock, part, alerts)
            start += len(base)
        self._seen = []


def reference_array(fields: Mapping[str, Any]) -> bytes:
    """A symbol's array in `tw:reference`, from a recording's reference line."""
    figures = [nan if (value := fields.get(name)) is None else float(value) for name in REFERENCE_COLUMNS]
    return msgspec.msgpack.encode([*figures, *(fields.get(name) for name in REFERENCE_TEXTS)])
