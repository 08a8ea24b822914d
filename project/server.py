"""The web server: Daphne, with a brake for clients that do not read.

`python -m project.server [--host H] [--port P | --fd N]`. Several processes share one listening socket through `--fd`.

Daphne hands what an application sends to Twisted's transport at once, however much of it still waits there: a client
that never reads costs as much memory as is sent to it. Here a socket's protocol registers as the transport's producer,
and a reply returns only when the transport has room again; who makes no room within `STALL_LIMIT_S` is cut off.
"""

# Daphne installs the asyncio reactor, and has to before anything else of Twisted is imported.
from daphne.server import Server  # isort: skip

import argparse
import asyncio
import logging
import os
import sys
from collections import deque
from typing import Any, Final

from daphne.endpoints import build_endpoint_description_strings
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

log = logging.getLogger(__name__)

STALL_LIMIT_S: Final = 30.0
# Clients send subscriptions and little else.
MAX_MESSAGE_BYTES: Final = 64 * 1024
# A client that sends faster than it is answered is cut off.
MAX_UNANSWERED: Final = 1_000
MAX_UNANSWERED_BYTES: Final = 1024 * 1024


class BrakedProtocol(WebSocketProtocol):  # type: ignore[misc]  # Daphne ships no types
    """A WebSocket that knows whether its transport has room."""

    _room: "asyncio.Event | None" = None
    maxMessagePayloadSize: int  # noqa: N815 - autobahn's name

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        """Take the transport's signals over from the HTTP channel that the socket began as."""
        super().onOpen()
        self._unanswered: deque[int] = deque()
        self._unanswered_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport has no room."""
        if self._room is not None:
            self._room.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        """The transport has room again."""
        if self._room is not None:
            self._room.set()

    def stopProducing(self) -> None:  # noqa: N802
        """The transport is gone: whoever waits for room must not wait for ever."""
        self.resumeProducing()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 - autobahn's names
        """Pass a message on, unless too many are unanswered."""
        waiting = self.application_queue.qsize()
        while len(self._unanswered) > waiting:
            self._unanswered_bytes -= self._unanswered.popleft()
        self._unanswered.append(len(payload))
        self._unanswered_bytes += len(payload)
        if waiting >= MAX_UNANSWERED or self._unanswered_bytes > MAX_UNANSWERED_BYTES:
            log.warning("a client sends faster than it is answered; cut off")
            self.transport.abortConnection()
            return
        super().onMessage(payload, isBinary)

    def sendMessage(self, payload: bytes, isBinary: bool = False, **options: Any) -> None:  # noqa: N802, N803
        """Send a message of any size, unless the closing handshake has begun."""
        if self.state != self.STATE_OPEN:
            return
        # autobahn has one limit for both directions; ours is for what clients send.
        limit, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(payload, isBinary, **options)
        finally:
            self.maxMessagePayloadSize = limit

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:  # noqa: N802, N803
        """Let go of waiting replies."""
        self.resumeProducing()
        super().onClose(wasClean, code, reason)

    async def drained(self) -> None:
        """Wait until the transport has room; cut the client off when it makes none for too long."""
        if self._room is None or self._room.is_set():
            return
        try:
            await asyncio.wait_for(self._room.wait(), STALL_LIMIT_S)
        except TimeoutError:
            log.warning("a client has not read for %.0f s; cut off", STALL_LIMIT_S)
            self.transport.abortConnection()


class BrakedServer(Server):  # type: ignore[misc]  # Daphne ships no types
    """Daphne's server, whose replies wait for the drain."""

    def run(self) -> None:
        """Serve until stopped."""
        # Daphne makes its own factory in `run`, so the protocol is exchanged on the class that it makes it from.
        WebSocketFactory.protocol = BrakedProtocol
        super().run()

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Hand a reply to the transport and wait for room."""
        await super().handle_reply(protocol, message)
        if isinstance(protocol, BrakedProtocol):
            await protocol.drained()


def serve(host: str | None, port: int | None, descriptor: int | None) -> None:
    """Serve pages, API and sockets on an address or an inherited listening socket, until stopped.

    Raises:
        SystemExit: It cannot listen there; Daphne has logged why.
    """
    from project.asgi import application

    server = BrakedServer(
        application,
        endpoints=build_endpoint_description_strings(host=host, port=port, file_descriptor=descriptor),
        websocket_max_message_size=MAX_MESSAGE_BYTES,
        websocket_max_frame_size=MAX_MESSAGE_BYTES,
        # Sockets live as long as their login; the consumer ends them.
        websocket_timeout=-1,
        proxy_forwarded_address_header=None,
        server_name="tapewatch",
    )
    server.run()
    if server.abort_start:
        sys.exit("Nothing is served: stop what uses the address, or choose another with --host and --port.")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="project.server", description="Serve Tapewatch's pages, API and sockets.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, default=None, help="an inherited listening socket, instead of an address")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

    import django
    from django.conf import settings
    from django.core.checks import Error, run_checks

    django.setup()
    errors = [message for message in run_checks(tags=["tapewatch"]) if isinstance(message, Error)]
    if errors:
        sys.stderr.write("".join(f"{error.msg}. {error.hint}\n" for error in errors))
        sys.exit(78)
    # WhiteNoise warns of a folder that is not there; on a laptop, where the finders serve, nothing ever fills it.
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    if options.fd is not None:
        serve(None, None, options.fd)
    else:
        serve(options.host, options.port, None)


if __name__ == "__main__":
    main()
