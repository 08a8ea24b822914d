"""A connection to the feed that runs, and everything that came over it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from listener.address import FeedAddress, SourceInfo
from listener.feed import FeedConnection, Patience, State
from listener.sorting import sort_frame

KEY = "a-secret-key"
# Waits that are as short as a test, except where a busy machine would make them fail.
IMPATIENT = Patience(
    handshake=5.0, first_pause=0.02, longest_pause=0.08, crowded=0.6, silence=0.25, confirmation=0.4, look=0.02
)


class _Watched(FeedConnection):
    """A connection of which no state is missed, however short."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.passed: list[tuple[State, str]] = []

    def _enter(self, state: State, reason: str) -> None:
        super()._enter(state, reason)
        if (state, reason) not in self.passed[-1:]:
            self.passed.append((state, reason))


class Client:
    """A connection, and what it handed on: frames, sources, and each state with its reason."""

    def __init__(
        self,
        feed: str,
        patience: Patience = IMPATIENT,
        clock: Callable[[], datetime] | None = None,
        market: str = "stocks",
        subscriptions: tuple[str, ...] = ("T.*", "A.*"),
        always: bool = False,
    ) -> None:
        wanted = FeedAddress(feed, market, subscriptions, secure=False, key=KEY, always=always)
        self.connection = _Watched(
            wanted, self._on_source, self._on_frame, patience, clock or (lambda: datetime.now(UTC))
        )
        self.frames: list[bytes] = []
        self.sources: list[SourceInfo] = []

    async def _on_source(self, info: SourceInfo) -> None:
        self.sources.append(info)

    async def _on_frame(self, frame: bytes, received_at: int) -> None:
        for status in sort_frame(frame).statuses:
            self.connection.server_status(str(status["status"]), str(status.get("message", "")))
        self.frames.append(frame)

    @property
    def states(self) -> list[State]:
        return [state for state, _ in self.connection.passed]

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason in self.connection.passed]

    @property
    def state(self) -> State:
        return self.connection.report.state

    @property
    def reason(self) -> str:
        return self.connection.report.reason

    async def until(self, condition: Callable[[], object], seconds: float = 8.0) -> None:
        """Wait until the condition holds."""
        deadline = monotonic() + seconds
        while not condition():
            assert monotonic() < deadline, f"it did not happen; {self.connection.passed}"
            await asyncio.sleep(0.002)

    async def until_state(self, state: State, says: str = "") -> str:
        """Wait until the state was entered with a reason that holds these words, be it over or not; the last reason."""

        def reasons() -> list[str]:
            return [reason for entered, reason in self.connection.passed if entered is state and says in reason]

        await self.until(reasons)
        return reasons()[-1]


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Client]:
    task = asyncio.create_task(client.connection.run())
    try:
        yield client
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
