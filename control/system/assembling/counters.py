"""What has to be remembered between one state and the next, so that there are rates."""

from typing import Final

from control.system.rates import Gains

_RATES_OVER_S: Final = 4.0
_MINUTE_S: Final = 60.0


class Counters:
    """What has to be remembered between one state and the next."""

    def __init__(self) -> None:
        self._source = ""
        self._fast, self._minute = Gains(_RATES_OVER_S), Gains(_MINUTE_S)
        self._empty_at: dict[str, int] = {}

    def begin(self, source: str) -> None:
        """The accounts are those of a source; another's begin with nothing."""
        if source != self._source:
            self._source, self._fast, self._minute = source, Gains(_RATES_OVER_S), Gains(_MINUTE_S)

    def rate(self, name: str, value: float, now_s: float) -> float:
        """By the second, over the last few."""
        return round(self._fast.rate(name, value, now_s), 1)

    def grown(self, name: str, value: float, now_s: float) -> float:
        """Within the last few seconds."""
        return self._fast.gain(name, value, now_s)

    def of_minute(self, name: str, value: float, now_s: float) -> float:
        """Within the last minute."""
        return self._minute.gain(name, value, now_s)

    def empty_at(self, queue: str, depth: int, now: int) -> int | None:
        """When a queue was seen empty last, epoch milliseconds; None where it never was."""
        if not depth:
            self._empty_at[queue] = now
        return self._empty_at.get(queue)

    def forget(self, now_s: float) -> None:
        """Forget what nobody tells of any more."""
        self._fast.forget(now_s)
        self._minute.forget(now_s)
