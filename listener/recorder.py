"""The recorder: what the listener reads, into files by trading day, beside the stream and never in its way.

Frames wait in a bounded queue for a thread that compresses and writes; what does not fit is dropped and counted. What
is written is flushed each second. A disk that is full, or any other failure to write, ends the recording and nothing
else.

A file belongs to one source and one New York date, which holds a trading day whole. It begins with what was known when
it was begun: the previous day's figures, and the news of before. Where the source keeps a clock of its own, `at` is the
newest event time so far, which a replay's pace and days follow; for the live market it is the wall clock.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec

from listener.events import event_ms
from listener.recording import RecordingWriter
from listener.recording_folder import Keep, make_room, new_file
from processors.reference import market_date
from processors.sessions import NEW_YORK
from processors.store import Source

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 32 * 1024 * 1024
# Nobody wakes the thread: a signal a frame would cost the reader more than the frame's way to the disk.
_TURN_S: Final = 0.1
_FLUSH_EVERY_S: Final = 1.0
_ROOM_EVERY_S: Final = 30.0
_DAY_STARTS: Final = time(4, 0)
# News of a day or more; a replay's listener asks for the last 24 hours.
MOST_ARTICLES: Final = 2_000
_LAST_MS: Final = 4_102_444_800_000  # the year 2100: a time beyond it is none

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RecorderReport:
    """What a recorder did.

    Attributes:
        file: The path of the present file, empty before the first.
        frames: In this file.
        bytes: Of this file, as flushed.
        dropped: Events and articles that did not fit into the queue, of all files.
        problem: Why it ended, in words; empty while it runs.
    """

    file: str
    frames: int
    bytes: int
    dropped: int
    problem: str


class _Times(msgspec.Struct, frozen=True, gc=False):
    t: object = None
    e: object = None


_decode_times = msgspec.json.Decoder(list[_Times]).decode


def newest_event(frame: bytes) -> int:
    """The newest event time of a frame, epoch milliseconds; 0 when there is none that can be read."""
    try:
        times = [at for event in _decode_times(frame) for at in (event.t, event.e) if isinstance(at, int)]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
    return max((at for at in map(event_ms, times) if at < _LAST_MS), default=0)


class Recorder(threading.Thread):
    """Writes frames, articles and reference data into a folder until it is stopped or cannot.

    Its methods are called by others' threads and never wait, but for `stop`.

    Args:
        folder: Where the files go; it is made if need be.
        keep: How much of older recordings.
    """

    def __init__(self, folder: Path, keep: Keep) -> None:
        super().__init__(name="recorder", daemon=True)
        self._folder, self._keep = folder, keep
        # What is to be done, and the bytes that wait for it.
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()
        # One thread adds to each, so neither needs a lock.
        self._put_bytes = self._taken_bytes = 0
        self._over = threading.Event()
        self._frames = self._dropped = self._bytes = 0
        self._problem = ""
        # From here on the thread's own.
        self._source: Source | None = None
        self._at = 0
        self._began_at = 0
        self._day = date.min
        self._path: Path | None = None
        self._writer: RecordingWriter | None = None
        self._reference: tuple[date, Rows] | None = None
        self._articles: deque[msgspec.Raw] = deque(maxlen=MOST_ARTICLES)

    def report(self) -> RecorderReport:
        """What it did so far."""
        return RecorderReport(str(self._path or ""), self._frames, self._bytes, self._dropped, self._problem)

    @property
    def behind(self) -> bool:
        """Whether a feed that must not lose anything should wait for it."""
        return self._put_bytes - self._taken_bytes > _MOST_WAITING // 2 and not self._problem

    def begin_source(self, source: Source, amid: bool = False) -> None:
        """What follows belongs to `source`.

        Args:
            source: Its clock says when it began.
            amid: Whether some of it has passed unrecorded: then its recording begins with the next frame.
        """
        self._put(partial(self._begin_source, source, amid))

    def reference(self, day: date, rows: Rows) -> None:
        """Take in what is known of the symbols for a trading day."""
        self._put(partial(self._take_reference, day, rows))

    def frame(self, received_at: int, frame: str | bytes, events: int) -> None:
        """Take in a frame.

        Args:
            received_at: Epoch milliseconds.
            frame: A JSON array.
            events: How many it has.
        """
        self._put(partial(self._take_frame, received_at, frame), len(frame), events)

    def article(self, received_at: int, article: msgspec.Raw) -> None:
        """Take in a news article; `received_at` in epoch milliseconds."""
        self._put(partial(self._take_article, received_at, article), len(article), 1)

    def _put(self, step: Callable[[], None], size: int = 0, events: int = 0) -> None:
        if self._problem:
            return
        if size and self._put_bytes - self._taken_bytes + size > _MOST_WAITING:
            self._dropped += events
            return
        self._put_bytes += size
        self._waiting.append((step, size))

    def stop(self, timeout: float) -> None:
        """Write what waits, as far as it can be done in `timeout` seconds, and finish the file."""
        self._over.set()
        self.join(timeout)

    def run(self) -> None:
        try:
            self._record()
            self._finish()
        except OSError as error:
            self._fail(error.strerror or str(error), error.filename)
        except Exception as error:  # whatever it is, it is no reason to stop the feed
            log.exception("the recorder failed")
            self._fail(f"{type(error).__name__}: {error}", None)

    def _record(self) -> None:
        flushed = looked = monotonic()
        over = False
        while not over:
            over = self._over.wait(_TURN_S)
            for _ in range(len(self._waiting)):
                step, size = self._waiting.popleft()
                step()
                self._taken_bytes += size
            now, writer = monotonic(), self._writer
            if writer is not None and now - flushed >= _FLUSH_EVERY_S:
                flushed = now
                writer.flush()
                self._bytes = writer.size
            if self._path is not None and now - looked >= _ROOM_EVERY_S:
                looked = now
                self._make_room(self._path)

    def _begin_source(self, source: Source, amid: bool) -> None:
        if self._source is None or source.id != self._source.id:
            self._finish()
            self._reference, self._day = None, date.min
            self._articles.clear()
            self._at, self._began_at = source.clock, 0 if amid else source.clock
        self._source = source

    def _take_reference(self, day: date, rows: Rows) -> None:
        self._reference = (day, rows)
        if self._writer is not None and day == self._day:
            self._writer.reference(self._at, rows)

    def _take_frame(self, received_at: int, frame: str | bytes) -> None:
        frame = frame.encode() if isinstance(frame, str) else frame
        self._advance(received_at, frame)
        day = market_date(self._at)
        if self._writer is None or day > self._day:
            self._begin_file(day)
        assert self._writer is not None  # noqa: S101 - _begin_file made it
        self._writer.frame(self._at, frame)
        self._frames += 1

    def _take_article(self, received_at: int, article: msgspec.Raw) -> None:
        self._advance(received_at, b"")
        if self._writer is not None:
            self._writer.news(self._at, article)
        self._articles.append(article)

    def _advance(self, received_at: int, frame: bytes) -> None:
        if self._source is not None and self._source.kind != "live":
            self._at = max(self._at, newest_event(frame))
        else:
            self._at = received_at

    def _begin_file(self, day: date) -> None:
        """Begin the file of a day with what is known already, as of when this recorder began to watch the day."""
        self._finish()
        self._make_room(None)
        self._day, self._frames, self._path = day, 0, new_file(self._folder, day)
        self._writer = RecordingWriter(self._path)
        self._began_at = self._began_at or self._at
        # Not the calendar, which would be loaded beside a running feed: where no session is, nothing is lost by it.
        start = int(datetime.combine(day, _DAY_STARTS, NEW_YORK).timestamp() * 1_000)
        at = min(max(self._began_at, start), self._at)
        # Another day's reference data would be taken for this one's.
        known_for, rows = self._reference or (date.min, {})
        self._writer.reference(at, rows if known_for == day else {})
        for article in self._articles:
            self._writer.news(at, article)
        log.info("recording to %s", self._path)

    def _make_room(self, writing: Path | None) -> None:
        for path in make_room(self._folder, writing, self._keep):
            log.info("removed %s, an old recording", path)

    def _finish(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        finally:
            self._bytes = writer.size
            if not writer.size and self._path is not None:
                self._path.unlink(missing_ok=True)

    def _fail(self, problem: str, path: str | None) -> None:
        self._problem = f"{Path(path or self._path or self._folder).name}: {problem}"
        log.error("recording stopped, the feed goes on: %s", self._problem)
        self._waiting.clear()
        try:
            self._finish()
        except OSError as error:
            log.debug("the recording's end could not be written: %s", error)
