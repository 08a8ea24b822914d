"""`manage.py up` as a person runs it: the whole system, from its first start to Ctrl-C."""

import http.cookiejar
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from django.core.management import CommandError, call_command

from control.selectors import FeedCrew, feed_crew
from processors.components.instructions import instruct
from tests.control.obeying import everybody_is_there, everybody_obeys, whoever_ends_comes_back
from tests.services import Part, alive, environment, manage, python, wait_until
from widgets.visitors.presence import processes

# Two of them at once would look for the same free port.
pytestmark = pytest.mark.xdist_group("up")

# A small market, so that two cores start it quickly.
MARKET = ("--symbols", "300", "--rate", "500")


@pytest.fixture
def run_dir(built_frontend: Path) -> Iterator[Path]:
    """A folder with a short name: a socket's path has room for a hundred bytes."""
    folder = Path(tempfile.mkdtemp(prefix="tapewatch-up-"))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def up(run_dir: Path, *arguments: str) -> Iterator[Part]:
    """`up` in a folder; what it printed last is shown with whatever fails meanwhile."""
    env = environment(run_dir, SECRET_KEY="")
    with python("manage.py", "up", "--port", "0", *arguments, env=env, log=run_dir / "up.log") as part:
        try:
            yield part
        except BaseException:
            sys.stdout.write(part.output[-8_000:])
            raise


def page(part: Part) -> str:
    part.wait_for("Stop    Ctrl-C", 60)
    found = re.search(r"Open +(http://\S+)", part.output)
    assert found is not None
    return found[1]


def cache_of(run_dir: Path) -> "redis.Redis":
    return redis.Redis(unix_socket_path=str(run_dir / "valkey.sock"), socket_timeout=10)


def board(run_dir: Path) -> bytes | None:
    """What the cache holds of the board that moves first; None while there is no cache or no board."""
    try:
        with cache_of(run_dir) as client:
            value = client.get("scanners:top_volume")
    except redis.ConnectionError:
        return None
    assert value is None or isinstance(value, bytes)
    return value


def wait_moving(run_dir: Path, seconds: float) -> None:
    """Return when a board with rows has changed."""
    wait_until(lambda: len(board(run_dir) or b"") > 100, seconds, "a board with rows")
    # After a restart it may be the one of the run before, until the table begins anew.
    first = board(run_dir)
    wait_until(lambda: board(run_dir) not in {None, first}, seconds, "a moving board")


