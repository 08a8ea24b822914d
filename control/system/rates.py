"""What counters gained lately: of each the last values are remembered."""

from collections import deque


class Gains:
    """How much counters grew within a window of time.

    A counter that goes back began anew: what it said before is forgotten.

    Args:
        window_s: How far back to look, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: dict[str, deque[tuple[float, float]]] = {}

    def gain(self, name: str, value: float, now: float) -> float:
        """Take a counter's present value; how much it has grown within the window.

        Args:
            name: The counter's.
            value: What it says now.
            now: Seconds of a clock that never goes back.
        """
        _, before, _, latest = self._take(name, value, now)
        return latest - before

    def rate(self, name: str, value: float, now: float) -> float:
        """The same by the second; 0 before there are two values."""
        since, before, at, latest = self._take(name, value, now)
        return (latest - before) / (at - since) if at > since else 0.0

    def _take(self, name: str, value: float, now: float) -> tuple[float, float, float, float]:
        """The value at the window's beginning and its time, and those of now."""
        seen = self._seen.setdefault(name, deque())
        if seen and value < seen[-1][1]:
            seen.clear()
        seen.append((now, value))
        while len(seen) > 2 and seen[1][0] <= now - self._window_s:
            seen.popleft()
        return (*seen[0], now, value)

    def forget(self, now: float) -> None:
        """Forget counters that nobody has told of for a whole window and a minute."""
        for name in [name for name, seen in self._seen.items() if seen[-1][0] < now - self._window_s - 60.0]:
            del self._seen[name]
