"""News: a second source beside the stream, polled from Massive's news endpoint into the `news` feed.

Polling is incremental: each round asks for what was published since a while before the newest article it has seen, so
that one that the vendor files late is still found, and passes each article on once. Nothing here touches the stream:
calls run in a thread, with timeouts, one page each.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from massive import RESTClient
from massive.exceptions import AuthError, BadResponse
from urllib3.exceptions import HTTPError

log = logging.getLogger(__name__)

# The free plan lets five calls a minute through; one is left for reference data.
_EVERY_S: Final = 15.0
_AFTER_REFUSAL_S: Final = 60.0
# The first round looks back a day: fields count news of 24 hours.
_LOOK_BACK: Final = timedelta(hours=24)
_OVERLAP: Final = timedelta(minutes=10)
_PAGE: Final = 1_000
# A round goes on over full pages; a vendor that answers the same page for ever must not hold it.
_MOST_PAGES: Final = 20
_READ_TIMEOUT_S: Final = 15.0
_REMEMBERED: Final = 50_000


class _Article(msgspec.Struct, frozen=True):
    id: str
    published_utc: datetime


class _Page(msgspec.Struct, frozen=True):
    results: list[msgspec.Raw] = []


class NewsSource:
    """Polls news for one source.

    Args:
        key: The vendor's key.
        base: Where REST calls go.
        since: The market's time when the source began.
        on_articles: Gets the new articles of a page as Massive's own JSON, oldest first.
    """

    def __init__(
        self,
        key: str,
        base: str,
        since: datetime,
        on_articles: Callable[[list[msgspec.Raw]], Awaitable[None]],
    ) -> None:
        self._client = RESTClient(key, base=base, read_timeout=_READ_TIMEOUT_S, retries=0, pagination=False)
        self._newest = since.astimezone(UTC) - _LOOK_BACK + _OVERLAP
        self._on_articles = on_articles
        # Insertion order is age: the oldest are forgotten first.
        self._seen: dict[str, None] = {}
        self.problem = ""

    async def run(self) -> None:
        """Poll until cancelled. Failures are logged once in a sentence and tried again."""
        while True:
            await asyncio.sleep(await self._round())

    async def _round(self) -> float:
        """One round over all pages that there are; the seconds until the next."""
        since = self._newest - _OVERLAP
        try:
            for _ in range(_MOST_PAGES):
                results = await asyncio.to_thread(self._page, since)
                fresh, newest = self._fresh(results)
                if fresh:
                    await self._on_articles(fresh)
                if len(results) < _PAGE or newest is None or newest <= since:
                    break
                since = newest
        except (AuthError, BadResponse, HTTPError, OSError, msgspec.DecodeError) as error:
            # The vendor's refusals (not entitled, too many requests) come as BadResponse with its own words.
            problem = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            if problem != self.problem:
                log.warning("news cannot be loaded, trying again: %s", problem)
            self.problem = problem
            return _AFTER_REFUSAL_S
        self.problem = ""
        return _EVERY_S

    def _page(self, since: datetime) -> list[msgspec.Raw]:
        response: Any = self._client.list_ticker_news(
            published_utc_gte=since.strftime("%Y-%m-%dT%H:%M:%SZ"),
            sort="published_utc",
            order="asc",
            limit=_PAGE,
            raw=True,
        )
        return msgspec.json.decode(response.data, type=_Page).results

    def _fresh(self, results: list[msgspec.Raw]) -> tuple[list[msgspec.Raw], datetime | None]:
        """The articles that were not seen before, and the newest publication among all."""
        fresh: list[msgspec.Raw] = []
        newest: datetime | None = None
        for raw in results:
            try:
                article = msgspec.json.decode(raw, type=_Article)
            except msgspec.DecodeError as error:
                log.warning("an article cannot be read: %s", error)
                continue
            newest = article.published_utc if newest is None else max(newest, article.published_utc)
            if article.id not in self._seen:
                self._seen[article.id] = None
                fresh.append(raw)
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        if newest is not None:
            self._newest = max(self._newest, newest)
        return fresh, newest
