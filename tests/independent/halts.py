"""Price bands, halts and resumptions of one symbol, from LULD events and from the exchanges' list of halts."""

from typing import Any

from tests.independent.times import milliseconds

_PAUSE = 300_000
_REASONS = {"T1": "News pending", "LUDP": "LULD pause"}

Event = dict[str, Any]


class Halts:
    """Keeps of each sort the event of the newest time, then sequence number, then receipt."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[int, int, int], Event]] = {}

    def take(self, event: Event, number: int) -> None:
        codes = event.get("i") or []
        if event["ev"] == "HALT":
            order = (event["t"] * 1_000_000, 0, number)
            sorts = ["halt", "resume"] if event["resume_at"] else ["halt"]
        else:
            order = (event["t"], event.get("q", 0), number)
            sorts = ["halt"] if 17 in codes else []
            sorts += ["resume"] if 18 in codes else []
            sorts += ["bands"] if 17 not in codes and event["h"] > 0 and event["l"] > 0 else []
        for sort in sorts:
            if sort not in self._kept or order > self._kept[sort][0]:
                self._kept[sort] = (order, event)

    def fields(self, clock: int, price: float | None) -> dict[str, Any]:
        """The row's fields of halts and bands."""
        bands, halt, resume = (self._kept.get(sort, (None, None))[1] for sort in ("bands", "halt", "resume"))
        upper, lower = (bands["h"], bands["l"]) if bands else (None, None)
        resumes_at = None
        if resume is not None:
            resumes_at = resume["resume_at"] if resume["ev"] == "HALT" else milliseconds(resume["t"])
        halted_at = reason = expected = None
        halted = False
        if halt is not None:
            halted_at = milliseconds(halt["t"])
            reason = "LULD pause" if halt["ev"] == "LULD" else _REASONS[halt["reason"]]
            halted = resumes_at is None or halted_at >= resumes_at or resumes_at > clock
            if resumes_at is not None and resumes_at > clock:
                expected = resumes_at
            elif reason == "LULD pause":
                expected = halted_at + _PAUSE
                while clock > expected:
                    expected += _PAUSE
        nearest = min(upper - price, price - lower) / price * 100 if price and upper and lower else None
        return {
            "halted": halted,
            "halt_reason": reason,
            "halted_at": halted_at,
            "resumed_at": resumes_at if resumes_at is not None and resumes_at <= clock else None,
            "resume_expected_at": expected if halted else None,
            "luld_upper": upper,
            "luld_lower": lower,
            "luld_distance_pct": nearest,
        }
