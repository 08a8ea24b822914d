"""The system under measurement: broker, cache, listener and feed workers of its own, as `up` runs them."""

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from time import time_ns
from types import TracebackType
from typing import Any, Self, TypeVar

from django.conf import settings
from kombu import Connection

from control import roster
from control.bench.feed_server import Finished, Listening, Measuring, Said
from control.bench.latency import ProbeObserver, SocketObserver
from control.bench.parts import PartEnded, Speaker, environment
from control.bench.web import Web
from control.supervisor import ProcessSpec
from processors.store import Store, connect
from project import queues
from project.embedded import EmbeddedValkey, PrivateRabbitMQ
from project.processes import Daemon

_READY_S = 60.0
S = TypeVar("S", Listening, Measuring, Finished)


@dataclass(frozen=True)
class Load:
    """What is sent in one run.

    Attributes:
        rate: Events a second.
        seconds: Of measuring.
        warm_up: Seconds of sending before that.
        feeds: A key of `stream.MIXES`.
        symbols: How many.
    """

    rate: int
    seconds: float
    warm_up: float
    feeds: str
    symbols: int


class System:
    """Broker, cache and feed workers; a context manager that leaves nothing running and no files.

    Args:
        broker: `amqp` for a RabbitMQ of its own, `redis` for the cache's server.
        workers: How many feed workers.
        folder: A private folder with a short name.
        interrupted: Set when everything is to end.
        with_socket: Whether there is a web server too, and a client of it that sees the probes.

    Attributes:
        probes: Sees them in the cache.
        socket_probes: Sees them at the client; None without one.

    Raises:
        ServiceUnavailable: On entering, when a server cannot be had.
    """

    def __init__(self, broker: str, workers: int, folder: Path, interrupted: Event, *, with_socket: bool) -> None:
        self._workers, self._folder, self._interrupted = workers, folder, interrupted
        self._stack = ExitStack()
        # As in real use: on a socket, its changes written to a file.
        self._valkey = EmbeddedValkey(folder / "valkey.sock", folder / "valkey", persist=True)
        self._rabbitmq = PrivateRabbitMQ(folder / "rabbitmq") if broker == "amqp" else None
        self._web = Web(folder, self._environment(), 1, 1, interrupted) if with_socket else None
        self._parts: dict[str, Daemon] = {}
        self.store: Store
        self.socket_probes: SocketObserver | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._valkey)
            if self._rabbitmq is not None:
                stack.callback(self._rabbitmq.kill)
                self._rabbitmq.start()
                queues.declare(self._rabbitmq.url, settings.MESSAGE_TTL_MS)
            self.store = Store(connect(self._valkey.url))
            stack.callback(self.store.redis.close)
            specs = self._specs(0)
            for number in range(1, self._workers + 1):
                self._start(f"worker{number}", specs[f"feed{number}"])
                stack.callback(self._stop, f"worker{number}", 0.5)
            for part in list(self._parts.values()):
                part.wait_until(partial(self._is_ready, part), _READY_S)
            self.probes = ProbeObserver(self._valkey.url)
            self.probes.start()
            stack.callback(self.probes.stop)
            if self._web is not None:
                web = stack.enter_context(self._web)
                self.socket_probes = SocketObserver(web.port, web.tokens[0])
                self.socket_probes.start()
                stack.callback(self.socket_probes.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def fed(self, load: Load) -> Iterator["Feed"]:
        """Start a feed server and a listener for one run; when the listener has subscribed, the feed begins.

        Raises:
            ServiceUnavailable: One of them does not start.
        """
        with ExitStack() as stack:
            command = (
                *(sys.executable, "-m", "control.bench.feed_server", "--rate", str(load.rate)),
                *("--seconds", str(load.seconds), "--warm-up", str(load.warm_up)),
                *("--feeds", load.feeds, "--symbols", str(load.symbols)),
            )
            server = self._start("feed_server", ProcessSpec("feed_server", command))
            stack.callback(self._stop, "feed_server", 2.0)
            feed = Feed(self, server)
            feed.wait_for(Listening, _READY_S)
            port = int(feed.address.rpartition(":")[2])
            self._start("listener", self._specs(port)["listener"])
            stack.callback(self._stop, "listener", 3.0)
            yield feed

    def _specs(self, feed_port: int) -> dict[str, ProcessSpec]:
        """The commands of `up`, by its own names."""
        wish = roster.Wish(base=settings.BASE_DIR, workers=self._workers, web=1, web_fd=-1, feed_port=feed_port)
        return {spec.name: spec for spec in (*roster.way(wish), *roster.rest(wish))}

    def _start(self, name: str, spec: ProcessSpec) -> Daemon:
        part = Daemon(f"The {name.replace('_', ' ')}", self._folder / f"{name}.log")
        command = [word.replace("{start}", secrets.token_hex(4)) for word in spec.command]
        part.start(command, self._environment() | dict(spec.environment))
        self._parts[name] = part
        return part

    def _stop(self, name: str, seconds: float) -> None:
        self._parts.pop(name).stop(seconds)

    def _is_ready(self, worker: Daemon) -> bool:
        self._check_interruption()
        return b"ready" in worker.log.read_bytes()

    def _check_interruption(self) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt

    def _environment(self) -> dict[str, str]:
        broker_url = self._valkey.broker_url if self._rabbitmq is None else self._rabbitmq.url
        return environment(self._folder, self._valkey.url) | {
            "CELERY_BROKER_URL": broker_url,
            "MASSIVE_MARKET": "stocks",
            "MASSIVE_SUBSCRIPTIONS": "A.*,T.*,Q.*",
            **{name.upper(): str(value) for name, value in tuning().items()},
        }

    def pids(self) -> dict[str, int]:
        """Every process that takes part, by name."""
        servers = {"broker": self._rabbitmq.pid if self._rabbitmq else None, "cache": self._valkey.pid}
        pids = {name: part.pid for name, part in self._parts.items()} | servers
        pids |= self._web.pids() if self._web is not None else {}
        return {name: pid for name, pid in pids.items() if pid is not None}

    def versions(self) -> dict[str, str]:
        """Of the servers."""
        info = self.store.redis.info("server")
        versions = {"valkey": str(info.get("valkey_version") or info.get("redis_version"))}
        if self._rabbitmq is not None:
            connection: Any
            with Connection(self._rabbitmq.url) as connection:
                connection.connect()
                versions["rabbitmq"] = str(connection.connection.server_properties.get("version"))
        return versions

    def check(self) -> None:
        """See that everything runs.

        Raises:
            PartEnded: Something does not.
            KeyboardInterrupt: Everything is to end.
        """
        self._check_interruption()
        for part in self._parts.values():
            if not part.running:
                lines = part.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise PartEnded("\n".join((f"{part.name} ended during the run; its last lines:", *lines[-8:])))
        servers = {"RabbitMQ": self._rabbitmq, "the cache": self._valkey}
        for name, server in servers.items():
            if server is not None and not server.running:
                raise PartEnded(f"{name} ended during the run.")
        if not self.probes.is_alive():
            raise PartEnded("The observer of the probes lost the cache.")
        if self._web is not None and self.socket_probes is not None:
            self._web.check()
            if not self.socket_probes.is_alive():
                raise PartEnded("The observer of the probes lost its socket.")


class Feed:
    """One run's feed server, as it tells of itself."""

    def __init__(self, system: System, server: Daemon) -> None:
        self._system, self._speaker = system, Speaker(server, Said)
        self.address = self.source = ""
        self.began = time_ns() // 1_000

    def wait_for(self, kind: type[S], seconds: float) -> S:
        """Wait until it says something of this kind.

        Raises:
            PartEnded: Something ended meanwhile.
            ServiceUnavailable: It does not say it in time.
        """
        said = self._speaker.wait_for(kind, seconds, self._system.check)
        if isinstance(said, Listening):
            self.address, self.source = said.address, said.source
        return said


def tuning() -> Mapping[str, int]:
    """The settings that bear on throughput."""
    return {
        "message_ttl_ms": settings.MESSAGE_TTL_MS,
        "batch_max_events": settings.BATCH_MAX_EVENTS,
        "batch_max_age_ms": settings.BATCH_MAX_AGE_MS,
        "listener_buffer_mb": settings.LISTENER_BUFFER_MB,
    }
