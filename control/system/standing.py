"""Which problems stand: one that is only glimpsed is none, and one that is gone for a moment is not over."""

import msgspec

from control.system.state import Severity, SystemProblem, SystemRecovery

_TOLD_MS = 60_000
_MOST_RECOVERIES = 20
# What these say is counted over a minute, which whoever goes on with them has yet to see.
_OF_A_MINUTE = frozenset({"accounts:wasted", "accounts:malformed", "cache:evicted", "web:dropped"})


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A problem as it is seen at this moment.

    Attributes:
        id: The same each time that it is seen.
        well: What is said when it is over, such as `feed1 is back`.
        after_ms: It has to be seen for so long before it is told.
        until_ms: It has to be gone for so long before it is over.
    """

    id: str
    severity: Severity
    component: str
    text: str
    advice: str
    well: str
    after_ms: int = 2_000
    until_ms: int = 4_000


class _Case(msgspec.Struct):
    found: Found
    since: int
    seen_at: int
    told: bool


class Standing:
    """The problems over time.

    Args:
        patient_until: Epoch milliseconds; a system that has just been started is not complete yet, which is no problem.
    """

    def __init__(self, patient_until: int = 0) -> None:
        self._patient_until = patient_until
        self._cases: dict[str, _Case] = {}
        self._recoveries: list[SystemRecovery] = []
        self._latest = 0

    def resume(self, problems: list[SystemProblem], recoveries: list[SystemRecovery], now: int) -> None:
        """Go on from what another process has told: what stands goes on to stand, or is over soon.

        Args:
            problems: That it told last.
            recoveries: That it told last.
            now: Epoch milliseconds.
        """
        self._recoveries = list(recoveries)
        for told in problems:
            found = Found(
                id=told.id,
                severity=told.severity,
                component=told.component,
                text=told.text,
                advice=told.advice,
                well=f"Over: {told.text.removesuffix('.')}",
                until_ms=60_000 if told.id in _OF_A_MINUTE else 4_000,
            )
            self._cases[told.id] = _Case(found, told.since, now, told=True)

    def recovered(self, name: str, component: str, text: str, now: int, lasted_ms: int) -> None:
        """Tell of something that is well again and that nobody was there to tell of while it was not."""
        self._recoveries.insert(0, SystemRecovery(id=name, component=component, text=text, at=now, lasted_ms=lasted_ms))

    def follow(self, found: list[Found], now: int) -> tuple[list[SystemProblem], list[SystemRecovery]]:
        """What stands now, the worst and newest first, and what is over since a minute at most.

        Args:
            found: What is seen at this moment.
            now: Epoch milliseconds.
        """
        self._follow_clock(now)
        for seen in found:
            case = self._cases.get(seen.id)
            if case is None:
                case = self._cases[seen.id] = _Case(seen, now, now, told=False)
            case.found, case.seen_at = seen, now
            ripe = now - case.since >= seen.after_ms and (now >= self._patient_until or seen.after_ms == 0)
            case.told = case.told or ripe
        present = {seen.id for seen in found}
        for name, case in list(self._cases.items()):
            if name in present or (case.told and now - case.seen_at < case.found.until_ms):
                continue
            del self._cases[name]
            if case.told:
                lasted = case.seen_at - case.since
                text = f"{case.found.well}, {_lasting(lasted)}."
                self.recovered(name, case.found.component, text, now, lasted)
        self._recoveries = [one for one in self._recoveries if now - one.at < _TOLD_MS][:_MOST_RECOVERIES]
        standing = sorted(
            (case for case in self._cases.values() if case.told),
            key=lambda case: (case.found.severity != "error", -case.since, case.found.id),
        )
        problems = [
            SystemProblem(
                id=case.found.id,
                severity=case.found.severity,
                component=case.found.component,
                text=case.found.text,
                advice=case.found.advice,
                since=case.since,
            )
            for case in standing
        ]
        return problems, list(self._recoveries)

    def _follow_clock(self, now: int) -> None:
        """A clock that is put back takes what is remembered along: nobody waits until it is that late again."""
        back = max(0, self._latest - now)
        self._latest = now
        if not back:
            return
        self._patient_until -= back
        for case in self._cases.values():
            case.since, case.seen_at = case.since - back, case.seen_at - back
        self._recoveries = [msgspec.structs.replace(one, at=one.at - back) for one in self._recoveries]


def _lasting(ms: int) -> str:
    seconds = ms / 1_000
    if seconds < 1:
        return "within a second"
    if seconds < 60:
        return f"after {seconds:.1f} s"
    return f"after {seconds / 60:.0f} min" if seconds < 5_400 else f"after {seconds / 3_600:.1f} h"
