"""The connection to the feed: a state machine that keeps one connection alive and says what it does, and why.

What an error means is sorted in `endings`; the official client is held in `client`, without reconnects of its own.
"""

import asyncio
import enum
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic, time
from typing import Final

from massive import WebSocketClient

from listener import client, hours
from listener.address import FeedAddress, SourceInfo, live_source, source_of
from listener.channels import Channels
from listener.endings import ENDINGS, FeedSilent, Follows, SubscriptionsRefused, ending_of

# A status explains the end of a connection when it came shortly before.
_EXPLAINS_S: Final = 30.0
_LONGEST_WORDS: Final = 300
_is_status: Final = re.compile(rb'\s*\[\s*\{\s*"ev"\s*:\s*"status"').match


class State(enum.StrEnum):
    """What the listener does, in words that people are shown."""

    STOPPED = "stopped"
    WAITING = "waiting"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    LIVE = "live"
    BACKING_OFF = "backing off"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds.

    Attributes:
        handshake: From the first packet until the key is accepted.
        first_pause: Before the first new attempt; it doubles with each further one, and is shortened at random.
        longest_pause: It does not grow beyond this.
        stable: Only a connection that was live this long makes the pauses short again.
        crowded: Before a new attempt when the key's place is taken.
        silence: While it trades steadily, a whole market is never silent for so long.
        confirmation: Until a subscription that is not confirmed counts as refused.
        look: Between looks at the clock.
    """

    handshake: float = 10.0
    first_pause: float = 0.5
    longest_pause: float = 30.0
    stable: float = 10.0
    crowded: float = 60.0
    silence: float = 10.0
    confirmation: float = 3.0
    look: float = 0.5


@dataclass(frozen=True, slots=True)
class Report:
    """The listener's state, since when (epoch ms), and why, in words."""

    state: State
    since: int
    reason: str

    def then(self, state: State, reason: str) -> "Report":
        """The report that follows this one; a state that goes on for another reason keeps its time."""
        return Report(state, self.since if state is self.state else now_ms(), reason)


