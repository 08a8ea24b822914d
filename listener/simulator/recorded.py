"""A recording as it is played to a client: its frames' own bytes, at a multiple of real time or as fast as it reads."""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from listener.recording import FrameLine, Line, NewsLine, RecordingError, ReferenceLine, read_recording
from listener.simulator.recorded_reference import RecordedReference
from listener.simulator.server import Audience, SourceInfo
from listener.simulator.subscriptions import Subscription
from listener.simulator.trading_days import TradingCalendar, new_york_time

log = logging.getLogger(__name__)

_FRAMES_A_TURN: Final = 64
_FINGERPRINT_BYTES: Final = 64 * 1024
_LAST_WORDS_SECONDS: Final = 60.0
# Halts that were listed beside the stream: no channel brings them, so no subscription leaves them out.
_LISTED_HALT: Final = "HALT"
# A listener learns the previous day's figures seconds after the first frame; of market time that may be any number.
_AHEAD_LINES: Final = 50_000


class _Head(msgspec.Struct, frozen=True, gc=False):
    ev: str
    sym: str | None = None
    T: str | None = None
    pair: str | None = None


_heads = msgspec.json.Decoder(list[_Head]).decode
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


class RecordedMarket:
    """A replay; implements `server.Market`.

    Reference and news lines ahead of the first frame are read at once, so that REST knows them from the start: it is
    asked for the previous day only then. Where there is no reference data ahead of it, the first of the same day
    that comes soon after is known, too. Playback begins when a client has subscribed. At speed 0 it waits for its
    reader, also for the next one when it leaves; at other speeds the clock goes on whether anybody listens or not.

    Args:
        path: The recording.
        speed: Multiple of real time by the lines' `at`; 0 is as fast as the client reads.
        once: Whether to close the client's connection at the end.
        report: Told, in a sentence, of the end.

    Raises:
        RecordingError: It cannot be opened, or is no recording.
    """

    name = "stocks"

    def __init__(self, path: Path, speed: float, once: bool = False, report: Callable[[str], None] = log.info) -> None:
        self._path, self._speed, self._once, self._report = path, speed, once, report
        self._bad_lines = self._frames = self._events = 0
        self._last_line = 0
        self._source = f"rec:{path.name.split('.')[0]}:{_fingerprint(path)}:{secrets.token_hex(4)}"
        self._origin: tuple[float, int] | None = None
        self._at = 0
        self._lines = read_recording(path, self._count_bad)
        self._ahead: list[Line] = []
        for line in self._lines:
            if not self._ahead and not self._at:
                self._begin(line.at)
            self._ahead.append(line)
            if isinstance(line, FrameLine):
                break
            self._learn(line)
        if not self.reference.tickers():
            self._learn_ahead()

    def _learn_ahead(self) -> None:
        """Learn the day's first reference line, if it comes soon after the first frame."""
        day = new_york_time(self._at).date()
        with suppress(RecordingError):  # playback meets it again, and says so
            for line in islice(read_recording(self._path, lambda _: None), _AHEAD_LINES):
                if isinstance(line, ReferenceLine) and line.reference:
                    if new_york_time(line.at).date() == day:
                        self._learn(line)
                    return

    def _begin(self, at: int) -> None:
        self._at = at
        self.reference = RecordedReference(TradingCalendar(new_york_time(at).date()), self._clock)

    def _count_bad(self, error: RecordingError) -> None:
        self._bad_lines += 1
        log.warning("%s; it is passed over", error)

    def _learn(self, line: Line) -> None:
        if isinstance(line, ReferenceLine):
            self.reference.learn(line.reference)
        elif isinstance(line, NewsLine):
            self.reference.publish(line.news)

    def _clock(self) -> int:
        if self._origin is None:
            return self._at
        began, at = self._origin
        return max(self._at, at + int((time.monotonic() - began) * 1_000 * self._speed))

    def source(self) -> SourceInfo:
        """The run that is served."""
        return SourceInfo(self._source, "recording", self._clock(), self._speed, lossless=self._speed == 0)

    async def play(self, audience: Audience) -> None:
        """Play the recording once, from the first subscriber on.

        Raises:
            RecordingError: With `once`, when the recording ends before its time; all whole lines have been played.
        """
        await audience.wait()
        began = time.monotonic()
        if self._speed:
            self._origin = (began, self._at)
        problem: RecordingError | None = None
        try:
            for turn, line in enumerate(self._all_lines()):
                if turn % _FRAMES_A_TURN == 0:
                    await asyncio.sleep(0)
                await self._play_line(line, audience)
        except RecordingError as error:
            problem = error
        self._origin = None
        client = audience.client
        if client is not None:
            await client.drained()
        elapsed = time.monotonic() - began
        bad = f", {self._bad_lines:,} bad lines passed over" if self._bad_lines else ""
        self._report(f"replay finished: {self._frames:,} frames, {self._events:,} events in {elapsed:.1f} s{bad}")
        if self._once and client is not None:
            await client.close(seconds=_LAST_WORDS_SECONDS)
        if problem is not None:
            problem = RecordingError(
                self._path, problem.line, f"{problem.reason}; {problem.whole_lines:,} lines were played"
            )
            if self._once:
                raise problem
            log.error("%s", problem)

    def _all_lines(self) -> Iterator[Line]:
        for line in self._ahead:
            if isinstance(line, FrameLine):
                yield line
        self._ahead.clear()
        yield from self._lines

    async def _play_line(self, line: Line, audience: Audience) -> None:
        if self._origin is not None:
            began, at = self._origin
            wait = began + (line.at - at) / 1_000 / self._speed - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
        self._at = max(self._at, line.at)
        if not isinstance(line, FrameLine):
            self._learn(line)
            return
        try:
            heads = _heads(line.frame)
        except msgspec.MsgspecError as error:
            self._count_bad(RecordingError(self._path, line.number, f"holds no events ({error})"))
            return
        if self._speed:
            if (client := audience.client) is not None and (wanted := _select(line.frame, heads, client.subscription)):
                client.push(wanted[0])
                self._count(wanted[1])
            return
        while True:
            client = await audience.wait()
            wanted = _select(line.frame, heads, client.subscription)
            if wanted is None:
                return
            try:
                await client.deliver(wanted[0])
            except ConnectionError:
                audience.left(client)
                continue
            self._count(wanted[1])
            return

    def _count(self, events: int) -> None:
        self._frames += 1
        self._events += events


def _select(frame: bytes, heads: list[_Head], subscription: Subscription) -> tuple[bytes, int] | None:
    """The part of a frame that a subscription wants and its number of events; None when it wants nothing."""
    if subscription.covers({head.ev for head in heads if head.ev != _LISTED_HALT}):
        return (frame, len(heads)) if heads else None
    wanted = [
        raw
        for raw, head in zip(_raws(frame), heads, strict=True)
        if head.ev == _LISTED_HALT or subscription.matches(head.ev, head.sym or head.T or head.pair)
    ]
    return (msgspec.json.encode(wanted), len(wanted)) if wanted else None


def _fingerprint(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(_FINGERPRINT_BYTES)
        return hashlib.sha256(str(path.stat().st_size).encode() + start).hexdigest()[:8]
    except OSError as error:
        raise RecordingError(path, 0, f"cannot be read: {error.strerror or error}") from error