def family(pid: int) -> set[int]:
    """The process and all that it and they have started."""
    rows = subprocess.run(("ps", "-A", "-o", "pid=,ppid="), capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for row in rows.splitlines():
        child, parent = map(int, row.split())
        children.setdefault(parent, []).append(child)
    found, todo = set[int](), [pid]
    while todo:
        found.add(todo[0])
        todo += children.get(todo.pop(0), [])
    return found


def log_in(address: str, name: str, password: str) -> str:
    """The page that a browser sees after sending the login form."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    with browser.open(address, timeout=10) as response:
        form = response.url
    token = next(cookie.value for cookie in jar if cookie.name == "csrftoken") or ""
    fields = {"login": name, "password": password, "csrfmiddlewaretoken": token}
    request = urllib.request.Request(form, urllib.parse.urlencode(fields).encode(), {"Referer": form})
    with browser.open(request, timeout=10) as response:
        assert response.url == address
        return str(response.read().decode())


def named(part: Part, words: str) -> list[int]:
    """The processes of the system whose command has these words in it."""
    everyone = family(part.process.pid)
    rows = subprocess.run(("ps", "-A", "-ww", "-o", "pid=,args="), capture_output=True, text=True, check=True).stdout
    return [int(row.split()[0]) for row in rows.splitlines() if words in row and int(row.split()[0]) in everyone]


def feed_worker(part: Part, number: int) -> int | None:
    """The process of a feed worker that runs, by its number."""
    return next(iter(named(part, f" -n feed{number}-")), None)


def feed_workers(part: Part) -> set[int]:
    """The numbers of those that run."""
    return {number for number in range(1, 5) if feed_worker(part, number) is not None}


def test_a_first_start_a_stop_a_second_start_that_is_killed_and_a_third(run_dir: Path) -> None:
    _a_login_a_crash_and_a_stop(run_dir)
    _killed_it_takes_everything_along(run_dir)
    # What that left, such as the socket, does not hinder the next.
    assert (run_dir / "valkey.sock").exists()
    _workers_come_and_go_as_they_are_wanted(run_dir)


def _a_login_a_crash_and_a_stop(run_dir: Path) -> None:
    with up(run_dir, *MARKET) as part:
        address = page(part)
        login = re.search(r"Log in +user (\S+), password (\S+)", part.output)
        assert login is not None
        assert "dashboard" in log_in(address, login[1], login[2])
        wait_moving(run_dir, 30)
        part.wait_for("jobs-", 30)

        refused = manage("up", "--port", "0", env=environment(run_dir))
        assert refused.returncode == 1
        assert f"already running with {run_dir}" in refused.stderr

        everyone = family(part.process.pid)
        worker = feed_worker(part, 1)
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        part.wait_for("feed1      | was ended by SIGKILL", 5)
        wait_until(lambda: part.output.count("feed1-") > 1 and board(run_dir), 20, "feed1 again")

        everyone |= family(part.process.pid)
        begun = time.monotonic()
        assert part.end(signal.SIGINT, 10) == 0
        assert time.monotonic() - begun < 5
        assert not [pid for pid in everyone if alive(pid)]
        assert not (run_dir / "valkey.sock").exists()
    assert re.fullmatch(r"SECRET_KEY=\S{50,}\n", (run_dir / ".env").read_text())


def _killed_it_takes_everything_along(run_dir: Path) -> None:
    with up(run_dir, *MARKET, "--seed", "8") as part:
        wait_moving(run_dir, 60)
        page(part)
        assert "manage.py changepassword admin)" in part.output
        assert "SECRET_KEY" not in part.output
        everyone = family(part.process.pid)
        part.process.kill()
        wait_until(lambda: not [pid for pid in everyone - {part.process.pid} if alive(pid)], 5, "the end of all")


def _workers_come_and_go_as_they_are_wanted(run_dir: Path) -> None:
    def want(count: int | None) -> None:
        with sqlite3.connect(run_dir / "tapewatch.sqlite3", timeout=10) as database:
            database.execute("UPDATE control_feedsettings SET feed_workers = ?", (count,))
        (answer,) = instruct(cache, "up", "look", {})
        assert answer.after["wanted"] == (count or 2)

    with up(run_dir, *MARKET, "--workers", "2", "--web", "2") as part, cache_of(run_dir) as cache:
        address = page(part)
        wait_until(lambda: part.output.count(" ready.") >= 4, 40, "two feed workers, scans and jobs")
        first, second = feed_worker(part, 1), feed_worker(part, 2)
        want(3)
        wait_until(lambda: feed_workers(part) == {1, 2, 3}, 10, "a third worker")
        part.wait_for("feed3-", 30)
        want(1)
        wait_until(lambda: feed_workers(part) == {1}, 15, "the surplus workers' end")
        assert feed_worker(part, 1) == first
        assert part.output.count("Warm shutdown") == 2
        wait_moving(run_dir, 10)
        wait_until(lambda: feed_crew(cache) == FeedCrew(wanted=1, running=1), 10, "the report")
        # As it was started with.
        want(None)
        wait_until(lambda: feed_workers(part) == {1, 2}, 10, "the second worker again")
        assert feed_worker(part, 2) != second
        stats = json.loads(manage("stats", "--json", env=environment(run_dir)).stdout)
        for feed, terms in stats["feeds"].items():
            assert (terms["failed"], terms["lost"]) == (0, 0), feed

        # The web's processes share a listening socket: without one of them the other answers.
        wait_until(lambda: len(processes(cache)) == 2, 10, "both web processes")
        os.kill(named(part, " project.server ")[0], signal.SIGKILL)
        with urllib.request.urlopen(f"{address}healthz", timeout=5) as response:
            assert response.status == 200
        part.wait_for("was ended by SIGKILL, starts again", 5)
        wait_until(lambda: len(named(part, " project.server ")) == 2, 10, "a successor")

        everybody_is_there(cache)
        everybody_obeys(cache, run_dir)
        whoever_ends_comes_back(cache)


def test_a_recording_is_replayed_to_its_last_event(run_dir: Path) -> None:
    recording = run_dir / "day.ndjson"
    lines = []
    for number in range(200):
        at = 1_772_548_200_000 + 100 * number
        trade = f'{{"ev":"T","sym":"ZZAB","x":4,"i":"{number}","z":3,"p":4.05,"s":100,"t":{at},"q":{number + 1}}}'
        lines.append(f'{{"at":{at},"frame":[{trade}]}}\n')
    recording.write_text("".join(lines))
    with up(run_dir, "--recording", str(recording), "--speed", "0") as part:
        page(part)
        wait_until(lambda: b'"symbol":"ZZAB"' in (board(run_dir) or b"").replace(b" ", b""), 30, "the recording's row")
        wait_until(lambda: '"processed": 200' in manage("stats", "--json", env=environment(run_dir)).stdout, 30, "200")
        assert "as fast as it can be read" in part.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recording", "nowhere.ndjson"), "The recording nowhere.ndjson cannot be read: No such file"),
        (("--speed", "0"), "--speed 0 (as fast as it can be read) needs a --recording."),
        (("--start", "2026-11-21 09:25"), "--start: the exchange is closed on 2026-11-21"),
        (("--host", "192.0.2.1"), "192.0.2.1 is no address of this machine"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_starts(arguments: tuple[str, ...], message: str) -> None:
    output = io.StringIO()
    with pytest.raises(CommandError, match=re.escape(message)) as raised:
        call_command("up", "--port", "0", *arguments, stdout=output)
    assert raised.value.returncode == 1
    assert " | " not in output.getvalue()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL: the cache at 127.0.0.1:1 does not answer"),
        ({"MESSAGE_TTL_MS": "soon"}, "MESSAGE_TTL_MS: 'soon' cannot be used"),
        ({"TAPEWATCH_RUN_DIR": "/tmp/tapewatch-" + "x" * 90}, "set TAPEWATCH_RUN_DIR to a shorter folder"),
    ],
)
def test_an_environment_that_cannot_work_is_said_before_anything_starts(
    run_dir: Path, variables: dict[str, str], message: str
) -> None:
    done = manage("up", "--port", "0", env=environment(run_dir) | variables)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert " | " not in done.stdout
    shutil.rmtree("/tmp/tapewatch-" + "x" * 90, ignore_errors=True)