class FeedConnection:
    """Keeps one connection to the feed alive and hands every frame on.

    Args:
        address: Where, and what for.
        on_source: Called before each connection with the run that the events will belong to. May wait.
        on_frame: Called with each frame as it came and its receipt (epoch ms). Whatever it awaits delays reading.
        patience: How long to wait for what.
        clock: The wall clock, aware.
    """

    def __init__(
        self,
        address: FeedAddress,
        on_source: Callable[[SourceInfo], Awaitable[None]],
        on_frame: Callable[[bytes, int], Awaitable[None]],
        patience: Patience | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._address, self._on_source, self._on_frame = address, on_source, on_frame
        self._patience, self._clock = patience or Patience(), clock
        self.report = Report(State.STOPPED, now_ms(), "It has not started yet.")
        self._channels = Channels(self._patience.confirmation)
        self._said, self._said_at = "", 0.0
        self._live_since: float | None = None
        self._heard_at = 0.0
        self._is_live_market = False
        self._client: WebSocketClient | None = None

    def _enter(self, state: State, reason: str) -> None:
        self.report = self.report.then(state, reason)

    def server_status(self, status: str, message: str) -> None:
        """Take note of a status among the events: the answer to a subscription, or why the server is about to close."""
        status, message = status[:_LONGEST_WORDS], message[:_LONGEST_WORDS]
        if status in {"success", "error"}:
            self._channels.hear(status, message)
        else:
            self._said, self._said_at = f"{status}: {message}" if message else status, monotonic()

    async def run(self) -> None:
        """Stay connected; returns only when the feed refuses us as we are configured, and the report says why."""
        patience = self._patience
        longest = patience.first_pause
        while True:
            await self._wait_for_market()
            self._said, self._live_since = "", None
            try:
                await self._connect_once()
                continue
            except ENDINGS as error:
                explained = monotonic() - self._said_at < _EXPLAINS_S
                ending = ending_of(error, self._address.host, self._said if explained else "")
            if ending.follows is Follows.STOP:
                self._enter(State.REFUSED, ending.reason)
                return
            if self._live_since is not None and monotonic() - self._live_since >= patience.stable:
                longest = patience.first_pause
            pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter needs no secrecy
            if ending.follows is Follows.RETRY_IN_A_MINUTE:
                pause = patience.crowded
            next_try = f" Next try in {pause:.0f} s." if pause >= 1 else ""
            self._enter(State.BACKING_OFF, f"{ending.reason}{next_try}")
            await asyncio.sleep(pause)
            longest = min(longest * 2, patience.longest_pause)

    async def _wait_for_market(self) -> None:
        """Return when the market is about to open; at once for a feed that does not keep its hours."""
        declared = False
        # The calendar takes a second to load, which must not hold the loop.
        while (opens := await asyncio.to_thread(self._closed_until)) is not None:
            self._enter(State.WAITING, f"The market is closed. Connecting again {hours.in_words(opens)}.")
            if not declared:
                # Whoever looks meanwhile sees this feed's table, not that of the one before.
                await self._on_source(live_source(self._address))
                declared = True
            await asyncio.sleep(self._patience.look)

    def _closed_until(self) -> datetime | None:
        address = self._address
        if not address.is_vendor or address.always:
            return None
        return hours.opens_at(self._clock(), address.market, address.is_delayed)

    async def change_subscriptions(self, subscriptions: tuple[str, ...]) -> None:
        """Ask for other channels: at once on a live connection, and on every one that follows."""
        self._address = replace(self._address, subscriptions=subscriptions)
        if self._client is not None and self.report.state is State.LIVE:
            try:
                await self._subscribe(self._client)
            except ENDINGS:
                return  # the reading side learns of it as well, and all is asked for on the next connection
            self._enter(State.LIVE, self._channels.in_words(self._address.host))

    async def _subscribe(self, connected: WebSocketClient) -> None:
        """Ask for what is wanted and was not asked for yet."""
        for request in self._channels.ask(self._address.subscriptions):
            await connected.websocket.send(request, text=True)

    async def _connect_once(self) -> None:
        """Serve one connection; returns when the market closes.

        Raises:
            Exception: Of `ENDINGS`, for any other end.
        """
        address = self._address
        self._enter(State.CONNECTING, f"Connecting to {address.host}.")
        info = await source_of(address, self._patience.handshake)
        self._is_live_market = info.kind == "live"
        await self._on_source(info)
        self._channels = Channels(self._patience.confirmation)
        handshake = client.Handshake()
        connected = self._client = client.new_client(address, handshake)
        reading = asyncio.create_task(client.read(connected, self._handle))
        try:
            await self._until_let_in(handshake, reading)
            self._live_since = self._heard_at = monotonic()
            await self._subscribe(connected)
            while not reading.done():
                await self._look()
                if self._closed_until() is not None:
                    return
                await asyncio.wait((reading,), timeout=self._patience.look)
                await self._subscribe(connected)
            reading.result()
        finally:
            self._client = None
            if connected.websocket is not None:
                connected.websocket.transport.abort()
            reading.cancel()
            # Its end is awaited: a key may hold one connection at a time.
            await asyncio.gather(reading, return_exceptions=True)

    async def _until_let_in(self, handshake: client.Handshake, reading: "asyncio.Task[None]") -> None:
        """Follow the handshake to its good end.

        Raises:
            Exception: Of `ENDINGS`, for any other.
        """
        host, limit = self._address.host, self._patience.handshake
        deadline = monotonic() + limit
        for step, waits_for in ((handshake.greeted, "greeting"), (handshake.let_in, "answer to the key")):
            stepping = asyncio.create_task(step.wait())
            try:
                remaining = max(0.0, deadline - monotonic())
                await asyncio.wait((reading, stepping), timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stepping.cancel()
            if step.is_set():
                if step is handshake.greeted:
                    self._enter(State.AUTHENTICATING, f"Presenting the key to {host}.")
                continue
            if reading.done():
                reading.result()
            raise TimeoutError(f"no {waits_for} within {limit:g} s")

    async def _look(self) -> None:
        """Say what has changed, and notice what no error tells.

        Raises:
            FeedSilent: The whole market has said nothing for ten seconds in which it trades.
            SubscriptionsRefused: The server gives us nothing.
        """
        address, patience = self._address, self._patience
        self._enter(State.LIVE, self._channels.in_words(address.host))
        if self._channels.refused and self._silent_s >= patience.confirmation:
            raise SubscriptionsRefused(self._channels.refused)
        if self._silent_s < patience.silence or not self._is_live_market or not address.covers_market:
            return
        now = self._clock()
        since = now - timedelta(seconds=patience.silence)
        # In a thread for the sake of the calendar, as above.
        fault = await asyncio.to_thread(hours.trades_steadily, since, now, address.market, address.is_delayed)
        if fault and self._silent_s >= patience.silence:
            raise FeedSilent(f"No event for {patience.silence:g} s while the market trades.")

    @property
    def _silent_s(self) -> float:
        return monotonic() - self._heard_at

    async def _handle(self, frame: bytes) -> None:
        if not _is_status(frame):
            self._heard_at = monotonic()
        await self._on_frame(frame, now_ms())


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return int(time() * 1_000)
