"""A transport and a clock that a test decides over, for what sends messages to one client."""

import asyncio
import json
import selectors
from collections.abc import Callable
from typing import Any, Final

from widgets.sending.outbox import Subscription

BOARD: Final = "scanners:top_volume"
PRINTS: Final = "stocks:trades:AAPL"
FEEDS: Final = (BOARD, "quote:AAPL", "status", PRINTS, "alerts:small_caps", "news:latest")
ENVELOPED: Final = Subscription(envelope=True)


class ScriptedOutlet:
    """A transport whose room the test decides: that many messages, all of them in the beginning."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.written: list[bytes] = []
        self._call: Callable[[], None] = lambda: None

    @property
    def has_room(self) -> bool:
        return self.room > 0

    def write(self, *parts: bytes) -> None:
        self.written.append(b"".join(parts))
        self.room -= 1

    def when_room(self, call: Callable[[], None]) -> None:
        self._call = call

    def make_room(self, messages: int = 1_000_000) -> None:
        self.room = messages
        self._call()

    def heard(self) -> list[Any]:
        """What was written since the last time, as the client reads it."""
        written, self.written = self.written, []
        return [json.loads(message) for message in written]


class FastLoop(asyncio.SelectorEventLoop):
    """Time passes at once when there is nothing to do."""

    class _Selector(selectors.DefaultSelector):
        now = 0.0

        def select(self, timeout: float | None = None) -> Any:
            self.now += timeout or 0.0
            return super().select(0)

    def __init__(self) -> None:
        self._fast = self._Selector()
        super().__init__(self._fast)

    def time(self) -> float:
        return self._fast.now


def in_fast_time(play: Callable[[asyncio.AbstractEventLoop], Any]) -> Any:
    """Run a coroutine function on a loop whose time passes at once."""

    async def run() -> Any:
        return await play(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(run())
