"""Snapshots before streams: nothing missing, nothing twice, nothing for who may not read it, while all goes on."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import redis.asyncio as redis_async

from processors.snapshots import TooManyFeeds, feeds_matching, read
from processors.store import BOARDS, OWNERS, default_store
from tests.widgets.members import Client
from widgets.fanout import snapshots
from widgets.fanout.hub import Hub

_ALERTS = "alerts:busy"
_BOARD = "scanners:busy"
_PRINTS = "stocks:trades:AAPL"


@asynccontextmanager
async def _busy(async_cache: "redis_async.Redis", act: Callable[[Any, int], None]) -> AsyncIterator[list[int]]:
    """Publish all the time, each number in a step of its own; the last one stands in the list."""
    last = [0]
    done = False

    async def publish() -> None:
        while not done:
            async with async_cache.pipeline(transaction=True) as pipe:
                act(pipe, last[0] + 1)
                await pipe.execute()
            last[0] += 1
            await asyncio.sleep(0)

    publisher = asyncio.create_task(publish())
    try:
        yield last
    finally:
        done = True
        await publisher


def _alert(pipe: Any, number: int) -> None:
    pipe.lpush(_ALERTS, number)
    pipe.hset(OWNERS, "busy", 0)
    pipe.publish(_ALERTS, number)


def _board(pipe: Any, number: int) -> None:
    pipe.hset(BOARDS, "busy", number)
    pipe.set(_BOARD, number)
    pipe.publish(_BOARD, number)


async def _all_of(client: Client, last: int, value: Callable[[Any], int]) -> list[Any]:
    """The messages of the feeds up to the last one published."""
    heard = [await client.hears()]
    while value(heard[-1]) != last:
        heard.append(await client.hears())
    # A snapshot may still come that says the same.
    heard += client.unheard()
    assert [message["seq"] for message in heard] == list(range(1, len(heard) + 1))
    return heard


@pytest.mark.parametrize("feed", [_ALERTS, "alerts:*"])
async def test_a_list_and_its_stream_are_all_of_it_once(async_cache: "redis_async.Redis", feed: str) -> None:
    hub = Hub()
    async with _busy(async_cache, _alert) as last:
        while last[0] < 20:
            await asyncio.sleep(0.01)
        client = await Client.of(hub, feed, envelope=True, snapshot=True)
        for _ in range(30):
            # Asked for again while it stands: what is on its way is not lost, and not said twice.
            await client.subscribe(feed, envelope=True, snapshot=True)
    heard = await _all_of(
        client, last[0], lambda message: message["data"] if message["type"] == "update" else message["data"][0]
    )
    known: list[int] = []
    for message in heard:
        if message["type"] == "update":
            known.append(message["data"])
        else:
            assert len(message["data"]) >= len(known)
            known = message["data"][::-1]
        assert known == list(range(1, len(known) + 1))
    assert sum(message["type"] == "snapshot" for message in heard) == 31
    assert heard[0]["type"] == "snapshot"


async def test_prints_that_a_standing_subscription_brings_are_all_there_beside_snapshots(
    async_cache: "redis_async.Redis",
) -> None:
    hub = Hub()
    async with _busy(async_cache, lambda pipe, number: pipe.publish(_PRINTS, number)) as last:
        client = await Client.of(hub, _PRINTS, envelope=True)
        for _ in range(30):
            await client.subscribe(_PRINTS, envelope=True, snapshot=True)
        await client.subscribe("stocks:trades:*", envelope=True, snapshot=True)
    # Nothing is kept of these prints, so that each snapshot is empty.
    heard = await _all_of(client, last[0], lambda message: message["data"])
    prints = [message["data"] for message in heard if message["type"] == "update"]
    assert prints == list(range(prints[0], last[0] + 1))
    assert [message["data"] for message in heard if message["type"] == "snapshot"] == [None] * 30


@pytest.mark.parametrize("feed", [_BOARD, "scanners:*"])
async def test_a_board_never_steps_back(async_cache: "redis_async.Redis", feed: str) -> None:
    hub = Hub()
    async with _busy(async_cache, _board) as last:
        while last[0] < 20:
            await asyncio.sleep(0.01)
        client = await Client.of(hub, feed, envelope=True, snapshot=True)
        for _ in range(30):
            await client.subscribe(feed, envelope=True, snapshot=True)
            if random.random() < 0.3:
                await hub.unsubscribe(client.member, feed)
                await client.subscribe(feed, envelope=True, snapshot=True)
    heard = await _all_of(client, last[0], lambda message: message["data"])
    assert heard[0]["type"] == "snapshot"
    shown = [message["data"] for message in heard]
    assert shown == sorted(shown)
    again = [now for before, now in pairwise(heard) if before["data"] == now["data"]]
    assert {message["type"] for message in again} <= {"snapshot"}


async def test_five_hundred_who_come_at_once_are_read_for_a_few_times(
    async_cache: "redis_async.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    await async_cache.set(_BOARD, "[]")
    reads = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        return read(*arguments, **options)

    monkeypatch.setattr("widgets.fanout.marks.read", counted)
    hub = Hub()
    clients = [Client(hub) for _ in range(500)]
    await asyncio.gather(*(client.subscribe(_BOARD, envelope=True, snapshot=True) for client in clients))
    for client in clients:
        assert client.unheard() == [{"feed": _BOARD, "seq": 1, "type": "snapshot", "data": []}]
    assert reads < 50


async def test_a_pattern_begins_with_every_feed_that_there_is(async_cache: "redis_async.Redis") -> None:
    hub = Hub()
    for slug in ("a", "b", "c"):
        await async_cache.hset(BOARDS, slug, "1")
        await async_cache.set(f"scanners:{slug}", f'["{slug}"]')
    client = await Client.of(hub, "scanners:*", envelope=True, snapshot=True)
    snapshot = {"seq": 1, "type": "snapshot"}
    assert client.unheard() == [{"feed": f"scanners:{slug}", "data": [slug], **snapshot} for slug in "abc"]
    # What comes to be later begins with its first message.
    await async_cache.publish("scanners:d", '["d"]')
    assert (await client.hears())["data"] == ["d"]
    # A feed of its own is not brought by the pattern as well.
    await client.subscribe("scanners:b", envelope=True)
    await client.subscribe("scanners:*", envelope=True, snapshot=True)
    assert [message["feed"] for message in client.unheard()] == ["scanners:a", "scanners:c"]


async def test_a_pattern_of_too_many_feeds_stands_without_snapshots(
    async_cache: "redis_async.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_MOST_FEEDS", 2)
    for slug in ("a", "b", "c"):
        await async_cache.hset(BOARDS, slug, "1")
    client = Client(Hub())
    with pytest.raises(TooManyFeeds, match="scanners:"):
        await client.subscribe("scanners:*", envelope=True, snapshot=True)
    await async_cache.publish("scanners:a", "1")
    assert await client.hears() == {"feed": "scanners:a", "seq": 1, "type": "update", "data": 1}


async def test_the_feeds_of_a_pattern_are_those_that_have_a_value(async_cache: "redis_async.Redis") -> None:
    await async_cache.hset(BOARDS, mapping={"x": 1, "y": 2})
    await async_cache.hset(OWNERS, mapping={"x": 0, "mine": 7, "silent": 0})
    for key in ("alerts", "alerts:x", "alerts:mine", "alerts:user:7"):
        await async_cache.lpush(key, "1")
    await async_cache.hset("tw:table:trades", mapping={"AAPL": "", "MSFT": ""})
    await async_cache.hset("tw:table:newest:trades", "AAPL", "")
    await async_cache.hset("tw:raw:crypto", "trades:BTC-USD", "")
    await async_cache.zadd("tw:news:recent", {"AAPL|1": 1})
    await async_cache.set("status", "{}")
    expected = {
        "scanners": ["scanners:x", "scanners:y"],
        "alerts": ["alerts", "alerts:mine", "alerts:user:7", "alerts:x"],
        "alerts:user:": ["alerts:user:7"],
        "quote:": ["quote:AAPL", "quote:MSFT"],
        "quote:M": ["quote:MSFT"],
        "bars:1m:A": ["bars:1m:AAPL"],
        "stocks:": ["stocks:trades:AAPL"],
        "crypto:": ["crypto:trades:BTC-USD"],
        "news:": ["news:AAPL", "news:latest"],
        "status": ["status"],
        "top": [],
        "unknown": [],
    }
    for prefix, feeds in expected.items():
        assert await asyncio.to_thread(feeds_matching, default_store(), prefix, 10) == feeds


async def test_what_was_lost_is_followed_by_a_snapshot(async_cache: "redis_async.Redis") -> None:
    hub = Hub()
    client = await Client.of(hub, "alerts*", envelope=True)
    client.outlet.make_room(0)
    async with async_cache.pipeline(transaction=True) as pipe:
        for number in range(2_500):
            _alert(pipe, number)
        await pipe.execute()
    async with asyncio.timeout(5):
        while client.member.outbox.dropped + client.member.outbox.waiting < 2_500:
            await asyncio.sleep(0.01)
    client.outlet.make_room()
    heard = [await client.hears()]
    while heard[-1]["type"] != "snapshot":
        heard.append(await client.hears())
    assert [message["seq"] for message in heard] == list(range(501, 2_502))
    assert heard[-1]["data"][0] == 2_499


async def test_who_may_no_longer_read_gets_no_snapshot_that_is_being_read(
    async_cache: "redis_async.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    await async_cache.set(_BOARD, '"secret"')
    hub = Hub()
    client = Client(hub)
    loop = asyncio.get_running_loop()

    def revoked_meanwhile(*arguments: Any, **options: Any) -> Any:
        value = read(*arguments, **options)
        asyncio.run_coroutine_threadsafe(_drop_all(hub, client), loop).result(5)
        return value

    monkeypatch.setattr("widgets.fanout.marks.read", revoked_meanwhile)
    await client.subscribe(_BOARD, envelope=True, snapshot=True)
    await async_cache.publish(_BOARD, '"secret"')
    await asyncio.sleep(0.05)
    assert client.unheard() == []
    assert not hub._listenings


async def _drop_all(hub: Hub, client: Client) -> None:
    hub.drop(client.member, lambda feed: True)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("feed", ["news:latest", "news:*"])
async def test_who_may_no_longer_read_is_not_subscribed_after_all(
    async_cache: "redis_async.Redis", feed: str, turns: int
) -> None:
    hub = Hub()
    client = await Client.of(hub, "status")
    async with client.member.turn:
        # It is being brought something else, and the subscription waits for its turn.
        asking = asyncio.create_task(client.subscribe(feed, envelope=True, snapshot=True))
        await asyncio.sleep(0)
        if turns == 0:
            hub.drop(client.member, lambda standing: True)
    for _ in range(turns):
        await asyncio.sleep(0)
    hub.drop(client.member, lambda standing: True)
    await asking
    await async_cache.publish("news:latest", '"secret"')
    await asyncio.sleep(0.02)
    assert not client.member.subscriptions
    assert not hub._listenings
    assert client.unheard() == []


async def test_what_is_owed_again_while_it_is_being_brought_is_brought_again(async_cache: "redis_async.Redis") -> None:
    await async_cache.hset(BOARDS, mapping={"a": 1, "b": 1})
    await async_cache.set("scanners:a", f'["{"x" * 300_000}"]')
    await async_cache.set("scanners:b", "[]")
    hub = Hub()
    client = await Client.of(hub, "scanners:*", envelope=True, snapshot=True)
    client.unheard()
    # A client that reads slowly is brought the first board, and then has to read it.
    client.outlet.make_room(0)
    hub._up()
    async with asyncio.timeout(5):
        while client.member.outbox.waiting == 0:
            await asyncio.sleep(0.005)
    # The stream is interrupted once more, and what is said meanwhile is not heard.
    await async_cache.set("scanners:a", "[1]")
    hub._up()
    client.outlet.make_room()
    while (await client.hears())["data"] != [1]:
        pass
