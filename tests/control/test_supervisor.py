"""The supervisor over real small processes."""

import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from control.supervisor import Patience, ProcessSpec, Supervisor
from tests.services import alive

BRISK = Patience(first_pause=0.05, longest_pause=0.4, healthy=30.0, grace=0.7, last_grace=0.5)


def python(name: str, code: str, **more: object) -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-u", "-S", "-c", code), **more)  # type: ignore[arg-type]


def shell(name: str, code: str, **more: object) -> ProcessSpec:
    return ProcessSpec(name, ("/bin/sh", "-c", code), **more)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_lines_of_both_streams_come_prefixed_and_whole() -> None:
    output = io.StringIO()
    async with Supervisor(output, patience=BRISK) as supervisor:
        supervisor.start([shell("listen", "echo out; echo problem >&2; printf 'no end'; exec sleep 9 >&- 2>&-")])
        await until(lambda: output.getvalue().count("\n") == 3)
    assert sorted(output.getvalue().splitlines()) == ["listen     | no end", "listen     | out", "listen     | problem"]


async def test_bytes_that_are_no_text_and_endless_lines_are_shown() -> None:
    output = io.StringIO()
    code = "import sys; o=sys.stdout.buffer; o.write(b'\\xff!\\n'); o.write(b'x'*200000); o.flush(); input()"
    async with Supervisor(output, patience=BRISK) as supervisor:
        supervisor.start([python("web", code, ends=True)])
        await until(lambda: output.getvalue().count("x") == 200_000)
    assert "web        | \N{REPLACEMENT CHARACTER}!\n" in output.getvalue()


async def test_colours_only_when_asked_for() -> None:
    plain, coloured = io.StringIO(), io.StringIO()
    Supervisor(plain).say("web", "hello", 36)
    Supervisor(coloured, colour=True).say("web", "hello", 36)
    assert plain.getvalue() == "web        | hello\n"
    assert coloured.getvalue() == "\x1b[36mweb        | \x1b[0mhello\n"


async def test_a_process_that_dies_is_started_again_with_growing_pauses_and_a_new_mark() -> None:
    output = io.StringIO()
    async with Supervisor(output, patience=BRISK) as supervisor:
        supervisor.start([shell("feed1", "echo node {start}; exit 3")])
        await until(lambda: output.getvalue().count("node") == 4)
    marks = [line.split()[-1] for line in output.getvalue().splitlines() if "node" in line]
    pauses = [line.split()[-2] for line in output.getvalue().splitlines() if "ended with 3" in line]
    assert len(set(marks)) == 4
    assert pauses[:3] == ["0.05", "0.1", "0.2"]


async def test_a_killed_process_is_started_again() -> None:
    output = io.StringIO()
    async with Supervisor(output, patience=BRISK) as supervisor:
        supervisor.start([shell("web", "exec sleep 30")])
        await until(lambda: "web" in supervisor.running())
        first = supervisor.running()["web"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.running().get("web", first) != first)
    assert "was ended by SIGKILL" in output.getvalue()


async def test_a_refused_configuration_and_a_regular_end_are_final() -> None:
    output = io.StringIO()
    async with Supervisor(output, patience=BRISK) as supervisor:
        supervisor.start([shell("listen", "echo once; exit 78"), shell("replay", "echo once", ends=True)])
        await until(lambda: "refuses its configuration" in output.getvalue() and "finished" in output.getvalue())
        await asyncio.sleep(3 * BRISK.first_pause)
        assert supervisor.running() == {}
    assert output.getvalue().count("once") == 2


async def test_a_command_that_does_not_exist_is_said_and_tried_again() -> None:
    output = io.StringIO()
    async with Supervisor(output, patience=BRISK) as supervisor:
        supervisor.start([ProcessSpec("gone", ("/nowhere/at/all",))])
        await until(lambda: output.getvalue().count("could not be started") == 2)


