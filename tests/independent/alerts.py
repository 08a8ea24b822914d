"""Alerts: what a rule tells between one look at its board and the next."""

import hashlib
from typing import Any

Row = dict[str, Any]
_FRESH = {"new_high": 120_000, "new_low": 120_000, "halt": 300_000, "resume": 300_000}
_EDGE = {"new_high": "new_high_at", "new_low": "new_low_at", "halt": "halted_at", "resume": "resumed_at"}


class Rule:
    """A rule over one board, from tick to tick.

    Args:
        slug: The board's.
        kind: What is worth an alert.
        cooldown: Milliseconds of event time for which a symbol that gave an alert gives no other.
    """

    def __init__(self, slug: str, kind: str, cooldown: int) -> None:
        self.slug, self.kind, self.cooldown = slug, kind, cooldown
        self._before: set[str] | None = None
        self._told: dict[str, int] = {}
        self._fired: dict[str, int] = {}

    def look(self, board: list[Row], rows: dict[str, Row], clock: int) -> list[dict[str, Any]]:
        """The alerts of a tick, in no order.

        Args:
            board: The rows that the board shows.
            rows: All rows by symbol.
            clock: The market's clock.
        """
        now = {row["symbol"] for row in board}
        before, self._before = self._before, now
        edges: dict[str, int] = {}
        if self.kind == "enter":
            edges = dict.fromkeys(now - (before or set()), clock)
        elif self.kind == "leave":
            edges = dict.fromkeys({symbol for symbol in (before or set()) - now if symbol in rows}, clock)
        else:
            looked_at = now
            if self.kind in ("halt", "resume"):
                # What a halt takes off the board is told, too.
                looked_at = now | {symbol for symbol in before or () if symbol in rows}
            for symbol in looked_at:
                at = rows[symbol][_EDGE[self.kind]]
                if at is not None and at >= clock - _FRESH[self.kind] and at > self._told.get(symbol, 0):
                    edges[symbol] = at
            self._told |= edges
        if before is None:
            return []  # what stands when a rule begins is no news
        alerts = []
        for symbol, at in edges.items():
            if symbol in self._fired and at - self._fired[symbol] < self.cooldown:
                continue
            if self.kind not in ("halt", "resume") and not rows[symbol]["complete"]:
                continue
            self._fired[symbol] = at
            alerts.append(self._alert(rows[symbol], at))
        return alerts

    def _alert(self, row: Row, at: int) -> dict[str, Any]:
        text = f"{self.slug}|{row['symbol']}|{self.kind}|{at}"
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        known = {"rule": self.slug, "kind": self.kind, "symbol": row["symbol"], "at": at, "price": row["price"]}
        return {"id": name, **known}
