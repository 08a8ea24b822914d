"""Recording beside a running feed: switched on and off, a disk that is full, a listener that is killed."""

import json
import resource
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from listener.recording import read_recording
from processors import store as keys
from tests.integration.pipeline import Pipeline
from tests.services import Part, wait_until

_NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def _switch(folder: Path, on: bool) -> None:
    """What saving the feed's settings in the admin does."""
    with closing(sqlite3.connect(folder / "tapewatch.sqlite3", timeout=5)) as database, database:
        assert database.execute("UPDATE control_feedsettings SET record = ?", (on,)).rowcount == 1


def _report(pipeline: Pipeline) -> dict[str, Any]:
    raw = pipeline.store.redis.get(keys.LISTENER_STATE)
    report: dict[str, Any] = json.loads(raw) if raw else {"state": "none", "recording": None}
    return report


def _recording(pipeline: Pipeline) -> dict[str, Any]:
    return _report(pipeline)["recording"] or {}


def _received(pipeline: Pipeline) -> int:
    return sum(terms["received"] for terms in pipeline.accounts().values())


def _limit(listener: Part, limits: tuple[int, int]) -> None:
    """What the largest file of the listener may measure: beyond it writing fails, as on a full disk."""
    resource.prlimit(listener.process.pid, resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("pipeline", ["embedded"], indirect=True)
def test_recording_follows_its_switch_and_the_feed_goes_on_whatever_becomes_of_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    pipeline.migrate()
    words = ("--port", str(pipeline.port), "--symbols", "200", "--rate", "5000", "--start", "2026-11-20 10:30")
    pipeline.start("simulate", "manage.py", "simulate", *words).wait_for("listening")
    listener = pipeline.start("listen", "manage.py", "listen")
    wait_until(lambda: _report(pipeline)["state"] == "live", 60, "the feed")
    assert _report(pipeline)["recording"] is None
    assert not folder.exists()

    _switch(tmp_path, on=True)
    first = folder / "2026-11-20.01.ndjson.zst"
    wait_until(lambda: _recording(pipeline).get("bytes", 0) > 20_000, 10, "something written")
    assert _recording(pipeline)["file"] == str(first)
    assert _report(pipeline)["reason"].endswith("Recording to 2026-11-20.01.ndjson.zst.")
    while_written = sum(1 for _ in read_recording(first))
    assert while_written > 1

    _limit(listener, (first.stat().st_size, resource.RLIM_INFINITY))
    wait_until(lambda: _recording(pipeline).get("problem"), 10, "the full disk")
    assert _recording(pipeline)["problem"] == "2026-11-20.01.ndjson.zst: File too large"
    before = _received(pipeline)
    wait_until(lambda: _received(pipeline) > before + 5_000, 10, "the feed")
    assert _report(pipeline)["state"] == "live"
    assert "Recording has stopped (2026-11-20.01.ndjson.zst: File too large)" in pipeline.manage("stats")
    assert sum(1 for _ in read_recording(first)) >= while_written  # and it is whole

    _limit(listener, _NO_LIMIT)
    _switch(tmp_path, on=False)
    wait_until(lambda: _report(pipeline)["recording"] is None, 5, "the switch")
    _switch(tmp_path, on=True)
    wait_until(lambda: _recording(pipeline).get("bytes", 0) > 20_000, 10, "something written again")

    second = Path(_recording(pipeline)["file"])
    assert second.name == "2026-11-20.02.ndjson.zst"
    listener.end(signal.SIGKILL)
    assert sum(1 for _ in read_recording(second)) > 1
