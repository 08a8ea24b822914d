"""Who comes in: all who wait are looked up together, so that everybody can come back at once after a restart."""

import asyncio

from channels.db import database_sync_to_async

from control.models import ApiToken
from control.tokens import spend_page_token
from widgets.visitors.access import Credential, Grant, grants_of


class Logins:
    """Looks up what clients come in by."""

    def __init__(self) -> None:
        self._waiting: dict[Credential, asyncio.Future[Grant | str]] = {}
        self._task: asyncio.Task[None] | None = None

    async def by_key(self, key: str) -> Grant | None:
        """The grant of an API token or a page's token; None when it is neither, or no longer valid.

        Raises:
            DatabaseError: Nobody can tell.
        """
        found = await self._look_up(Credential(token_digest=ApiToken.digest_of(key)))
        if isinstance(found, Grant):
            return found
        # Signed, not stored: who tries many costs the database no more than this one look.
        page = await asyncio.to_thread(spend_page_token, key)
        if page is None:
            return None
        user_id, session_key = page
        grant = await self.by_session(session_key)
        return grant if grant is not None and grant.user_id == user_id else None

    async def by_session(self, session_key: str) -> Grant | None:
        """The grant of a login; None when it does not stand.

        Raises:
            DatabaseError: Nobody can tell.
        """
        found = await self._look_up(Credential(session_key=session_key))
        return found if isinstance(found, Grant) else None

    async def _look_up(self, credential: Credential) -> Grant | str:
        waiting = self._waiting.get(credential)
        if waiting is None:
            waiting = self._waiting[credential] = asyncio.get_running_loop().create_future()
            # Its error is for those who wait; they may all be gone by then.
            waiting.add_done_callback(lambda done: done.exception())
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        return await asyncio.shield(waiting)

    async def _look(self) -> None:
        """Look up those who wait, and then those who have come meanwhile."""
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                found = await database_sync_to_async(grants_of)(list(waiting))
            except Exception as error:  # noqa: BLE001 - it is raised where each of them waits
                for each in waiting.values():
                    each.set_exception(error)
            else:
                for credential, each in waiting.items():
                    each.set_result(found[credential])


logins = Logins()
