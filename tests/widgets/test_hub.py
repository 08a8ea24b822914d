"""The hub: one Redis subscription a process, wherever Redis goes meanwhile."""

import asyncio
import random

import pytest
import redis.asyncio as redis_async
from django.conf import settings

from processors.store import INTEREST, OWNERS, PATTERNS
from project.embedded import EmbeddedValkey
from tests.widgets.members import Client
from widgets.fanout import stream as module
from widgets.fanout.hub import Hub
from widgets.visitors.limits import BROKEN, RESTART


async def test_a_subscription_misses_nothing_after_it_returns(async_cache: "redis_async.Redis") -> None:
    hub = Hub()
    for number in range(50):
        client = await Client.of(hub, f"quote:SYM{number}")
        await async_cache.publish(f"quote:SYM{number}", str(number))
        assert await client.hears() == number


async def test_members_share_one_subscription_and_the_last_one_ends_it(async_cache: "redis_async.Redis") -> None:
    hub = Hub()
    first, second = [await Client.of(hub, "status", "news:*") for _ in range(2)]
    assert await async_cache.pubsub_numsub("status") == [(b"status", 1)]
    await async_cache.publish("status", "1")
    assert [await client.hears() for client in (first, second)] == [1, 1]
    hub.leave(first.member)
    assert await async_cache.pubsub_numsub("status") == [(b"status", 1)]
    hub.leave(second.member)
    async with asyncio.timeout(3):
        while await async_cache.pubsub_numsub("status") != [(b"status", 0)] or await async_cache.pubsub_numpat():
            await asyncio.sleep(0.01)
    assert not hub._listenings


async def test_two_hubs_share_nothing(async_cache: "redis_async.Redis") -> None:
    one, other = Hub(), Hub()
    in_one, in_other = await Client.of(one, "status"), await Client.of(other, "status", "scanners:*")
    one.leave(in_one.member)
    await async_cache.publish("status", "1")
    await async_cache.publish("scanners:top_volume", "2")
    assert [await in_other.hears(), await in_other.hears()] == [1, 2]
    assert await async_cache.pubsub_numsub("status") == [(b"status", 1)]


async def test_coming_and_going_at_once_leaves_the_last_wish_standing(async_cache: "redis_async.Redis") -> None:
    hub = Hub()
    clients = [Client(hub) for _ in range(20)]

    async def come_and_go(client: Client) -> None:
        for _ in range(10):
            await client.subscribe("status")
            await hub.unsubscribe(client.member, "status")
        await client.subscribe("status")

    await asyncio.gather(*(come_and_go(client) for client in clients))
    await async_cache.publish("status", "1")
    assert [await client.hears() for client in clients] == [1] * len(clients)


async def test_whatever_stands_beside_a_feed_each_message_comes_once(async_cache: "redis_async.Redis") -> None:
    feed, wide, others = "stocks:trades:AAPL", "stocks:trades:*", ("stocks:trades:A*", "stocks:trades:AA*")
    hub = Hub()
    client = await Client.of(hub, wide)
    last = 0

    async def publish() -> None:
        nonlocal last
        while not done:
            async with async_cache.pipeline(transaction=False) as pipe:
                for _ in range(20):
                    last += 1
                    pipe.publish(feed, last)
                await pipe.execute()

    done = False
    publisher = asyncio.create_task(publish())
    choose = random.Random(5)
    for _ in range(400):
        changing = choose.choice((feed, *others))
        if choose.random() < 0.5:
            await client.subscribe(changing)
        else:
            await hub.unsubscribe(client.member, changing)
    done = True
    await publisher
    heard = [await client.hears()]
    while heard[-1] != last:
        heard.append(await client.hears())
    assert last > 1_000
    assert heard == list(range(heard[0], last + 1))
    assert not client.unheard()


async def test_a_socket_that_fails_is_ended_and_the_others_go_on(async_cache: "redis_async.Redis") -> None:
    hub = Hub()
    clients = [await Client.of(hub, "status") for _ in range(3)]

    def fails(*parts: bytes) -> None:
        raise ValueError("no transport")

    clients[1].outlet.write = fails  # type: ignore[method-assign]
    await async_cache.publish("status", "1")
    assert [await clients[0].hears(), await clients[2].hears()] == [1, 1]
    assert [client.ended for client in clients] == [[], [(BROKEN, "broken")], []]


async def test_a_farewell_tells_each_when_to_come_back(async_cache: "redis_async.Redis") -> None:
    hub = Hub()
    clients = [await Client.of(hub, "status", envelope=number % 2 == 0) for number in range(10)]
    await asyncio.wait_for(hub.farewell(0.2), 2)
    assert hub.ending
    assert all(client.ended == [(RESTART, "restart")] for client in clients)
    told = [client.unheard() for client in clients]
    # Who knows nothing of envelopes would take it for a message of a feed.
    assert told[1::2] == [[]] * 5
    after = [message["after_ms"] for ((message,),) in zip(told[::2], strict=True)]
    assert len(set(after)) == 5
    assert max(after) - min(after) > 2_000


