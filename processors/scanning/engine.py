"""The scanner engine: at each tick reads what changed, ranks the boards that are due, and publishes them with alerts.

One engine at a time holds a lease; what it writes is fenced by the publishing script (lua/publish.lua), so that a tick
is published whole or not at all. An engine that comes next reads what the last one published, and goes on from there.
"""

import logging
import secrets
from collections.abc import Callable
from functools import lru_cache
from math import inf
from time import monotonic, perf_counter, time
from typing import Final

import msgspec
import numpy as np
import polars as pl
import redis
from django.db import DatabaseError, InterfaceError

from processors import store as keys
from processors.changes import Changes
from processors.scanning.alerts import AlertRules
from processors.scanning.bar_messages import BarMessages
from processors.scanning.board_messages import EncodedRows, Message, delta_channel
from processors.scanning.boards import Ranking, ScanSet
from processors.scanning.publishing import LEASE_MS, Edition, Publisher, Standing
from processors.scanning.status import ScansState, status_message
from processors.scanning.ticks import Rules, Timetable, read_rules
from processors.scanning.work import EngineWork
from processors.seeding.volume_profile import default_profile
from processors.store import Source, Store, default_store
from processors.symbols.moment import Moment
from processors.symbols.rows import moment_of
from processors.symbols.table import SymbolTable

log = logging.getLogger(__name__)

_STATUS_S: Final = 1.0
_STATUS_LIFE_MS: Final = 10_000
# A database that fails slowly may hold the boards up for a tenth of the time at most.
_PAUSE_OF_RULES: Final = 10.0

_NO_SOURCE: Final = ("", 0, "")

_encode = msgspec.json.Encoder().encode


