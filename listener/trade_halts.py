"""Trade halts: a source beside the stream, polled from Nasdaq Trader's list of them into the `halts` feed.

The list holds the halts of all exchanges; the stream tells those of Nasdaq-listed names alone. Its rules ask not to be
polled more than once a minute. Source: nasdaqtrader.com/Trader.aspx?id=TradeHaltRSS.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, datetime, time
from functools import lru_cache
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element, ParseError

import aiohttp
import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from listener.events import TradeHalt
from listener.polling import Poll, Refused, body_of, pause_after
from processors.sessions import NEW_YORK

NASDAQ_TRADER: Final = "https://www.nasdaqtrader.com/rss.aspx?feed=tradehalts"
EVERY_S: Final = 60.0
# A quiet day's list has a dozen halts of 1.5 KB each; on a day with market-wide halts it has thousands.
_MOST_BYTES: Final = 16 * 1024 * 1024
_NAMESPACE: Final = "{http://www.nasdaqtrader.com/}"


class _List(NamedTuple):
    """The halts of a list, and the headers by which only a newer one is asked for."""

    halts: list[TradeHalt]
    version: dict[str, str]


class TradeHalts:
    """Polls the list for one source.

    Args:
        url: Where the list is.
        today: The market's date in New York; halts of other days are passed over.
        on_halts: Gets events of halts that are new, or of which something has become known, oldest first.
        every_s: Seconds between two questions.
    """

    def __init__(
        self,
        url: str,
        today: Callable[[], date],
        on_halts: Callable[[list[msgspec.Raw]], Awaitable[None]],
        every_s: float = EVERY_S,
    ) -> None:
        self._url, self._today, self._on_halts, self._every_s = url, today, on_halts, every_s
        self._poll = Poll("the list of trade halts", self._ask, self._take, {"User-Agent": "Tapewatch"})
        self._version: dict[str, str] = {}
        self._day: date | None = None
        self._passed_on: set[TradeHalt] = set()

    @property
    def problem(self) -> str:
        """Why there is no list, in words; empty while there is."""
        return self._poll.problem

    async def run(self) -> None:
        """Poll until cancelled. Failures are logged once in a sentence and tried again."""
        await self._poll.run()

    async def _ask(self, session: aiohttp.ClientSession) -> _List | None:
        """The list; None when it has not changed.

        Raises:
            Refused: The server answers with something else than the list.
            aiohttp.ClientError: It cannot be reached.
            OSError: It cannot be reached, or takes too long.
        """
        async with session.get(self._url, headers=self._version, max_redirects=3) as response:
            if response.status == 304:
                return None
            if response.status != 200:
                pause = pause_after(response.headers.get("Retry-After"), least=self._every_s)
                raise Refused(f"{response.status} {response.reason or ''}".strip(), pause)
            body = await body_of(response, _MOST_BYTES)
            # A market-wide halt's list takes half a second: the stream is read meanwhile.
            halts = await asyncio.to_thread(read_halts, body)
            version = {
                condition: value
                for condition, name in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
                if (value := response.headers.get(name))
            }
        return _List(halts, version)

    async def _take(self, answer: _List | None) -> float:
        """Pass on what is new; the seconds until the list is asked for again."""
        today = self._today()
        if today != self._day:
            self._day = today
            self._passed_on.clear()
            self._version = {}
        if answer is None:
            return self._every_s
        fresh = [halt for halt in answer.halts if halt not in self._passed_on and _date_of(halt) == today]
        if fresh:
            fresh.sort(key=lambda halt: halt.t)
            await self._on_halts([msgspec.Raw(msgspec.json.encode(halt)) for halt in fresh])
            self._passed_on.update(fresh)
        # Not before its halts are passed on: an unchanged list is not sent again.
        self._version = answer.version
        return self._every_s


def read_halts(document: bytes) -> list[TradeHalt]:
    """The halts of a list; an entry without symbol or time is passed over.

    Args:
        document: RSS 2.0 with Nasdaq Trader's own elements.

    Raises:
        Refused: It is no such document.
    """
    try:
        root = fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Refused(f"its answer is no list of halts: {error}") from error
    if root.tag != "rss" or root.find("channel") is None:
        raise Refused("its answer is no list of halts")
    return list(_halts(root))


def _halts(root: Element) -> Iterator[TradeHalt]:
    for item in root.iter("item"):
        symbol, halted_on = _text(item, "IssueSymbol"), _text(item, "HaltDate")
        halted_at = _moment(halted_on, _text(item, "HaltTime"))
        if not symbol or halted_at is None:
            continue
        resumes_on = _text(item, "ResumptionDate") or halted_on
        yield TradeHalt(
            sym=symbol,
            t=halted_at,
            reason=_text(item, "ReasonCode"),
            resume_quote_at=_moment(resumes_on, _text(item, "ResumptionQuoteTime")),
            resume_at=_moment(resumes_on, _text(item, "ResumptionTradeTime")),
            pause_price=_price(_text(item, "PauseThresholdPrice")),
            market=_text(item, "Market"),
        )


def _text(item: Element, name: str) -> str:
    return (item.findtext(_NAMESPACE + name) or "").strip()


def _moment(day: str, clock: str) -> int | None:
    """Epoch milliseconds of `11/20/2026` and `10:31:07` or `10:31:07.126`, New York time; None when they are none."""
    clock = clock.replace(" ", "")
    try:
        # Hours may come without their leading zero.
        when = datetime.combine(_day(day), time.fromisoformat(f"0{clock}" if clock[1:2] == ":" else clock), NEW_YORK)
    except ValueError:
        return None
    return round(when.timestamp() * 1_000)


@lru_cache(maxsize=64)
def _day(text: str) -> date:
    """The date of `11/20/2026`."""
    return datetime.strptime(text, "%m/%d/%Y").date()  # noqa: DTZ007 - a date has no zone


def _price(text: str) -> float | None:
    try:
        price = float(text.replace(",", ""))
    except ValueError:
        return None
    return price if 0 < price < float("inf") else None


def _date_of(halt: TradeHalt) -> date:
    return datetime.fromtimestamp(halt.t / 1_000, NEW_YORK).date()
