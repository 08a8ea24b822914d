"""Runs the parts of the system as processes in one terminal: starts, prefixes their lines, restarts, stops together.

Each process leads a session and group of its own, so a Ctrl-C in the terminal reaches the supervisor alone and it
decides who ends when. Nothing here knows Django or what the parts do.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Protocol

from control.kept_process import KeptProcess, PartState
from control.kept_process import Patience as Patience
from control.kept_process import ProcessSpec as ProcessSpec

# Cyan, green, yellow, magenta, blue and their bright kin: readable on dark and light.
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
# Told the groups that are alive, line by line, it kills the last ones told when its input ends: that is when the
# supervisor is gone, however it went. PR_SET_PDEATHSIG reaches children only, and only on Linux.
_WARDEN = 'while read -r line; do groups=$line; done; for group in $groups; do kill -s KILL -- "-$group"; done'


class Writer(Protocol):
    """Where lines go: a text stream such as `sys.stdout`."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...
    def isatty(self) -> bool: ...


class Supervisor:
    """Keeps processes running until told to stop.

    Args:
        output: Where their lines go.
        colour: Whether prefixes are coloured; by default in a terminal unless NO_COLOR is set.
        patience: The waiting times.
        changed: Called in the event loop when some process has started or ended, or will.
    """

    def __init__(
        self,
        output: Writer = sys.stdout,
        colour: bool | None = None,
        patience: Patience | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_change = changed
        self._output = output
        self._colour = output.isatty() and not os.environ.get("NO_COLOR") if colour is None else colour
        self._patience = patience or Patience()
        self._parts: dict[str, KeptProcess] = {}
        self._width = 10
        self._warden: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    def start(self, specs: Iterable[ProcessSpec]) -> None:
        """Begin to keep these processes running.

        Raises:
            ValueError: a process of that name is kept already.
        """
        if self._stopping.is_set():
            # Nobody would end it any more.
            return
        for spec in specs:
            if spec.name in self._parts:
                raise ValueError(f"a process named {spec.name} is kept already")
            self._width = max(self._width, len(spec.name))
            colour = _COLOURS[len(self._parts) % len(_COLOURS)]
            part = KeptProcess(spec, self._patience, partial(self.say, spec.name, colour=colour), self._changed)
            self._parts[spec.name] = part
            part.task = asyncio.create_task(part.keep(), name=f"keep {spec.name}")

    def say(self, name: str, line: str, colour: int = 1) -> None:
        """Print one line with its prefix; the supervisor's own lines are called `up`."""
        prefix = f"{name:<{self._width}} | "
        if self._colour:
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        try:
            self._output.write(f"{prefix}{line}\n")
            self._output.flush()
        except BrokenPipeError:
            # Whoever read along is gone; nobody is left to run for.
            self._stopping.set()

    @property
    def kept(self) -> frozenset[str]:
        """The names of the processes that are kept running, also of one that is down at this moment or ending."""
        return frozenset(self._parts)

    def running(self) -> dict[str, int]:
        """The processes that are alive now, by name, with their process ids."""
        return {name: part.pid for name, part in self._parts.items() if part.pid is not None}

    def states(self) -> dict[str, PartState]:
        """How each process does that is kept, by name; may be asked in any thread."""
        return {name: part.state for name, part in list(self._parts.items())}

    def request_stop(self) -> None:
        """Ask for the end; asked again, everything is killed at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def stop_requested(self) -> None:
        """Return when somebody asked for the end."""
        await self._stopping.wait()

    async def stop(self) -> None:
        """End every process and what it has started; return when nothing is left."""
        self._stopping.set()
        for last, grace in ((False, self._patience.grace), (True, self._patience.last_grace)):
            parts = [part for part in self._parts.values() if part.spec.stops_last is last]
            await asyncio.gather(*(part.end(grace, self._hurry) for part in parts))
        self._parts.clear()
        if self._warden is not None:
            assert self._warden.stdin is not None  # noqa: S101 - it was started with a pipe
            self._warden.stdin.close()
            await self._warden.wait()
            self._warden = None

    async def retire(self, name: str, grace: float) -> None:
        """End one process for good and leave the others alone; its name is free again when this returns.

        Args:
            name: A process that is kept.
            grace: Seconds between asking it to end and killing it.
        """
        await self._parts[name].end(grace, self._hurry)
        self._parts.pop(name, None)
        self._on_change()

    async def restart(self, name: str, grace: float) -> int | None:
        """End one process, if it runs, and start it at once; also one that waits or stays down.

        Args:
            name: A process that is kept.
            grace: Seconds between asking it to end and killing it.

        Returns:
            Its new process id; None when it cannot be started, or everything ends meanwhile.

        Raises:
            KeyError: No process of that name is kept.
        """
        return await self._parts[name].restart(grace)

    async def __aenter__(self) -> "Supervisor":
        self._warden = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _WARDEN,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.request_stop)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def _changed(self) -> None:
        """Tell whoever wants to know, and the warden, which groups are alive."""
        self._on_change()
        if self._warden is not None and self._warden.stdin is not None:
            groups = " ".join(str(part.group) for part in self._parts.values() if part.group is not None)
            with suppress(ConnectionError):
                self._warden.stdin.write(f"{groups}\n".encode())
