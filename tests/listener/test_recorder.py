"""The recorder: files by day and source, what they begin with, bounds, and what it does when it cannot write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import msgspec
import pytest
import zstandard
from django.core.management import CommandError, call_command

from listener.feed_recording import FeedRecording
from listener.recorder import Recorder, newest_event
from listener.recording import FrameLine, Line, NewsLine, RecordingError, RecordingWriter, ReferenceLine, read_recording
from listener.recording_folder import Keep, OutOfRoom, make_room, new_file
from listener.simulator.recorded import RecordedMarket
from listener.sorting import sort_frame
from processors.reference import REFERENCE_COLUMNS, ReferenceState
from processors.store import REFERENCE, REFERENCE_STATE, Source, Store
from tests.processors.feeding import at
from tests.services import wait_until

KEEP = Keep(most_bytes=2**30, most_days=30, least_free=0)
FRIDAY, MONDAY = at("2026-11-20 15:59:59.000"), at("2026-11-23 04:00:01.000")
CLOSES = {"ZZA": {"prev_day_close": 10.0}}


def trade(t: int, q: int = 1) -> bytes:
    return msgspec.json.encode([{"ev": "T", "sym": "ZZA", "p": 4.05, "s": 100, "t": t, "q": q}])


def article(name: str) -> msgspec.Raw:
    return msgspec.Raw(b'{"id":"%b",\n"published_utc":"2026-11-20T12:00:00Z"}' % name.encode())


def source(name: str = "sim:7", clock: int = FRIDAY - 1_000, kind: str = "simulator") -> Source:
    return Source(name, kind, clock, 1.0, lossless=False)


@contextmanager
def recording(folder: Path, begun: Source | None = None, keep: Keep = KEEP, amid: bool = False) -> Iterator[Recorder]:
    recorder = Recorder(folder, keep)
    recorder.begin_source(begun or source(), amid)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop(5)
        assert not recorder.is_alive()


def frame(recorder: Recorder, t: int, q: int = 1, received_at: int = 0) -> None:
    recorder.frame(received_at, trade(t, q), 1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def kinds(lines: list[Line]) -> list[str]:
    return [type(line).__name__.removesuffix("Line") for line in lines]


def frames(path: Path) -> list[bytes]:
    return [line.frame for line in read_recording(path) if isinstance(line, FrameLine)]


def test_each_trading_day_has_a_file_that_begins_with_what_was_known(tmp_path: Path) -> None:
    with recording(tmp_path / "new") as recorder:
        recorder.reference(date(2026, 11, 20), CLOSES)
        recorder.article(0, article("n1"))
        frame(recorder, FRIDAY)
        recorder.article(0, article("n2"))
        frame(recorder, at("2026-11-20 19:59:59.000"))
        frame(recorder, MONDAY)
        # As the jobs worker loads it, when the day's first event is there.
        recorder.reference(date(2026, 11, 23), {"ZZA": {"prev_day_close": 11.0}})
        frame(recorder, MONDAY + 1)
    assert names(tmp_path / "new") == ["2026-11-20.01.ndjson.zst", "2026-11-23.01.ndjson.zst"]
    friday, monday = (list(read_recording(tmp_path / "new" / name)) for name in names(tmp_path / "new"))
    assert kinds(friday) == ["Reference", "News", "Frame", "News", "Frame"]
    assert isinstance(friday[0], ReferenceLine)
    assert friday[0].reference == CLOSES
    # It was there from the source's beginning on, and sees Monday from its first moment on.
    assert [line.at for line in friday[:3]] == [FRIDAY - 1_000, FRIDAY - 1_000, FRIDAY]
    assert kinds(monday) == ["Reference", "News", "News", "Frame", "Reference", "Frame"]
    assert [line.at for line in monday[:4]] == [at("2026-11-23 04:00:00.000")] * 3 + [MONDAY]
    assert [line.reference for line in monday if isinstance(line, ReferenceLine)] == [
        {},
        {"ZZA": {"prev_day_close": 11.0}},
    ]
    assert [line.news["id"] for line in monday if isinstance(line, NewsLine)] == ["n1", "n2"]


def test_what_begins_amid_a_source_begins_with_its_first_frame(tmp_path: Path) -> None:
    with recording(tmp_path, source(clock=FRIDAY - 60_000), amid=True) as recorder:
        frame(recorder, FRIDAY)
    assert [line.at for line in read_recording(tmp_path / names(tmp_path)[0])] == [FRIDAY, FRIDAY]


def test_the_night_before_the_first_frame_is_not_waited_for_again(tmp_path: Path) -> None:
    # Connected on Sunday, to wait for Monday's first event.
    with recording(tmp_path, source("live:stocks:real-time", at("2026-11-22 12:00:00.000"), "live")) as recorder:
        recorder.frame(MONDAY, trade(MONDAY), 1)
    lines = list(read_recording(tmp_path / names(tmp_path)[0]))
    assert [line.at for line in lines] == [at("2026-11-23 04:00:00.000"), MONDAY]


def test_of_the_live_market_the_receipt_is_written_down(tmp_path: Path) -> None:
    with recording(tmp_path, source("live:stocks:delayed", FRIDAY, "live")) as recorder:
        frame(recorder, FRIDAY - 900_000, received_at=FRIDAY + 5)
    assert [line.at for line in read_recording(tmp_path / names(tmp_path)[0])] == [FRIDAY, FRIDAY + 5]


@pytest.mark.parametrize(
    ("events", "newest"),
    [
        (b'[{"ev":"T","t":1381152600000},{"ev":"A","s":1381152600000,"e":1381152601000}]', 1381152601000),
        (b'[{"ev":"LULD","t":1381152600000004113}]', 1381152600000),
        (b'[{"ev":"NOI"}]', 0),
        (b'[{"ev":"X","t":"noon"}]', 0),
        (b'[{"ev":"X","t":99999999999999}]', 0),
        (b"[7]", 0),
    ],
)
def test_the_newest_event_of_a_frame(events: bytes, newest: int) -> None:
    assert newest_event(events) == newest


def test_a_file_holds_one_source_and_a_second_run_leaves_the_first_alone(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.reference(date(2026, 11, 20), CLOSES)
        frame(recorder, FRIDAY)
        recorder.begin_source(source())  # a reconnect
        frame(recorder, FRIDAY + 1)
        recorder.begin_source(source("sim:8"))
        frame(recorder, FRIDAY)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with recording(tmp_path) as recorder:
        frame(recorder, FRIDAY)
    assert names(tmp_path) == [f"2026-11-20.0{number}.ndjson.zst" for number in (1, 2, 3)]
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert kinds(list(read_recording(tmp_path / "2026-11-20.01.ndjson.zst"))) == ["Reference", "Frame", "Frame"]
    # What was known of another source is nothing to this one.
    second = list(read_recording(tmp_path / "2026-11-20.02.ndjson.zst"))
    assert isinstance(second[0], ReferenceLine)
    assert second[0].reference == {}


def test_it_is_read_while_it_is_written_and_whole_for_any_other_program(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        for number in range(3):
            frame(recorder, FRIDAY, q=number)
            wait_until(partial(_readable, tmp_path, number + 1), 3, "the flush")
        path = Path(recorder.report().file)
        with path.open("rb") as file:
            text = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
        assert text.count(b"\n") == 4
        assert text.endswith(b"\n")
        assert recorder.report().bytes == path.stat().st_size


def _readable(folder: Path, count: int) -> bool:
    return count == sum(len(frames(path)) for path in folder.iterdir() if path.stat().st_size)


def test_a_file_cut_anywhere_is_read_to_its_last_whole_block(tmp_path: Path) -> None:
    path = tmp_path / "day.ndjson.zst"
    sizes = [0]
    with RecordingWriter(path) as writer:
        for number in range(20):
            writer.frame(FRIDAY, trade(FRIDAY, number))
            writer.flush()
            sizes.append(path.stat().st_size)
    content = path.read_bytes()
    for cut in range(1, len(content)):
        path.write_bytes(content[:cut])
        read: list[Line] = []
        if cut in sizes:
            read.extend(read_recording(path))
        else:
            with pytest.raises(RecordingError):
                read.extend(read_recording(path))
        assert len(read) == sum(size <= cut for size in sizes[1:])


def test_parts_of_a_day_are_put_together_by_appending_their_bytes(tmp_path: Path) -> None:
    for number in range(3):
        with recording(tmp_path) as recorder:
            frame(recorder, FRIDAY, q=number)
    parts = [tmp_path / name for name in names(tmp_path)]
    (tmp_path / "day.ndjson.zst").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert frames(tmp_path / "day.ndjson.zst") == [trade(FRIDAY, number) for number in range(3)]


def test_a_frame_of_several_lines_becomes_one(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.frame(0, '[{"ev":"T",\n "sym":"ZZÄ","t":1795208399000}]', 1)
    assert frames(tmp_path / names(tmp_path)[0]) == ['[{"ev":"T",  "sym":"ZZÄ","t":1795208399000}]'.encode()]


def test_a_frame_with_more_than_events_is_recorded_as_what_was_made_of_it(tmp_path: Path, store: Store) -> None:
    feed = FeedRecording(store, tmp_path, KEEP, on=True)
    feed.begin_source(source())
    mixed = b'[{"ev":"status","status":"success"}, {"ev":"T","p":1,"t":1}, {"ev":"T","sym":"ZZA","t":1795208399000}]'
    for content in (mixed, b'[{"ev":"status","status":"success"}]', b"garbage", trade(FRIDAY)):
        feed.frame(content, sort_frame(content), 0)
    feed.stop()
    assert frames(tmp_path / names(tmp_path)[0]) == [b'[{"ev":"T","sym":"ZZA","t":1795208399000}]', trade(FRIDAY)]


def test_what_does_not_fit_is_dropped_and_counted_and_nobody_waits(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, KEEP)  # its thread does not run, as on a disk that hangs
    recorder.begin_source(source())
    assert not recorder.behind
    large = trade(FRIDAY) + b" " * 2**20
    for _ in range(40):
        recorder.frame(0, large, 5)
    assert recorder.behind
    assert 0 < recorder.report().dropped < 200
    kept = 40 - recorder.report().dropped // 5
    recorder.start()
    recorder.stop(10)
    assert recorder.report().frames == len(frames(tmp_path / names(tmp_path)[0])) == kept
    assert not recorder.behind


def test_a_full_disk_is_told_to_the_writer_at_once() -> None:
    writer = RecordingWriter(Path("/dev/full"))
    writer.frame(FRIDAY, trade(FRIDAY))
    with pytest.raises(OSError, match="No space left on device"):
        writer.flush()
    writer.close()


def test_the_last_of_the_disk_is_left_to_others(tmp_path: Path) -> None:
    with recording(tmp_path, keep=Keep(2**30, 30, least_free=2**62)) as recorder:
        frame(recorder, FRIDAY)
        wait_until(lambda: "the disk has only" in recorder.report().problem, what="the end")
    assert names(tmp_path) == []


def test_what_cannot_be_written_stops_the_recording_until_it_is_switched_on_again(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "recordings"
    folder.write_text("in the way")
    feed = FeedRecording(store, folder, KEEP, on=True)
    feed.begin_source(source())

    def play() -> None:
        feed.frame(trade(FRIDAY), sort_frame(trade(FRIDAY)), 0)

    play()
    wait_until(lambda: "stopped" in feed.sentence(), what="the failure")
    assert "recordings: File exists" in feed.sentence()
    play()  # it goes nowhere, and does no harm
    feed.follow(False)
    assert "stopped" in feed.sentence()  # the switch has not moved
    folder.unlink()
    feed.follow(True)
    play()
    wait_until(lambda: (feed.report() or {}).get("frames") == 1, what="a frame")
    assert feed.sentence() == "Recording to 2026-11-20.01.ndjson.zst."
    feed.follow(False)
    assert (feed.sentence(), feed.report()) == ("", None)
    assert frames(folder / "2026-11-20.01.ndjson.zst") == [trade(FRIDAY)]


def test_it_begins_with_reference_data_and_the_news_of_before(tmp_path: Path, store: Store) -> None:
    feed = FeedRecording(store, tmp_path, KEEP, on=False)
    feed.begin_source(source())
    feed.articles([article("n1")], 0)
    values = [1.0, 2.0, 0.5, 1.5, 1_000.0]
    row = [*values, *[float("nan")] * 4, "Zor, Inc.", None]
    store.redis.hset(REFERENCE, "ZZA", msgspec.msgpack.encode(row))
    store.redis.set(REFERENCE_STATE, msgspec.json.encode(ReferenceState("sim:7", 20261120, 1, time())))
    feed.follow(True)
    feed.look_for_reference()
    feed.look_for_reference()
    feed.frame(trade(FRIDAY), sort_frame(trade(FRIDAY)), 0)
    feed.articles([article("n2")], 0)
    feed.stop()
    lines: list[Any] = list(read_recording(tmp_path / names(tmp_path)[0]))
    assert kinds(lines) == ["Reference", "News", "Frame", "News"]
    assert lines[0].reference == {"ZZA": dict(zip(REFERENCE_COLUMNS, values, strict=False)) | {"name": "Zor, Inc."}}
    assert [line.news["id"] for line in lines[1::2]] == ["n1", "n2"]


@pytest.mark.parametrize(("later", "known"), [(at("2026-11-20 19:00:00.000"), ["ZZA"]), (MONDAY, [])])
def test_a_replay_knows_from_its_start_what_was_learnt_soon_after_the_first_frame(
    tmp_path: Path, later: int, known: list[str]
) -> None:
    path = tmp_path / "day.ndjson.zst"
    with RecordingWriter(path) as writer:
        writer.reference(FRIDAY, {})
        writer.frame(FRIDAY, trade(FRIDAY))
        writer.frame(later, trade(later))
        writer.reference(later, CLOSES)
    assert list(RecordedMarket(path, speed=0).reference.tickers()) == known


def test_a_file_is_no_folder_for_recordings(tmp_path: Path) -> None:
    (tmp_path / "day.ndjson").touch()
    with pytest.raises(CommandError, match=r"--record .*day\.ndjson: it is a file"):
        call_command("listen", record=str(tmp_path / "day.ndjson"))


def _old(folder: Path, name: str, size: int, days: float) -> None:
    path = folder / name
    path.write_bytes(b"x" * size)
    os.utime(path, (time() - 86_400 * days,) * 2)


def test_the_oldest_recordings_go_first_and_other_files_stay(tmp_path: Path) -> None:
    _old(tmp_path, "2026-11-16.01.ndjson.zst", 400, 9)
    _old(tmp_path, "2013-10-07.01.ndjson.zst", 400, 3)  # of a simulated or replayed day, but newer
    _old(tmp_path, "2026-11-18.02.ndjson.zst", 400, 4)
    _old(tmp_path, "2013-10-07.ndjson.gz", 400, 99)
    _old(tmp_path, "notes.txt", 400, 99)
    writing = new_file(tmp_path, date(2026, 11, 20))
    writing.write_bytes(b"x" * 300)
    removed = make_room(tmp_path, writing, Keep(most_bytes=1_100, most_days=8, least_free=0))
    assert [path.name for path in removed] == ["2026-11-16.01.ndjson.zst"]
    removed = make_room(tmp_path, writing, Keep(most_bytes=1_099, most_days=8, least_free=0))
    assert [path.name for path in removed] == ["2026-11-18.02.ndjson.zst"]
    with pytest.raises(OutOfRoom, match="RECORDINGS_MAX_GB"):
        make_room(tmp_path, writing, Keep(most_bytes=299, most_days=8, least_free=0))
    assert names(tmp_path) == ["2013-10-07.ndjson.gz", "2026-11-20.01.ndjson.zst", "notes.txt"]


def test_a_number_that_has_become_free_is_not_given_again(tmp_path: Path) -> None:
    day = date(2026, 11, 20)
    first, second = new_file(tmp_path, day), new_file(tmp_path, day)
    first.unlink()
    assert (second.name, new_file(tmp_path, day).name) == ("2026-11-20.02.ndjson.zst", "2026-11-20.03.ndjson.zst")
