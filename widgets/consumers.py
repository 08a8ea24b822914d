"""`/ws`: one consumer a socket. It reads requests in order; a task of its own sends what waits in the outbox."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from processors.snapshots import snapshot
from processors.store import default_store
from widgets import access, protocol
from widgets.hub import Member, hub
from widgets.outbox import Subscription, conflates
from widgets.ownership import EVERYONE, owner_by_cache
from widgets.protocol import ProtocolError, Request

log = logging.getLogger(__name__)

NOT_AUTHORISED: Final = 4401
_BROKEN: Final = 1011
AUTH_TIMEOUT_S: Final = 10.0
_STANDS_EVERY_S: Final = 5.0
_MOST_SUBSCRIPTIONS: Final = 1_000


class WidgetConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels ships no types
    """One client of the widget data service."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket; however that ends, leave nothing of it behind."""
        self._grant: access.Grant | None = None
        self._authorised = asyncio.Event()
        self._member = Member(EVERYONE)
        self._tasks: list[asyncio.Task[None]] = []
        try:
            await super().__call__(scope, receive, send)
        finally:
            for task in self._tasks:
                task.cancel()
            await hub.leave(self._member)

    async def connect(self) -> None:
        """Accept first, so that close codes reach the client; then see who it is."""
        await self.accept()
        user = self.scope.get("user")
        if user is not None and user.is_authenticated and _same_origin(self.scope):
            session_key = self.scope["session"].session_key or ""
            grant = await database_sync_to_async(access.grant_for_login)(user, session_key)
            if grant is not None:
                self._let_in(grant)
        self._tasks = [
            asyncio.create_task(self._guarded(self._send_for_ever())),
            asyncio.create_task(self._guarded(self._watch_grant())),
        ]

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
        except DatabaseError as error:
            log.warning("database unreachable, a request is not answered: %s", error)
            await self.send(protocol.status("error", error="The database cannot be reached at the moment. Try again."))

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
        self._let_in(grant)
        await self.send(protocol.status("authorized"))

    def _let_in(self, grant: access.Grant) -> None:
        self._grant = grant
        self._member.user_id = None if grant.is_staff else grant.user_id
        self._authorised.set()

    async def _subscribe(self, grant: access.Grant, request: Request) -> None:
        feed = protocol.checked_feed(request.feed)
        member = self._member
        try:
            allowed = await self._may_read(grant, feed)
        except redis.RedisError:
            # It counts when the cache is back: the hub looks at each message, and the current value is looked at again.
            allowed = True
        if not allowed:
            await self.send(protocol.status("forbidden", feed=feed))
            return
        if feed not in member.subscriptions and len(member.subscriptions) >= _MOST_SUBSCRIPTIONS:
            raise ProtocolError(
                f"A socket may have {_MOST_SUBSCRIPTIONS:,} subscriptions; unsubscribe from some first."
            )
        await self.send(protocol.status("subscribed", feed=feed))
        # Asked for again, it stays the same subscription: nothing is doubled, nothing lost, and the numbers go on.
        subscription = member.subscriptions.get(feed) or Subscription()
        subscription.envelope = request.envelope
        if request.envelope and request.snapshot and not feed.endswith("*"):
            await self._subscribe_with_snapshot(grant, feed, subscription)
        else:
            await hub.subscribe(member, feed, subscription)

    async def _subscribe_with_snapshot(self, grant: access.Grant, feed: str, subscription: Subscription) -> None:
        member = self._member
        # Prints that a standing subscription brings are not held: the current value queues up behind them.
        held = conflates(feed) or feed not in member.subscriptions
        current = None
        if held:
            member.outbox.hold(feed)
        try:
            await hub.subscribe(member, feed, subscription)
            if held:
                # What came until here, the value read now says too.
                member.outbox.hold(feed)
            allowed = await self._may_read(grant, feed)
            data = await asyncio.to_thread(snapshot, default_store(), feed) if allowed else None
            current = data.decode() if data is not None else "null"
        finally:
            member.outbox.release(feed, current, subscription)

    async def _get(self, grant: access.Grant, request: Request) -> None:
        key = request.cache
        if key is None:
            raise ProtocolError('A cache key is missing: send {"action":"get","cache":"scanners:top_gainers"}.')
        limit = protocol.checked_limit(request.limit)
        if not await self._may_read(grant, protocol.checked_feed(key)):
            await self.send(protocol.status("forbidden", feed=key))
            return
        data = await asyncio.to_thread(snapshot, default_store(), key, limit)
        await self.send(protocol.cached(key, data))

    async def _may_read(self, grant: access.Grant, feed: str) -> bool:
        """Whether a user may read a feed; what a pattern brings is looked at message by message, by the hub."""
        if not grant.may_read(feed):
            return False
        if grant.is_staff or feed.endswith("*"):
            return True
        owner = await asyncio.to_thread(owner_by_cache, default_store(), feed)
        return owner in {EVERYONE, grant.user_id}

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A socket whose sender or watch has failed must not look alive."""
        try:
            await work
        except Exception:
            log.exception("a socket's task failed; the socket is closed")
            await self.close(_BROKEN)

    async def _send_for_ever(self) -> None:
        """Send what waits. `send` returns when there is room, which is what makes the outbox fill and conflate."""
        while True:
            await self.send(await self._member.outbox.take())

    async def _watch_grant(self) -> None:
        """Cut off who does not authenticate in time, and whose login or token has ended."""
        try:
            await asyncio.wait_for(self._authorised.wait(), AUTH_TIMEOUT_S)
        except TimeoutError:
            await self.close(NOT_AUTHORISED)
            return
        while self._grant is not None and await self._stands(self._grant):
            await asyncio.sleep(_STANDS_EVERY_S)
        await self.close(NOT_AUTHORISED)

    async def _stands(self, grant: access.Grant) -> bool:
        try:
            standing: bool = await database_sync_to_async(access.stands)(grant)
        except DatabaseError as error:
            # A database that restarts is no reason to turn everybody out.
            log.warning("database unreachable, logins are checked again soon: %s", error)
            return True
        return standing


def _same_origin(scope: dict[str, Any]) -> bool:
    """Whether a browser's page is ours; programs send no Origin and are judged by their login alone."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin1")
    if not origin:
        return True
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if settings.HTTPS and parts.scheme != "https":
        # Whoever sits in the middle can make a page of our name, only not one that speaks TLS.
        return False
    return bool(parts.netloc.lower() == headers.get(b"host", b"").decode("latin1").lower())
