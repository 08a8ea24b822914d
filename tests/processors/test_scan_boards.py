"""All scanners at once: each board as it would be alone, and one that fails or is slow delays no other."""

import math
import time
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.models import Scanner
from processors.fields import BY_NAME
from processors.scanning import boards
from processors.scanning.boards import Ranking, ScannerRow, ScanSet
from tests.processors.test_scan import MARKET, rows


def shown(ranking: Ranking, frame: pl.DataFrame) -> dict[str, list[str]]:
    return {slug: frame[order]["symbol"].to_list() for slug, order in ranking.order.items()}


def test_each_scanner_that_is_due_is_ranked() -> None:
    scans = ScanSet.compile(
        [
            ScannerRow("dear", "price > 5", "price"),
            ScannerRow("cheap", "price > 5", "price", descending=False, limit=1),
            ScannerRow("all", "", "pct_change"),
            ScannerRow("none", "false", "1"),
        ]
    )
    ranking = scans.rank(MARKET, {"dear", "cheap", "all", "none", "gone"})
    assert shown(ranking, MARKET) == {
        "dear": ["UP", "NEW"],
        "cheap": ["NEW"],
        "all": ["UP", "DOWN", "NEW", "VOID"],
        "none": [],
    }
    assert ranking.errors == {}
    assert scans.rank(MARKET, ["dear"]).order.keys() == {"dear"}
    assert scans.rank(MARKET, ()).order == {}
    assert shown(scans.rank(rows(), ["all", "none"]), rows()) == {"all": [], "none": []}


def test_a_scanner_that_cannot_be_used_is_named_and_the_others_stand() -> None:
    scans = ScanSet.compile([ScannerRow("bad", "prise > 5", "price"), ScannerRow("good", "price > 5", "price")])
    assert scans.errors.keys() == {"bad"}
    ranking = scans.rank(MARKET, ["bad", "good"])
    assert ranking.order.keys() == {"good"}
    assert ranking.errors == scans.errors
    assert scans.rank(MARKET, ["good"]).errors == {}


def test_a_scanner_that_fails_is_named_and_the_others_are_ranked() -> None:
    # A column of another kind than its field's, as only a fault of our own would give.
    odd = MARKET.with_columns(volume=pl.struct("symbol"))
    scans = ScanSet.compile([ScannerRow("good", "price > 5", "price"), ScannerRow("fails", "volume > 5", "price")])
    for _ in range(2):
        ranking = scans.rank(odd, ["good", "fails"])
        assert shown(ranking, odd) == {"good": ["UP", "NEW"]}
        assert ranking.errors.keys() == {"fails"}
    assert shown(scans.rank(MARKET, ["good", "fails"]), MARKET) == {"good": ["UP", "NEW"], "fails": []}


def _work(seconds: float) -> None:
    """Keep the processor busy for so long."""
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        math.sqrt(2)


def test_a_slow_scanner_is_found_and_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = boards._evaluate

    def evaluate_slowly(frame: pl.DataFrame, scanners: Any) -> Any:
        _work(0.06 if any(one.scanner.slug == "slow" for one in scanners) else 0)
        return evaluate(frame, scanners)

    monkeypatch.setattr(boards, "_evaluate", evaluate_slowly)
    now = 100.0
    monkeypatch.setattr(boards, "monotonic", lambda: now)
    scans = ScanSet.compile([ScannerRow("slow", "price > 5", "price"), ScannerRow("fast", "price > 5", "price")])
    both = ["slow", "fast"]
    # Together they take too long; then each is timed; from then on the others go first and alone.
    assert scans.rank(MARKET, both).order.keys() == {"slow", "fast"}
    assert not scans.slow
    ranking = scans.rank(MARKET, both)
    assert ranking.order.keys() == {"slow", "fast"}
    assert ranking.seconds["slow"] > 0.05 > ranking.seconds["fast"]
    assert scans.slow == {"slow"}
    assert scans.rank(MARKET, both).order.keys() == {"fast"}
    now += 5.1
    assert scans.rank(MARKET, both).order.keys() == {"slow", "fast"}
    assert scans.rank(MARKET, both).order.keys() == {"fast"}
    # It has become fast.
    monkeypatch.setattr(boards, "_evaluate", evaluate)
    now += 5.1
    scans.rank(MARKET, both)
    assert not scans.slow
    assert scans.rank(MARKET, both).order.keys() == {"slow", "fast"}


