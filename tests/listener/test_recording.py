"""Reading and writing recordings: every compression, and everything that can be wrong with a file."""

import gzip
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from listener.recording import (
    FrameLine,
    NewsLine,
    RecordingError,
    RecordingWriter,
    ReferenceLine,
    read_recording,
)

SUFFIXES = ["ndjson", "ndjson.gz", "ndjson.zst"]


def write(path: Path, frames: int, first: int = 0) -> None:
    with RecordingWriter(path) as recording:
        for number in range(first, first + frames):
            recording.frame(1_000 + number, [{"ev": "T", "sym": "ZZAB", "p": 4.05, "s": 100, "t": number, "q": number}])


def numbers(lines: list[Any]) -> list[int]:
    return [line.at - 1_000 for line in lines]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"day.{suffix}"
    with RecordingWriter(path) as recording:
        recording.reference(1, {"ZZAB": {"prev_day_close": 4.0}})
        recording.frame(2, [{"ev": "A", "sym": "ZZAB"}])
        recording.frame(3, b'[{"ev":"T", "sym":"ZZAB"}]')
        recording.news(4, {"id": "n1", "tickers": ["ZZAB"]})
    assert list(read_recording(path)) == [
        ReferenceLine(1, 1, {"ZZAB": {"prev_day_close": 4.0}}),
        FrameLine(2, 2, b'[{"ev":"A","sym":"ZZAB"}]'),
        FrameLine(3, 3, b'[{"ev":"T", "sym":"ZZAB"}]'),
        NewsLine(4, 4, {"id": "n1", "tickers": ["ZZAB"]}),
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_appending_goes_on_where_the_file_ended(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"day.{suffix}"
    write(path, 5)
    write(path, 5, first=5)
    assert numbers(list(read_recording(path))) == list(range(10))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compression_is_told_by_content_not_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"day.{suffix}"
    write(path, 3)
    assert len(list(read_recording(path.rename(tmp_path / "renamed")))) == 3


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.3, 0.62, 0.99])
def test_truncated_file_gives_its_whole_lines_then_says_where_it_is_cut(
    tmp_path: Path, suffix: str, share: float
) -> None:
    path = tmp_path / f"day.{suffix}"
    for part in range(40):  # many members, so that there is something whole before the cut
        write(path, 100, first=100 * part)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share) - 2])
    lines = read_recording(path)
    read: list[Any] = []
    with pytest.raises(RecordingError, match=r"line [\d,]+ is cut off \(") as cut:
        read.extend(lines)
    assert numbers(read) == list(range(len(read)))
    assert len(read) > 100
    assert cut.value.line == len(read) + 1
    assert cut.value.whole_lines == len(read)


def test_last_line_without_a_newline_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "day.ndjson"
    write(path, 3)
    path.write_bytes(path.read_bytes().rstrip())
    assert len(list(read_recording(path))) == 3


BAD_LINES = [
    b"nonsense",
    b"{}",
    b"[]",
    b'{"at":5}',
    b'{"frame":[]}',
    b'{"at":"noon","frame":[]}',
    b'{"at":5,"frame":{"ev":"T"}}',
    b'{"at":5,"frame":[],"news":{}}',
    b'{"at":5,"reference":[]}',
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("bad", BAD_LINES)
def test_bad_line_in_the_middle_is_named_and_passed_over(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "day.ndjson"
    write(path, 2)
    with path.open("ab") as file:
        file.write(bad + b"\n")
    write(path, 2, first=2)
    problems: list[RecordingError] = []
    assert numbers(list(read_recording(path, problems.append))) == [0, 1, 2, 3]
    assert [problem.line for problem in problems] == [3]
    with pytest.raises(RecordingError, match=r"day\.ndjson: line 3 cannot be read"):
        list(read_recording(path))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x89PNG\r\n\x1a\n\x00\x00", b"time,price\n1,2\n", *BAD_LINES])
def test_other_kinds_of_files_are_no_recordings(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content + (b"\n" if content else b""))
    with pytest.raises(RecordingError, match="not a recording"):
        list(read_recording(path, lambda _: None))


def test_missing_file_and_folder_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        list(read_recording(tmp_path / "missing"))
    with pytest.raises(RecordingError, match="directory"):
        list(read_recording(tmp_path))


def test_damaged_compression_is_told_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "day.ndjson.gz"
    write(path, 5)
    with path.open("ab") as file:
        file.write(gzip.compress(b"x" * 1_000)[:8] + b"\xff" * 64)
    read: list[Any] = []
    with pytest.raises(RecordingError, match="line 6 is damaged"):
        read.extend(read_recording(path))
    assert len(read) == 5


def test_reading_streams_and_holds_no_more_than_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "day.ndjson.gz"
    with RecordingWriter(path) as recording:
        for number in range(20_000):
            recording.frame(number, b'[{"ev":"T","sym":"ZZAB","i":"%b"}]' % os.urandom(500).hex().encode())
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_recording(path)) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000  # of 20 MB of text