class Engine:
    """State between ticks: the rows in memory, how far they are read, and what was published last.

    Args:
        store: The cache.
        now: A clock in seconds that never goes back, for boards' ticks.
        rules: Gives the rules as they stand; it may raise `DatabaseError` or `InterfaceError`.

    Attributes:
        laps: How long each step of the last tick took, in seconds.
        work: What it has done, for operators.
    """

    def __init__(
        self, store: Store, now: Callable[[], float] = monotonic, rules: Callable[[], Rules] = read_rules
    ) -> None:
        self.laps: dict[str, float] = {}
        self.work = EngineWork()
        self._lap_began = 0.0
        self._store, self._now, self._read_rules = store, now, rules
        self._token = secrets.token_hex(8)
        self._publisher = Publisher(store, self._token)
        self._table = SymbolTable()
        # The source, when it began, and the run of the cache: one that starts again may have lost its last moments,
        # or all, and counts other versions by the same numbers.
        self._source = _NO_SOURCE
        self._version = self._said_version = 0
        # None: another engine may have published meanwhile, so that what it left has to be read first.
        self._standing: Standing | None = None
        # None: they could not be read yet, so that nothing is known to have been switched off.
        self._rules: Rules | None = None
        self._rules_again_at = -inf
        self._scans, self._alerts = ScanSet.compile(()), AlertRules(())
        self._timetable = Timetable()
        self._bars = BarMessages()
        self._failing: dict[str, str] = {}
        self._slow: set[str] = set()
        self._longest_s = 0.0
        self._status_at = 0.0

    def tick(self) -> bool:
        """Read, rank, publish.

        Returns:
            Whether this engine had the turn, and published what there was.
        """
        began = self._lap_began = perf_counter()
        self.laps, published = {}, False
        try:
            published = self._tick()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            log.warning("cache unreachable, no boards meanwhile: %s", error)
        finally:
            if not published:
                # Another engine may have the turn now, or what was to be published may have been, unheard. What
                # changed since something was published has still to be said.
                self._standing, self._version, self._bars = None, self._said_version, BarMessages()
            self._said_version = self._version
        took = perf_counter() - began
        self._longest_s = max(self._longest_s, took)
        self.work.ticked(took, published)
        return published

    def _tick(self) -> bool:
        if not self._store.hold_lease(keys.SCANS_LEASE, self._token, LEASE_MS):
            return False
        source = self._store.source()
        now = self._now()
        if source is None:
            self._source = _NO_SOURCE
            self._standing = self._publisher.standing()
            return self._published("", Edition(self._status(None, now)))
        self._lap("lease")
        changes = self._read(source)
        self._lap("reading")
        if self._standing is None:
            self._standing = self._publisher.standing()
            self._timetable.all_due()
        rules = self._follow_rules(now)
        self._lap("rules")
        edition = self._edition(self._standing, rules, source, changes, now) if rules is not None else Edition()
        edition.messages += self._bars.of(self._store, changes)
        edition.messages += self._status(source, now)
        published = self._published(source.id, edition)
        self._lap("publishing")
        return published

    def _published(self, source_id: str, edition: Edition) -> bool:
        assert self._standing is not None  # noqa: S101 - the tick has read it
        if not edition.changes(self._standing.state):
            return True
        return self._publisher.publish(source_id, self._standing, edition)

    def _read(self, source: Source) -> Changes:
        """Bring the table up to date; what changed."""
        present = (source.id, source.since, str(self._store.redis.info("server")["run_id"]))
        known, self._source = self._source, _NO_SOURCE
        if known != present:
            self._table, self._version, self._said_version, self._standing = SymbolTable(), 0, 0, None
        changes = self._store.changes_since(self._version)
        if changes.version < self._version:
            # The cache came back without its last moments: what was seen of them may come again as another version.
            self._table = SymbolTable()
            changes = self._store.changes_since(0)
        self._table.put_changes(self._store, changes)
        # Only now: what fails half-way has to be read from the beginning.
        self._source, self._version = present, changes.version
        return changes

    def _follow_rules(self, now: float) -> Rules | None:
        """The rules as they stand, compiled when one is new or changed; None while they could never be read."""
        if now < self._rules_again_at:
            return self._rules
        began = perf_counter()
        try:
            rules = self._read_rules()
        except (DatabaseError, InterfaceError) as error:
            log.warning("scanners cannot be read, the last ones stay: %s", error)
            self._rules_again_at = now + _PAUSE_OF_RULES * (perf_counter() - began)
            return self._rules
        if rules == self._rules:
            return rules
        if self._rules is None or rules.scanners != self._rules.scanners:
            self._scans = ScanSet.compile(rules.scanners)
            self._timetable.follow(rules.scanners)
            # Named again, if they still deserve it.
            self._failing = {}
        self._alerts = AlertRules(rules.scanners, rules.levels)
        self._rules = rules
        self.work.follows(scanner.slug for scanner in rules.scanners)
        return rules

    def _edition(self, standing: Standing, rules: Rules, source: Source, changes: Changes, now: float) -> Edition:
        """All that the tick publishes beside the status."""
        boards, edition = standing.boards, Edition()
        edition.owners = {rule: owner for rule, owner in rules.owners().items() if owner != standing.owners.get(rule)}
        due, quoted = self._timetable.due(now), self._quoted(changes)
        if due or quoted or rules.levels or self._alerts.gone(standing.state):
            moment = moment_of(self._store, source)
            rows = self._table.rows(moment, default_profile(self._store))
            self._lap("rows")
            ranking = self._rank(rows, due, now)
            self._lap("ranking")
            edition.alerts, edition.state = self._alerts.edges(rows, ranking, moment, standing.state)
            self._lap("alerts")
            self._show(standing, rows, ranking, quoted, moment, edition, now)
        # Nobody keeps looking at what a scanner showed before it was switched off, deleted or broken.
        kept = {scanner.slug for scanner in rules.scanners} - self._failing.keys()
        for slug in sorted(boards.slugs - kept):
            self._show_board(standing, slug, [], edition, now)
        followed = [slug for slug in boards.slugs if self._store.interest.wanted(delta_channel(slug))]
        edition.messages += boards.again(kept, followed, now)
        edition.messages += boards.top_10_lists(now)
        self._lap("encoding")
        return edition

    def _rank(self, rows: pl.DataFrame, due: set[str], now: float) -> Ranking:
        ranking = self._scans.rank(rows, due)
        self._timetable.done(due, now)
        for slug, problem in ranking.errors.items():
            if self._failing.get(slug) != problem:
                log.error("scanner %s does not run: %s", slug, problem)
        for slug in self._scans.slow - self._slow:
            log.warning("scanner %s is slow (%.0f ms)", slug, ranking.seconds.get(slug, 0.0) * 1_000)
        still = {slug: problem for slug, problem in self._failing.items() if slug not in due}
        self._failing, self._slow = still | ranking.errors, set(self._scans.slow)
        self.work.ranked(ranking, self._failing, self._slow)
        return ranking

    def _show(
        self,
        standing: Standing,
        rows: pl.DataFrame,
        ranking: Ranking,
        quoted: list[str],
        moment: Moment,
        edition: Edition,
        now: float,
    ) -> None:
        """Boards and quotes, each row encoded once."""
        of_quotes = np.flatnonzero(rows["symbol"].is_in(quoted).to_numpy()) if quoted else np.empty(0, np.intp)
        encoded = EncodedRows(rows, (*ranking.order.values(), of_quotes))
        for slug, order in ranking.order.items():
            self._show_board(standing, slug, encoded.of(order), edition, now)
        edition.messages += [
            Message(f"quote:{symbol}", 0, b'%s,"clock":%d}' % (row[:-1], moment.clock))
            for symbol, row in encoded.of(of_quotes)
        ]

    def _show_board(
        self, standing: Standing, slug: str, shown: list[tuple[str, bytes]], edition: Edition, now: float
    ) -> None:
        with_delta = self._store.interest.wanted(delta_channel(slug))
        if messages := standing.boards.show(slug, shown, now, with_delta):
            edition.messages += messages
            edition.versions[slug] = standing.boards.version(slug)

    def _quoted(self, changes: Changes) -> list[str]:
        """Changed symbols whose `quote:{SYM}` somebody listens to."""
        interest = self._store.interest
        interest.told(int(self._store.redis.get(keys.INTEREST) or 0))
        interest.refresh()
        if not interest.any_of("quote:"):
            return []
        changed = changes.rows | changes.trades | {symbol for symbol, _, _ in changes.chunks}
        changed |= changes.reference | changes.news | changes.seeded
        return [symbol for raw in changed if interest.wanted(f"quote:{(symbol := raw.decode())}")]

    def _lap(self, step: str) -> None:
        now = perf_counter()
        self.laps[step] = now - self._lap_began
        self._lap_began = now

    def _status(self, source: Source | None, now: float) -> list[Message]:
        """The status, once a second."""
        if 0 <= now - self._status_at < _STATUS_S - 0.125:
            return []
        self._status_at = now
        scans = ScansState(tick_ms=round(self._longest_s * 1_000), failing=self._failing, slow=sorted(self._slow))
        self._longest_s = 0.0
        listener = self._store.redis.get(keys.LISTENER_STATE)
        status = status_message(source, listener, time() * 1_000, scans)
        return [Message(keys.STATUS, _STATUS_LIFE_MS, _encode(status))]


@lru_cache(maxsize=1)
def default_engine() -> Engine:
    """The process's own engine."""
    return Engine(default_store())
