"""The part of a process that says once a second how the process does, and carries out what it is told.

Two threads: one reports, one hears. They cost next to nothing, need no event loop, and outlast a cache that is away.
"""

import atexit
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from time import monotonic, time
from typing import Any, Final

import msgspec
import psutil
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from processors.components import levels, report
from processors.components.instructions import Answer, CannotDo, Instruction, Said, reply
from processors.components.report import Component
from processors.store import INSTRUCTIONS, connect
from project.logs import current_log_level

log = logging.getLogger(__name__)

Figures = Callable[[], dict[str, Any]]
Carry = Callable[[dict[str, Any]], Said]

_EVERY_S: Final = 1.0
# A cache that comes back is noticed within this.
_AGAIN_S: Final = 0.4
_ANSWER_S: Final = 1.0
# An idle connection shows so that it still stands.
_PING_EVERY_S: Final = 10.0
_GOODBYE_S: Final = 0.5


def prompt_client() -> "redis.Redis":
    """A client for whoever asks again in a second: it waits for no answer longer than that."""
    return connect(socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S, retry=Retry(NoBackoff(), 0), protocol=2)


def _nothing() -> dict[str, Any]:
    return {}


class Agent:
    """Reports on its process and obeys instructions, from `start` to `stop`.

    Every agent knows `log_level {level}` and `restart`.

    Args:
        name: What the process is called; `up`'s name for it goes first.
        kind: Its kind, see `Component`.
        figures: What its kind has to say; called in the agent's own thread.
        instructions: What carries out which instruction, in the agent's own thread. It may raise `CannotDo`; whatever
            takes longer than a second is better begun and left.
        queues: The queues that it takes tasks from.
        children: The process ids of its pool.
        pulse: Whether it does its work; one that hangs reports no more, and is missed.

    Attributes:
        name: What the process is called.
        kind: Its kind.
        restart_asked: Whether it ends because it was told to restart.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        figures: Figures = _nothing,
        instructions: Mapping[str, Carry] | None = None,
        *,
        queues: Callable[[], list[str]] = list,
        children: Callable[[], Iterable[int]] = tuple,
        pulse: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name, self.kind = settings.PART or name, kind
        self._figures, self._queues, self._children, self._pulse = figures, queues, children, pulse
        self._knows: dict[str, Carry] = {"log_level": _log_level, "restart": self._restart, **(instructions or {})}
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._since = round(time() * 1_000)
        self._process = psutil.Process()
        self._cpu_s, self._cpu_at = 0.0, monotonic()
        self.restart_asked = False
        self._failed = self._unsaid = False
        self._over = threading.Event()
        self._due = threading.Event()
        self._listening = threading.Event()
        self._saying = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._cache = prompt_client()

    def start(self) -> None:
        """Begin to report and to listen; begun already, nothing changes."""
        if self._threads:
            return
        self._threads = [
            threading.Thread(target=target, name=f"agent {what}", daemon=True)
            for what, target in (("hears", self._hear_for_ever), ("reports", self._report_for_ever))
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Say goodbye, so that nobody misses the process."""
        if self._over.is_set() or not self._threads or os.getpid() != self._pid:
            return
        self._over.set()
        self._due.set()
        atexit.unregister(self.stop)
        # One that is under way must not follow the goodbye.
        if self._saying.acquire(timeout=_GOODBYE_S):
            try:
                report.forget(self._cache, f"{self._host}:{self._pid}")
            except (redis.RedisError, OSError):
                log.debug("cache unreachable, %s is missed there for a while", self.name)
            finally:
                self._saying.release()

    def __enter__(self) -> "Agent":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def report_now(self) -> None:
        """Let the next report go out at once; never waits."""
        self._due.set()

    def _report_for_ever(self) -> None:
        # Whoever is seen can be told something.
        self._listening.wait(_ANSWER_S)
        while not self._over.is_set():
            began = monotonic()
            self._due.clear()
            pause = _EVERY_S if self._say() else _AGAIN_S
            self._due.wait(max(0.0, began + pause - monotonic()))

    def _say(self) -> bool:
        """Say it once; whether it was heard."""
        with self._saying:
            if self._over.is_set():
                return True
            if not self._pulse():
                return False
            try:
                report.say(self._cache, self._component())
            except (redis.RedisError, OSError) as error:
                log.debug("cache unreachable, %s is not seen there: %s", self.name, error)
                return False
            except psutil.Error:
                # One of the pool's processes has just ended.
                return False
            except Exception:
                # It goes on: without its reports the process would be taken for one that hangs.
                if not self._unsaid:
                    log.exception("%s cannot report", self.name)
                self._unsaid = True
                return False
            self._unsaid = False
            return True

    def _component(self) -> Component:
        figures = self._say_figures()
        with self._process.oneshot():
            times, rss, threads = (
                self._process.cpu_times(),
                self._process.memory_info().rss,
                self._process.num_threads(),
            )
        cpu_s, now = times.user + times.system, monotonic()
        share = (cpu_s - self._cpu_s) / max(now - self._cpu_at, 1e-3)
        first, self._cpu_s, self._cpu_at = not self._cpu_s, cpu_s, now
        return Component(
            name=self.name,
            kind=self.kind,
            host=self._host,
            pid=self._pid,
            since=self._since,
            at=round(time() * 1_000),
            rss_bytes=rss + sum(psutil.Process(pid).memory_info().rss for pid in self._children()),
            cpu_pct=0.0 if first else round(share * 100, 1),
            threads=threads,
            log_level=current_log_level(),
            queues=self._queues(),
            figures=figures,
        )

    def _say_figures(self) -> dict[str, Any]:
        try:
            figures = self._figures()
        except Exception:
            # A process without figures is still there, and one that says nothing would be taken for dead.
            if not self._failed:
                log.exception("the figures of %s cannot be told", self.name)
            self._failed = True
            return {}
        self._failed = False
        return figures

    def _hear_for_ever(self) -> None:
        while not self._over.is_set():
            try:
                self._hear()
            except (redis.RedisError, OSError) as error:
                log.debug("cache unreachable, %s hears no instructions: %s", self.name, error)
            except Exception:
                # A process that hears nothing any more could not be told to end.
                log.exception("%s could not answer an instruction", self.name)
            self._listening.clear()
            self._over.wait(_AGAIN_S)

    def _hear(self) -> None:
        """Carry out what comes until the connection fails."""
        with self._cache.pubsub() as pubsub:  # type: ignore[no-untyped-call]  # the client types it not
            pubsub.subscribe(INSTRUCTIONS)
            asked = False
            while not self._over.is_set():
                message = pubsub.get_message(timeout=_PING_EVERY_S)
                if message is None:
                    if asked:
                        # Cut off without a word: such a connection never fails by itself.
                        raise redis.ConnectionError("the cache has not answered a ping")
                    pubsub.ping()
                asked = message is None
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._listening.set()
                elif message["type"] == "message" and not self._over.is_set():
                    self._told(message["data"])

    def _told(self, data: bytes) -> None:
        try:
            instruction = msgspec.json.decode(data, type=Instruction)
        except msgspec.DecodeError as error:
            log.warning("an instruction cannot be read: %s", error)
            return
        if not self._is_called(instruction.to):
            return
        said, ok = self._carry_out(instruction)
        answer = Answer(self.name, self._host, self._pid, ok, said.said, said.before, said.after)
        reply(self._cache, instruction.id, answer)
        self.report_now()
        if said.then is not None:
            said.then()

    def _is_called(self, called: str) -> bool:
        return called in (self.name, self.kind, f"{self._host}:{self._pid}", "all")

    def _carry_out(self, instruction: Instruction) -> tuple[Said, bool]:
        carry = self._knows.get(instruction.what)
        if carry is None:
            known = ", ".join(sorted(self._knows))
            return Said(f"{self.name} does not know how to {instruction.what}; it knows {known}."), False
        try:
            said = carry(instruction.arguments)
        except CannotDo as error:
            return Said(str(error)), False
        except Exception as error:
            log.exception("%s cannot be done", instruction.what)
            return Said(f"It failed: {type(error).__name__}: {error}"), False
        # Looked at all the time; only what changes something is news.
        log.log(
            logging.DEBUG if instruction.what == "look" else logging.INFO, "told to %s: %s", instruction.what, said.said
        )
        return said, True

    def _restart(self, arguments: dict[str, Any]) -> Said:
        """End as at any request to end; whoever keeps the process starts it anew."""
        self.restart_asked = True
        return Said(
            "It ends, and is started anew by whoever keeps it running.", before=self._pid, then=end_this_process
        )


def end_this_process() -> None:
    """Ask this process to end, as its supervisor would."""
    os.kill(os.getpid(), signal.SIGTERM)


def _log_level(arguments: dict[str, Any]) -> Said:
    wanted = str(arguments.get("level", "")).upper()
    try:
        before = levels.set_level(wanted)
    except ValueError as error:
        raise CannotDo(str(error)) from None
    return Said(f"It logs from {wanted} on.", before=before, after=wanted)
