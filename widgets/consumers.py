"""`/ws`: one consumer a socket. It reads requests in order; what the feeds bring goes past it, from hub to outbox."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

import redis
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from processors.snapshots import TooManyFeeds, read
from processors.store import default_store
from widgets import protocol
from widgets.fanout.hub import Member, hub
from widgets.protocol import ProtocolError, Request
from widgets.sending.outbox import Subscription
from widgets.sending.outlet import outlet_of
from widgets.visitors import limits
from widgets.visitors.access import Grant
from widgets.visitors.limits import NOT_AUTHORISED, TOO_MANY, TooMany
from widgets.visitors.logins import logins
from widgets.visitors.origins import client_address, same_origin
from widgets.visitors.ownership import owner_of
from widgets.visitors.sockets import Seat, sockets
from widgets.visitors.standing import watch

log = logging.getLogger(__name__)

_NO_CACHE: Final = "The cache cannot be reached at the moment. Try again."
_NO_VALUE: Final = "Its current value cannot be read at the moment. It follows."
_NO_DATABASE: Final = "The database cannot be reached at the moment. Try again."


class WidgetConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels ships no types
    """One client of the widget data service."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket; however that ends, leave nothing of it behind."""
        self._grant: Grant | None = None
        self._ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._member = Member(outlet_of(scope, send), self._end)
        self._seat = Seat(client_address(scope), self._member)
        self._bucket = limits.requests_bucket()
        self._patience: asyncio.TimerHandle | None = None
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._be_patient()
            watch.remove(self._rights_changed)
            hub.leave(self._member)
            sockets.leave(self._seat)
            for task in self._tasks:
                task.cancel()

    async def connect(self) -> None:
        """Accept first, so that close codes reach the client; then see who it is."""
        await self.accept()
        if hub.ending:
            self._end(limits.RESTART, "restart")
            return
        try:
            sockets.enter(self._seat)
        except TooMany as much:
            self._end(much.code, much.reason)
            return
        hub.enter(self._member)
        session_key = self.scope["cookies"].get(settings.SESSION_COOKIE_NAME)
        if session_key and same_origin(self.scope):
            try:
                grant = await logins.by_session(session_key)
            except DatabaseError as error:
                log.warning("database unreachable, a client is sent away: %s", error)
                self._end(limits.BROKEN, "broken")
                return
            if grant is not None:
                self._let_in(grant)
                return
        self._expect_auth()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer one request."""
        if self._ended:
            return
        if not self._bucket.take():
            self._end(TOO_MANY, limits.REQUESTS)
            return
        try:
            if text_data is None:
                raise ProtocolError("Not understood: send text, not binary data.")
            await self._answer(protocol.read_request(text_data))
        except ProtocolError as error:
            await self._say(_error(str(error), error.feed))
        except redis.RedisError as error:
            log.warning("cache unreachable, a request is not answered: %s", error)
            await self._say(_error(_NO_CACHE))
        except DatabaseError as error:
            log.warning("database unreachable, a request is not answered: %s", error)
            await self._say(_error(_NO_DATABASE))

    async def _say(self, message: "protocol.Status | protocol.Cached") -> None:
        if not self._ended:
            await self.send(protocol.encode(message))

    async def _answer(self, request: Request) -> None:
        match request:
            case protocol.Auth():
                await self._authenticate(request.api_key or "")
            case _ if self._grant is None:
                await self._say(protocol.Unauthorized())
                self._end(NOT_AUTHORISED, "not authorised")
            case protocol.Subscribe():
                await self._subscribe(self._grant, request)
            case protocol.Unsubscribe():
                await hub.unsubscribe(self._member, request.feed)
                await self._say(protocol.Unsubscribed(request.feed))
            case protocol.Get():
                await self._get(request)
            case protocol.Ping():
                await self._say(protocol.Pong(round(time.time() * 1_000)))
            case _:
                await self._say(protocol.InvalidAction())

    async def _authenticate(self, key: str) -> None:
        # What the database takes is not the client's fault: after a restart everybody comes at once.
        self._be_patient()
        try:
            grant = await logins.by_key(key)
        except DatabaseError:
            self._expect_auth()
            raise
        if grant is None:
            await self._say(protocol.InvalidKey())
            self._end(NOT_AUTHORISED, "invalid key")
        elif self._let_in(grant):
            await self._say(protocol.Authorized())

    def _expect_auth(self) -> None:
        """Give the client its time to say who it is."""
        if self._grant is None and not self._ended:
            self._patience = asyncio.get_running_loop().call_later(
                settings.WDS_AUTH_SECONDS, self._end, NOT_AUTHORISED, limits.NOT_IN_TIME
            )

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def _let_in(self, grant: Grant) -> bool:
        if self._ended:
            return False
        try:
            sockets.sign_in(self._seat, grant.user_id, grant.username)
        except TooMany as much:
            self._end(much.code, much.reason)
            return False
        watch.add(grant, self._rights_changed)
        self._have(grant)
        return True

    def _rights_changed(self, grant: Grant | None, reason: str) -> None:
        """The watch has found out that the grant has ended, or is another one."""
        if grant is None:
            self._end(NOT_AUTHORISED, reason)
        elif not self._ended:
            self._have(grant)

    def _have(self, grant: Grant) -> None:
        """From here on this is what the client may read; what goes beyond it ends at once."""
        self._grant = grant
        member = self._member
        hub.reconsider(member, None if grant.is_staff else grant.user_id)
        feeds = (*member.subscriptions, *filter(None, (member.coming,)))
        if forbidden := {feed for feed in feeds if not grant.may_read(feed)}:
            hub.drop(member, forbidden.__contains__)
            for feed in forbidden:
                member.tell(protocol.Forbidden(feed))

    async def _subscribe(self, grant: Grant, request: protocol.Subscribe) -> None:
        feed, member = request.feed, self._member
        if not grant.may_read(feed) or not member.may_see(await hub.owner_of(feed)):
            await self._say(protocol.Forbidden(feed))
            return
        if feed not in member.subscriptions and len(member.subscriptions) >= settings.WDS_SUBSCRIPTIONS_PER_SOCKET:
            self._end(TOO_MANY, limits.SUBSCRIPTIONS)
            return
        await self._say(protocol.Subscribed(feed))
        # That waits for room, and a client that does not read must not gain time by it.
        if not self._may_read(feed):
            await self._say(protocol.Forbidden(feed))
            return
        asked = Subscription(request.envelope, request.snapshot, request.delta, request.max_rate)
        try:
            await hub.subscribe(member, feed, asked)
        except TooManyFeeds as error:
            raise ProtocolError(str(error), feed) from None
        except redis.RedisError as error:
            # Told with the feed: without one it would be the answer to a `get`.
            log.warning("cache unreachable, a snapshot follows later: %s", error)
            raise ProtocolError(_NO_VALUE, feed) from None

    async def _get(self, request: protocol.Get) -> None:
        key = request.cache
        data = None
        if allowed := self._may_read(key):
            value = await asyncio.to_thread(read, default_store(), key, request.limit)
            # Whose it was when it was read, and what the client may read by now.
            allowed = self._may_read(key) and self._member.may_see(owner_of(key, lambda rule: value.owner))
            data = value.data
        await self._say(protocol.Cached.of(key, data) if allowed else protocol.Forbidden(key))

    def _may_read(self, feed: str) -> bool:
        return self._grant is not None and self._grant.may_read(feed)

    def _end(self, code: int, reason: str) -> None:
        """Close the socket. Nothing reaches it from here on, and nothing that it says is answered."""
        if self._ended:
            return
        self._ended = True
        self._grant = None
        hub.silence(self._member)
        self._begin(self.close(code, reason))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _error(text: str, feed: str | None = None) -> protocol.Error:
    return protocol.Error(text) if feed is None else protocol.Error(text, feed)
