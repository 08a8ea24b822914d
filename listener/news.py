"""News: a second source beside the stream, polled from Massive's news endpoint into the `news` feed.

Polling is incremental: it asks for what was published since a while before the newest article it has seen, so that one
that the vendor files late is still found, and passes each article on once. One page is asked for at a time, and where
there are more the next poll goes on with the next, so that no haste ever breaks the vendor's rate limit.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import msgspec

from listener.polling import Poll, Refused, body_of, pause_after

_PATH: Final = "/v2/reference/news"
# The free plan lets five calls a minute through; one is left for reference data.
_EVERY_S: Final = 15.0
# The first round looks back a day: fields count news of 24 hours.
_LOOK_BACK: Final = timedelta(hours=24)
# Articles may be filed this long after the time that they bear.
_OVERLAP: Final = timedelta(hours=1)
# A day has one to two thousand articles of some 3 KB. Reading a page of so many holds up the stream's reader for 5 ms.
_PAGE: Final = 500
_MOST_BYTES: Final = 16 * 1024 * 1024
# A vendor that answers pages without anything new for ever must not keep us from the newest.
_MOST_STALE_PAGES: Final = 20
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
        self._url, self._began = base.rstrip("/") + _PATH, since.astimezone(UTC)
        self._poll = Poll("news", self._page, self._take, {"Authorization": f"Bearer {key}"}, secret=key)
        self._newest = self._began - _LOOK_BACK + _OVERLAP
        # What to ask for the next page of a poll that has more than one.
        self._next: dict[str, str] | None = None
        self._stale_pages = 0
        self._on_articles = on_articles
        # Insertion order is age: the oldest are forgotten first.
        self._seen: dict[str, None] = {}

    @property
    def problem(self) -> str:
        """Why there is no news, in words; empty while there is."""
        return self._poll.problem

    async def run(self) -> None:
        """Poll until cancelled. Failures are logged once in a sentence and tried again."""
        await self._poll.run()

    async def _take(self, page: _Page) -> float:
        """Pass on what is new; the seconds until the next page is asked for."""
        fresh, newest = self._fresh(page.results)
        if fresh:
            await self._on_articles(fresh)
        self._stale_pages = 0 if fresh else self._stale_pages + 1
        if self._stale_pages >= _MOST_STALE_PAGES:
            self._stale_pages = 0
        elif page.next_url:
            self._next = _query_of(page.next_url)
        elif len(page.results) >= _PAGE and newest is not None:
            self._next = _query_from(max(newest, self._newest - _OVERLAP))
        if self._next is None:
            self._stale_pages = 0
        return _EVERY_S

    async def _page(self, session: aiohttp.ClientSession) -> _Page:
        """
        Raises:
            Refused: The vendor answers with something else than a page.
            aiohttp.ClientError: It cannot be reached.
            msgspec.DecodeError: Its answer is no page.
            OSError: It cannot be reached, or takes too long.
        """
        # After a failure the way on is found from the newest article: the cursor may be what the vendor does not like.
        query, self._next = self._next or _query_from(self._newest - _OVERLAP), None
        # A redirection would take the key along.
        async with session.get(self._url, params=query, allow_redirects=False) as response:
            body = await body_of(response, _MOST_BYTES)
            if response.status != 200:
                reason = f"{response.status} {_words_of(body) or response.reason or ''}".strip()
                raise Refused(reason, pause_after(response.headers.get("Retry-After"), least=_EVERY_S))
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
    return {name: value for name, value in parse_qsl(urlsplit(next_url).query) if name.lower() != "apikey"}


def _words_of(body: bytes) -> str:
    try:
        problem = _decode_problem(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return problem.error or problem.message
