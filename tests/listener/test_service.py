"""The listener as a whole: one at a time, and what it does while its settings change under it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.db import database_sync_to_async

from control.models import FeedSettings
from listener.service import Listener
from processors import store as keys
from processors.store import Store
from project.celery import app
from project.embedded import EmbeddedValkey
from tests.listener.feed_server import closes, serving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    return Store()


@asynccontextmanager
async def listening(feed: str | None) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(Listener(app, feed, lossless=False).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)
    assert condition(), what


def _report(store: Store) -> dict[str, Any]:
    raw = store.redis.get(keys.LISTENER_STATE)
    report: dict[str, Any] = json.loads(raw) if raw else {"state": "none", "reason": ""}
    return report


@database_sync_to_async
def _set(**values: Any) -> None:
    row, _ = FeedSettings.objects.get_or_create()
    for name, value in values.items():
        setattr(row, name, value)
    row.full_clean()
    row.save()


async def test_it_is_switched_off_and_on(store: Store) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        await _set(feed=server.address)
        async with listening(None):
            await _until(lambda: _report(store)["state"] == "live", "live")
            await _set(enabled=False)
            await _until(lambda: _report(store)["state"] == "stopped", "stopped", 2)
            assert "Switched off" in _report(store)["reason"]
            await _set(enabled=True)
            await _until(lambda: _report(store)["state"] == "live", "live again", 3)
    assert len(server.connected_at) == 2
    assert _report(store)["reason"] == "The listener was stopped."


async def test_subscriptions_change_on_the_live_connection(store: Store) -> None:
    async with serving() as server:

        async def listens_on(socket: Any) -> None:
            while not socket.closed:
                await server.hear(socket)

        server.scripts = (server.accepts(then=listens_on),)
        await _set(feed=server.address, subscriptions="A.*,T.ZZA")
        async with listening(None):
            await _until(lambda: _report(store)["state"] == "live", "live")
            await _set(subscriptions="A.*,Q.ZZB")
            await _until(lambda: len(server.requests) >= 4, "the changes", 3)
            await _until(lambda: "Q.ZZB" in _report(store)["reason"], "the report", 2)
    changes = {(request["action"], request["params"]) for request in server.requests[2:]}
    assert changes == {("subscribe", "Q.ZZB"), ("unsubscribe", "T.ZZA")}
    assert len(server.connected_at) == 1


async def test_another_feed_is_connected_to(store: Store) -> None:
    async with serving() as first, serving() as second:
        first.scripts, second.scripts = (first.accepts(),), (second.accepts(),)
        await _set(feed=first.address)
        async with listening(None):
            await _until(lambda: first.address in _report(store)["reason"], "the first feed")
            await _set(feed=second.address)
            await _until(
                lambda: _report(store)["state"] == "live" and second.address in _report(store)["reason"], "a switch", 4
            )


async def test_a_feed_given_on_the_command_line_is_kept(store: Store) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        await _set(feed="127.0.0.1:1")
        async with listening(server.address):
            await _until(lambda: _report(store)["state"] == "live", "live")


async def test_a_refused_key_waits_for_another_setting(store: Store) -> None:
    async def refuses(socket: Any) -> None:
        await socket.send_json([{"ev": "status", "status": "connected", "message": "Connected Successfully"}])
        await socket.receive()
        await socket.send_json([{"ev": "status", "status": "auth_failed", "message": "authentication failed"}])

    async with serving() as strict, serving() as open_:
        strict.scripts, open_.scripts = (refuses,), (open_.accepts(),)
        await _set(feed=strict.address)
        async with listening(None) as task:
            await _until(lambda: _report(store)["state"] == "refused", "refused")
            assert "does not accept the API key" in _report(store)["reason"]
            assert not task.done()
            await _set(feed=open_.address)
            await _until(lambda: _report(store)["state"] == "live", "live")
    assert len(strict.connected_at) == 1


async def test_a_second_listener_stands_by_and_takes_over(store: Store) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        async with listening(server.address) as first:
            await _until(lambda: _report(store)["state"] == "live", "live")
            async with listening(server.address):
                await asyncio.sleep(1.5)
                assert len(server.connected_at) == 1
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
                await _until(lambda: len(server.connected_at) == 2, "the takeover", 3)
                await _until(lambda: _report(store)["state"] == "live", "live", 3)


async def test_a_standby_takes_over_from_one_that_died(store: Store) -> None:
    # As a killed listener leaves it: the lease is held, and nobody renews it.
    assert store.hold_lease(keys.LISTENER_LEASE, "dead", 3_000)
    async with serving() as server:
        server.scripts = (server.accepts(then=closes(1000)), server.accepts())
        async with listening(server.address):
            await _until(lambda: _report(store)["state"] == "live", "live", 5)


async def test_a_setting_never_carries_the_vendors_key_to_another_host(settings: Any, store: Store) -> None:
    settings.MASSIVE_API_KEY, settings.MASSIVE_SECURE = "vendor-key", False
    async with serving() as server:
        server.scripts = (server.accepts(),)
        await _set(feed=server.address)
        async with listening(None):
            await _until(lambda: len(server.requests) >= 1, "the key")
    assert server.requests[0] == {"action": "auth", "params": "simulator"}
