"""Programs that we start beside ourselves: that they end with us, and how we wait for them."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec nothing may be imported or looked up.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform.startswith("linux") else None


class ServiceUnavailable(Exception):
    """A program or server that is needed cannot be had; the text says what is missing and what to do."""


def dies_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` that lets the kernel kill the child when the thread that starts it ends, however it ends.

    Returns:
        The function for `subprocess.Popen`, or None where the kernel offers no such thing (macOS).
    """
    if _prctl is None:
        return None
    prctl, parent, kill = _prctl, os.getpid(), int(signal.SIGKILL)

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, kill, 0, 0, 0)
        # The parent may have died between fork and prctl; then no signal will ever come.
        if os.getppid() != parent:
            os._exit(1)

    return arm


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port on `host` that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class Daemon:
    """One program in the background, in a session of its own, its output in a file.

    Args:
        name: What people call it, for messages.
        log: The file that takes its output; it starts anew with every start.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process, which is also its group, or None before the first start."""
        return None if self._process is None else self._process.pid

    def start(self, command: Sequence[str], env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()) -> None:
        """Start `command` in the log's folder.

        Args:
            command: The program and its arguments.
            env: Its environment; without one, ours.
            pass_fds: File descriptors that it inherits.

        Raises:
            ServiceUnavailable: the program cannot be executed.
        """
        with self.log.open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    env=env,
                    cwd=self.log.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in a terminal goes to a whole session; when this one ends is our decision.
                    start_new_session=True,
                    preexec_fn=dies_with_parent(),
                    pass_fds=tuple(pass_fds),
                )
            except OSError as error:
                raise ServiceUnavailable(f"{self.name} could not be started: {error}.") from error

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return as soon as `ready()` says so.

        Raises:
            ServiceUnavailable: the program ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise ServiceUnavailable(f"{self.name} ended while it started{self.last_words()}")
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"{self.name} was not ready within {seconds:.0f} s{self.last_words()}")
            time.sleep(0.02)

    def stop(self, seconds: float) -> None:
        """Ask it to end; after `seconds` kill it and whatever it has started."""
        if self._process is not None and self.running:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End it and whatever it has started at once, as a power cut would."""
        if self._process is None:
            return
        # Both say that nothing of the group is left, the second on macOS.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """The end of what it printed, for the end of a message."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return ":\n" + "\n".join(lines[-8:]) if lines else "."
