"""An hour of drops in a few seconds: the connection comes back every time, and leaves nothing behind."""

import asyncio
import gc
from collections import Counter
from pathlib import Path

import aiohttp
from aiohttp import web
from massive import WebSocketClient
from websockets.asyncio.client import ClientConnection

from listener.channels import Channels
from listener.feed import Patience, State
from tests.listener.feed_client import Client, running
from tests.listener.feed_server import break_off, closes, serving, status, vanish

EVENT = '[{"ev":"T","sym":"A","p":1,"t":1}]'
HURRIED = Patience(first_pause=0.001, longest_pause=0.002, crowded=0.002, look=0.02)
# At the longest pause of 30 s, an hour holds 120.
_ROUNDS = 25


_OF_A_CONNECTION = (WebSocketClient, ClientConnection, aiohttp.ClientSession, asyncio.Task, asyncio.Event, Channels)


def _alive() -> Counter[str]:
    """What there is at this moment of everything that a connection is made of."""
    gc.collect()
    # Asked for their class, lazy objects of other tests' requests would come to life.
    kinds = (type(thing) for thing in gc.get_objects())
    found = Counter(kind.__name__ for kind in kinds if issubclass(kind, _OF_A_CONNECTION))
    found["file descriptors"] = len(list(Path("/proc/self/fd").iterdir()))
    return found


async def test_an_hour_of_reconnects_leaves_nothing_behind() -> None:
    async with serving() as server:
        drops = (
            server.accepts(EVENT, then=closes(1000)),
            server.accepts(EVENT, then=closes(1008, b"slow_consumer")),
            server.accepts(EVENT, then=closes(1011)),
            server.accepts(EVENT, then=vanish),
            server.accepts(EVENT, then=break_off),
            server.refuses(status("auth_timeout")),
            server.accepts('[{"ev":"status","status":"max_connections","message":"Too many."}]', then=closes(1008)),
            _greets_with_garbage,
        )
        seen: list[Counter[str]] = []

        async def rests(socket: web.WebSocketResponse) -> None:
            """A connection that holds for a moment, in which what is alive is counted."""
            await client.until(lambda: client.state is State.LIVE, seconds=30)
            await asyncio.sleep(0.05)
            seen.append(_alive())
            await socket.close()

        rest = server.accepts(then=rests)
        # After two rounds every cache is warm.
        server.scripts = (*drops * 2, rest, *drops * (_ROUNDS - 2), rest, server.accepts(EVENT))
        async with running(Client(server.address, HURRIED)) as client:
            await client.until(lambda: len(server.connected_at) == len(server.scripts), seconds=60)
            await client.until(lambda: client.state is State.LIVE)
            await client.until(lambda: client.frames.count(EVENT.encode()) == 5 * _ROUNDS + 1)
    assert State.REFUSED not in client.states
    assert {request["params"] for request in server.requests if request["action"] == "subscribe"} == {"T.*,A.*"}
    before, after = seen
    assert after == before


async def _greets_with_garbage(socket: web.WebSocketResponse) -> None:
    await socket.send_str("<html>")
    await socket.receive()
