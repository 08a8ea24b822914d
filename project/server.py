"""The web server: Daphne, with a brake for clients that do not read.

`python -m project.server [--host H] [--port P | --fd N]`. Several processes share one listening socket through `--fd`.

A socket's own outlet (`widgets.sending.outlet`) goes past ASGI; an ASGI reply returns only when the transport has
room again (`project.brake`).
"""

# Daphne installs the asyncio reactor, and has to before anything else of Twisted is imported.
from daphne.server import Server, twisted_loop  # isort: skip

import argparse
import asyncio
import gc
import logging
import os
import sys
from typing import Any, Final

from autobahn.websocket import protocol as autobahn_protocol
from daphne.endpoints import build_endpoint_description_strings
from daphne.http_protocol import HTTPFactory
from daphne.ws_protocol import WebSocketFactory
from django.conf import settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from processors.components.agent import Agent
from processors.components.instructions import CannotDo, Said
from processors.components.pulse import LoopPulse
from project import transport, turns
from project.brake import BrakedProtocol
from project.requests import BoundedChannel
from widgets.sending.outlet import EXTENSION
from widgets.visitors import limits

log = logging.getLogger(__name__)

# Clients send subscriptions and little else.
MAX_MESSAGE_BYTES: Final = 64 * 1024
# Everybody who was told to reconnect comes at once when a process ends.
_BACKLOG: Final = 1_024
# Within the time that `manage.py up` gives a process to end.
_FAREWELL_S: Final = 2.0
LONGEST_DRAIN_S: Final = 300


class BrakedServer(Server):  # type: ignore[misc]  # Daphne ships no types
    """Daphne's server, whose replies wait for the drain, and which says goodbye.

    Attributes:
        draining: Whether it takes no more connections and sends its clients away.
    """

    draining = False

    def run(self) -> None:
        """Serve until stopped."""
        transport.install()
        self._ports: list[Any] = []
        # Daphne makes its own factories in `run`: the protocols are exchanged on the classes that it makes them from.
        HTTPFactory.protocol = BoundedChannel
        WebSocketFactory.protocol = BrakedProtocol
        # For a line of debug that nobody sees autobahn puts its settings into words: a fifth of what a client costs.
        setattr(autobahn_protocol, "pformat", lambda options: "")  # noqa: B010 - it is no official name
        super().run()

    def listen_success(self, port: Any) -> None:
        """Remember what to stop."""
        self._ports.append(port)
        super().listen_success(port)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Offer the application the socket's outlet."""
        if isinstance(protocol, BrakedProtocol):
            scope["extensions"] = {EXTENSION: protocol}
        elif self.draining:
            # The client's next request goes to another process.
            protocol.channel.persistent = False
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Hand a reply to the transport and wait for room."""
        await super().handle_reply(protocol, message)
        if isinstance(protocol, BrakedProtocol):
            await protocol.drained()

    def kill_all_applications(self) -> Any:
        """End: take no more connections, tell the clients, then end what still runs."""
        return Deferred.fromFuture(asyncio.ensure_future(self._end()))

    async def drain(self, seconds: float) -> None:
        """Take no more connections, send the clients away, and end when they are gone or the time is over.

        Args:
            seconds: Over which they are told, one after the other.
        """
        if self.draining:
            return
        await self._send_away(seconds)
        reactor.stop()  # type: ignore[misc]  # a module that is an object

    async def _end(self) -> None:
        from widgets.visitors.presence import presence

        running = await self._send_away(_FAREWELL_S)
        await presence.leave()
        for application in running:
            application.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _send_away(self, seconds: float) -> list[Any]:
        """Let the clients go; what of their requests still runs when the time is over."""
        from widgets.fanout.hub import hub

        clock = asyncio.get_running_loop().time
        begun = clock()
        self.draining = True
        ports, self._ports = self._ports, []
        for port in ports:
            port.stopListening()
        try:
            await hub.farewell(seconds)
        except Exception:
            log.exception("the clients could not be told that the server ends")
        # A request of which only a part has come has no application yet.
        running = [
            details["application_instance"]
            for details in self.connections.values()
            if "application_instance" in details
        ]
        if running:
            # Pages that are being made may be finished.
            await asyncio.wait(running, timeout=max(0.0, begun + seconds - clock()))
        return running


def _agent(server: BrakedServer) -> Agent:
    """An agent that reports on the server and knows `drain {seconds}`."""
    from widgets.visitors.sockets import sockets

    def figures() -> dict[str, Any]:
        return {"draining": server.draining, "sockets": len(sockets)}

    def drain(arguments: dict[str, Any]) -> Said:
        seconds = arguments.get("seconds", _FAREWELL_S)
        if not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_DRAIN_S:
            raise CannotDo(f"seconds should be a number from 0 to {LONGEST_DRAIN_S}.")
        before = figures()
        if server.draining:
            raise CannotDo("It sends its clients away already, and ends when they are gone.")
        asyncio.run_coroutine_threadsafe(server.drain(seconds), twisted_loop)
        after = {**before, "draining": True}
        return Said(f"It sends {before['sockets']} sockets away within {seconds:g} s, and ends.", before, after)

    return Agent("web", "web", figures, {"drain": drain}, pulse=LoopPulse(twisted_loop))


def serve(host: str | None, port: int | None, descriptor: int | None) -> None:
    """Serve pages, API and sockets on an address or an inherited listening socket, until stopped.

    Raises:
        SystemExit: It cannot listen there; Daphne has logged why.
    """
    from control.system.collecting import collector
    from project.asgi import application
    from widgets.visitors.presence import presence
    from widgets.visitors.sockets import sockets

    sockets.fit(limits.raise_open_files())
    if descriptor is not None:
        # Others listen there too.
        turns.install()
    # As soon as the loop runs; a process that nobody has connected to is seen too.
    twisted_loop.call_soon(presence.start)
    endpoints = build_endpoint_description_strings(host=host, port=port, file_descriptor=descriptor)
    server = BrakedServer(
        application,
        endpoints=[f"{endpoint}:backlog={_BACKLOG}" if descriptor is None else endpoint for endpoint in endpoints],
        websocket_max_message_size=MAX_MESSAGE_BYTES,
        websocket_max_frame_size=MAX_MESSAGE_BYTES,
        # Sockets live as long as their login; the consumer ends them.
        websocket_timeout=-1,
        proxy_forwarded_address_header=None,
        server_name="tapewatch",
    )
    # What is loaded by now stays: the collector need not look at it each time that it looks for old rubbish.
    gc.collect()
    gc.freeze()
    with _agent(server), collector:
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
