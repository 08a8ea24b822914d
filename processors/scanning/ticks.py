"""What the engine is to do, and when: the rules as people have written them, and which boards are due at a tick."""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from control.models import PriceLevel, Scanner
from processors.scanning.alerts import Level
from processors.scanning.boards import ScannerRow

# The base tick comes a little early or late; a board that is due within half of one is due now.
_TOLERANCE_S: Final = 0.125


class Rules(msgspec.Struct, frozen=True):
    """What people have written: the enabled scanners and price levels."""

    scanners: tuple[ScannerRow, ...] = ()
    levels: tuple[Level, ...] = ()

    def owners(self) -> dict[str, int]:
        """Whose each rule is; 0: everyone's."""
        scanners = {scanner.slug: scanner.owner_id or 0 for scanner in self.scanners}
        return scanners | {level.rule: level.user_id for level in self.levels}


def read_rules() -> Rules:
    """The rules as they stand now: two short queries.

    Raises:
        DatabaseError: The database cannot be read.
    """
    scanners = Scanner.objects.filter(enabled=True).order_by("slug")
    levels = PriceLevel.objects.filter(enabled=True).order_by("pk")
    return Rules(
        tuple(ScannerRow(*values) for values in scanners.values_list(*ScannerRow.__struct_fields__)),
        tuple(Level(*values) for values in levels.values_list(*Level.__struct_fields__)),
    )


class Timetable:
    """When each board is due: at once when it is new or changed, then once in its own tick."""

    def __init__(self) -> None:
        self._scanners: dict[str, ScannerRow] = {}
        self._due_at: dict[str, float] = {}

    def follow(self, scanners: Iterable[ScannerRow]) -> None:
        """Take the scanners as they stand."""
        now = {scanner.slug: scanner for scanner in scanners}
        for slug in self._scanners:
            if now.get(slug) != self._scanners[slug]:
                self._due_at.pop(slug, None)
        self._scanners = now

    def all_due(self) -> None:
        """Let every board be due at the next tick."""
        self._due_at.clear()

    def due(self, now: float) -> set[str]:
        """The boards whose time has come, at `now` in seconds of the engine's clock."""
        return {slug for slug in self._scanners if self._due_at.get(slug, now) <= now + _TOLERANCE_S}

    def done(self, slugs: Collection[str], now: float) -> None:
        """Take note that these were looked at; the next turn keeps the rhythm, unless it is lost already."""
        for slug in slugs:
            every = self._scanners[slug].tick_ms / 1_000
            kept = self._due_at.get(slug, now) + every
            self._due_at[slug] = kept if kept > now else now + every
