"""The hub: one Redis subscription a process, wherever Redis goes meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis_async
from django.conf import settings

from processors.store import INTEREST, PATTERNS
from project.embedded import EmbeddedValkey
from widgets import hub as module
from widgets.hub import Hub, Member
from widgets.outbox import Subscription


@pytest.fixture
async def cache(valkey: EmbeddedValkey) -> AsyncIterator["redis_async.Redis"]:
    """A client of the hubs' cache."""
    async with redis_async.Redis.from_url(valkey.url) as client:
        yield client


async def _heard(member: Member) -> str:
    return await asyncio.wait_for(member.outbox.take(), 5)


async def _subscribed(hub: Hub, *feeds: str) -> Member:
    member = Member()
    for feed in feeds:
        await hub.subscribe(member, feed, Subscription())
    return member


async def test_a_subscription_misses_nothing_after_it_returns(cache: "redis_async.Redis") -> None:
    hub = Hub()
    for number in range(50):
        member = await _subscribed(hub, f"quote:SYM{number}")
        await cache.publish(f"quote:SYM{number}", str(number))
        assert await _heard(member) == str(number)


async def test_members_share_one_subscription_and_the_last_one_ends_it(cache: "redis_async.Redis") -> None:
    hub = Hub()
    first, second = [await _subscribed(hub, "status", "news:*") for _ in range(2)]
    assert await cache.pubsub_numsub("status") == [(b"status", 1)]
    await cache.publish("status", "1")
    assert [await _heard(member) for member in (first, second)] == ["1", "1"]
    await hub.leave(first)
    assert await cache.pubsub_numsub("status") == [(b"status", 1)]
    await hub.leave(second)
    async with asyncio.timeout(3):
        while await cache.pubsub_numsub("status") != [(b"status", 0)] or await cache.pubsub_numpat():
            await asyncio.sleep(0.01)
    assert not hub._members
    assert not hub._confirmed


async def test_two_hubs_share_nothing(cache: "redis_async.Redis") -> None:
    one, other = Hub(), Hub()
    in_one, in_other = await _subscribed(one, "status"), await _subscribed(other, "status", "scanners:*")
    await one.leave(in_one)
    await cache.publish("status", "1")
    await cache.publish("scanners:top_volume", "2")
    assert sorted([await _heard(in_other), await _heard(in_other)]) == ["1", "2"]
    assert await cache.pubsub_numsub("status") == [(b"status", 1)]


async def test_coming_and_going_at_once_leaves_the_last_wish_standing(cache: "redis_async.Redis") -> None:
    hub = Hub()
    members = [Member() for _ in range(20)]

    async def come_and_go(member: Member) -> None:
        for _ in range(10):
            await hub.subscribe(member, "status", Subscription())
            await hub.unsubscribe(member, "status")
        await hub.subscribe(member, "status", Subscription())

    await asyncio.gather(*(come_and_go(member) for member in members))
    await cache.publish("status", "1")
    assert [await _heard(member) for member in members] == ["1"] * len(members)


async def test_a_restarted_cache_is_found_again(valkey: EmbeddedValkey) -> None:
    hub = Hub()
    member = await _subscribed(hub, "status", "scanners:*")
    for _ in range(2):
        valkey.kill()
        await asyncio.to_thread(valkey.start)
        async with redis_async.Redis.from_url(valkey.url) as cache, asyncio.timeout(10):
            while not await cache.publish("status", "1") or not await cache.pubsub_numpat():
                await asyncio.sleep(0.05)
            await cache.publish("scanners:top_volume", "2")
            heard: set[str] = set()
            while heard != {"1", "2"}:
                heard.add(await _heard(member))
            # The workers have to be told anew: the counter went with the cache.
            while not await cache.get(INTEREST) or await cache.zscore(PATTERNS, "scanners:*") is None:
                await asyncio.sleep(0.05)
            await hub.subscribe(member, "quote:AAPL", Subscription())
            await cache.publish("quote:AAPL", "3")
            while await _heard(member) != "3":
                pass


async def test_subscribing_while_the_cache_is_away_counts_when_it_is_back(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CONFIRM_TIMEOUT_S", 0.1)
    hub = Hub()
    member = await _subscribed(hub, "news:latest")
    valkey.kill()
    async with asyncio.timeout(5):
        while hub.connected:
            await asyncio.sleep(0.01)
    await hub.subscribe(member, "status", Subscription())
    await hub.unsubscribe(member, "news:latest")
    await asyncio.to_thread(valkey.start)
    async with redis_async.Redis.from_url(valkey.url) as cache, asyncio.timeout(10):
        while not await cache.publish("status", "1"):
            await asyncio.sleep(0.05)
        assert await _heard(member) == "1"
        assert await cache.pubsub_numsub("news:latest") == [(b"news:latest", 0)]


async def test_a_connection_that_falls_silent_is_given_up(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 0.1)
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
    member = await _subscribed(hub, "status")
    async with redis_async.Redis.from_url(valkey.url) as cache, asyncio.timeout(10):
        # Silence alone is no reason, as long as it answers.
        await asyncio.sleep(0.5)
        await cache.publish("status", "1")
        assert await _heard(member) == "1"
        before = connections
        stopped.set()
        while hub.connected:
            await asyncio.sleep(0.01)
        stopped.clear()
        while connections == before or not hub.connected:
            await asyncio.sleep(0.01)
        while member.outbox._latest == {}:
            await cache.publish("status", "2")
            await asyncio.sleep(0.05)
        assert await _heard(member) == "2"
    server.close()


async def test_patterns_that_nobody_keeps_are_cleared_away(
    cache: "redis_async.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEW_S", 0.05)
    await cache.zadd(PATTERNS, {"news:*": 1.0})
    hub = Hub()
    await _subscribed(hub, "scanners:*")
    async with asyncio.timeout(3):
        while await cache.zrange(PATTERNS, 0, -1) != [b"scanners:*"]:
            await asyncio.sleep(0.01)
