"""News: a second source beside the stream, polled from Massive's news endpoint into the `news` feed.

Polling is incremental: it asks for what was published since a while before the newest article it has seen, so that one
that the vendor files late is still found, and passes each article on once. One page is asked for at a time, and where
there are more the next poll goes on with the next, so that no haste ever breaks the vendor's rate limit.
"""

import asyncio
import email.utils
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import msgspec

log = logging.getLogger(__name__)

_PATH: Final = "/v2/reference/news"
# The free plan lets five calls a minute through; one is left for reference data.
_EVERY_S: Final = 15.0
_AFTER_REFUSAL_S: Final = 60.0
_LONGEST_WAIT_S: Final = 3_600.0
# The first round looks back a day: fields count news of 24 hours.
_LOOK_BACK: Final = timedelta(hours=24)
# Articles may be filed this long after the time that they bear.
_OVERLAP: Final = timedelta(hours=1)
# A day has one to two thousand articles of some 3 KB. Reading a page of so many holds up the stream's reader for 5 ms.
_PAGE: Final = 500
_MOST_BYTES: Final = 16 * 1024 * 1024
# A vendor that answers pages without anything new for ever must not keep us from the newest.
_MOST_STALE_PAGES: Final = 20
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)
_REMEMBERED: Final = 50_000


class _Article(msgspec.Struct, frozen=True):
    id: str
    published_utc: Annotated[datetime, msgspec.Meta(tz=True)]


class _Page(msgspec.Struct, frozen=True):
    results: list[msgspec.Raw] = []
    next_url: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    """What the vendor says when it refuses."""

    error: str = ""
    message: str = ""


_decode_article = msgspec.json.Decoder(_Article).decode
_decode_page = msgspec.json.Decoder(_Page).decode
_decode_problem = msgspec.json.Decoder(_Problem).decode


class NewsRefused(Exception):
    """The vendor does not answer with news; `wait_s` is how long to leave it alone."""

    def __init__(self, reason: str, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(reason)


class NewsSource:
    """Polls news for one source.

    Args:
        key: The vendor's key.
        base: Where REST calls go.
        since: The market's time when the source began.
        on_articles: Gets the new articles of a page as Massive's own JSON, oldest first.

    Attributes:
        problem: Why there is no news, in words; empty while there is.
    """

    def __init__(
        self,
        key: str,
        base: str,
        since: datetime,
        on_articles: Callable[[list[msgspec.Raw]], Awaitable[None]],
    ) -> None:
        self._key, self._url, self._began = key, base.rstrip("/") + _PATH, since.astimezone(UTC)
        self._newest = self._began - _LOOK_BACK + _OVERLAP
        # What to ask for the next page of a poll that has more than one.
        self._next: dict[str, str] | None = None
        self._stale_pages = 0
        self._on_articles = on_articles
        # Insertion order is age: the oldest are forgotten first.
        self._seen: dict[str, None] = {}
        self.problem = ""

    async def run(self) -> None:
        """Poll until cancelled. Failures are logged once in a sentence and tried again."""
        headers = {"Authorization": f"Bearer {self._key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
            while True:
                try:
                    wait = await self._round(session)
                except Exception as error:
                    # Ended here, there would be no news for good, and nobody told.
                    log.exception("news stumbled, trying again")
                    self.problem, wait = f"{type(error).__name__}, see the log", _AFTER_REFUSAL_S
                await asyncio.sleep(wait)

    async def _round(self, session: aiohttp.ClientSession) -> float:
        """Ask for one page; the seconds until the next."""
        try:
            page = await self._page(session)
        except (NewsRefused, aiohttp.ClientError, msgspec.DecodeError, OSError, ValueError, RecursionError) as error:
            # The way on is found again from the newest article; the cursor may be what the vendor does not like.
            self._next = None
            # A server may repeat what it was sent.
            problem = (str(error) or type(error).__name__).replace(self._key or "\0", "…").splitlines()[0][:300]
            if problem != self.problem:
                log.warning("news cannot be loaded, trying again: %s", problem)
            self.problem = problem
            return error.wait_s if isinstance(error, NewsRefused) else _AFTER_REFUSAL_S
        self.problem = ""
        fresh, newest = self._fresh(page.results)
        if fresh:
            await self._on_articles(fresh)
        self._stale_pages = 0 if fresh else self._stale_pages + 1
        if page.next_url:
            self._next = _query_of(page.next_url)
        elif len(page.results) >= _PAGE and newest is not None:
            self._next = _query_from(max(newest, self._newest - _OVERLAP))
        else:
            self._next = None
        if self._next is None or self._stale_pages >= _MOST_STALE_PAGES:
            self._next, self._stale_pages = None, 0
        return _EVERY_S

    async def _page(self, session: aiohttp.ClientSession) -> _Page:
        """
        Raises:
            NewsRefused: The vendor answers with something else than a page.
            aiohttp.ClientError: It cannot be reached.
            msgspec.DecodeError: Its answer is no page.
            OSError: It cannot be reached, or takes too long.
        """
        query = self._next or _query_from(self._newest - _OVERLAP)
        # A redirection would take the key along.
        async with session.get(self._url, params=query, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise NewsRefused(f"its answer is longer than {_MOST_BYTES:,} bytes", _AFTER_REFUSAL_S)
            if response.status != 200:
                reason = f"{response.status} {_words_of(body) or response.reason or ''}".strip()
                raise NewsRefused(reason, pause_after(response.headers.get("Retry-After")))
        # Strings that nobody reads are not checked by the decoder; whatever is handed on is UTF-8.
        return _decode_page(body.decode("utf-8", "replace"))

    def _fresh(self, results: list[msgspec.Raw]) -> tuple[list[msgspec.Raw], datetime | None]:
        """The articles that were not seen before, and the newest publication among all.

        One that cannot be read is passed on, too: it is a worker's to count and to show.
        """
        fresh: list[msgspec.Raw] = []
        newest: datetime | None = None
        # One that is dated into the future must not hide what is published until then.
        latest = max(datetime.now(UTC), self._began)
        for raw in results:
            try:
                article = _decode_article(raw)
            except msgspec.DecodeError:
                name = blake2b(raw).hexdigest()
            else:
                name = article.id
                if article.published_utc <= latest:
                    newest = max(newest or article.published_utc, article.published_utc)
            if name not in self._seen:
                self._seen[name] = None
                fresh.append(raw)
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        if newest is not None:
            self._newest = max(self._newest, newest)
        return fresh, newest


def _query_from(since: datetime) -> dict[str, str]:
    """What asks for the first page of what was published since a moment, oldest first."""
    return {
        "published_utc.gte": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sort": "published_utc",
        "order": "asc",
        "limit": str(_PAGE),
    }


def _query_of(next_url: str) -> dict[str, str]:
    """What asks for the next page. Of its address nothing else is used: the key goes to one server alone."""
    return {name: value for name, value in parse_qsl(urlsplit(next_url).query) if name != "apiKey"}


def _words_of(body: bytes | bytearray) -> str:
    try:
        problem = _decode_problem(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return problem.error or problem.message


def pause_after(retry_after: str | None) -> float:
    """How long to leave the vendor alone, in seconds: as it asks, in seconds or until a date, within reason."""
    text = (retry_after or "").strip()
    if text.isdecimal():
        wait = float(text)
    else:
        try:
            wait = (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return _AFTER_REFUSAL_S
    return min(max(wait, _EVERY_S), _LONGEST_WAIT_S)
