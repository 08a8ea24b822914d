"""The right to be the one listener: a lease in the cache."""

import secrets
import threading
from time import monotonic

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from processors.store import Store, connect

# An answer that takes longer is none: the next attempt is due.
_ANSWER_S = 1.0


class Lease:
    """A lease that one of many processes holds, and renews for as long as it lives.

    A process that was stopped for a while must not go on where it was: another may have taken its place. So the lease
    also ends by this process's own clock, no later than in the cache, unless it was tried to renew it. While the cache
    cannot be reached it is kept: nobody else can take it there either.

    Args:
        key: Its name in the cache.
        life_s: How long it lasts without being renewed.
    """

    def __init__(self, key: str, life_s: float) -> None:
        self._key, self._life_s = key, life_s
        self._token = secrets.token_hex(8)
        self._until = 0.0
        self._over = False
        self._asking = threading.Lock()
        # Of its own, for whatever takes its time on another connection must not cost the lease.
        self._store = Store(
            connect(socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S, retry=Retry(NoBackoff(), 0))
        )

    @property
    def held(self) -> bool:
        """Whether no other process can hold it at this moment."""
        return monotonic() < self._until

    def renew(self) -> bool:
        """Take or keep it; False while it is another's. Takes a second at most.

        Raises:
            redis.RedisError: The cache cannot be reached; who held it goes on.
        """
        with self._asking:
            if self._over:
                return False
            began = monotonic()
            try:
                mine = self._store.hold_lease(self._key, self._token, int(self._life_s * 1_000))
            except redis.RedisError:
                if self.held:
                    self._until = began + self._life_s
                raise
            self._until = began + self._life_s if mine else 0.0
            return mine

    def release(self) -> None:
        """Give it back for good, so that the next holder need not wait for its end.

        Raises:
            redis.RedisError: The cache cannot be reached; it ends by itself.
        """
        with self._asking:
            self._over, self._until = True, 0.0
            self._store.release_lease(self._key, self._token)
