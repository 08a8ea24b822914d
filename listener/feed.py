"""The connection to the feed: states, what an error means, and when to try again.

The official client knows the protocol; it retries a refused port for ever inside `connect()` and returns silently on a
clean close, so it runs without reconnects of its own under the deadlines kept here.
"""

import asyncio
import enum
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic, time

import aiohttp
import msgspec
from massive import WebSocketClient
from massive.exceptions import AuthError
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from listener import hours

_HOSTS = {"real-time": "socket.massive.com", "delayed": "delayed.massive.com"}
_CONNECT_TIMEOUT_S = 10.0
_MAX_FRAME_BYTES = 64 * 1024 * 1024
_BACKOFF_FIRST_S, _BACKOFF_MOST_S = 0.5, 30.0
# Only a connection that has held this long makes the next wait short again.
_STABLE_S = 10.0
_MAX_CONNECTIONS_WAIT_S = 60.0
# While the regular session runs, the whole market is never silent for so long.
_SILENCE_S = 10.0
_LOOK_EVERY_S = 0.5


class State(enum.StrEnum):
    """What the listener does, in words that people are shown."""

    STOPPED = "stopped"
    WAITING = "waiting"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    LIVE = "live"
    BACKING_OFF = "backing off"
    REFUSED = "refused"


class FeedRefused(Exception):
    """The feed will not serve us as we are configured; trying again changes nothing."""


@dataclass(frozen=True, slots=True)
class FeedAddress:
    """Where the feed is, and what is asked of it.

    Attributes:
        feed: `real-time`, `delayed` or `host:port`.
        market: `stocks` and so on.
        subscriptions: Such as `A.*`.
        secure: Whether TLS is spoken.
        key: The vendor's key.
        always: Whether to connect while the market is closed, too.
    """

    feed: str
    market: str
    subscriptions: tuple[str, ...]
    secure: bool
    key: str
    always: bool = False

    @property
    def is_vendor(self) -> bool:
        """Whether this is Massive itself, which keeps the market's hours; a server of our own has its own clock."""
        return self.feed in _HOSTS

    @property
    def covers_market(self) -> bool:
        """Whether some subscription takes every symbol."""
        return any(name.endswith(".*") for name in self.subscriptions)

    @property
    def host(self) -> str:
        """The host, with a port where it is not the usual one."""
        return _HOSTS.get(self.feed, self.feed)


class SourceInfo(msgspec.Struct, frozen=True):
    """What a feed server of our own says about the run it serves; Massive says nothing."""

    source: str
    kind: str
    clock: int
    speed: float
    lossless: bool


@dataclass(frozen=True, slots=True)
class Report:
    """The listener's state, since when (epoch ms), and why, in words."""

    state: State
    since: int
    reason: str


