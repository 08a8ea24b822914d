"""The commands `simulate` and `replay` as people start them."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from listener.recording import RecordingWriter
from project.env import BASE_DIR
from tests.listener.market_server import read_until, stream_client


@contextmanager
def command(*words: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A running command and the line it printed first."""
    process = subprocess.Popen(
        [sys.executable, str(BASE_DIR / "manage.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MASSIVE_API_KEY": ""},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def recording(path: Path, cut: int = 0) -> Path:
    with RecordingWriter(path) as out:
        for number in range(50):
            out.frame(1_381_132_800_000 + number, [{"ev": "T", "sym": "ZZAB", "t": number}])
    path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
    return path


def address_of(line: str) -> str:
    found = re.search(r"listening on ([\d.]+:\d+)", line)
    assert found is not None, line
    return found[1]


def test_simulate_says_where_it_listens_serves_and_stops_on_a_signal() -> None:
    words = ("simulate", "--port", "0", "--symbols", "200", "--start", "2026-11-20 10:30", "--seed", "3")
    with command(*words) as (process, line):
        assert "market time 2026-11-20 10:30 New York, 200 symbols, seed 3" in line
        asyncio.run(read_until(stream_client(address_of(line), "Q.*"), lambda text: '"ev":"Q"' in text))
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


@pytest.mark.parametrize(("cut", "code"), [(0, 0), (7, 1)])
def test_replay_once_ends_with_the_recording_and_its_exit_code_says_whether_it_was_whole(
    tmp_path: Path, cut: int, code: int
) -> None:
    path = recording(tmp_path / "day.ndjson", cut)
    with command("replay", str(path), "--speed", "0", "--port", "0", "--once") as (process, line):
        asyncio.run(read_until(stream_client(address_of(line), "*"), lambda _: False))
        out, errors = process.communicate(timeout=10)
    assert process.returncode == code
    assert re.search(rf"replay finished: {50 - bool(cut)} frames, {50 - bool(cut)} events in", out)
    assert ("line 50 is cut off" in errors and "49 lines were played" in errors) == bool(cut)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("port", "http", "--port must be a whole number"),
        ("port", "70000", "--port must be a whole number"),
        ("symbols", "0", "--symbols must be a whole number"),
        ("seed", "-1", "--seed must be a whole number"),
        ("speed", "0", "--speed must be a number"),
        ("speed", "nan", "--speed must be a number"),
        ("rate", "lots", "--rate must be a number"),
        ("start", "2026-11-21 09:25", "the exchange is closed on 2026-11-21"),
    ],
)
def test_simulate_refuses_unusable_options_in_a_sentence(option: str, value: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("simulate", **{option: value})


def test_port_in_use_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = recording(tmp_path / "day.ndjson")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words in (("simulate", "--symbols", "5"), ("replay", str(path))):
            with pytest.raises(CommandError, match=f"port {port} on 127.0.0.1 is in use"):
                call_command(*words, "--port", port)


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n", b"hello\n"])
def test_replay_refuses_what_is_no_recording_before_it_listens(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "day.ndjson"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match="No such file" if content is None else "not a recording"):
        call_command("replay", str(path), "--port", "0")


def test_replay_refuses_an_unusable_speed(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--speed must be a number"):
        call_command("replay", str(recording(tmp_path / "day.ndjson")), "--speed", "fast")
