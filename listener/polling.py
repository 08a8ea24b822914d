"""What sources beside the stream have in common: asking a server again and again, and outliving whatever it answers."""

import asyncio
import email.utils
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

import aiohttp
import msgspec

log = logging.getLogger(__name__)

_AFTER_REFUSAL_S: Final = 60.0
_LONGEST_WAIT_S: Final = 3_600.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)
_LONGEST_WORDS: Final = 300
# What asking can raise: refused, out of reach, no answer in time, or an answer that cannot be read.
_EXPECTED: Final = (aiohttp.ClientError, msgspec.DecodeError, OSError, ValueError, RecursionError)

Answer = TypeVar("Answer")


class Refused(Exception):
    """A server does not answer with what it was asked for.

    Args:
        reason: Why, in words.
        wait_s: How long to leave it alone; None: as after any failure.
    """

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        self.wait_s = _AFTER_REFUSAL_S if wait_s is None else wait_s
        super().__init__(reason)


class Poll(Generic[Answer]):
    """Asks until cancelled. A failure is logged once, in a sentence, and asked again.

    Args:
        what: What is asked for, as the log calls it.
        ask: Asks once. May raise `Refused` and whatever networks and decoders do.
        take: Takes an answer; gives the seconds until the next question.
        headers: Go with every question.
        secret: What no word about a failure may show.

    Attributes:
        problem: Why there is nothing, in words; empty while there is.
    """

    def __init__(
        self,
        what: str,
        ask: Callable[[aiohttp.ClientSession], Awaitable[Answer]],
        take: Callable[[Answer], Awaitable[float]],
        headers: Mapping[str, str],
        secret: str = "",
    ) -> None:
        self._what, self._ask, self._take, self._headers, self._secret = what, ask, take, headers, secret
        self.problem = ""

    async def run(self) -> None:
        """Ask until cancelled."""
        async with aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT) as session:
            while True:
                try:
                    wait = await self._round(session)
                except Exception as error:
                    # Ended here, there would be nothing for good, and nobody told.
                    log.exception("%s stumbled, trying again", self._what)
                    self.problem, wait = f"{type(error).__name__}, see the log", _AFTER_REFUSAL_S
                await asyncio.sleep(wait)

    async def _round(self, session: aiohttp.ClientSession) -> float:
        try:
            answer = await self._ask(session)
        except (Refused, *_EXPECTED) as error:
            # A server may repeat what it was sent.
            words = (str(error) or type(error).__name__).replace(self._secret or "\0", "…")
            problem = words.splitlines()[0][:_LONGEST_WORDS]
            if problem != self.problem:
                log.warning("%s cannot be loaded, trying again: %s", self._what, problem)
            self.problem = problem
            return error.wait_s if isinstance(error, Refused) else _AFTER_REFUSAL_S
        self.problem = ""
        return await self._take(answer)


async def body_of(response: aiohttp.ClientResponse, most: int) -> bytes:
    """An answer's body.

    Raises:
        Refused: It is longer than `most` bytes.
    """
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > most:
            raise Refused(f"its answer is longer than {most:,} bytes")
    return bytes(body)


def pause_after(retry_after: str | None, least: float) -> float:
    """How long to leave a server alone, in seconds: as it asks, in seconds or until a date, within reason."""
    text = (retry_after or "").strip()
    if text.isdecimal():
        wait = float(text)
    else:
        try:
            wait = (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return _AFTER_REFUSAL_S
    return min(max(wait, least), _LONGEST_WAIT_S)