async def test_a_restarted_cache_is_found_again(valkey: EmbeddedValkey) -> None:
    hub = Hub()
    client = await Client.of(hub, "status", "scanners:*")
    for _ in range(2):
        valkey.kill()
        await asyncio.to_thread(valkey.start)
        async with redis_async.Redis.from_url(valkey.url) as async_cache, asyncio.timeout(10):
            while not await async_cache.publish("status", "1") or not await async_cache.pubsub_numpat():
                await asyncio.sleep(0.05)
            await async_cache.publish("scanners:top_volume", "2")
            heard: set[int] = set()
            while heard != {1, 2}:
                heard.add(await client.hears())
            # The workers have to be told anew: the counter went with the cache.
            while not await async_cache.get(INTEREST) or await async_cache.zscore(PATTERNS, "scanners:*") is None:
                await asyncio.sleep(0.05)
            await client.subscribe("quote:AAPL")
            await async_cache.publish("quote:AAPL", "3")
            while await client.hears() != 3:
                pass


async def test_subscribing_while_the_cache_is_away_counts_when_it_is_back(valkey: EmbeddedValkey) -> None:
    hub = Hub()
    client = await Client.of(hub, "news:latest")
    valkey.kill()
    async with asyncio.timeout(5):
        while hub.connected:
            await asyncio.sleep(0.01)
    await client.subscribe("status")
    await hub.unsubscribe(client.member, "news:latest")
    await asyncio.to_thread(valkey.start)
    async with redis_async.Redis.from_url(valkey.url) as async_cache, asyncio.timeout(10):
        while not await async_cache.publish("status", "1"):
            await asyncio.sleep(0.05)
        assert await client.hears() == 1
        assert await async_cache.pubsub_numsub("news:latest") == [(b"news:latest", 0)]


async def test_a_connection_that_falls_silent_is_given_up(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 0.1)
    monkeypatch.setattr(module, "_RENEW_S", 0.04)
    connections = 0
    stopped = asyncio.Event()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A network that swallows everything after a while, without closing anything."""
        nonlocal connections
        connections += 1
        there, back = await asyncio.open_unix_connection(valkey.url.removeprefix("unix://"))

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                if not stopped.is_set():
                    target.write(data)
                    await target.drain()

        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    monkeypatch.setattr(settings, "REDIS_URL", f"redis://{host}:{port}/0")
    hub = Hub()
    client = await Client.of(hub, "status", envelope=True)
    async with redis_async.Redis.from_url(valkey.url) as async_cache, asyncio.timeout(10):
        # Silence alone is no reason, as long as it answers.
        await asyncio.sleep(0.5)
        await async_cache.publish("status", "1")
        assert (await client.hears())["data"] == 1
        before = connections
        stopped.set()
        # What is asked for meanwhile waits no longer than it has to.
        await client.subscribe("news:latest")
        while hub.connected:
            await asyncio.sleep(0.01)
        assert (await client.hears())["status"] == "interrupted"
        stopped.clear()
        assert (await client.hears())["status"] == "resumed"
        assert connections > before
        for feed in ("status", "news:latest"):
            await async_cache.publish(feed, "2")
            assert (await client.hears()) in ({"feed": feed, "seq": 2, "type": "update", "data": 2}, 2)
    server.close()


async def test_patterns_that_nobody_keeps_are_cleared_away(
    async_cache: "redis_async.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEW_S", 0.05)
    await async_cache.zadd(PATTERNS, {"news:*": 1.0})
    await Client.of(Hub(), "scanners:*")
    async with asyncio.timeout(3):
        while await async_cache.zrange(PATTERNS, 0, -1) != [b"scanners:*"]:
            await asyncio.sleep(0.01)


async def test_nothing_is_passed_on_before_it_is_known_whose_it_is(async_cache: "redis_async.Redis") -> None:
    # As a cache that loads its data after a restart: it lets one listen, and refuses to say anything.
    await async_cache.set(OWNERS, "not to be read yet")
    hub = Hub()
    client = await Client.of(hub, "scanners:*")
    assert not hub.connected
    await async_cache.delete(OWNERS)
    await async_cache.hset(OWNERS, "mine", "7")
    async with asyncio.timeout(5):
        while not hub.connected:
            await async_cache.publish("scanners:mine", "1")
            await asyncio.sleep(0.01)
    await async_cache.publish("scanners:mine", "2")
    await async_cache.publish("scanners:everyones", "3")
    assert await client.hears() == 3
    assert not client.unheard()


async def test_a_cache_that_is_full_is_listened_to_all_the_same(
    async_cache: "redis_async.Redis", valkey: EmbeddedValkey
) -> None:
    hub = Hub()
    most = str((await async_cache.config_get("maxmemory"))["maxmemory"])
    await async_cache.config_set("maxmemory", "1")
    try:
        client = await Client.of(hub, "status", "scanners:*")
        await async_cache.publish("status", "1")
        assert await client.hears() == 1
        assert hub.connected
    finally:
        await async_cache.config_set("maxmemory", most)


async def test_a_notice_that_cannot_be_written_ends_that_socket_alone(valkey: EmbeddedValkey) -> None:
    hub = Hub()
    clients = [await Client.of(hub, "status", envelope=True) for _ in range(5)]

    def fails(*parts: bytes) -> None:
        raise ValueError("no transport")

    clients[2].outlet.write = fails  # type: ignore[method-assign]
    async with redis_async.Redis.from_url(valkey.url) as async_cache:
        await async_cache.client_kill_filter(_type="pubsub")
    for client in clients[:2] + clients[3:]:
        assert [(await client.hears())["status"] for _ in range(2)] == ["interrupted", "resumed"]
    assert clients[2].ended == [(BROKEN, "broken")]
