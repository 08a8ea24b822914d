"""The main job over real parts: a feed server, the listener, a broker, feed workers and the cache."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from listener.recording import RecordingWriter
from processors.symbols.rows import row_of
from tests import independent
from tests.integration.pipeline import Pipeline, assert_balanced
from tests.services import wait_until


def _total(feeds: dict[str, dict[str, int]], term: str) -> int:
    return sum(terms[term] for terms in feeds.values())


def _play(pipeline: Pipeline, recording: Path, events: int, *options: str) -> dict[str, Any]:
    """Replay a recording through two workers until every event is settled; the accounts at the end."""
    workers = [pipeline.worker(1), pipeline.worker(2)]
    replay = pipeline.start("replay", "manage.py", "replay", str(recording), "--port", str(pipeline.port), *options)
    for worker in workers:
        worker.wait_for("ready")
    replay.wait_for("listening")
    listener = pipeline.start("listen", "manage.py", "listen")
    wait_until(lambda: pipeline.settled() >= events, 90, f"{events:,} events settled ({pipeline.settled():,} are)")
    replay.wait_for("replay finished")
    # The listener writes its last terms while it is idle.
    wait_until(lambda: _total(pipeline.accounts(), "published") >= events, 10, "the listener's accounts")
    stats = pipeline.stats()
    assert listener.end() == 0
    return stats


def _assert_rows_equal(pipeline: Pipeline, expected: dict[str, dict[str, Any]]) -> None:
    for symbol, row in expected.items():
        got = row_of(pipeline.store, symbol)
        assert got is not None, symbol
        assert {name: got[name] for name in row} == row, symbol


@pytest.mark.parametrize("pipeline", ["rabbitmq"], indirect=True)
def test_the_real_day_goes_through_without_a_loss_and_every_number_is_right(
    pipeline: Pipeline, real_day: Path, real_rows: dict[str, dict[str, Any]]
) -> None:
    stats = _play(pipeline, real_day, 638_619, "--speed", "0")

    assert _total(stats["feeds"], "received") == _total(stats["feeds"], "processed") == 638_619
    assert_balanced(stats)
    _assert_rows_equal(pipeline, real_rows)


@pytest.mark.parametrize("pipeline", ["embedded"], indirect=True)
def test_a_real_morning_goes_through_the_embedded_broker(pipeline: Pipeline, real_day: Path, tmp_path: Path) -> None:
    frames = list(islice(independent.frames(real_day), 30_000))
    morning = tmp_path / "morning.ndjson.zst"
    with RecordingWriter(morning) as writer:
        for number, frame in enumerate(frames):
            writer.frame(1_381_132_800_000 + number, frame)
    events = [event for frame in frames for event in frame]

    stats = _play(pipeline, morning, len(events), "--speed", "0")

    assert _total(stats["feeds"], "received") == _total(stats["feeds"], "processed") == len(events)
    assert_balanced(stats)
    _assert_rows_equal(pipeline, independent.table(events))


@pytest.mark.parametrize("pipeline", ["rabbitmq"], indirect=True)
def test_one_bad_event_is_counted_and_its_neighbours_go_on(pipeline: Pipeline, tmp_path: Path) -> None:
    good = {"ev": "T", "sym": "ZZA", "p": 10.0, "s": 100, "t": 1381153800000, "q": 1, "x": 4, "i": "1", "z": 1}
    frame = [
        {**good, "q": 1},
        {"ev": "T", "p": 1.0, "s": 1, "t": 1381153800001},  # no symbol: malformed
        {"ev": "NOI", "T": "ZZA", "t": 1381153800002},  # a type that no row is made of
        {**good, "q": 2, "p": "ten"},  # a price that is none: fails in the worker
        {**good, "q": 3, "p": 11.0, "t": 1381153800005},
    ]
    path = tmp_path / "bad.ndjson"
    with RecordingWriter(path) as writer:
        writer.frame(1381153800000, frame)

    pipeline.env["MASSIVE_SUBSCRIPTIONS"] = "T.*,NOI.*"
    stats = _play(pipeline, path, 4, "--speed", "0")

    trades, halts = stats["feeds"]["trades"], stats["feeds"]["halts"]
    assert (trades["received"], trades["malformed"], trades["processed"], trades["failed"]) == (4, 1, 2, 1)
    assert (halts["received"], halts["processed"]) == (1, 1)
    assert_balanced(stats)
    row = row_of(pipeline.store, "ZZA")
    assert row is not None
    assert (row["price"], row["accumulated_volume"]) == (11.0, 200)
    reasons = [json.loads(sample)["reason"] for sample in pipeline.store.redis.lrange("tw:samples", 0, -1)]
    assert any("without a symbol" in reason for reason in reasons)
    assert any("Expected `float`" in reason for reason in reasons)
