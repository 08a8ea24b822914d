"""The web server under measurement: its database and users, and processes of it that share one listening socket."""

import json
import socket
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Final, Self
from urllib.request import urlopen

import psutil

from control.bench.parts import PartEnded, printed_by
from project.processes import Daemon

_READY_S: Final = 60.0
# Starting takes a whole core.
_REST_S: Final = 0.25
_REST_PERCENT: Final = 20
# Its clients are gone by then.
_FAREWELL_S: Final = 0.5
_BACKLOG: Final = 1_024
# Below the limit of sockets a user.
CLIENTS_A_USER: Final = 50
_SPARE_SOCKETS: Final = 64


class Web:
    """A context manager that leaves nothing running.

    Args:
        folder: A private one.
        environment: Of the processes.
        processes: How many.
        clients: How many sockets there will be.
        interrupted: Set when everything is to end.

    Attributes:
        port: On the loopback interface.
        tokens: Of the users; each may have `CLIENTS_A_USER` sockets.

    Raises:
        ServiceUnavailable: On entering, when a process does not start.
    """

    def __init__(
        self, folder: Path, environment: dict[str, str], processes: int, clients: int, interrupted: Event
    ) -> None:
        # What the bench does would otherwise look like an attack from one address.
        limits = dict.fromkeys(("WDS_SOCKETS", "WDS_SOCKETS_PER_ADDRESS"), str(clients + _SPARE_SOCKETS))
        self._folder, self._environment = folder, environment | limits
        self._processes, self._clients, self._interrupted = processes, clients, interrupted
        self._parts: dict[str, Daemon] = {}
        self._stack = ExitStack()
        self.port = 0
        self.tokens: list[str] = []

    def __enter__(self) -> Self:
        users = str(-(-self._clients // CLIENTS_A_USER))
        printed = printed_by("control.bench.web_users", (users,), self._folder, self._interrupted, **self._environment)
        self.tokens = json.loads(printed)["tokens"]
        with ExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG))
            self.port = listening.getsockname()[1]
            descriptor = listening.fileno()
            for number in range(1, self._processes + 1):
                name = "web" if self._processes == 1 else f"web{number}"
                part = self._parts[name] = Daemon(f"The web server {name}", self._folder / f"{name}.log")
                command = (sys.executable, "-m", "project.server", "--fd", str(descriptor))
                part.start(command, self._environment, pass_fds=(descriptor,))
                stack.callback(part.stop, _FAREWELL_S)
            for part in self._parts.values():
                part.wait_until(partial(self._serves, part), _READY_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _serves(self, part: Daemon) -> bool:
        """Whether the first has answered and this one has come to rest: which of them answers, nobody can tell."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=_READY_S) as response:
                return bool(response.status == 200) and _at_rest(part)
        except OSError:
            return False

    def pids(self) -> dict[str, int]:
        """Its processes by name."""
        return {name: part.pid for name, part in self._parts.items() if part.pid is not None}

    def check(self) -> None:
        """See that everything runs.

        Raises:
            PartEnded: Something does not.
        """
        for part in self._parts.values():
            if not part.running:
                raise PartEnded(f"{part.name} ended during the run{part.last_words()}")


def _at_rest(part: Daemon) -> bool:
    process = psutil.Process(part.pid)
    return process.cpu_percent(_REST_S) < _REST_PERCENT
