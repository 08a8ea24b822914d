"""One process that is kept running over all its lives: started, read along, ended with all that it has started."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from project.processes import dies_with_parent

# sysexits.h, EX_CONFIG: the process refuses its configuration, and would do so again.
EXIT_CONFIG: Final = 78
# A line longer than this is shown in pieces; it is no line of a log.
_LONGEST_LINE: Final = 64 * 1024
# What takes longer is not being started at all.
_STARTS_WITHIN_S: Final = 2.0


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
    healthy: float = 10.0
    grace: float = 3.0
    last_grace: float = 1.0


@dataclass(frozen=True)
class PartState:
    """How a process that is kept does.

    Attributes:
        state: `running`; `waiting` until it is started again; `ending` for good; `down`: it has ended regularly, or
            refuses its configuration, and stays so.
        since: When that began, epoch ms.
        pid: Its process id while it runs.
        restarts: How often it was started again.
        last_ending: How it ended the last time, in words; empty before.
        next_start_at: When it is started again, epoch ms, while it waits.
    """

    state: str
    since: int
    pid: int | None = None
    restarts: int = 0
    last_ending: str = ""
    next_start_at: int | None = None


class KeptProcess:
    """One process over all its lives."""

    def __init__(
        self, spec: ProcessSpec, patience: Patience, say: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self.spec = spec
        self.task: asyncio.Task[None] | None = None
        self.group: int | None = None
        self.state = PartState("waiting", _now_ms())
        self._patience = patience
        self._say = say
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()
        # Asked to end, or to begin anew: no pause between two lives.
        self._woken = asyncio.Event()
        self._lives = 0

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def _enter(self, state: str, **more: Any) -> None:
        if not self._ending.is_set() or state == "ending":
            begun = {"pid": None, "next_start_at": None, **more}
            self.state = replace(self.state, state=state, since=_now_ms(), restarts=max(0, self._lives - 1), **begun)
        self._changed()

    async def keep(self) -> None:
        """Start the process, again and again, until `end` or an exit that is final."""
        pause = self._patience.first_pause
        while not self._ending.is_set():
            begun = time.monotonic()
            self._woken.clear()
            code = await self._live()
            if self._ending.is_set():
                return
            ending = _ending(code)
            if self._woken.is_set():
                pause = self._patience.first_pause
                self._say(f"{ending}, starts again as asked for")
                self._enter("waiting", last_ending=ending, next_start_at=_now_ms())
                continue
            if code == 0 and self.spec.ends:
                self._say("finished")
                self._enter("down", last_ending="finished")
                return
            if code == EXIT_CONFIG:
                self._say("refuses its configuration (see above): it stays down until this is started anew")
                self._enter("down", last_ending="refuses its configuration: its last lines say why")
                return
            if time.monotonic() - begun >= self._patience.healthy:
                pause = self._patience.first_pause
            self._say(f"{ending}, starts again in {pause:g} s")
            self._enter("waiting", last_ending=ending, next_start_at=_now_ms() + round(pause * 1_000))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)
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
        self._lives += 1
        self._enter("running", pid=self._process.pid)
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
        self._woken.set()
        self._enter("ending", pid=self.pid)
        if self.task is None:
            return
        self._signal(signal.SIGTERM)
        hurrying = asyncio.create_task(hurry.wait())
        await asyncio.wait((self.task, hurrying), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not self.task.done():
            self._signal_group(signal.SIGKILL)
        await self.task

    async def restart(self, grace: float) -> int | None:
        """End the process as `end` does, and begin anew at once; its new process id."""
        before, lives = self.pid, self._lives
        self._woken.set()
        if self.task is not None and self.task.done() and not self._ending.is_set():
            # It was down.
            self.task = asyncio.create_task(self.keep(), name=f"keep {self.spec.name}")
        if before is not None:
            self._signal(signal.SIGTERM)
        begun = time.monotonic()
        while (
            self._lives == lives and not self._ending.is_set() and time.monotonic() - begun < grace + _STARTS_WITHIN_S
        ):
            await asyncio.sleep(0.02)
            if before is not None and self.pid == before and time.monotonic() - begun >= grace:
                self._signal_group(signal.SIGKILL)
                before = None
        return self.pid

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


def _now_ms() -> int:
    return round(time.time() * 1_000)


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
