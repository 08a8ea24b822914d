"""The listener as a whole: one at a time, and what it does while its settings change under it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from time import monotonic, time
from typing import Any

import pytest
from channels.db import database_sync_to_async

from control.models import FeedSettings
from listener import service
from listener.address import HOSTS
from listener.feed import Patience
from listener.service import Listener
from listener.wishes import Wish, wish_of
from processors import store as keys
from processors.accounts import accounts
from processors.scanning.status import FeedState, status_message
from processors.store import Source, Store
from project.celery import app
from tests.listener.feed_server import sends_raw, serving, status

_LOOKS_EVERY_S = service._LOOK_EVERY_S
_PATIENCE = Patience(first_pause=0.05, confirmation=0.5, look=0.1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at its settings, and says what it does, five times as often."""
    monkeypatch.setattr(service, "_LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(service, "_REPORT_EVERY_S", 0.1)


@asynccontextmanager
async def listening(feed: str | None) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(Listener(app, feed, lossless=False, patience=_PATIENCE).run())
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


def _feed_of_status(store: Store) -> FeedState:
    """What everyone is shown of the feed."""
    source = store.source()
    assert source is not None
    return status_message(source, store.redis.get(keys.LISTENER_STATE), time() * 1_000)["feed"]


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


async def test_subscriptions_change_on_the_live_connection(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    monkeypatch.setattr(service, "_LOOK_EVERY_S", _LOOKS_EVERY_S)
    async with serving() as server:
        server.scripts = (server.converses(refused={"Q.ZZC"}),)
        await _set(feed=server.address, subscriptions="A.*,T.ZZA")
        async with listening(None):
            await _until(lambda: _report(store)["state"] == "live", "live")
            since = _report(store)["since"]
            await _set(subscriptions="A.*,Q.ZZB,Q.ZZC")
            began = monotonic()
            await _until(lambda: "Q.ZZB" in server.subscribed, "the changes", 3)
            # Half a second by its own clock; the rest is for a busy machine.
            assert monotonic() - began < 2
            await _until(lambda: "Refused: Q.ZZC (not authorized)." in _report(store)["reason"], "the report", 3)
            assert _report(store)["state"] == "live"
            assert _report(store)["since"] == since
    changes = {(request["action"], request["params"]) for request in server.requests[2:]}
    assert changes == {("subscribe", "Q.ZZB,Q.ZZC"), ("unsubscribe", "T.ZZA")}
    assert len(server.connected_at) == 1


async def test_every_market_can_be_switched_to_and_back(store: Store) -> None:
    def is_read(market: str, connection: int) -> bool:
        source = store.source()
        asked = sum(request["action"] == "subscribe" for request in server.requests)
        return source is not None and source.id.startswith(f"live:{market}:") and asked == connection

    markets = ["stocks", "crypto", "stocks", "options", "indices", "forex", "futures", "stocks"]
    async with serving() as server:
        server.scripts = (server.converses(),)
        await _set(feed=server.address, market="stocks")
        async with listening(None):
            for number, market in enumerate(markets, 1):
                await _set(market=market)
                await _until(partial(is_read, market, number), market, 5)
                # A table belongs to one source: what was there of the one before is gone.
                assert store.redis.get("quote:OLD") is None
                store.redis.set("quote:OLD", b"{}")
            # The report of the market before may still stand.
            await _until(lambda: _report(store).get("market") == "stocks", "the report", 2)
            await _until(lambda: _report(store)["state"] == "live", "live", 2)
    assert server.markets == markets
    asked = [request["params"] for request in server.requests if request["action"] == "subscribe"]
    assert asked[1].startswith("XAS.*")
    assert asked[2] == asked[0] == "A.*,T.*,Q.*,LULD.*"


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


async def test_a_refusal_waits_for_a_change_of_any_setting(store: Store) -> None:
    async with serving() as strict, serving() as open_:
        strict.scripts = (strict.refuses(status("auth_failed", "authentication failed")),)
        open_.scripts = (open_.accepts(),)
        await _set(feed=strict.address)
        async with listening(None) as task:
            await _until(lambda: _report(store)["state"] == "refused", "a refusal")
            shown = _feed_of_status(store)
            assert shown["state"] == "refused"
            assert "does not accept the API key: authentication failed" in shown["reason"]
            assert 0 <= time() * 1_000 - shown["since"] < 5_000
            await _set(subscriptions="A.*")
            await _until(lambda: len(strict.connected_at) == 2, "another attempt", 3)
            await _until(lambda: _report(store)["state"] == "refused", "another refusal")
            await _set(market="crypto")
            await _until(lambda: strict.markets == ["stocks", "stocks", "crypto"], "a third attempt", 3)
            await _until(lambda: _report(store)["state"] == "refused", "a third refusal")
            assert not task.done()
            await _set(feed=open_.address)
            await _until(lambda: _report(store)["state"] == "live", "live", 3)
    assert len(strict.connected_at) == 3


async def test_while_the_market_is_closed_it_says_so_and_obeys(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        monkeypatch.setitem(HOSTS, "real-time", server.address)
        # No session has a name like this: the market is always closed.
        monkeypatch.setattr("listener.hours.session_at", lambda at: (None, "closed"))
        monkeypatch.setattr("listener.wishes.wish_of", _in_the_clear)
        await _set(feed="real-time")
        async with listening(None):
            await _until(lambda: _report(store)["state"] == "waiting", "waiting")
            assert _report(store)["reason"].startswith("The market is closed. Connecting again ")
            source = store.source()
            assert source is not None
            assert source.id == "live:stocks:real-time"
            await _set(always=True)
            await _until(lambda: _report(store)["state"] == "live", "live", 3)


def _in_the_clear(row: FeedSettings, fixed_feed: str | None) -> Wish:
    wish = wish_of(row, fixed_feed)
    return replace(wish, address=replace(wish.address, secure=False))


async def test_a_second_listener_stands_by_and_takes_over(store: Store) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        async with listening(server.address) as first:
            await _until(lambda: _report(store)["state"] == "live", "live")
            async with listening(server.address):
                await asyncio.sleep(0.8)
                assert len(server.connected_at) == 1
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
                await _until(lambda: len(server.connected_at) == 2, "the takeover", 3)
                await _until(lambda: _report(store)["state"] == "live", "live", 3)


async def test_garbage_costs_itself_and_frames_of_any_size_are_taken(store: Store) -> None:
    trade = '{"ev":"T","sym":"A","p":1,"t":1}'
    great = '[{"ev":"T","sym":"A","i":"' + "x" * 4_000_000 + '"}]'
    many = "[" + ",".join([trade] * 10_000) + "]"
    half_bad = b'[{"ev":"T","sym":"\xff"},' + trade.encode() + b"]"

    def counted() -> dict[str, tuple[int, int, int]]:
        source = store.source()
        found = accounts(store, source.id if source else "", 60_000)
        return {
            feed: (terms["received"], terms["malformed"], terms["published"])
            for feed, terms in found.items()
            if terms["received"]
        }

    async with serving() as server:
        text_frame = sends_raw(bytes((0x81, len(half_bad))) + half_bad)
        server.scripts = (server.accepts(f"[{trade}]", "garbage", b"\x00\xff", great, many, then=text_frame),)
        async with listening(server.address):
            await _until(lambda: counted() == {"trades": (10_003, 0, 10_003), "unknown": (3, 3, 0)}, "the accounts")
            await _until(lambda: _report(store)["state"] == "live", "live")
    assert len(server.connected_at) == 1


async def test_who_leads_no_more_leaves_the_table_alone(store: Store) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        async with listening(server.address):
            await _until(lambda: _report(store)["state"] == "live", "live")
            ours = store.source()
            # Another one has taken over, and reads something else.
            store.redis.set(keys.LISTENER_LEASE, "another's")
            store.declare_source(Source("another's", "live", 1, 1.0, lossless=False))
            await asyncio.sleep(0.6)
            store.redis.delete(keys.LISTENER_STATE)
            await asyncio.sleep(0.6)
            source = store.source()
            assert source is not None
            assert source.id == "another's"
            assert _report(store)["state"] == "none"
            store.redis.delete(keys.LISTENER_LEASE)
            await _until(lambda: _report(store)["state"] == "live", "live again")
            source = store.source()
            assert source is not None
            assert ours is not None
            assert source.id == ours.id


async def test_a_cache_that_has_lost_the_source_learns_it_anew(store: Store) -> None:
    async with serving() as server:
        server.scripts = (server.accepts(),)
        async with listening(server.address):
            await _until(lambda: _report(store)["state"] == "live", "live")
            store.redis.flushall()
            await _until(lambda: store.source() is not None, "the source again", 2)


async def test_a_setting_never_carries_the_vendors_key_to_another_host(settings: Any, store: Store) -> None:
    settings.MASSIVE_API_KEY, settings.MASSIVE_SECURE = "vendor-key", False
    async with serving() as server:
        server.scripts = (server.accepts(),)
        await _set(feed=server.address)
        async with listening(None):
            await _until(lambda: len(server.requests) >= 1, "the key")
    assert server.requests[0] == {"action": "auth", "params": "simulator"}
