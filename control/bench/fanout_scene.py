"""Where `bench fanout` takes place: a cache, a web server that has nothing else to do, and who comes to it."""

import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
import psutil

from control.bench.fanout_client import Crowd
from control.bench.fanout_clients import Heard, Ready
from control.bench.fanout_publisher import Began
from control.bench.measuring import Meter, ProcessCost
from control.bench.parts import PartEnded, Speaker, environment
from control.bench.web import Web
from project.embedded import EmbeddedValkey
from project.processes import Daemon

# Thousands of logins take their time.
READY_S: Final = 150.0
_SAMPLE_S: Final = 0.25
_POLL_S: Final = 0.01
_MB: Final = 1024 * 1024

S = TypeVar("S")


class Scene:
    """A context manager that leaves nothing running.

    Args:
        folder: A private one with a short name.
        interrupted: Set when everything is to end.
        processes: Of the web server.
        sockets: How many there will be.

    Attributes:
        web_mb: Memory of the web processes, by when it was looked at.

    Raises:
        ServiceUnavailable: On entering, when something does not start.
    """

    def __init__(self, folder: Path, interrupted: Event, processes: int, sockets: int) -> None:
        self._folder, self._interrupted = folder, interrupted
        # As in real use: on a socket, its changes written to a file.
        self.cache = EmbeddedValkey(folder / "valkey.sock", folder / "valkey", persist=True)
        self._env = environment(folder, self.cache.url) | {"CELERY_BROKER_URL": self.cache.broker_url}
        self._web = Web(folder, self._env, processes, sockets, interrupted)
        self._stack = ExitStack()
        self._speakers: dict[str, Speaker] = {}
        self.web_mb: dict[str, float] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.cache)
            stack.enter_context(self._web)
            self.remember("before")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def come(self, name: str, clients: int, feeds: list[str], seconds: float, **more: Any) -> Speaker:
        """Let a crowd in; it is there when this returns.

        Args:
            name: Of their process.
            clients: How many.
            feeds: As in `Crowd`, as are `seconds` and `more`.

        Raises:
            PartEnded: They are not let in.
        """
        options = more.pop("options", {"envelope": True})
        crowd = Crowd(self._web.port, self._web.tokens, clients, feeds, options, seconds, **more)
        speaker = self.start(name, "control.bench.fanout_clients", crowd, Ready | Heard)
        self.wait_for(speaker, Ready, READY_S)
        return speaker

    def start(self, name: str, module: str, argument: msgspec.Struct, says: Any) -> Speaker:
        """Start a module that takes its argument as JSON; it ends with the scene, if not before."""
        part = Daemon(f"The process of the {name}", self._folder / f"{name.replace(' ', '_')}.log")
        part.start((sys.executable, "-m", module, msgspec.json.encode(argument).decode()), self._env)
        self._stack.callback(part.stop, 1.0)
        speaker = self._speakers[name] = Speaker(part, says)
        return speaker

    def wait_for(self, speaker: Speaker, kind: type[S], seconds: float) -> S:
        """The first that it says of a kind.

        Raises:
            PartEnded: Something ended meanwhile.
            ServiceUnavailable: It does not say it in time.
        """
        return speaker.wait_for(kind, seconds, self.check)

    def check(self) -> None:
        """See that everything is as it should be.

        Raises:
            KeyboardInterrupt: It is to end.
            PartEnded: A web process did.
        """
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self._web.check()

    def remember(self, when: str) -> float:
        """Look at the memory of the web processes, MB."""
        rss = sum(psutil.Process(pid).memory_info().rss for pid in self._web.pids().values())
        self.web_mb[when] = round(rss / _MB, 1)
        return self.web_mb[when]

    def began(self, source: Speaker, phase: int) -> int:
        """When a publisher's phase began, epoch microseconds; waits for it."""
        deadline = monotonic() + READY_S
        while not (at := [said.at for said in source.said(Began) if said.phase == phase]):
            source.wait_for(Began, deadline - monotonic(), self.check)
            self.check()
            sleep(_POLL_S)
        return at[0]

    def costs(self, seconds: float) -> tuple[dict[str, ProcessCost], float]:
        """What every process costs from now on, and what all others on the machine use, in percent of one core.

        Raises:
            PartEnded: A process ended meanwhile.
        """
        try:
            return self._costs(seconds)
        except psutil.NoSuchProcess:
            self.check()
            raise PartEnded("A process ended during the run.") from None

    def _costs(self, seconds: float) -> tuple[dict[str, ProcessCost], float]:
        pids = self._web.pids() | {name: speaker.part.pid for name, speaker in self._speakers.items()}
        pids["cache"] = self.cache.pid
        meter, ends = Meter({name: pid for name, pid in pids.items() if pid is not None}), monotonic() + seconds
        while (remaining := ends - monotonic()) > 0:
            sleep(min(_SAMPLE_S, remaining))
            meter.sample()
            self.check()
        _, costs, others = meter.costs()
        return costs, others