def test_without_a_budget_nothing_depends_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = boards._evaluate

    def evaluate_slowly(frame: pl.DataFrame, scanners: Any) -> Any:
        _work(0.06)
        return evaluate(frame, scanners)

    monkeypatch.setattr(boards, "_evaluate", evaluate_slowly)
    scans = ScanSet.compile([ScannerRow("slow", "price > 5", "price")], budget_s=math.inf)
    for _ in range(3):
        assert scans.rank(MARKET, ["slow"]).order.keys() == {"slow"}


_ROWS = st.lists(
    st.tuples(st.sampled_from((None, 1.0, 2.0, 3.0, -1.0, 0.0, -0.0, math.nan, math.inf, -math.inf)), st.booleans()),
    max_size=30,
)


@given(_ROWS, st.booleans(), st.integers(1, 8), st.randoms())
@settings(deadline=None, max_examples=60)
def test_a_board_is_the_sorted_rows_cut_at_its_limit(
    values: list[tuple[float | None, bool]], descending: bool, limit: int, random: Any
) -> None:
    given_rows = [
        {"symbol": f"S{number:02d}", "pct_change": value, "complete": complete}
        for number, (value, complete) in enumerate(values)
    ]
    random.shuffle(given_rows)
    frame = rows(*given_rows)
    scans = ScanSet.compile([ScannerRow("board", "complete", "pct_change", descending, limit)])

    def place(row: dict[str, Any]) -> tuple[bool, float, str]:
        value = row["pct_change"]
        unknown = value is None or not math.isfinite(value)
        return unknown, 0.0 if unknown else (-value if descending else value), row["symbol"]

    expected = [row["symbol"] for row in sorted((row for row in given_rows if row["complete"]), key=place)][:limit]
    assert shown(scans.rank(frame, ["board"]), frame) == {"board": expected}


def _shipped(**fields: Any) -> dict[str, Any]:
    """A row that stands on most shipped boards, but for what is said."""
    return {
        "symbol": "GO",
        "price": 5.0,
        "free_float": 1e6,
        "pct_change": 30.0,
        "gap_pct": 20.0,
        "complete": True,
        "accumulated_volume": 10**6,
        "relative_volume": 8.0,
        "news_count_24h": 1,
        "clock": 10**12,
        "new_high_at": 10**12 - 60_000,
        "vwap_crossed_at": 10**12,
        "change_5m_pct": 6.0,
        "volume_1m": 60_000,
        "volume_5m": 90_000,
        "volume_spike": 9.0,
        "notional_1m": 1.0,
        "notional_5m": 1.0,
        "notional_1h": 1.0,
        "halted": False,
        **fields,
    }


@pytest.mark.django_db
def test_the_shipped_boards_show_what_they_say() -> None:
    frame = rows(
        _shipped(),
        # Nothing is known of it but its price.
        {"symbol": "UNKNOWN", "price": 5.0, "complete": True, "clock": 10**12},
        _shipped(symbol="GREAT", free_float=1e9, price=100.0),
        # Without the float all shares stand in: ten million of them.
        _shipped(symbol="NOFLOAT", free_float=None, market_cap=5e7, pct_change=12.0),
        # Three pillars: neither news nor volume.
        _shipped(symbol="THREE", news_count_24h=0, relative_volume=1.0, pct_change=90.0),
        _shipped(symbol="HALT", free_float=1e9, halted=True, halted_at=10**12 - 900_000, pct_change=-9.0),
        _shipped(symbol="BACK", free_float=1e9, resumed_at=10**12 - 500_000, pct_change=-8.0),
        _shipped(symbol="LONGBACK", free_float=1e9, resumed_at=10**12 - 700_000, price=30.0),
        _shipped(symbol="STALE", new_high_at=10**12 - 400_000, vwap_crossed_at=10**12 - 400_000, volume_spike=1.0),
    )
    scanners = [ScannerRow(*values) for values in Scanner.objects.values_list(*ScannerRow.__struct_fields__)]
    scans = ScanSet.compile(scanners)
    assert not scans.errors
    found = shown(scans.rank(frame, [scanner.slug for scanner in scanners]), frame)
    assert found["halts"] == ["BACK", "HALT"]
    assert found["resumptions"] == ["BACK"]
    assert found["top_losers"] == ["HALT", "BACK"]
    assert found["small_cap_5_pillars"] == ["GO", "STALE", "NOFLOAT"]
    assert found["small_cap_top_gainers"] == ["THREE", "GO", "STALE", "NOFLOAT"]
    assert found["small_cap_hod_momo"] == ["GO", "NOFLOAT"]
    assert "STALE" not in found["vwap_crosses"] + found["volume_spikes"]
    assert all("UNKNOWN" not in board for board in found.values())
    assert all(set(scanner.columns) <= BY_NAME.keys() for scanner in scanners)