class FeedConnection:
    """Keeps one connection to the feed alive and hands every frame on.

    Args:
        address: Where, and what for.
        on_source: Called before each connection with the run that the events will belong to. May wait.
        on_frame: Called with each frame as it came and its receipt (epoch ms). Whatever it awaits delays reading.
    """

    def __init__(
        self,
        address: FeedAddress,
        on_source: Callable[[SourceInfo], Awaitable[None]],
        on_frame: Callable[[str | bytes, int], Awaitable[None]],
    ) -> None:
        self._address, self._on_source, self._on_frame = address, on_source, on_frame
        self.report = Report(State.STOPPED, _now_ms(), "It has not started yet.")
        self._server_says = ""
        self._live_since = 0.0
        self._heard_at = 0.0
        self._client: WebSocketClient | None = None

    def _enter(self, state: State, reason: str) -> None:
        if (state, reason) != (self.report.state, self.report.reason):
            self.report = Report(state, _now_ms(), reason)

    def server_status(self, status: str, message: str) -> None:
        """Take note of a status that came among the events, such as why the server is about to close."""
        if status not in {"success", "connected", "auth_success"}:
            self._server_says = f"{status}: {message}" if message else status

    async def run(self) -> None:
        """Stay connected for ever.

        Raises:
            FeedRefused: The key is not accepted.
        """
        wait = _BACKOFF_FIRST_S
        while True:
            await self._wait_for_market()
            self._server_says, self._live_since = "", 0.0
            try:
                await self._connect_once()
                reason = self._server_says or "The server closed the connection."
            except AuthError as error:
                reason = (
                    f"{self._address.host} does not accept the API key: {error}. Set MASSIVE_API_KEY to one that it "
                    "accepts and start the listener again, or change the feed's settings."
                )
                self._enter(State.REFUSED, reason)
                raise FeedRefused(reason) from None
            except (
                OSError,
                ConnectionClosed,
                InvalidHandshake,
                aiohttp.ClientError,
                TimeoutError,
                ValueError,
            ) as error:
                reason = self._server_says or f"{self._address.host} cannot be reached: {_in_words(error)}"
            except (LookupError, TypeError, AttributeError, RecursionError) as error:
                # What the client stumbles over when the handshake's answers are not what they should be.
                if self.report.state is not State.AUTHENTICATING:
                    raise
                reason = f"{self._address.host} does not speak Massive's protocol ({type(error).__name__})."
            if self._live_since and monotonic() - self._live_since >= _STABLE_S:
                wait = _BACKOFF_FIRST_S
            pause = wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter needs no secrecy
            if "max_connections" in self._server_says:
                pause = _MAX_CONNECTIONS_WAIT_S
            self._enter(State.BACKING_OFF, f"{reason} Next try in {pause:.0f} s." if pause >= 1 else reason)
            await asyncio.sleep(pause)
            wait = min(wait * 2, _BACKOFF_MOST_S)

    async def _wait_for_market(self) -> None:
        """Return when the market is about to open; at once for a feed that does not keep its hours."""
        while (opens := self._closed_until()) is not None:
            self._enter(State.WAITING, f"The market is closed. Connecting again {hours.in_words(opens)}.")
            await asyncio.sleep(_LOOK_EVERY_S)

    def _closed_until(self) -> datetime | None:
        address = self._address
        if not address.is_vendor or address.always:
            return None
        return hours.opens_at(datetime.now(UTC), address.market, address.feed == "delayed")

    def change_subscriptions(self, subscriptions: tuple[str, ...]) -> None:
        """Ask for other channels, on the live connection when there is one."""
        self._address = replace(self._address, subscriptions=subscriptions)
        if self._client is not None:
            # The client sends the difference within a second, and all of them after a reconnect.
            self._client.scheduled_subs = set(subscriptions)
            self._client.schedule_resub = True
        if self.report.state is State.LIVE:
            self._enter(State.LIVE, self._live_reason())

    async def _connect_once(self) -> None:
        address = self._address
        self._enter(State.CONNECTING, f"Connecting to {address.host}.")
        await self._probe()
        await self._on_source(await self._source_info())
        self._enter(State.AUTHENTICATING, f"Presenting the key to {address.host}.")
        client = WebSocketClient(
            address.key,
            feed=address.host,
            market=address.market,
            raw=True,
            subscriptions=list(address.subscriptions),
            max_reconnects=0,
            secure=address.secure,
        )
        self._client = client
        connecting = asyncio.create_task(
            client.connect(self._handle, max_size=_MAX_FRAME_BYTES, ping_interval=20, ping_timeout=20)
        )
        try:
            # Inside the client a refused port is tried for ever, and a handshake can hang: the first word of the server
            # after the key ends this wait.
            deadline = monotonic() + _CONNECT_TIMEOUT_S
            while not connecting.done() and not self._live_since:
                if client.subs and not self._live_since:
                    self._become_live()
                elif monotonic() > deadline:
                    raise TimeoutError(f"no answer within {_CONNECT_TIMEOUT_S:.0f} s")
                await asyncio.sleep(0.02)
            while not connecting.done():
                await asyncio.wait((connecting,), timeout=_LOOK_EVERY_S)
                self._look_for_silence()
                if self._closed_until() is not None:
                    return
            connecting.result()
        finally:
            self._client = None
            if client.websocket is not None:
                client.websocket.transport.abort()
            connecting.cancel()
            # Its end is awaited: a key may hold one connection at a time.
            await asyncio.gather(connecting, return_exceptions=True)

    def _look_for_silence(self) -> None:
        """
        Raises:
            TimeoutError: The whole market has said nothing for ten seconds of a regular session.
        """
        address = self._address
        if not address.is_vendor or not address.covers_market or monotonic() - self._heard_at < _SILENCE_S:
            return
        if hours.in_regular_session(datetime.now(UTC), address.market, address.feed == "delayed"):
            raise TimeoutError(f"no event for {_SILENCE_S:.0f} s of a regular session")

    def _become_live(self) -> None:
        self._live_since = self._heard_at = monotonic()
        self._enter(State.LIVE, self._live_reason())

    def _live_reason(self) -> str:
        return f"Subscribed to {', '.join(self._address.subscriptions)} at {self._address.host}."

    async def _handle(self, frame: str | bytes) -> None:
        self._heard_at = monotonic()
        if not self._live_since:
            self._become_live()
        await self._on_frame(frame, _now_ms())

    async def _probe(self) -> None:
        """Fail at once, with the system's own reason, where nobody listens."""
        host, _, port = (
            self._address.host.rpartition(":") if ":" in self._address.host else (self._address.host, "", "")
        )
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                host.strip("[]"), int(port) if port else (443 if self._address.secure else 80)
            )
        writer.close()

    async def _source_info(self) -> SourceInfo:
        """Which run this is: a simulator or a replay says so itself; anything else is the live market."""
        address = self._address
        live = SourceInfo(f"live:{address.market}:{address.feed}", "live", _now_ms(), 1.0, lossless=False)
        if address.feed in _HOSTS:
            return live
        url = f"{'https' if address.secure else 'http'}://{address.host}/tapewatch/source"
        timeout = aiohttp.ClientTimeout(total=_CONNECT_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
                if response.status != 200:
                    return live
                return msgspec.json.decode(await response.read(), type=SourceInfo)
        except (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError, msgspec.DecodeError):
            return live


def _now_ms() -> int:
    return int(time() * 1_000)


def _in_words(error: BaseException) -> str:
    """An error as a person would say it."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return str(error) or "no answer in time"
    return str(error) or type(error).__name__
