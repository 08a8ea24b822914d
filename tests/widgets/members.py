"""A socket at a hub without a server: what it hears, and a transport that the test decides over."""

import asyncio
from typing import Any, Self

from tests.widgets.outlets import ScriptedOutlet
from widgets.fanout.hub import Hub, Member
from widgets.sending.outbox import Subscription


class Client:
    """One socket at a hub, and what it hears."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.outlet = ScriptedOutlet()
        self.ended: list[tuple[int, str]] = []
        self.member = Member(self.outlet, self._end)
        self._heard: list[Any] = []
        hub.enter(self.member)

    def _end(self, code: int, reason: str) -> None:
        self.ended.append((code, reason))
        self.hub.leave(self.member)

    async def subscribe(self, *feeds: str, **options: Any) -> None:
        for feed in feeds:
            await self.hub.subscribe(self.member, feed, Subscription(**options))

    async def hears(self) -> Any:
        """The next message."""
        async with asyncio.timeout(5):
            while not self._heard:
                self._heard += self.outlet.heard()
                await asyncio.sleep(0.002)
        return self._heard.pop(0)

    def unheard(self) -> list[Any]:
        """What has come by now."""
        heard, self._heard = self._heard + self.outlet.heard(), []
        return heard

    @classmethod
    async def of(cls, hub: Hub, *feeds: str, **options: Any) -> Self:
        """One that has subscribed."""
        client = cls(hub)
        await client.subscribe(*feeds, **options)
        return client
