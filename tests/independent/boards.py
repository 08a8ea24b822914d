"""The shipped boards as they are described, each a test of one row and what ranks the rows that pass it."""

from collections.abc import Callable
from typing import Any

from tests.independent.market import pillars

Row = dict[str, Any]
_MINUTE = 60_000


def _least(row: Row, **bounds: float) -> bool:
    """Whether each of these is known and at least so much."""
    return all(row[name] is not None and row[name] >= bound for name, bound in bounds.items())


def _above(row: Row, *names: str) -> bool:
    """Whether each of these is known and above zero."""
    return all(row[name] is not None and row[name] > 0 for name in names)


def _recent(row: Row, name: str, minutes: int) -> bool:
    return row[name] is not None and row[name] >= row["clock"] - minutes * _MINUTE


def _small(row: Row) -> bool:
    """Between 1 and 20 dollars, and at most 50 million shares: the float, or all while that is unknown."""
    shares = row["free_float"]
    if shares is None and row["market_cap"] is not None and row["price"]:
        shares = row["market_cap"] / row["price"]
    return row["price"] is not None and 1 <= row["price"] <= 20 and shares is not None and shares <= 50e6


def _relative_volume(row: Row) -> float:
    usual = row["relative_volume"] if row["relative_volume_tod"] is None else row["relative_volume_tod"]
    return usual or 0.0


def _times(row: Row, name: str) -> float | None:
    return row[name] * row["price"] if row[name] is not None and row["price"] is not None else None


def _spikes(row: Row) -> bool:
    moved = row["change_1m_pct"] is not None and abs(row["change_1m_pct"]) >= 1
    return moved and _least(row, volume_spike=5, price=1, volume_1m=10_000)


def _momentum(row: Row) -> bool:
    moving = _least(row, pct_change=5, volume_5m=20_000) and _relative_volume(row) >= 2
    return _small(row) and _recent(row, "new_high_at", 5) and moving


# What passes, what ranks it, greatest first, and how many are shown.
_BOARDS: dict[str, tuple[Callable[[Row], bool], Callable[[Row], float | None], int]] = {
    "top_volume": (lambda row: _above(row, "accumulated_volume"), lambda row: row["accumulated_volume"], 50),
    "top_gainers": (lambda row: _above(row, "pct_change", "accumulated_volume"), lambda row: row["pct_change"], 50),
    "top_gappers": (lambda row: _above(row, "gap_pct", "accumulated_volume"), lambda row: row["gap_pct"], 50),
    "top_losers": (
        lambda row: row["pct_change"] is not None and row["pct_change"] < 0 and _above(row, "accumulated_volume"),
        lambda row: -row["pct_change"],
        50,
    ),
    "top_trades:1m": (lambda row: _above(row, "notional_1m"), lambda row: row["notional_1m"], 50),
    "top_trades:5m": (lambda row: _above(row, "notional_5m"), lambda row: row["notional_5m"], 50),
    "top_trades:1h": (lambda row: _above(row, "notional_1h"), lambda row: row["notional_1h"], 50),
    "small_cap_hod_momo": (_momentum, lambda row: row["new_high_at"] + (row["change_5m_pct"] or 0), 50),
    "small_cap_running_up": (
        lambda row: _small(row) and _least(row, change_5m_pct=4, volume_5m=50_000),
        lambda row: row["change_5m_pct"],
        50,
    ),
    "small_cap_gappers": (
        lambda row: _small(row) and _least(row, gap_pct=10, accumulated_volume=50_000),
        lambda row: row["gap_pct"],
        50,
    ),
    "small_cap_top_gainers": (
        lambda row: _small(row) and _least(row, pct_change=10, accumulated_volume=100_000),
        lambda row: row["pct_change"],
        50,
    ),
    "small_cap_5_pillars": (
        lambda row: (row["pct_change"] or 0) > 0 and pillars(row) >= 4,
        lambda row: 1_000_000 * pillars(row) + (row["pct_change"] or 0),
        50,
    ),
    "halts": (
        lambda row: row["halted"] or _recent(row, "resumed_at", 10),
        lambda row: row["halted_at"] if row["halted"] else row["resumed_at"],
        100,
    ),
    "resumptions": (
        lambda row: not row["halted"] and _recent(row, "resumed_at", 10),
        lambda row: row["resumed_at"],
        50,
    ),
    "volume_spikes": (_spikes, lambda row: row["volume_spike"], 50),
    "vwap_crosses": (
        lambda row: _recent(row, "vwap_crossed_at", 5) and _least(row, accumulated_volume=100_000, price=1),
        lambda row: _times(row, "volume_5m"),
        50,
    ),
}
BOARDS = tuple(_BOARDS)


def board(slug: str, rows: list[Row]) -> list[Row]:
    """The rows that a board shows, best first; what ranks by nothing known comes last, ties by symbol."""
    passes, rank, limit = _BOARDS[slug]
    ranked = sorted(
        ((rank(row), row["symbol"], row) for row in rows if passes(row)),
        key=lambda entry: (entry[0] is None, -(entry[0] or 0), entry[1]),
    )
    return [row for _, _, row in ranked[:limit]]
