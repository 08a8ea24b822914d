"""What the engine has done of late, for operators: its ticks, and each scanner."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from processors.components.feed_work import Durations
from processors.scanning.boards import Ranking


class EngineWork:
    """Written by the engine's ticks, read by whoever reports on it.

    Attributes:
        ticks: Since the process began, those on which another engine had the turn left out.
        revision: Grows with each change of the rules that the engine follows.
        scanners: By slug of each scanner that runs, how many `rows` its board shows, the processor's time (`ms`) it
            took when it was last ranked alone, why it is `failing`, and whether it is `slow`.
    """

    def __init__(self) -> None:
        self.ticks = self.revision = 0
        self.scanners: dict[str, dict[str, Any]] = {}
        self._durations = Durations()
        self._leads = False

    def ticked(self, seconds: float, published: bool) -> None:
        """Take note of a tick, and of whether this engine had the turn."""
        self._leads = published
        if published:
            self.ticks += 1
            self._durations.add(seconds * 1_000)

    def follows(self, slugs: Iterable[str]) -> None:
        """Take note of the scanners that run from now on."""
        self.revision += 1
        new: dict[str, Any] = {"rows": 0, "ms": None, "failing": "", "slow": False}
        self.scanners = {slug: self.scanners.get(slug, new) for slug in slugs}

    def ranked(self, ranking: Ranking, failing: Mapping[str, str], slow: Collection[str]) -> None:
        """Take note of what the scanners gave that were due."""
        alone = ranking.seconds
        self.scanners = {
            slug: {
                "rows": len(ranking.order[slug]) if slug in ranking.order else known["rows"],
                "ms": round(alone[slug] * 1_000, 1) if slug in alone else known["ms"],
                "failing": failing.get(slug, ""),
                "slow": slug in slow,
            }
            for slug, known in self.scanners.items()
        }

    def figures(self) -> dict[str, Any]:
        """`tick_ms` (`last`, `p50`, `p99`, `max` of the last minute), `ticks`, `leads`: whether this engine has the
        turn, `scanners`, and `scanners_revision`, which grows with each change of the rules."""
        return {
            "tick_ms": self._durations.summary(),
            "ticks": self.ticks,
            "leads": self._leads,
            "scanners": self.scanners,
            "scanners_revision": self.revision,
        }
