"""What tests share to run the system's parts as real processes: their environment, their start and end, waiting."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from project.env import BASE_DIR


def environment(run_dir: Path, **variables: str) -> dict[str, str]:
    """The environment of a part that has nothing to do with the test process: its own folder, no key, no `.env`."""
    programs = str(Path(sys.executable).parent)
    return os.environ | {
        "PATH": os.pathsep.join((programs, os.environ.get("PATH", os.defpath))),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "TAPEWATCH_RUN_DIR": str(run_dir),
        "TAPEWATCH_ENV_FILE": str(run_dir / ".env"),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }


def wait_until(condition: Callable[[], object], seconds: float = 10.0, what: str = "it", every: float = 0.02) -> None:
    """Poll until `condition()` is true; fail with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(every)


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be collected does not."""
    state = subprocess.run(("ps", "-o", "stat=", "-p", str(pid)), capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


class Part:
    """A running process of the project, in a session of its own.

    Attributes:
        process: The process.
        log: The file with what it printed, both streams.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        """Return when it has printed `text`; fail with what it did print when it ends without, or takes too long."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            ended = self.process.poll()
            if text not in self.output and (ended is not None or time.monotonic() > deadline):
                raise AssertionError(f"it never printed {text!r} (exit code {ended}), but:\n{self.output[-4000:]}")
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 5.0) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def running(
    command: Sequence[str], *, env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()
) -> Iterator[Part]:
    """Run a command in the project's folder; afterwards nothing of it is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=BASE_DIR,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    try:
        yield Part(process, log)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(6.0)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def python(*arguments: str, env: Mapping[str, str], log: Path) -> AbstractContextManager[Part]:
    """Run `python ARGUMENTS` in the project's folder; afterwards nothing of it is left."""
    return running((sys.executable, *arguments), env=env, log=log)


def manage(command: str, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a short management command to its end, with both streams captured."""
    return subprocess.run(
        (sys.executable, str(BASE_DIR / "manage.py"), command, *arguments),
        cwd=BASE_DIR,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=60,
    )
