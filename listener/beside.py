"""News and trade halts, polled beside the stream: where a source has them, and what they say of themselves."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from time import time
from typing import Final
from urllib.parse import urlsplit

import msgspec
from django.conf import settings

from listener.address import FeedAddress, SourceInfo
from listener.news import NewsSource
from listener.trade_halts import EVERY_S, NASDAQ_TRADER, TradeHalts
from processors.reference import rest_url
from processors.sessions import NEW_YORK

OFF: Final = "off"
# However fast the market's clock runs.
_LEAST_S: Final = 1.0

Deliver = Callable[[str, list[msgspec.Raw]], Awaitable[None]]


class BesideStream:
    """Polls news and trade halts for one source at a time.

    Args:
        deliver: Gets the feed's name and its new events. May wait.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._of = ""
        self._news: NewsSource | None = None
        self._halts: TradeHalts | None = None
        self._halts_state, self._halts_name = OFF, ""
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, info: SourceInfo, address: FeedAddress) -> None:
        """Poll for a source, and no longer for the one before; one that is polled for already goes on."""
        if self._tasks and self._of == info.source:
            return
        self.stop()
        self._of = info.source
        if address.market != "stocks":
            return
        since = datetime.fromtimestamp(info.clock / 1_000, UTC)
        self._news = NewsSource(address.key, rest_url(address.feed), since, self._take("news"))
        if url := self._list_of_halts(info, address):
            every_s = max(EVERY_S / info.speed, _LEAST_S) if info.speed else EVERY_S
            self._halts = TradeHalts(url, _calendar_of(info), self._take("halts"), every_s)
        self._tasks = [asyncio.create_task(source.run()) for source in (self._news, self._halts) if source is not None]

    def stop(self) -> list["asyncio.Task[None]"]:
        """Stop polling; gives the tasks, which are about to end."""
        ending, self._tasks = self._tasks, []
        for task in ending:
            task.cancel()
        self._news = self._halts = None
        self._halts_state, self._halts_name = OFF, ""
        return ending

    def _take(self, feed: str) -> Callable[[list[msgspec.Raw]], Awaitable[None]]:
        return lambda events: self._deliver(feed, events)

    def _list_of_halts(self, info: SourceInfo, address: FeedAddress) -> str:
        """Where the source's list of halts is; empty where there is none."""
        if info.kind == "recording":
            self._halts_state = "recorded"
            return ""
        if settings.TRADE_HALTS_URL == OFF:
            return ""
        url: str = settings.TRADE_HALTS_URL or (NASDAQ_TRADER if address.is_vendor else "")
        self._halts_name = "Nasdaq Trader" if url == NASDAQ_TRADER else urlsplit(url).hostname or ""
        if not url and info.trade_halts.startswith("/"):
            url = f"{'https' if address.secure else 'http'}://{address.host}{info.trade_halts}"
            self._halts_name = "the simulator's list of halts"
        self._halts_state = "on" if url else OFF
        return url

    def problems(self) -> list[str]:
        """What is missing, in sentences."""
        named = (("News", self._news), ("The list of trade halts", self._halts))
        return [f"{name} cannot be loaded ({source.problem})." for name, source in named if source and source.problem]

    def halts_report(self) -> dict[str, str]:
        """Of the list of halts: `state` (`on`, `off`, or `recorded`: in the recording itself), `name` and `problem`."""
        problem = self._halts.problem if self._halts is not None else ""
        return {"state": self._halts_state, "name": self._halts_name, "problem": problem}


def _calendar_of(info: SourceInfo) -> Callable[[], date]:
    """The source's date in New York, as its clock goes on from now."""
    began = time()

    def today() -> date:
        at = time() if info.kind == "live" else info.clock / 1_000 + (time() - began) * info.speed
        return datetime.fromtimestamp(at, NEW_YORK).date()

    return today
