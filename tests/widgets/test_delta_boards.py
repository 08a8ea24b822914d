"""Boards by deltas through the hub: exact whatever is asked for meanwhile, and for nobody who may not see them."""

import asyncio
import json
import random
from typing import Any

import pytest
import redis.asyncio as redis_async

from processors.scanning.board_messages import Boards
from processors.store import BOARDS, OWNERS
from project.embedded import EmbeddedValkey
from tests.widgets.members import Client
from widgets.fanout import following
from widgets.fanout.hub import Hub
from widgets.readings import BoardCopy

_BOARD = "scanners:busy"


class Engine:
    """Publishes boards as the engine does, board and delta in one step."""

    def __init__(self, cache: "redis_async.Redis") -> None:
        self._cache = cache
        self._boards = Boards({}, {})
        self._choose = random.Random(7)
        self.rows: list[tuple[str, bytes]] = []

    async def show(self) -> None:
        symbols = self._choose.sample([f"S{number}" for number in range(12)], 8)
        self.rows = [
            (symbol, b'{"symbol":"%s","price":%d,"name":"x%060d"}' % (symbol.encode(), self._choose.randrange(4), 0))
            for symbol in symbols
        ]
        messages = self._boards.show("busy", self.rows, 0.0, with_delta=True)
        async with self._cache.pipeline(transaction=True) as pipe:
            for message in messages:
                if message.life_ms:
                    pipe.set(message.key, message.payload)
                pipe.publish(message.key, message.payload)
            if messages:
                pipe.hset(BOARDS, "busy", self._boards.version("busy"))
            await pipe.execute()

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The board as a client is to have it."""
        return [{**json.loads(row), "rank": rank} for rank, (_, row) in enumerate(self.rows, 1)]


def _copied(heard: list[Any]) -> list[dict[str, Any]]:
    """What a client has that has taken all of it."""
    copy = BoardCopy()
    for message in heard:
        assert copy.take(message)
    return copy.rows()


async def test_a_board_by_deltas_is_exact_whatever_else_is_asked_for(async_cache: "redis_async.Redis") -> None:
    hub, engine = Hub(), Engine(async_cache)
    await engine.show()
    client = await Client.of(hub, _BOARD, envelope=True, delta=True)
    other = await Client.of(hub, "scanners:*", envelope=True, delta=True)
    both = await Client.of(hub, "scanners:*", _BOARD, envelope=True, delta=True)
    choose = random.Random(3)
    heard: dict[Client, list[Any]] = {client: [], other: [], both: []}
    for _ in range(150):
        await engine.show()
        match choose.randrange(8):
            case 0:
                await client.subscribe(_BOARD, envelope=True, delta=True, snapshot=choose.random() < 0.5)
            case 1:
                await client.subscribe(_BOARD, envelope=True, snapshot=choose.random() < 0.5)
            case 2:
                await hub.unsubscribe(both.member, choose.choice((_BOARD, "scanners:*")))
            case 3:
                await both.subscribe(choose.choice((_BOARD, "scanners:*")), envelope=True, delta=True)
            case 4:
                other.outlet.make_room(choose.choice((0, 0, 1, 1_000)))
        for each, said in heard.items():
            said.extend(each.unheard())
    other.outlet.make_room()
    for each in heard:
        await each.subscribe(_BOARD, envelope=True, delta=True)
    await engine.show()
    async with asyncio.timeout(5):
        while any(_copied(said) != engine.shown for said in heard.values()):
            await asyncio.sleep(0.01)
            for each, said in heard.items():
                said.extend(each.unheard())
    for said in heard.values():
        assert [message["seq"] for message in said] == list(range(1, len(said) + 1))
    assert sum(message["type"] == "delta" for message in heard[client]) > 20
    assert sum(message["type"] == "delta" for message in heard[other]) > 20


async def test_a_board_that_changes_hands_shows_its_new_owners_rows_to_nobody_else(
    async_cache: "redis_async.Redis",
) -> None:
    hub, engine = Hub(), Engine(async_cache)
    await engine.show()
    other = await Client.of(hub, "scanners:*", envelope=True, delta=True)
    owner, staff = Client(hub), Client(hub)
    hub.reconsider(owner.member, 7)
    hub.reconsider(staff.member, None)
    for client in (owner, staff):
        await client.subscribe(_BOARD, envelope=True, delta=True)
    before = engine.shown
    heard = {client: [await client.hears()] for client in (other, owner, staff)}
    # What waits for the other is put into words only when there is room, and then it is somebody's.
    other.outlet.make_room(0)
    await engine.show()
    public = engine.shown
    async with asyncio.timeout(5):
        while other.member.outbox.waiting == 0:
            await asyncio.sleep(0.01)
    async with async_cache.pipeline(transaction=True) as pipe:
        pipe.hset(OWNERS, "busy", 7)
        pipe.publish(OWNERS, "7 busy")
        await pipe.execute()
    for _ in range(3):
        await engine.show()
    async with asyncio.timeout(5):
        while any(_copied(heard[client]) != engine.shown for client in (owner, staff)):
            for client in (owner, staff):
                heard[client] += client.unheard()
            await asyncio.sleep(0.01)
    other.outlet.make_room()
    assert _copied(heard[other]) == before
    assert _copied([*heard[other], *other.unheard()]) == public
    # Nor by asking anew.
    await other.subscribe(_BOARD, "scanners:b*", envelope=True, delta=True, snapshot=True)
    await other.subscribe(_BOARD, envelope=True, snapshot=True)
    assert [message["data"] for message in other.unheard()] == [None]


async def test_after_an_interruption_everybody_has_the_present_state(valkey: EmbeddedValkey) -> None:
    hub = Hub()
    enveloped = await Client.of(hub, "scanners:*", envelope=True, snapshot=True)
    delta = await Client.of(hub, _BOARD, envelope=True, delta=True)
    plain, bare = await Client.of(hub, "status", envelope=True), await Client.of(hub, "status")
    assert [message["type"] for message in [await delta.hears()]] == ["snapshot"]
    valkey.kill()
    for client in (enveloped, delta, plain):
        assert (await client.hears())["status"] == "interrupted"
    await asyncio.to_thread(valkey.start)
    async with redis_async.Redis.from_url(valkey.url) as async_cache:
        engine = Engine(async_cache)
        await engine.show()
        for client in (enveloped, delta, plain):
            assert await client.hears() == {"status": "resumed"}
        message = await delta.hears()
        while message["data"] == []:
            message = await delta.hears()
        assert (message["type"], message["data"]) == ("snapshot", engine.shown)
        message = await enveloped.hears()
        assert (message["feed"], message["data"]) == (_BOARD, engine.shown)
        await async_cache.publish("status", "1")
        assert (await plain.hears())["data"] == await bare.hears() == 1


async def test_a_board_that_could_not_be_read_follows_though_nothing_is_said_of_it(
    async_cache: "redis_async.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_RETRY_S", 0.05)
    engine = Engine(async_cache)
    await engine.show()
    await async_cache.rename(_BOARD, "elsewhere")
    # It refuses, as one that is just becoming a replica or that is too busy.
    await async_cache.hset(_BOARD, "no", "text")
    client = await Client.of(Hub(), _BOARD, envelope=True, delta=True)
    await asyncio.sleep(0.1)
    assert client.unheard() == []
    await async_cache.rename("elsewhere", _BOARD)
    assert (await client.hears())["data"] == engine.shown


async def test_who_asks_in_the_moment_before_the_cache_is_heard_again_need_not_wait(valkey: EmbeddedValkey) -> None:
    hub = Hub()
    client = await Client.of(hub, "status", envelope=True)
    async with redis_async.Redis.from_url(valkey.url) as async_cache:
        engine = Engine(async_cache)
        await engine.show()
        await async_cache.client_kill_filter(_type="pubsub")
        assert (await client.hears())["status"] == "interrupted"
        # Its value is read, but the mark beside it is heard by nobody.
        await client.subscribe(_BOARD, envelope=True, delta=True)
        assert (await client.hears())["status"] == "resumed"
        async with asyncio.timeout(1):
            assert (await client.hears())["data"] == engine.shown


async def test_a_board_that_nobody_followed_any_more_is_not_shown_as_it_was(async_cache: "redis_async.Redis") -> None:
    hub, engine = Hub(), Engine(async_cache)
    await engine.show()
    gone = Client(hub)
    subscribing = asyncio.create_task(gone.subscribe(_BOARD, envelope=True, delta=True))
    while gone.member.coming is None or not hub._listenings:
        await asyncio.sleep(0)
    # The right to read it ends while it is on its way.
    hub.drop(gone.member, lambda feed: True)
    await subscribing
    await asyncio.sleep(0.1)
    await engine.show()
    client = await Client.of(hub, _BOARD, envelope=True, delta=True)
    assert (await client.hears())["data"] == engine.shown
