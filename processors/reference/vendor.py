"""Massive's REST API as reference data uses it: one page a call, each under a deadline, the key in a header alone."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import msgspec
from django.conf import settings

from listener.polling import Refused, body_of, pause_after

_CONNECT_S: Final = 5.0
# For a whole answer, however slowly it comes. The largest, a day's bars of the whole market, has some 1.5 MB.
_CALL_S: Final = 30.0
# After a 429, at least.
_LEAST_WAIT_S: Final = 1.0
_MOST_BYTES: Final = 64 * 1024 * 1024
_REFUSALS: Final = frozenset({401, 403})
Row = TypeVar("Row")


class VendorError(Exception):
    """A call had no use. Its text says why; `status` is HTTP's, or 0."""

    def __init__(self, reason: str, status: int = 0) -> None:
        self.status = status
        super().__init__(reason)


class NotEntitledError(VendorError):
    """The key may not have this (401, 403)."""


class UnreachableError(VendorError):
    """There is nobody to talk to: the next call would fail, too."""


class TooManyCallsError(VendorError):
    """The vendor asks to be left alone for `wait_s` seconds (429)."""

    def __init__(self, reason: str, wait_s: float) -> None:
        super().__init__(reason, 429)
        self.wait_s = wait_s


class _Answer(msgspec.Struct, frozen=True):
    results: msgspec.Raw = msgspec.Raw()
    # What a snapshot calls its results.
    tickers: msgspec.Raw = msgspec.Raw()
    next_url: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    error: str = ""
    message: str = ""


_NONE: Final = msgspec.Raw(b"[]")
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_problem = msgspec.json.Decoder(_Problem).decode
_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Page(msgspec.Struct, frozen=True):
    """One answer.

    Attributes:
        results: Its `results` as they came.
        cursor: The query that asks for the next page; empty on the last.
    """

    results: msgspec.Raw
    cursor: dict[str, str]

    def rows(self, kind: type[Row]) -> list[Row]:
        """The results that can be read; the others are passed over, their neighbours stand.

        Raises:
            VendorError: The results are no list.
        """
        decode = msgspec.json.Decoder(kind).decode
        rows: list[Row] = []
        try:
            raws = _decode_rows(self.results)
        except msgspec.DecodeError as error:
            raise VendorError(f"its answer cannot be read: {error}") from error
        for raw in raws:
            try:
                rows.append(decode(raw))
            except msgspec.DecodeError:
                continue
        return rows


def rest_url(feed: str) -> str:
    """Where REST calls go: as configured, else to the feed's own server, else to Massive.

    Args:
        feed: `real-time`, `delayed` or `host:port`.
    """
    if settings.MASSIVE_REST_URL:
        return str(settings.MASSIVE_REST_URL)
    if ":" in feed:
        return f"{'https' if settings.MASSIVE_SECURE else 'http'}://{feed}"
    return "https://api.massive.com"


class Vendor:
    """Calls one after the other over one connection. A context manager, for a thread without an event loop.

    Args:
        base: Where REST calls go.
        key: The key that they take there.
        call_s: How long one call may take, seconds.
    """

    def __init__(self, base: str, key: str, call_s: float = _CALL_S) -> None:
        self._base, self._key, self._call_s = base.rstrip("/"), key, call_s
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            self._runner.run(self._session.close())
        self._runner.close()

    def page(self, path: str, query: Mapping[str, str]) -> Page:
        """Ask for one page.

        Raises:
            NotEntitledError, TooManyCallsError, UnreachableError, VendorError: There is none; the text says why.
        """
        try:
            return self._runner.run(self._get(path, query))
        except VendorError:
            raise
        except aiohttp.ClientConnectorError as error:
            raise UnreachableError(self._words(error)) from error
        except TimeoutError as error:
            raise VendorError(f"no whole answer within {self._call_s:g} s") from error
        except (Refused, aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            raise VendorError(self._words(error)) from error

    async def _get(self, path: str, query: Mapping[str, str]) -> Page:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._key}"})
        timeout = aiohttp.ClientTimeout(total=self._call_s, sock_connect=min(_CONNECT_S, self._call_s))
        # A redirection would take the key along.
        async with self._session.get(
            self._base + path, params=query, timeout=timeout, allow_redirects=False
        ) as response:
            body = await body_of(response, _MOST_BYTES)
            if response.status == 200:
                answer = _decode_answer(body)
                # Of the next page's address only the query is used: the key goes to one server alone.
                after = parse_qsl(urlsplit(answer.next_url).query) if answer.next_url else ()
                return Page(
                    answer.results or answer.tickers or _NONE,
                    {name: value for name, value in after if name.lower() != "apikey"},
                )
            reason = f"{response.status} {self._words(_reason(body) or response.reason or '')}".strip()
            if response.status in _REFUSALS:
                raise NotEntitledError(reason, response.status)
            if response.status == 429:
                raise TooManyCallsError(reason, pause_after(response.headers.get("Retry-After"), _LEAST_WAIT_S))
            raise VendorError(reason, response.status)

    def _words(self, problem: object) -> str:
        """A problem in one line; a server may repeat what it was sent."""
        text = str(problem) or type(problem).__name__
        return text.replace(self._key or "\0", "…").splitlines()[0][:200]


def _reason(body: bytes) -> str:
    try:
        problem = _decode_problem(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return problem.error or problem.message
