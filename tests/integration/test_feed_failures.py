"""The listener as a process against a scripted feed: who leads when one is killed or stopped, and a broker that stands.

What a listener publishes is read from the queues themselves; no worker runs.
"""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import redis
from aiohttp import web

from processors import store as keys
from processors.accounts import accounts
from processors.redis_broker import PREFIX
from processors.store import Store
from project.embedded import EmbeddedValkey
from tests.listener.feed_server import serving
from tests.services import Part, environment, python

# The lease lasts three seconds, and a standby looks each half second.
_TAKEOVER_S = 5.0


class Tape:
    """A feed whose trades are numbered by connection: `1-7` is the seventh of the first."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.ended: list[asyncio.Event] = []

    async def play(self, socket: web.WebSocketResponse) -> None:
        number = len(self.sent)
        self.sent.append(0)
        self.ended.append(asyncio.Event())
        receiving = asyncio.create_task(socket.receive())
        try:
            while not receiving.done():
                self.sent[number] += 1
                await socket.send_str(f'[{{"ev":"T","sym":"ZZA","i":"{number + 1}-{self.sent[number]}","p":1,"t":1}}]')
                await asyncio.sleep(0.005)
        except ConnectionError:
            pass
        finally:
            receiving.cancel()
            self.ended[number].set()


async def _until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> float:
    """Wait for it; how many seconds it took."""
    began = monotonic()
    while not await asyncio.to_thread(condition):
        assert monotonic() - began < seconds, f"{what} did not happen within {seconds:g} s"
        await asyncio.sleep(0.01)
    return monotonic() - began


def _published(valkey: EmbeddedValkey) -> set[str]:
    """The numbers of all trades in the queue."""
    with redis.Redis.from_url(valkey.url) as client:
        messages = client.lrange(f"{PREFIX}trades", 0, -1)
    found: set[str] = set()
    for message in messages:
        ((batch,), _, _) = json.loads(base64.b64decode(json.loads(message)["body"]))
        found |= {event["i"] for event in batch["events"]}
    return found


async def test_listeners_take_turns_whether_the_one_before_is_dead_or_only_stopped(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    tape = Tape()
    async with serving() as server:
        server.scripts = (server.accepts(then=tape.play),)
        env = environment(tmp_path, REDIS_URL=valkey.url, MASSIVE_FEED=server.address, MASSIVE_SECURE="0")
        with ExitStack() as stack:

            def listener(name: str) -> Part:
                command = ("manage.py", "listen")
                return stack.enter_context(python(*command, env=env, log=tmp_path / f"{name}.log"))

            first, second = listener("first"), listener("second")
            await _until(lambda: "standing by" in first.output + second.output and _published(valkey), "a leader")
            leader, standby = (second, first) if "standing by" in first.output else (first, second)

            leader.process.send_signal(signal.SIGSTOP)
            stopped_at = tape.sent[0] + 1
            assert await _until(lambda: len(tape.sent) == 2, "a takeover") < _TAKEOVER_S
            await _until(lambda: "2-20" in _published(valkey), "the standby's events")

            leader.process.send_signal(signal.SIGCONT)
            # It wakes to seconds of frames that the other has read as well.
            await asyncio.wait_for(tape.ended[0].wait(), 3)
            later = tape.sent[1] + 100
            await _until(lambda: f"2-{later}" in _published(valkey), "more of the standby's events")
            numbers = [name.split("-") for name in _published(valkey)]
            assert max(int(number) for connection, number in numbers if connection == "1") <= stopped_at
            assert tape.sent[0] > stopped_at + 100
            assert "another listener has taken over" in leader.output
            assert len(tape.sent) == 2

            standby.process.kill()
            assert await _until(lambda: len(tape.sent) == 3, "another takeover") < _TAKEOVER_S
            await _until(lambda: "3-20" in _published(valkey), "the first one's events")


async def test_a_broker_that_stands_still_costs_freshness_and_nothing_else(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    frame = "[" + ",".join(['{"ev":"T","sym":"ZZA","i":"9","x":4,"p":4.05,"s":300,"c":[12,37],"t":1}'] * 1_000) + "]"
    outgoing: asyncio.Queue[str] = asyncio.Queue()
    store = Store(redis.Redis.from_url(valkey.url))

    async def play(socket: web.WebSocketResponse) -> None:
        while True:
            await socket.send_str(await outgoing.get())
            outgoing.task_done()

    async def send(frames: int) -> None:
        for _ in range(frames):
            outgoing.put_nowait(frame)
        await outgoing.join()

    def report() -> dict[str, Any]:
        said: dict[str, Any] = json.loads(store.redis.get(keys.LISTENER_STATE) or "{}")
        return said

    def count(term: str) -> int:
        source = store.source()
        return accounts(store, source.id if source else "", 5_000)["trades"][term]

    with EmbeddedValkey(persist=False) as broker, ExitStack() as stack:
        async with serving() as server:
            server.scripts = (server.accepts(then=play),)
            env = environment(
                tmp_path,
                REDIS_URL=valkey.url,
                CELERY_BROKER_URL=broker.broker_url,
                MASSIVE_FEED=server.address,
                MASSIVE_SECURE="0",
                LISTENER_BUFFER_MB="4",
            )
            stack.enter_context(python("manage.py", "listen", env=env, log=tmp_path / "listen.log"))
            await send(10)
            await _until(lambda: count("published") == 10_000, "a flow")

            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                # Thirty megabytes fit into no buffer on the way: they are read although nothing can be published.
                await asyncio.wait_for(send(400), 15)
                await _until(lambda: report().get("buffered_bytes"), "a report")
                assert report()["state"] == "live"
                assert report()["buffered_bytes"] <= 4 * 1024 * 1024
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            # It goes on by itself, over the connection that it has.
            await _until(lambda: count("received") == 410_000, "the account of it")
            published = count("published")
            await send(10)
            await _until(lambda: count("published") >= published + 10_000, "the flow")
            await _until(lambda: count("buffered") == 0, "an empty buffer")
            assert count("dropped") > 100_000
            assert count("received") == 420_000 == count("dropped") + count("published")
            assert len(server.connected_at) == 1
