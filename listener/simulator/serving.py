"""Running a server until it is told to stop: what `simulate` and `replay` share."""

import asyncio
import errno
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

from listener.simulator.server import DEFAULT_API_KEY, FeedServer, Market


class CannotListen(Exception):
    """The address cannot be bound; the message says which and what to do."""


def served_key(given: str | None) -> str:
    """The key that the server lets in: the one given, else `MASSIVE_API_KEY`, else the well-known one."""
    return given or os.environ.get("MASSIVE_API_KEY") or DEFAULT_API_KEY


async def serve(
    market: Market, api_key: str, host: str, port: int, announce: Callable[[str], None], stay: bool = True
) -> None:
    """Serve a market until SIGINT or SIGTERM.

    Args:
        market: What to serve.
        api_key: The key that is let in.
        host: Address to bind.
        port: Port to bind, 0 for a free one.
        announce: Called with `host:port` when the server listens.
        stay: Whether to go on serving when the market has played to its end.

    Raises:
        CannotListen: The address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = FeedServer(market, api_key, host, port)
    try:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise CannotListen(_address_problem(error, host, port)) from error
            announce(server.address)
            playing = asyncio.create_task(market.play(server.audience))
            stopping = asyncio.create_task(stopped.wait())
            await asyncio.wait([playing, stopping], return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                await playing
                if stay:
                    await stopping
            for pending in (playing, stopping):
                pending.cancel()
            await asyncio.gather(playing, stopping, return_exceptions=True)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _address_problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop what uses it, or choose another with --port (0 takes a free one)"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} may not be used by this user; choose one above 1023 with --port"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"
