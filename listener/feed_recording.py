"""The feed's recording as the listener handles it: on and off while it runs, and what it says about itself.

A recorder lives from one switching on to the next switching off. What a recording needs besides the frames is kept here
while there is none: the source, and its news so far.
"""

import threading
from collections import deque
from dataclasses import asdict
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any, Final

import msgspec

from listener.recorder import MOST_ARTICLES, Recorder
from listener.recording_folder import Keep
from listener.sorting import SortedFrame
from processors.reference import REFERENCE_COLUMNS, REFERENCE_TEXTS, ReferenceState, reference_state
from processors.store import REFERENCE, Source, Store

_STOP_TIMEOUT_S: Final = 2.0

_FIELDS: Final = (*REFERENCE_COLUMNS, *REFERENCE_TEXTS)
_decode_row = msgspec.msgpack.Decoder(list[float | str | None]).decode


class FeedRecording:
    """Records a listener's feed while it is wanted. Nothing here raises for a recording that fails.

    Args:
        store: Where reference data is read.
        folder: Where recordings go.
        keep: How much of older ones.
        on: Whether to record from the start, before any setting says so.
    """

    def __init__(self, store: Store, folder: Path, keep: Keep, on: bool) -> None:
        self._store, self._folder, self._keep = store, folder, keep
        self._switch = False
        self._source: Source | None = None
        self._articles: deque[msgspec.Raw] = deque(maxlen=MOST_ARTICLES)
        self._known: ReferenceState | None = None
        self._recorder: Recorder | None = None
        # Switched by another thread than the one that reads the feed.
        self._switching = threading.Lock()
        if on:
            self._start()

    def follow(self, switch: bool) -> None:
        """Do as the switch says once it has moved: on begins anew after a failure, too. Waits for a file's end."""
        if switch == self._switch:
            return
        self._switch = switch
        if self._recorder is not None and (not switch or self._recorder.report().problem):
            self.stop()
        if switch and self._recorder is None:
            self._start()

    def _start(self) -> None:
        recorder = Recorder(self._folder, self._keep)
        with self._switching:
            if self._source is not None:
                recorder.begin_source(self._source, amid=True)
            for article in self._articles:
                recorder.article(0, article)
            self._known = None
            self._recorder = recorder
        recorder.start()

    def stop(self) -> None:
        """Finish the file, waiting two seconds at most."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.stop(_STOP_TIMEOUT_S)

    @property
    def behind(self) -> bool:
        """Whether a feed that must not lose anything should wait."""
        return self._recorder is not None and self._recorder.behind

    def begin_source(self, source: Source) -> None:
        """What follows belongs to `source`, whose clock is as of now."""
        with self._switching:
            if self._source is None or self._source.id != source.id:
                self._articles.clear()
                self._known = None
            self._source = source
            if self._recorder is not None:
                self._recorder.begin_source(source)

    def frame(self, frame: str | bytes, sorted_frame: SortedFrame, received_at: int) -> None:
        """Record a frame as it came; of one that holds more than events, what was made of it. Never waits."""
        recorder, by_feed = self._recorder, sorted_frame.events
        if recorder is None or not by_feed:
            return
        if sorted_frame.malformed or sorted_frame.statuses:
            frame = msgspec.json.encode([raw for raws in by_feed.values() for raw in raws])
        recorder.frame(received_at, frame, sum(map(len, by_feed.values())))

    def articles(self, articles: list[msgspec.Raw], received_at: int) -> None:
        """Record news articles. Never waits."""
        with self._switching:
            for raw in articles:
                # A slice would keep its whole page in memory.
                article = msgspec.Raw(bytes(raw))
                self._articles.append(article)
                if self._recorder is not None:
                    self._recorder.article(received_at, article)

    def look_for_reference(self) -> None:
        """Record the reference data that the table has, once it is there and when it changes.

        Raises:
            redis.RedisError: The cache cannot be reached.
        """
        recorder, source = self._recorder, self._source
        if recorder is None or source is None:
            return
        state = reference_state(self._store)
        if state is None or state.source != source.id or not state.symbols:
            return
        known = self._known
        # It comes piece by piece: what counts is all that comes at once. A replay begins with the first that it finds.
        if not state.settled and (known is not None or not state.waits_until):
            return
        if known is not None and (known.day, known.loaded_at) == (state.day, state.loaded_at):
            return
        rows = {
            symbol.decode(): {
                name: value for name, value in zip(_FIELDS, _decode_row(row), strict=True) if _is_known(value)
            }
            for symbol, row in self._store.redis.hgetall(REFERENCE).items()
        }
        self._known = state
        recorder.reference(date(state.day // 10_000, state.day // 100 % 100, state.day % 100), rows)

    def sentence(self) -> str:
        """What it does, in words; empty when it is off."""
        if self._recorder is None:
            return ""
        report = self._recorder.report()
        if report.problem:
            return f"Recording has stopped ({report.problem}). When that is mended, switch it off and on again."
        dropped = f"; {report.dropped:,} events did not fit and are missing" if report.dropped else ""
        return f"Recording{f' to {Path(report.file).name}' if report.file else ''}{dropped}."

    def report(self) -> dict[str, Any] | None:
        """The recorder's report, or None when it is off."""
        return asdict(self._recorder.report()) if self._recorder is not None else None


def _is_known(value: float | str | None) -> bool:
    return isfinite(value) if isinstance(value, float) else value is not None
