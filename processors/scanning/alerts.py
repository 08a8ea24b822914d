"""When a rule gives an alert: edges between what it saw before and what it sees now, by event time alone.

A rule is a scanner with `alert_on`, or a price level. What it saw is its `RuleState`, a value that the engine keeps in
Redis with everything else that one tick writes, so that whichever engine comes next goes on from there.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec
import polars as pl

from processors.fields.row import Row
from processors.scanning.boards import Indices, Ranking, ScannerRow
from processors.sessions import SESSIONS, session_at
from processors.symbols.moment import Moment

Kind = Literal["enter", "leave", "new_high", "new_low", "halt", "resume", "level"]

# An extreme is told in its own minute or the one after: what a late or corrected bar changes further back is no news.
EXTREME_FRESH_MS: Final = 120_000
# Halts of NYSE-listed names come by a page that is polled.
HALT_FRESH_MS: Final = 300_000
# Where an edge has a time of its own: the field that says it, and how old it may be.
_TIMED: Final[dict[str, tuple[str, int]]] = {
    "new_high": ("new_high_at", EXTREME_FRESH_MS),
    "new_low": ("new_low_at", EXTREME_FRESH_MS),
    "halt": ("halted_at", HALT_FRESH_MS),
    "resume": ("resumed_at", HALT_FRESH_MS),
}
# What a halt takes off the board, or brings back, is told all the same; and whatever is known of the day.
_OF_HALTS: Final = frozenset({"halt", "resume"})
_EXTREMES: Final = frozenset({"new_high", "new_low"})


class Level(msgspec.Struct, frozen=True):
    """A price level; the fields mean what they mean in `control.models.PriceLevel`."""

    id: int
    symbol: str
    price: float
    direction: str
    note: str = ""
    cooldown_s: int = 300
    user_id: int = 0

    @property
    def rule(self) -> str:
        """The rule's name."""
        return f"level:{self.id}"


class Alert(msgspec.Struct, frozen=True):
    """The payload of `alerts` and `alerts:{rule}`.

    Attributes:
        id: Made of rule, symbol, kind and `at`: the same edge is the same alert, whoever finds it.
        rule: A scanner's slug, or `level:` and a price level's number.
        at: Event time of the edge, epoch milliseconds.
        price: Of the symbol, when the edge was found.
        row: The symbol's row as it was.
        name: The symbol's, if it is known.
    """

    id: str
    rule: str
    kind: Kind
    symbol: str
    at: int
    price: float | None
    note: str
    row: Row
    name: str | None


class RuleState(msgspec.Struct, frozen=True, array_like=True):
    """What a rule saw when it was last looked at.

    Attributes:
        definition: Of the rule; one that has changed begins anew, silently.
        members: By symbol on the board, when it came, epoch milliseconds.
        told: By symbol, the newest edge with a time of its own.
        fired: By symbol, when its last alert was, for as long as that keeps it quiet.
        side: Of a price level: -1 the price was below it, 1 above, 0 on it.
    """

    definition: str
    members: dict[str, int] = {}
    told: dict[str, int] = {}
    fired: dict[str, int] = {}
    side: int = 0


State = Mapping[str, RuleState]
# (symbol, event time, index of its row)
_Edge = tuple[str, int, int]


def alert_id(rule: str, symbol: str, kind: str, at: int) -> str:
    """The id of an alert: 128 bits of BLAKE2b in hexadecimal."""
    return blake2b(f"{rule}|{symbol}|{kind}|{at}".encode(), digest_size=16).hexdigest()


class AlertRules:
    """The rules that stand. Pure: what comes out depends on what goes in."""

    def __init__(self, scanners: Iterable[ScannerRow], levels: Iterable[Level] = ()) -> None:
        self._scanners = [scanner for scanner in scanners if scanner.alert_on]
        self._levels = list(levels)
        self._names = {scanner.slug for scanner in self._scanners} | {level.rule for level in self._levels}

    def gone(self, state: State) -> set[str]:
        """Rules of a state that stand no more: should they come back, they have to begin anew."""
        return state.keys() - self._names

    def edges(self, rows: pl.DataFrame, ranking: Ranking, moment: Moment, state: State) -> tuple[list[Alert], State]:
        """Find the edges since the last time.

        Args:
            rows: The table, every field a column.
            ranking: Boards that were due; the rules of the others stay as they are.
            moment: The market's clock for which both were computed.
            state: What this method gave the last time, {} at first.

        Returns:
            The alerts, and the state of every rule that stands; one that is unchanged is the same object.
        """
        view = _View(rows, moment.clock)
        alerts: list[Alert] = []
        after: dict[str, RuleState] = {}
        for scanner in self._scanners:
            rule, before = scanner.slug, state.get(scanner.slug)
            if rule in ranking.order:
                found, after[rule] = _of_scanner(scanner, view, ranking.order[rule], before)
                alerts += found
            elif before is not None:
                after[rule] = before
        for level in self._levels:
            rule, before = level.rule, state.get(level.rule)
            found, standing = _of_level(level, view, before)
            alerts += found
            if standing is not None:
                after[rule] = standing
        return alerts, after


