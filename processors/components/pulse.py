"""Whether an event loop still turns: a process whose loop hangs looks alive from its other threads."""

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Final

# A loop that is late by so much serves nobody.
_HANGS_AFTER_S: Final = 3.0


class LoopPulse:
    """Asks an event loop from another thread, once a call, and says whether it has answered of late.

    Args:
        loop: Which.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answered_at = monotonic()
        self._asked = False

    def __call__(self) -> bool:
        """Whether it has turned within the last three seconds."""
        if not self._asked:
            self._asked = True
            # One that is closed belongs to a process that ends.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._answer)
        return monotonic() - self._answered_at < _HANGS_AFTER_S

    def _answer(self) -> None:
        self._answered_at = monotonic()
        self._asked = False
