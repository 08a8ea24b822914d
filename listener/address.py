"""Where the feed is, what is asked of it, and which run of which market it serves."""

from dataclasses import dataclass, field
from time import time
from typing import Final

import aiohttp
import msgspec

from listener.hours import DELAY

# The feeds that Massive names, by the words that settings use.
HOSTS: Final = {"real-time": "socket.massive.com", "delayed": "delayed.massive.com"}
# Channels that are never quiet while a whole market trades. Minute bars and auctions are, so they prove nothing.
_STEADY: Final = frozenset({"A.*", "T.*", "Q.*", "V.*", "XAS.*", "XT.*", "XQ.*"})
# What a proxy says while the server behind it is away. Other errors are the answer of a server that knows no such page.
_GATEWAY_ERRORS: Final = frozenset({502, 503, 504})


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
    key: str = field(repr=False)
    always: bool = False

    @property
    def is_vendor(self) -> bool:
        """Whether this is Massive itself, which keeps the market's hours; a server of our own has its own clock."""
        return self.feed in HOSTS

    @property
    def is_delayed(self) -> bool:
        """Whether its events are a quarter of an hour old."""
        return self.feed == "delayed"

    @property
    def covers_market(self) -> bool:
        """Whether some subscription takes every symbol, of a channel that never rests while they trade."""
        return not _STEADY.isdisjoint(self.subscriptions)

    @property
    def host(self) -> str:
        """The host, with a port where it is not the usual one."""
        return HOSTS.get(self.feed, self.feed)


class SourceInfo(msgspec.Struct, frozen=True):
    """What a feed server of our own says about the run it serves; Massive says nothing."""

    source: str
    kind: str
    clock: int
    speed: float
    lossless: bool
    trade_halts: str = ""


class ServerTroubled(Exception):
    """A proxy says that the server behind it cannot be reached at present."""

    def __init__(self, status: int, server: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.server = status, server


def live_source(address: FeedAddress) -> SourceInfo:
    """The source of a market that is live: the same whenever the same feed of the same market is read."""
    clock = int((time() - (DELAY.total_seconds() if address.is_delayed else 0)) * 1_000)
    return SourceInfo(f"live:{address.market}:{address.feed}", "live", clock, 1.0, lossless=False)


async def source_of(address: FeedAddress, timeout_s: float) -> SourceInfo:
    """Which run this is: a simulator or a replay says so itself; anything else is the live market.

    Raises:
        aiohttp.ClientError: The server cannot be reached.
        TimeoutError: It does not answer in time.
        ServerTroubled: It cannot say at present; taken for another source, its table would be cleared.
    """
    live = live_source(address)
    if address.is_vendor:
        return live
    url = f"{'https' if address.secure else 'http'}://{address.host}/tapewatch/source"
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            if response.status in _GATEWAY_ERRORS:
                raise ServerTroubled(response.status, response.headers.get("Server", ""))
            return _said(await response.read(), live) if response.status == 200 else live
    except (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError):
        # No answer to plain HTTP: a feed server that knows nothing of sources.
        return live
    except UnicodeError as error:
        raise aiohttp.InvalidURL(url) from error  # a host that is no name at all


def _said(answer: bytes, live: SourceInfo) -> SourceInfo:
    try:
        return msgspec.json.decode(answer, type=SourceInfo)
    except (msgspec.DecodeError, UnicodeError):
        return live
