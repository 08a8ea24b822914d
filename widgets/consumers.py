"""`/ws`: one consumer a socket. It reads requests in order; a task of its own sends what waits in the outbox."""

import asyncio
import logging
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from processors.snapshots import snapshot
from processors.store import default_store
from widgets import access, protocol
from widgets.hub import Member, hub
from widgets.outbox import Subscription
from widgets.protocol import ProtocolError, Request

log = logging.getLogger(__name__)

NOT_AUTHORISED: Final = 4401
AUTH_TIMEOUT_S: Final = 10.0
_STANDS_EVERY_S: Final = 5.0
_MOST_SUBSCRIPTIONS: Final = 1_000


class WidgetConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels ships no types
    """One client of the widget data service."""

    async def connect(self) -> None:
        """Accept first, so that close codes reach the client; then see who it is."""
        self._grant: access.Grant | None = None
        self._member = Member()
        self._tasks: list[asyncio.Task[None]] = []
        await self.accept()
        user = self.scope.get("user")
        if user is not None and user.is_authenticated and _same_origin(self.scope):
            session_key = self.scope["session"].session_key or ""
            self._grant = await database_sync_to_async(access.grant_for_login)(user, session_key)
        self._tasks = [asyncio.create_task(self._send_for_ever()), asyncio.create_task(self._watch_grant())]

    async def disconnect(self, code: int) -> None:
        """Leave nothing behind."""
        for task in self._tasks:
            task.cancel()
        await hub.leave(self._member)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer one request."""
        try:
            if text_data is None:
                raise ProtocolError("Not understood: send text, not binary data.")
            await self._answer(protocol.read_request(text_data))
        except ProtocolError as error:
            await self.send(protocol.status("error", error=str(error)))
        except redis.RedisError as error:
            log.warning("cache unreachable, a request is not answered: %s", error)
            await self.send(protocol.status("error", error="The cache cannot be reached at the moment. Try again."))

    async def _answer(self, request: Request) -> None:
        if request.action == "auth":
            await self._authenticate(request)
        elif self._grant is None:
            await self.send(protocol.status("unauthorized"))
            await self.close(NOT_AUTHORISED)
        elif request.action == "subscribe":
            await self._subscribe(self._grant, request)
        elif request.action == "unsubscribe":
            feed = protocol.checked_feed(request.feed)
            await hub.unsubscribe(self._member, feed)
            self._member.outbox.forget(feed)
            await self.send(protocol.status("unsubscribed", feed=feed))
        elif request.action == "get":
            await self._get(self._grant, request)
        else:
            await self.send(protocol.status("invalid action"))

    async def _authenticate(self, request: Request) -> None:
        grant = await database_sync_to_async(access.grant_for_key)(request.api_key or "")
        if grant is None:
            self._grant = None
            await self.send(protocol.status("invalid key"))
            await self.close(NOT_AUTHORISED)
            return
        self._grant = grant
        await self.send(protocol.status("authorized"))

    async def _subscribe(self, grant: access.Grant, request: Request) -> None:
        feed = protocol.checked_feed(request.feed)
        member = self._member
        if not grant.may_read(feed):
            await self.send(protocol.status("forbidden", feed=feed))
            return
        if feed not in member.subscriptions and len(member.subscriptions) >= _MOST_SUBSCRIPTIONS:
            raise ProtocolError(
                f"A socket may have {_MOST_SUBSCRIPTIONS:,} subscriptions; unsubscribe from some first."
            )
        await self.send(protocol.status("subscribed", feed=feed))
        with_snapshot = request.envelope and request.snapshot and not feed.endswith("*")
        if with_snapshot:
            member.outbox.hold(feed)
        data = "null"
        try:
            await hub.subscribe(member, feed, Subscription(envelope=request.envelope))
            if with_snapshot:
                current = await asyncio.to_thread(snapshot, default_store(), feed)
                data = current.decode() if current is not None else "null"
                await self.send(member.outbox.snapshot(feed, data))
        finally:
            member.outbox.release(feed, data)

    async def _get(self, grant: access.Grant, request: Request) -> None:
        key = request.cache
        if key is None:
            raise ProtocolError('A cache key is missing: send {"action":"get","cache":"scanners:top_gainers"}.')
        limit = protocol.checked_limit(request.limit)
        if not grant.may_read(protocol.checked_feed(key)):
            await self.send(protocol.status("forbidden", feed=key))
            return
        data = await asyncio.to_thread(snapshot, default_store(), key, limit)
        await self.send(protocol.cached(key, data))

    async def _send_for_ever(self) -> None:
        """Send what waits. `send` returns when the transport has room; until then the outbox fills and conflates."""
        while True:
            await self.send(await self._member.outbox.take())

    async def _watch_grant(self) -> None:
        """Cut off who does not authenticate in time, and whose login or token has ended."""
        await asyncio.sleep(AUTH_TIMEOUT_S)
        while self._grant is not None and await database_sync_to_async(access.stands)(self._grant):
            await asyncio.sleep(_STANDS_EVERY_S)
        await self.close(NOT_AUTHORISED)


def _same_origin(scope: dict[str, Any]) -> bool:
    """Whether a browser's page is ours; programs send no Origin and are judged by their login alone."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin1")
    if not origin:
        return True
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    host = str(headers.get(b"host", b""), "latin1")
    return bool(urlsplit(str(origin)).netloc.lower() == host.lower())