async def test_grandchildren_end_with_a_child_that_crashes(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    async with Supervisor(io.StringIO(), patience=BRISK) as supervisor:
        supervisor.start([shell("jobs", f"sleep 60 & echo $! > {note}; exit 78")])
        await until(lambda: note.exists() and note.read_text().strip() != "")
        grandchild = int(note.read_text())
        await until(lambda: not alive(grandchild))


async def test_a_child_that_ignores_the_request_to_end_is_killed_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    async with Supervisor(io.StringIO(), patience=BRISK) as supervisor:
        supervisor.start([shell("stubborn", f"trap '' TERM; sleep 60 & echo $! > {note}; while :; do sleep 1; done")])
        await until(lambda: note.exists() and note.read_text().strip() != "")
        pids = [supervisor.running()["stubborn"], int(note.read_text())]
        begun = time.monotonic()
    assert BRISK.grace <= time.monotonic() - begun < BRISK.grace + 2
    await until(lambda: not any(map(alive, pids)))


async def test_asked_twice_it_does_not_wait() -> None:
    patience = Patience(grace=30.0, last_grace=30.0)
    async with Supervisor(io.StringIO(), patience=patience) as supervisor:
        supervisor.start([shell("stubborn", "trap '' TERM; echo; while :; do sleep 1; done")])
        await until(lambda: bool(supervisor.running()))
        await asyncio.sleep(0.1)
        supervisor.request_stop()
        await supervisor.stop_requested()
        asyncio.get_running_loop().call_later(0.2, supervisor.request_stop)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5


async def test_what_others_need_ends_last() -> None:
    output = io.StringIO()
    goodbye = "trap 'echo goodbye; exit' TERM; echo up; while :; do sleep 0.02; done"
    async with Supervisor(output, patience=BRISK) as supervisor:
        supervisor.start([shell("valkey", goodbye, stops_last=True), shell("web", goodbye), shell("feed", goodbye)])
        await until(lambda: output.getvalue().count("up") == 3)
    assert [line for line in output.getvalue().splitlines() if "goodbye" in line][-1].startswith("valkey")


async def test_nothing_is_started_any_more_when_everything_is_to_end() -> None:
    async with Supervisor(io.StringIO(), patience=BRISK) as supervisor:
        supervisor.request_stop()
        supervisor.start([shell("late", "sleep 9")])
        assert supervisor.kept == frozenset()


async def test_two_processes_of_one_name_are_refused() -> None:
    async with Supervisor(io.StringIO(), patience=BRISK) as supervisor:
        with pytest.raises(ValueError, match="web is kept already"):
            supervisor.start([shell("web", "sleep 9"), shell("web", "sleep 9")])


async def test_one_process_is_retired_and_the_others_never_notice() -> None:
    output = io.StringIO()
    async with Supervisor(output, patience=BRISK) as supervisor:
        goodbye = "trap 'echo goodbye; exit' TERM; echo up; while :; do sleep 0.02; done"
        supervisor.start([shell("feed1", goodbye), shell("feed2", goodbye)])
        await until(lambda: output.getvalue().count("up") == 2)
        other = supervisor.running()["feed1"]
        await supervisor.retire("feed2", 5.0)
        assert "feed2      | goodbye" in output.getvalue()
        assert supervisor.running() == {"feed1": other}
        # Its name is free again.
        supervisor.start([shell("feed2", goodbye)])
        await until(lambda: output.getvalue().count("up") == 3)
        assert supervisor.running()["feed1"] == other


async def test_a_process_that_will_not_retire_is_killed_and_so_it_is_when_everything_stops_meanwhile() -> None:
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.02; done"
    output = io.StringIO()
    async with Supervisor(output, patience=BRISK) as supervisor:
        supervisor.start([shell("feed1", stubborn), shell("feed2", stubborn)])
        await until(lambda: output.getvalue().count("up") == 2)
        await supervisor.retire("feed2", 0.2)
        assert supervisor.kept == {"feed1"}
        leaving = asyncio.create_task(supervisor.retire("feed1", 60.0))
        await asyncio.sleep(0)
    await asyncio.wait_for(leaving, 1)
    assert supervisor.kept == set()


# A supervisor in a process of its own, with a child that has a child.
_PROGRAM = """
import asyncio, sys
from control.supervisor import ProcessSpec, Supervisor
async def main():
    async with Supervisor() as supervisor:
        supervisor.start([
            ProcessSpec("jobs", ("/bin/sh", "-c", "echo child $$; sleep 60 & echo child $!; wait")),
            ProcessSpec("stubborn", ("/bin/sh", "-c", "trap '' TERM; echo child $$; while :; do sleep 0.1; done")),
        ])
        await supervisor.stop_requested()
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_however_the_supervisor_ends_nothing_is_left_within_five_seconds(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    pids = [int((await asyncio.wait_for(process.stdout.readline(), 10)).split()[-1]) for _ in range(3)]
    assert all(map(alive, pids))
    begun = time.monotonic()
    process.send_signal(number)
    code = await process.wait()
    await until(lambda: not any(map(alive, pids)))
    assert time.monotonic() - begun < 5
    assert code == (-signal.SIGKILL if number is signal.SIGKILL else 0)


async def test_how_each_process_does_is_told_at_every_change() -> None:
    told: list[str] = []

    def look() -> None:
        told.append(" ".join(state.state for state in supervisor.states().values()))

    async with Supervisor(io.StringIO(), patience=BRISK, changed=look) as supervisor:
        supervisor.start([shell("web", "exec sleep 30"), shell("replay", "exit 0", ends=True)])
        await until(lambda: told[-1:] == ["running down"])
        pid = supervisor.running()["web"]
        assert supervisor.states()["web"].pid == pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: supervisor.states()["web"].state == "waiting")
        waiting = supervisor.states()["web"]
        assert (waiting.pid, waiting.last_ending) == (None, "was ended by SIGKILL")
        assert waiting.next_start_at is not None
        assert 0 <= waiting.next_start_at - waiting.since <= 1_000 * BRISK.first_pause + 5
        await until(lambda: supervisor.states()["web"].state == "running")
        assert supervisor.states()["web"].restarts == 1
        assert supervisor.states()["replay"].last_ending == "finished"
    assert "waiting down" in told
    assert supervisor.states() == {}


async def test_one_process_is_restarted_at_once_and_the_others_never_notice() -> None:
    output = io.StringIO()
    async with Supervisor(output, patience=Patience(first_pause=60.0)) as supervisor:
        goodbye = "trap 'echo goodbye; exit' TERM; echo up; while :; do sleep 0.02; done"
        supervisor.start([shell("feed1", goodbye), shell("feed2", goodbye)])
        await until(lambda: output.getvalue().count("up") == 2)
        first, other = supervisor.running()["feed1"], supervisor.running()["feed2"]
        pid = await supervisor.restart("feed1", 5.0)
        assert supervisor.running() == {"feed1": pid, "feed2": other}
        assert pid != first
        assert output.getvalue().count("goodbye") == 1
        # One that would wait for a minute is started at once, too.
        os.kill(other, signal.SIGKILL)
        await until(lambda: supervisor.states()["feed2"].state == "waiting")
        assert await supervisor.restart("feed2", 5.0) == supervisor.running()["feed2"]
        with pytest.raises(KeyError):
            await supervisor.restart("feed3", 5.0)


async def test_one_that_is_down_or_stubborn_is_restarted_too() -> None:
    output = io.StringIO()
    async with Supervisor(output, patience=BRISK) as supervisor:
        stubborn = "trap '' TERM; echo up; while :; do sleep 0.02; done"
        supervisor.start([shell("listener", "echo once; exit 78"), shell("feed1", stubborn)])
        await until(lambda: supervisor.states()["listener"].state == "down" and "up" in output.getvalue())
        await supervisor.restart("listener", 1.0)
        await until(lambda: output.getvalue().count("once") == 2)
        first = supervisor.running()["feed1"]
        assert await supervisor.restart("feed1", 0.2) == supervisor.running()["feed1"] != first
        assert not alive(first)
