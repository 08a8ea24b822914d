"""Processes that a bench starts: their environment, how they end, and what they say."""

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any, TypeVar

import msgspec
from django.conf import settings

from project.env import BASE_DIR
from project.processes import Daemon, ServiceUnavailable

_POLL_S = 0.02
S = TypeVar("S")


class PartEnded(Exception):
    """A part ended while it was needed; the text says which and shows its last lines."""


def environment(folder: Path, redis_url: str) -> dict[str, str]:
    """The caller's own tuning, and nothing else of what `.env` may hold."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONPATH": str(settings.BASE_DIR),
        "TAPEWATCH_RUN_DIR": str(folder),
        "TAPEWATCH_ENV_FILE": str(folder / ".env"),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DEBUG": "0",
        "REDIS_URL": redis_url,
        "DATABASE_URL": "",
        "MASSIVE_API_KEY": "",
        "POLYGON_API_KEY": "",
    }


@contextmanager
def interruptible() -> Iterator[Event]:
    """SIGINT and SIGTERM set the event that this gives, for `System` to end in order.

    As exceptions they would come anywhere: one inside a fork leaves the interpreter's locks held for ever.
    """
    event = Event()
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def printed_by(module: str, arguments: Sequence[str], folder: Path, interrupted: Event, **variables: str) -> str:
    """Run a module of the project in a process of its own; the last line that it printed.

    Args:
        folder: A private one, for its files.
        interrupted: Set when it is to end.
        variables: Of its environment.

    Raises:
        KeyboardInterrupt: It was interrupted.
        PartEnded: It failed; the text has the end of what it said.
    """
    process = Daemon("The bench", folder / "bench.log")
    environment = {"PYTHONPATH": str(BASE_DIR), "TMPDIR": str(folder), **variables}
    process.start((sys.executable, "-m", module, *arguments), os.environ | environment)
    try:
        while process.running:
            if interrupted.wait(_POLL_S):
                raise KeyboardInterrupt
    finally:
        process.stop(1.0)
    said = process.log.read_text(encoding="utf-8", errors="replace").strip()
    if not said.endswith("}"):
        raise PartEnded(f"The bench did not get to its end:\n{said[-2_000:]}")
    return said.splitlines()[-1]


class Speaker:
    """A process that says what it does, one JSON object a line (`control.bench.saying`).

    Args:
        part: The process.
        says: The types that it says.
    """

    def __init__(self, part: Daemon, says: Any) -> None:
        self.part = part
        self._decode = msgspec.json.Decoder(says).decode

    def said(self, kind: type[S]) -> list[S]:
        """What it has said of a kind."""
        lines = self.part.log.read_bytes().split(b"\n")[:-1]
        every = (self._decode(line) for line in lines if line.startswith(b'{"is":'))
        return [said for said in every if isinstance(said, kind)]

    def wait_for(self, kind: type[S], seconds: float, check: Callable[[], None]) -> S:
        """Wait for the first that it says of a kind.

        Args:
            check: Called meanwhile; raises when there is nothing left to wait for.

        Raises:
            PartEnded: It ended without.
            ServiceUnavailable: It does not say it in time.
        """
        deadline = monotonic() + seconds
        while True:
            running = self.part.running
            if said := self.said(kind):
                return said[0]
            check()
            if not running:
                raise PartEnded(f"{self.part.name} ended during the run{self.part.last_words()}")
            if monotonic() > deadline:
                raise ServiceUnavailable(f"{self.part.name} did not get as far as {kind.__name__} in {seconds:.0f} s.")
            sleep(_POLL_S)
