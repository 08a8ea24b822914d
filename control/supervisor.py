"""Runs the parts of the system as processes in one terminal: starts, prefixes their lines, restarts, stops together.

Each process leads a session and group of its own, so a Ctrl-C in the terminal reaches the supervisor alone and it
decides who ends when. Nothing here knows Django or what the parts do.
"""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from project.processes import dies_with_parent

# sysexits.h, EX_CONFIG: the process refuses its configuration, and would do so again.
EXIT_CONFIG = 78
# A line longer than this is shown in pieces; it is no line of a log.
_LONGEST_LINE = 64 * 1024
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


@dataclass(frozen=True)
class ProcessSpec:
    """One process to keep running.

    Attributes:
        name: What its lines are prefixed with; unique.
        command: The program and its arguments; `{start}` becomes a mark that no other start has.
        environment: Variables beside (or instead of) the supervisor's own.
        folder: Where it runs; None for the supervisor's own.
        pass_fds: File descriptors it inherits.
        ends: Whether exiting with 0 is its regular end; otherwise it is restarted then too.
        stops_last: Whether the others need it until they are gone.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    pass_fds: tuple[int, ...] = ()
    ends: bool = False
    stops_last: bool = False


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds.

    Attributes:
        first_pause: Before the first restart; it doubles with each further one.
        longest_pause: It does not grow beyond this.
        healthy: A process that lived this long starts again with the first pause.
        grace: Between asking processes to end and killing them.
        last_grace: The same for those that stop last; both together leave Ctrl-C done within five seconds.
    """

    first_pause: float = 0.5
    longest_pause: float = 10.0
    healthy: float = 30.0
    grace: float = 3.0
    last_grace: float = 1.0


class Supervisor:
    """Keeps processes running until told to stop.

    Args:
        output: Where their lines go.
        colour: Whether prefixes are coloured; by default in a terminal unless NO_COLOR is set.
        patience: The waiting times.
    """

    def __init__(
        self, output: Writer = sys.stdout, colour: bool | None = None, patience: Patience = Patience()
    ) -> None:
        self._output = output
        self._colour = output.isatty() and not os.environ.get("NO_COLOR") if colour is None else colour
        self._patience = patience
        self._parts: dict[str, _Part] = {}
        self._width = 10
        self._warden: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    def start(self, specs: Iterable[ProcessSpec]) -> None:
        """Begin to keep these processes running.

        Raises:
            ValueError: a process of that name is kept already.
        """
        for spec in specs:
            if spec.name in self._parts:
                raise ValueError(f"a process named {spec.name} is kept already")
            self._width = max(self._width, len(spec.name))
            colour = _COLOURS[len(self._parts) % len(_COLOURS)]
            part = _Part(spec, self._patience, partial(self.say, spec.name, colour=colour), self._tell)
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

    def _tell(self) -> None:
        """Tell the warden which groups are alive."""
        if self._warden is not None and self._warden.stdin is not None:
            groups = " ".join(str(part.group) for part in self._parts.values() if part.group is not None)
            with suppress(ConnectionError):
                self._warden.stdin.write(f"{groups}\n".encode())


class _Part:
    """One process over all its lives."""

    def __init__(
        self, spec: ProcessSpec, patience: Patience, say: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self.spec = spec
        self.task: asyncio.Task[None] | None = None
        self.group: int | None = None
        self._patience = patience
        self._say = say
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def keep(self) -> None:
        """Start the process, again and again, until `end` or an exit that is final."""
        pause = self._patience.first_pause
        while not self._ending.is_set():
            begun = time.monotonic()
            code = await self._live()
            if self._ending.is_set():
                return
            if code == 0 and self.spec.ends:
                self._say("finished")
                return
            if code == EXIT_CONFIG:
                self._say("refuses its configuration (see above): it stays down until this is started anew")
                return
            if time.monotonic() - begun >= self._patience.healthy:
                pause = self._patience.first_pause
            self._say(f"{_ending(code)}, starts again in {pause:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
            pause = min(2 * pause, self._patience.longest_pause)

    async def _live(self) -> int:
        """One life; returns the exit code, negative for a signal, 127 if it could not be started."""
        mark = f"{time.time_ns() // 1_000_000:x}-{next(_STARTS)}"
        # A pipe of our own: with asyncio's, waiting for the process means waiting for everybody who holds the pipe.
        reader, writer = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(word.replace("{start}", mark) for word in self.spec.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                env={**os.environ, **self.spec.environment},
                cwd=self.spec.folder,
                pass_fds=self.spec.pass_fds,
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )
        except OSError as error:
            os.close(reader)
            self._say(f"could not be started: {error}")
            return 127
        finally:
            os.close(writer)
        self.group = self._process.pid
        self._changed()
        reading = asyncio.create_task(self._show(reader))
        if self._ending.is_set():
            # Asked to end between the decision to start and the start.
            self._signal(signal.SIGTERM)
        code = await self._process.wait()
        # What it started must not outlive it, nor hold the pipe open.
        self._signal_group(signal.SIGKILL)
        self.group = None
        self._changed()
        with suppress(TimeoutError):
            await asyncio.wait_for(reading, 0.3)
        return code

    async def _show(self, descriptor: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            async for line in _lines(stream):
                self._say(line)
        finally:
            transport.close()

    async def end(self, grace: float, hurry: asyncio.Event) -> None:
        """End the process: asked first, killed after `grace` seconds or as soon as `hurry` is set."""
        self._ending.set()
        if self.task is None:
            return
        self._signal(signal.SIGTERM)
        hurrying = asyncio.create_task(hurry.wait())
        await asyncio.wait((self.task, hurrying), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not self.task.done():
            self._signal_group(signal.SIGKILL)
        await self.task

    def _signal(self, number: signal.Signals) -> None:
        """To the process alone: what it has started, it ends itself, and in the right order."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _signal_group(self, number: signal.Signals) -> None:
        if self.group is not None:
            # PermissionError is what macOS says of a group whose last member is a zombie.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, number)


_STARTS = itertools.count(1)


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code}"


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The stream's lines, whatever their length and bytes."""
    rest = b""
    while chunk := await stream.read(_LONGEST_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) >= _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace").rstrip("\r")
