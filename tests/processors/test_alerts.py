"""Alerts by rules: one an edge, by event time, from any engine; and their way into the database."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from control.models import Alert as KeptAlert
from processors.scanning.alert_history import store_alerts
from processors.scanning.alerts import Alert, AlertRules, Level, RuleState, State, alert_id
from processors.scanning.boards import Ranking, ScannerRow
from processors.store import ALERTS_OUTBOX, Store
from processors.symbols.moment import Moment
from tests.processors.feeding import at

OPEN = at("2024-03-11 09:30:00.000")
MINUTE = 60_000
_ROW: dict[str, Any] = {
    "symbol": "A",
    "trading_day": "2024-03-11",
    "complete": True,
    "name": None,
    "price": 5.0,
    "halt_reason": None,
    **dict.fromkeys(("new_high_at", "new_low_at", "halted_at", "resumed_at")),
    **{f"{session}_{side}": None for session in ("pre", "regular", "post", "prev_day") for side in ("high", "low")},
}
_SCHEMA = {
    name: pl.Boolean if name == "complete" else pl.Int64 if name.endswith("_at") else pl.String for name in _ROW
} | {name: pl.Float64 for name in _ROW if name.endswith(("_high", "_low", "price"))}


class Looks:
    """A rule that looks at its board again and again, its state packed and unpacked in between as Redis keeps it."""

    def __init__(self, alert_on: str, cooldown_s: int = 300, levels: Sequence[Level] = ()) -> None:
        self.scanner = ScannerRow("board", "", "price", alert_on=alert_on, cooldown_s=cooldown_s)
        self.levels = levels
        self.state: State = {}

    def look(self, clock: int, on_board: str, *rows: dict[str, Any]) -> list[Alert]:
        """Alerts when the board shows these symbols and the table has these rows (else: those, as usual)."""
        given = {row["symbol"]: row for row in rows}
        frame = pl.DataFrame(
            [_ROW | given.get(symbol, {"symbol": symbol}) for symbol in dict.fromkeys([*on_board, *given])], _SCHEMA
        )
        order = np.array([frame["symbol"].to_list().index(symbol) for symbol in on_board], np.intp)
        alerts, state = AlertRules([self.scanner], self.levels).edges(
            frame, Ranking({"board": order}), Moment(clock, None, "regular", whole_day=True), self.state
        )
        packed = msgspec.msgpack.encode(state)
        self.state = msgspec.msgpack.decode(packed, type=dict[str, RuleState])
        return alerts

    def symbols(self, clock: int, on_board: str, *rows: dict[str, Any]) -> list[str]:
        return [alert.symbol for alert in self.look(clock, on_board, *rows)]


def test_entering_gives_one_alert_and_what_stood_there_at_first_none() -> None:
    board = Looks("enter", cooldown_s=0)
    assert board.symbols(OPEN, "AB") == []
    assert board.symbols(OPEN + 1_000, "CAB") == ["C"]
    assert board.symbols(OPEN + 2_000, "ABC") == []
    assert board.symbols(OPEN + 3_000, "B") == []
    assert board.symbols(OPEN + 4_000, "AB") == ["A"]


def test_an_alert_carries_its_row_and_an_id_of_rule_symbol_kind_and_time() -> None:
    board = Looks("enter")
    board.look(OPEN, "")
    (alert,) = board.look(OPEN + 1_000, "A", {"symbol": "A", "price": 4.5, "name": "Alpha"})
    assert (alert.rule, alert.kind, alert.at, alert.price, alert.name) == ("board", "enter", OPEN + 1_000, 4.5, "Alpha")
    assert alert.row == _ROW | {"price": 4.5, "name": "Alpha"}
    assert alert.id == alert_id("board", "A", "enter", OPEN + 1_000)
    assert len(alert.id) == 32
    assert alert.id not in {
        alert_id("board", "A", "leave", OPEN + 1_000),
        alert_id("other", "A", "enter", OPEN + 1_000),
        alert_id("board", "A", "enter", OPEN + 1_001),
    }


def test_leaving_gives_an_alert_but_the_end_of_a_day_none() -> None:
    board = Looks("leave")
    board.look(OPEN, "AB")
    assert board.symbols(OPEN + 1_000, "B", {"symbol": "A"}) == ["A"]
    assert board.symbols(OPEN + 2_000, "") == []


def test_an_incomplete_row_enters_silently_and_for_good() -> None:
    board = Looks("enter")
    board.look(OPEN, "")
    assert board.symbols(OPEN + 1_000, "A", {"symbol": "A", "complete": False}) == []
    assert board.symbols(OPEN + 2_000, "A") == []


def test_the_cooldown_is_of_the_markets_time_by_symbol_from_the_last_alert_on() -> None:
    board = Looks("enter", cooldown_s=60)
    board.look(OPEN, "")
    assert board.symbols(OPEN, "A") == ["A"]
    board.look(OPEN + 10_000, "")
    assert board.symbols(OPEN + 59_999, "AB") == ["B"]
    board.look(OPEN + 59_999, "")
    assert board.symbols(OPEN + 60_000, "A") == ["A"]


def test_two_edges_of_the_same_millisecond_are_one_alert() -> None:
    board = Looks("enter", cooldown_s=0, levels=[Level(7, "B", 5.0, "cross", cooldown_s=0)])
    board.look(OPEN, "", {"symbol": "B", "price": 4.0})
    ids = [
        alert.id
        for on_board, price in (("A", 6.0), ("", 4.0), ("A", 6.0))
        for alert in board.look(OPEN + 1, on_board, {"symbol": "B", "price": price})
    ]
    assert len(ids) == len(set(ids)) == 2


def test_a_changed_condition_begins_silently() -> None:
    board = Looks("enter", cooldown_s=0)
    board.look(OPEN, "A")
    board.scanner = msgspec.structs.replace(board.scanner, where="price > 1")
    assert board.symbols(OPEN + 1_000, "AB") == []
    assert board.symbols(OPEN + 2_000, "ABC") == ["C"]
    board.scanner = msgspec.structs.replace(board.scanner, cooldown_s=1, tick_ms=250)
    assert board.symbols(OPEN + 4_000, "ABCD") == ["D"]


def test_a_board_that_is_not_due_keeps_what_it_saw_and_a_rule_that_went_forgets() -> None:
    board = Looks("enter")
    board.look(OPEN, "A")
    rules, nothing = AlertRules([board.scanner]), Ranking({})
    moment, rows = Moment(OPEN + 1, None, "regular", whole_day=True), pl.DataFrame([_ROW])
    assert rules.edges(rows, nothing, moment, board.state) == ([], board.state)
    assert AlertRules([]).edges(rows, nothing, moment, board.state) == ([], {})


def high(at_ms: int, symbol: str = "A", **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "new_high_at": at_ms, **more}


def test_a_new_high_is_told_once_and_only_while_it_is_fresh() -> None:
    board = Looks("new_high", cooldown_s=0)
    assert board.symbols(OPEN + 1_000, "A", high(OPEN)) == []
    assert board.symbols(OPEN + MINUTE, "A", high(OPEN)) == []
    assert board.symbols(OPEN + MINUTE + 500, "A", high(OPEN + MINUTE)) == ["A"]
    assert board.symbols(OPEN + MINUTE + 900, "A", high(OPEN + MINUTE)) == []
    # A correction takes it back, and gives it again.
    assert board.symbols(OPEN + 2 * MINUTE, "A", high(OPEN)) == []
    assert board.symbols(OPEN + 2 * MINUTE, "A", high(OPEN + MINUTE)) == []
    # Two minutes old to the millisecond, and older.
    assert board.symbols(OPEN + 5 * MINUTE, "B", high(OPEN + 3 * MINUTE, "B")) == ["B"]
    assert board.symbols(OPEN + 5 * MINUTE, "C", high(OPEN + 3 * MINUTE - 1, "C")) == []
    assert board.symbols(OPEN + 5 * MINUTE, "D", high(OPEN + 5 * MINUTE, "D", complete=False)) == []
    # Only what the board shows.
    assert board.symbols(OPEN + 5 * MINUTE, "", high(OPEN + 5 * MINUTE, "E")) == []


@pytest.mark.parametrize(
    ("when", "row", "note"),
    [
        ("09:31:00", {"regular_high": 5.3, "pre_high": 5.2, "prev_day_high": 6}, "above the pre-market high 5.20"),
        (
            "09:31:00",
            {"regular_high": 5.3, "pre_high": 5.2, "prev_day_high": 5.25},
            "above the pre-market high 5.20 and yesterday's high 5.25",
        ),
        ("09:31:00", {"regular_high": 5.2, "pre_high": 5.2}, ""),
        ("08:00:00", {"pre_high": 0.52, "prev_day_high": 0.5}, "above yesterday's high 0.5000"),
        ("16:10:00", {"post_high": 5.4, "regular_high": 5.3}, "above the regular session's high 5.30"),
    ],
)
def test_the_note_names_the_earlier_extremes_that_were_broken(when: str, row: dict[str, Any], note: str) -> None:
    board, clock = Looks("new_high"), at(f"2024-03-11 {when}.000")
    board.look(clock - 1_000, "A")
    (alert,) = board.look(clock, "A", high(clock, **row))
    assert alert.note == note


def test_a_new_low_is_told_with_what_it_is_below() -> None:
    board = Looks("new_low")
    board.look(OPEN, "A")
    row = {"symbol": "A", "new_low_at": OPEN, "regular_low": 3.0, "pre_low": 3.1, "prev_day_low": 2.5}
    (alert,) = board.look(OPEN + 1_000, "A", row)
    assert (alert.kind, alert.at, alert.note) == ("new_low", OPEN, "below the pre-market low 3.10")


def test_a_halt_and_what_it_takes_off_the_board_are_told_of_incomplete_rows_too() -> None:
    halts, resumptions = Looks("halt"), Looks("resume")
    halts.look(OPEN, "AB")
    halted = {"symbol": "A", "halted_at": OPEN + 500, "halt_reason": "LULD pause", "complete": False}
    (alert,) = halts.look(OPEN + 1_000, "B", halted)
    assert (alert.symbol, alert.at, alert.note) == ("A", OPEN + 500, "LULD pause")
    assert halts.symbols(OPEN + 2_000, "AB", halted) == []
    resumptions.look(OPEN + 1_000, "A", halted)
    assert resumptions.symbols(OPEN + 400_000, "", halted | {"resumed_at": OPEN + 300_500}) == ["A"]
    # Who comes to the board hours after its halt was not halted now.
    assert halts.symbols(OPEN + 7_200_000, "C", {"symbol": "C", "halted_at": OPEN}) == []


@pytest.mark.parametrize(
    ("direction", "told"),
    [("above", ["rose to 5: mine"]), ("below", ["fell to 5: mine"]), ("cross", ["rose to 5: mine", "fell to 5: mine"])],
)
def test_a_price_level_is_told_when_the_price_goes_through_it(direction: str, told: list[str]) -> None:
    looks = Looks("", levels=[Level(7, "A", 5.0, direction, "mine", cooldown_s=0)])
    notes = []
    for second, price in enumerate((4.9, 4.95, 5.0, 5.1, 5.2, 5.0, 4.8)):
        alerts = looks.look(OPEN + second * 1_000, "", {"symbol": "A", "price": price, "complete": False})
        assert {(alert.rule, alert.kind, alert.at) for alert in alerts} <= {("level:7", "level", OPEN + second * 1_000)}
        notes += [alert.note for alert in alerts]
    assert notes == told
    assert looks.look(OPEN + 9_000, "B") == []


def outbox(store: Store, *symbols: str, raw: Sequence[bytes] = ()) -> None:
    for symbol in symbols:
        board = Looks("enter")
        board.look(OPEN, "")
        (alert,) = board.look(OPEN + 1, symbol)
        store.redis.rpush(ALERTS_OUTBOX, msgspec.json.encode(alert))
    for payload in raw:
        store.redis.rpush(ALERTS_OUTBOX, payload)


@pytest.mark.django_db
def test_the_outbox_goes_into_the_database_once_and_is_empty_then(store: Store) -> None:
    outbox(store, "A", "B")
    assert store_alerts(store) == 2
    assert store.redis.llen(ALERTS_OUTBOX) == 0
    # An engine that went back to an older state, or an outbox that was read twice.
    outbox(store, "B", "C", raw=[b"{", b"{}"])
    assert store_alerts(store) == 4
    assert list(KeptAlert.objects.order_by("symbol").values_list("symbol", "rule", "kind", "at", "price")) == [
        (symbol, "board", "enter", OPEN + 1, 5.0) for symbol in "ABC"
    ]
    kept = KeptAlert.objects.get(symbol="A")
    assert (kept.trading_day.isoformat(), kept.row) == ("2024-03-11", _ROW)
