"""What `up` does before anything runs: the lock, the secret key, the web's socket, the database, the administrator."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import redis
from amqp.exceptions import AMQPError
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError

from project import queues
from project.processes import free_port

_KEY_LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?SECRET_KEY[ \t]*=[ \t]*(?P<value>.*?)[ \t]*$", re.MULTILINE)


class CannotStart(Exception):
    """Something that `up` needs is missing or taken; the text says what, and what to do."""


@contextlib.contextmanager
def only_one(run_dir: Path) -> Iterator[None]:
    """Make the folder, private to its owner, and hold it until the end.

    Raises:
        CannotStart: another `up` holds it, or it cannot be written.
    """
    try:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (run_dir / "up.lock").open("a")
    except OSError as error:
        raise CannotStart(f"{run_dir} cannot be written ({error.strerror}): set TAPEWATCH_RUN_DIR.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(
                f"Tapewatch is already running with {run_dir}: stop it (Ctrl-C in its terminal), "
                "or set TAPEWATCH_RUN_DIR to another folder."
            ) from error
        yield


def ensure_secret_key(path: Path) -> str | None:
    """Put a secret key into the environment, and keep a newly made one in `path` (mode 0600).

    Returns:
        The new key, or None when one was set already.

    Raises:
        CannotStart: `path` cannot be written.
    """
    if os.environ.get("SECRET_KEY", "").strip():
        return None
    key = secrets.token_urlsafe(48)
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        written = _KEY_LINE.search(text)
        if written is not None and (kept := written["value"].strip("'\"")):
            # The environment has the variable empty, which hid the file's.
            os.environ["SECRET_KEY"] = kept
            return None
        if written is not None:
            # A template's empty line: the first assignment counts, so a second one would change nothing.
            text = _KEY_LINE.sub(f"SECRET_KEY={key}", text, count=1)
        else:
            text += ("" if not text or text.endswith("\n") else "\n") + f"SECRET_KEY={key}\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.truncate()
            file.write(text)
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"SECRET_KEY could not be written to {path} ({error}): set it in the environment.") from error
    os.environ["SECRET_KEY"] = key
    return key


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that several web processes can share.

    Raises:
        CannotStart: the address is taken, is not this machine's, or needs rights.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        reason = {
            errno.EADDRINUSE: f"port {port} is in use: stop what uses it or choose another with --port",
            errno.EADDRNOTAVAIL: f"{host} is no address of this machine: choose another with --host",
            errno.EACCES: f"port {port} needs more rights: choose one above 1023 with --port",
        }.get(error.errno or 0, f"{host}:{port} cannot be used: {error.strerror or error}")
        raise CannotStart(reason) from error


def feed_port(preferred: int) -> int:
    """`preferred` if it is free, so that others find the feed where they expect it, else any.

    It is claimed for as long as this process lives: a second `up` that starts meanwhile, before anybody listens there,
    takes another.
    """
    claim = os.open(
        Path(tempfile.gettempdir()) / f"tapewatch-feed-{preferred}-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600
    )
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.create_server(("127.0.0.1", preferred)):
            return preferred
    except OSError:
        os.close(claim)
        return free_port()


def check_recording(path: Path) -> Path:
    """The recording's absolute path.

    Raises:
        CannotStart: there is no such file, it may not be read, or it is not named like a recording.
    """
    if not path.name.endswith((".ndjson", ".ndjson.gz", ".ndjson.zst")):
        raise CannotStart(f"{path} is no recording: its name should end in .ndjson, .ndjson.gz or .ndjson.zst.")
    try:
        with path.open("rb"):
            return path.resolve()
    except OSError as error:
        raise CannotStart(f"The recording {path} cannot be read: {error.strerror}.") from error


def check_cache(url: str) -> None:
    """Whether the cache of `REDIS_URL` answers.

    Raises:
        CannotStart: it does not.
    """
    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise CannotStart(f"REDIS_URL: the cache at {_shown(url)} does not answer ({error}).") from error


def declare_queues(url: str, ttl_ms: int) -> list[str]:
    """Declare the queues of an AMQP broker, and renew those that differ from what is configured now.

    Returns:
        The names of the renewed queues.

    Raises:
        CannotStart: the broker does not answer or refuses us, or a queue holds work that renewing it would lose.
    """
    try:
        return queues.declare(url, ttl_ms, redeclare=True)
    except queues.QueueHoldsWork as error:
        raise CannotStart(str(error)) from error
    except (OperationalError, OSError) as error:
        raise CannotStart(f"CELERY_BROKER_URL: the broker at {_shown(url)} does not answer ({error}).") from error
    except AMQPError as error:
        raise CannotStart(
            f"CELERY_BROKER_URL: the broker at {_shown(url)} refuses us ({error.reply_text}): "
            "look at the address's user, password and virtual host."
        ) from error


def migrate() -> bool:
    """Bring the database up to date.

    Returns:
        Whether there was anything to do.

    Raises:
        CannotStart: the database cannot be used.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        executor = MigrationExecutor(connection)
        # The command itself asks every application to look after its permissions, which costs a second each time.
        if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
        call_command("migrate", verbosity=0, interactive=False)
    except DatabaseError as error:
        raise CannotStart(f"DATABASE_URL: the database cannot be used: {str(error).strip()}") from error
    return True


def first_administrator() -> tuple[str, str | None]:
    """Make an administrator if there is none.

    Returns:
        An administrator's name, and the password if one was made.
    """
    users = get_user_model()._default_manager
    existing = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if existing is not None:
        return existing.get_username(), None
    name = next(name for name in ("admin", *(f"admin{n}" for n in range(2, 1000))) if not _exists(name))
    password = secrets.token_urlsafe(12)
    get_user_model().objects.create_superuser(username=name, password=password)
    return name, password


def _exists(name: str) -> bool:
    return get_user_model()._default_manager.filter(username=name).exists()


def _shown(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or parts.path
