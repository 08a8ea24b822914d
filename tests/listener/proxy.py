"""A TCP proxy before a real broker, for what that does not do on demand: silence, and frames that it rarely sends."""

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_LOOK_EVERY_S = 0.02


class Proxy:
    """Passes bytes on in both directions, until it is told otherwise; connections made later are passed on alike.

    Attributes:
        url: The broker's address through the proxy.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5672)
        self._server = socket.create_server(("127.0.0.1", 0))
        credentials, at, _ = parts.netloc.rpartition("@")
        address = f"{credentials}{at}127.0.0.1:{self._server.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=address))
        self._sockets: list[socket.socket] = [self._server]
        self._client: socket.socket | None = None
        self._to_broker, self._to_client, self._over = threading.Event(), threading.Event(), threading.Event()

    def hold(self) -> None:
        """Take nothing from the client any more, as a blocked broker does."""
        self._to_broker.clear()

    def mute(self) -> None:
        """Keep back what the broker says."""
        self._to_client.clear()

    def resume(self) -> None:
        """Pass on again, what was kept back first."""
        self._to_broker.set()
        self._to_client.set()

    def say(self, frame: bytes) -> None:
        """Tell the newest client something in the broker's name, between two of its frames."""
        assert self._client is not None
        self._client.sendall(frame)

    def __enter__(self) -> Self:
        self.resume()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it is told comes at once
                broker = socket.create_connection(self._target)
                self._sockets += [client, broker]
                self._client = client
                for source, target, gate in ((client, broker, self._to_broker), (broker, client, self._to_client)):
                    threading.Thread(target=self._pass_on, args=(source, target, gate), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, gate: threading.Event) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                if not gate.wait(_LOOK_EVERY_S):
                    continue
                data = source.recv(65_536)
                while not gate.wait(_LOOK_EVERY_S) and not self._over.is_set():
                    pass  # it was shut while nothing came
                if not data:
                    break
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
