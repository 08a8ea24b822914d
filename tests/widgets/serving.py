"""The real web server as a process, and a client that talks to its `/ws`."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from control.models import ApiToken
from project.processes import free_port
from tests import services
from tests.rights import new_user


@dataclass(frozen=True)
class Web:
    """A running web server.

    Attributes:
        port: On the loopback interface.
        part: Its process.
    """

    port: int
    part: services.Part

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            with urllib.request.urlopen(f"{self.origin}/healthz", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, TimeoutError):
            return False

    def resident_mb(self) -> float:
        """The memory it occupies."""
        status = Path(f"/proc/{self.part.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


@contextmanager
def web_server(run_dir: Path, redis_url: str, *program: str, **variables: str) -> Iterator[Web]:
    """The real server on a free port, with this test run's database and secret key.

    Args:
        run_dir: Its folder.
        redis_url: Its cache.
        program: What Python runs instead of `-m project.server`; it gets the same arguments.
        variables: More of its environment.
    """
    port = free_port()
    env = services.environment(
        run_dir, REDIS_URL=redis_url, DATABASE_URL=f"sqlite:///{connection.settings_dict['NAME']}", **variables
    )
    command = (*(program or ("-m", "project.server")), "--port", str(port))
    with services.python(*command, env=env, log=run_dir / f"web-{port}.log") as part:
        web = Web(port, part)
        services.wait_until(
            lambda: web.answers() or part.process.poll() is not None, 30, "the web server's answer", every=0.05
        )
        assert part.process.poll() is None, part.output
        yield web


class Talk:
    """One WebSocket client: what is said goes out as JSON, what is heard is parsed."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    @classmethod
    def to(cls, web: Web, origin: str | None = None, cookie: str | None = None, **options: Any) -> Self:
        """Connect, as a browser with a page of `origin` and a session `cookie` would, or as a program without."""
        headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"} if cookie is not None else {}
        return cls(
            connect(
                f"ws://127.0.0.1:{web.port}/ws",
                origin=Origin(origin) if origin is not None else None,
                additional_headers=headers,
                compression=None,
                proxy=None,
                max_size=None,
                # Not as a context manager: a test may end it itself.
                legacy=True,
                **options,
            )
        )

    @classmethod
    def authorised(cls, web: Web, token: str, **options: Any) -> Self:
        """Connect and authenticate."""
        talk = cls.to(web, **options)
        talk.say(action="auth", api_key=token)
        assert talk.hear() == {"status": "authorized"}
        return talk

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def hear(self, seconds: float = 5.0) -> Any:
        """The next message; TimeoutError when there is none in time."""
        return json.loads(self.socket.recv(timeout=seconds))

    def ask(self, **message: Any) -> Any:
        """Say it and return what is heard next."""
        self.say(**message)
        return self.hear()

    def subscribe(self, feed: str, **options: Any) -> None:
        """Subscribe, and return when messages will come."""
        assert self.ask(action="subscribe", feed=feed, **options) == {"status": "subscribed", "feed": feed}
        # Requests are answered in order, and a subscription is standing before the next one is read.
        self.say(action="?")
        self.heard_before_invalid: list[Any] = []
        while (message := self.hear()) != {"status": "invalid action"}:
            self.heard_before_invalid.append(message)

    def hears_nothing(self, seconds: float = 0.3) -> bool:
        """Whether it stays silent that long."""
        try:
            self.unexpected = self.socket.recv(timeout=seconds)
        except TimeoutError:
            return True
        return False

    def close_code(self, seconds: float = 5.0) -> int | None:
        """Hear everything until the server closes; its close code."""
        return self.end(seconds)[0]

    def end(self, seconds: float = 5.0) -> tuple[int | None, str]:
        """Hear everything until the server closes; its close code and reason."""
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.socket.recv(timeout=left)
        except TimeoutError:
            return None, ""
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")
        return None, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()


def new_token(name: str, *, staff: bool = False, days: int | None = None) -> str:
    """An API token of a user of that name, who is made if there is none: one who may read the market."""
    return ApiToken.issue(new_user(name, staff=staff), days=days)[1]


def new_login(name: str, *, staff: bool = False) -> tuple[User, str]:
    """A user and the session key of a login; made if there is none, he may read the market."""
    user = new_user(name, staff=staff)
    client = Client()
    client.force_login(user)
    assert client.session.session_key is not None
    return user, client.session.session_key
