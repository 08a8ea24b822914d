"""Whether what the sockets live by still stands: one look at the database for all of a process, a few times a second.

Who is let in holds a grant as it was then. Logging out, a revoked token, a user switched off or a grant taken away
happen in other processes, and nobody tells this one; it looks.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Final

from django.db import DatabaseError, InterfaceError, connection

from widgets.visitors.access import EXPIRED, LOGIN_ENDED, Credential, Grant, grants_of

log = logging.getLogger(__name__)

# A second is promised; a loaded machine takes its part of it.
_EVERY_S: Final = 0.4

# The new grant and "", or None and why there is none any more.
Changed = Callable[[Grant | None, str], None]


class Watch:
    """Tells sockets when their grants end or change."""

    def __init__(self) -> None:
        self._grants: dict[Changed, Grant] = {}
        self._sockets: dict[Credential, set[Changed]] = {}
        # As all sockets of a credential know it; None while they may differ, which is as if it had just changed.
        self._known: dict[Credential, Grant | None] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, grant: Grant, changed: Changed) -> None:
        """Watch a socket's grant, instead of the one before if it had one. Call it on the event loop.

        Args:
            grant: As it was read from the database.
            changed: Called on the event loop: with the new grant and "", or at last with None and the reason.
        """
        self.remove(changed)
        credential = grant.credential
        self._grants[changed] = grant
        self._sockets.setdefault(credential, set()).add(changed)
        # Read at another moment than that of the others, it may be older than theirs, or newer.
        self._known[credential] = grant if self._known.get(credential, grant) == grant else None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_for_ever())

    def remove(self, changed: Changed) -> None:
        """Watch a socket's grant no longer."""
        grant = self._grants.pop(changed, None)
        if grant is None:
            return
        sockets = self._sockets[grant.credential]
        sockets.discard(changed)
        if not sockets:
            del self._sockets[grant.credential], self._known[grant.credential]

    async def _look_for_ever(self) -> None:
        # A thread of its own: those that requests wait in may all be waiting for the database.
        thread = ThreadPoolExecutor(1, thread_name_prefix="standing")
        loop = asyncio.get_running_loop()
        try:
            while self._grants:
                await asyncio.sleep(min(_EVERY_S, self._until_one_expires()))
                asked = dict(self._known)
                look = loop.run_in_executor(thread, _changes, asked)
                while not look.done():
                    # A database that is slow to answer holds up no end that is known already.
                    await asyncio.wait({look}, timeout=min(_EVERY_S, self._until_one_expires()))
                    self._end_expired()
                self._apply(asked, look.result())
        finally:
            thread.submit(connection.close)
            thread.shutdown(wait=False)

    def _until_one_expires(self) -> float:
        ends = (grant.expires_at for grant in self._known.values() if grant is not None)
        soonest = min((at for at in ends if at is not None), default=inf)
        return max(0.0, soonest - time.time())

    def _end_expired(self) -> None:
        now = time.time()
        for credential, grant in list(self._known.items()):
            if grant is not None and grant.expires_at is not None and grant.expires_at <= now:
                self._tell(credential, None, EXPIRED if credential.token_digest is not None else LOGIN_ENDED)

    def _apply(self, asked: Mapping[Credential, Grant | None], changes: Mapping[Credential, Grant | str]) -> None:
        for credential, now in changes.items():
            # A socket that came meanwhile may know better; the next look will tell.
            if credential in self._sockets and self._known[credential] is asked[credential]:
                self._tell(credential, *((now, "") if isinstance(now, Grant) else (None, now)))

    def _tell(self, credential: Credential, grant: Grant | None, reason: str) -> None:
        for changed in list(self._sockets[credential]):
            if grant is None:
                self.remove(changed)
            else:
                self._grants[changed] = self._known[credential] = grant
            try:
                changed(grant, reason)
            except Exception:
                log.exception("a socket could not be told that its rights have changed")


def _changes(known: Mapping[Credential, Grant | None]) -> dict[Credential, Grant | str]:
    """What is no longer as it was known; nothing while the database is away, which is no reason to cut anybody off."""
    try:
        found = grants_of(known)
    except (DatabaseError, InterfaceError) as error:
        log.warning("database unreachable, logins and tokens are looked at again soon: %s", error)
        connection.close()
        return {}
    except Exception:
        # Raised, it would end the watch, and let everybody stay in for good.
        log.exception("logins and tokens could not be looked at; they are again soon")
        return {}
    return {credential: now for credential, now in found.items() if now != known[credential]}


watch: Final = Watch()