class _View:
    """The rows as rules look at them."""

    def __init__(self, rows: pl.DataFrame, clock: int) -> None:
        self.rows, self.clock = rows, clock
        self._times: dict[str, list[int | None]] = {}

    @cached_property
    def names(self) -> list[str]:
        return self.rows["symbol"].to_list()

    @cached_property
    def index(self) -> dict[str, int]:
        return {symbol: index for index, symbol in enumerate(self.names)}

    @cached_property
    def complete(self) -> list[bool]:
        return self.rows["complete"].to_list()

    def symbols(self, order: Indices) -> list[str]:
        names = self.names
        return [names[index] for index in order.tolist()]

    def times(self, field: str, indices: list[int]) -> list[int | None]:
        if field not in self._times:
            self._times[field] = self.rows[field].to_list()
        times = self._times[field]
        return [times[index] for index in indices]

    def alert(self, rule: str, kind: Kind, edge: _Edge, note: Callable[[dict[str, Any], int], str]) -> Alert:
        symbol, at, index = edge
        row = self.rows.row(index, named=True)
        return Alert(
            id=alert_id(rule, symbol, kind, at),
            rule=rule,
            kind=kind,
            symbol=symbol,
            at=at,
            price=row["price"],
            note=note(row, at),
            row=row,
            name=row.get("name"),
        )


def _of_scanner(
    scanner: ScannerRow, view: _View, order: Indices, before: RuleState | None
) -> tuple[list[Alert], RuleState]:
    kind, clock = scanner.alert_on, view.clock
    definition = f"{kind}|{scanner.where}|{scanner.order_by}|{scanner.descending}|{scanner.limit}"
    known = before is not None and before.definition == definition
    was = before if before is not None and known else RuleState(definition)
    symbols, indices = view.symbols(order), [int(index) for index in order]
    # Of extremes it does not matter who came when.
    members = {} if kind in _EXTREMES else {symbol: was.members.get(symbol, clock) for symbol in symbols}
    edges: list[_Edge] = []
    told = was.told
    if kind == "enter":
        edges = [
            (symbol, clock, index) for symbol, index in zip(symbols, indices, strict=True) if symbol not in was.members
        ]
    elif kind == "leave":
        # Who has no row any more did not leave: its day is over.
        left = [symbol for symbol in was.members if symbol not in members]
        edges = [(symbol, clock, view.index[symbol]) for symbol in left if symbol in view.index]
    else:
        field, fresh_ms = _TIMED[kind]
        if kind in _OF_HALTS:
            left = [symbol for symbol in was.members if symbol not in members and symbol in view.index]
            symbols, indices = symbols + left, indices + [view.index[symbol] for symbol in left]
        edges = [
            (symbol, at, index)
            for symbol, index, at in zip(symbols, indices, view.times(field, indices), strict=True)
            if at is not None and at >= clock - fresh_ms and at > was.told.get(symbol, -1)
        ]
        told = {symbol: at for symbol, at in was.told.items() if at >= clock - fresh_ms}
        told |= {symbol: at for symbol, at, _ in edges}
    cooldown = _cooldown_ms(scanner)
    # An edge may lie as far back as it may be old.
    fired = {symbol: at for symbol, at in was.fired.items() if clock - at < cooldown + HALT_FRESH_MS}
    alerts: list[Alert] = []
    for edge in edges if known else ():
        symbol, at, index = edge
        quiet = symbol in fired and at - fired[symbol] < cooldown
        if not quiet and (kind in _OF_HALTS or view.complete[index]):
            alerts.append(view.alert(scanner.slug, kind, edge, _NOTES.get(kind, _no_note)))  # type: ignore[arg-type]
            fired[symbol] = at
    now = RuleState(definition, members, told, fired)
    return alerts, was if known and now == was else now


def _cooldown_ms(rule: ScannerRow | Level) -> int:
    # Without any, two edges of the same millisecond would still be one alert: they have the same id.
    return max(rule.cooldown_s * 1_000, 1)


def _of_level(level: Level, view: _View, before: RuleState | None) -> tuple[list[Alert], RuleState | None]:
    definition = f"{level.symbol}|{level.price}|{level.direction}"
    known = before is not None and before.definition == definition
    index = view.index.get(level.symbol)
    price = view.rows["price"][index] if index is not None else None
    if index is None or price is None:
        return [], before if known else None
    side = (price > level.price) - (price < level.price)
    if before is None or not known:
        return [], RuleState(definition, side=side)
    if side == before.side:
        return [], before
    rose, fell = before.side < 0, before.side > 0
    through = {"above": rose, "below": fell, "cross": rose or fell}[level.direction]
    at, last = view.clock, before.fired.get(level.symbol)
    if not through or (last is not None and at - last < _cooldown_ms(level)):
        return [], msgspec.structs.replace(before, side=side)
    words = f"{'rose to' if rose else 'fell to'} {level.price:.10g}" + (f": {level.note}" if level.note else "")
    alert = view.alert(level.rule, "level", (level.symbol, at, index), lambda row, at: words)
    return [alert], RuleState(definition, fired={level.symbol: at}, side=side)


def _no_note(row: dict[str, Any], at: int) -> str:
    return ""


def _extreme_note(row: dict[str, Any], at: int, side: Literal["high", "low"]) -> str:
    """Which extremes of earlier sessions the new one is beyond."""
    _, session = session_at(at)
    reached = row.get(f"{session}_{side}")
    if session not in SESSIONS or reached is None:
        return ""
    earlier = {"regular": "the regular session's", "pre": "the pre-market", "prev_day": "yesterday's"}
    for later in SESSIONS[SESSIONS.index(session) :]:
        earlier.pop(later, None)
    beyond = [
        f"{whose} {side} {extreme:.2f}" if extreme >= 1 else f"{whose} {side} {extreme:.4f}"
        for name, whose in earlier.items()
        if (extreme := row.get(f"{name}_{side}")) is not None
        and (reached > extreme if side == "high" else reached < extreme)
    ]
    return f"{'above' if side == 'high' else 'below'} {' and '.join(beyond)}" if beyond else ""


_NOTES: Final[dict[str, Callable[[dict[str, Any], int], str]]] = {
    "new_high": lambda row, at: _extreme_note(row, at, "high"),
    "new_low": lambda row, at: _extreme_note(row, at, "low"),
    "halt": lambda row, at: row["halt_reason"] or "",
}
