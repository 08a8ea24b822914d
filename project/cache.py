"""Django's cache: shared by all processes, and while that is away each process's own.

What is in it are counts of failed codes and keys, and codes that were used: whoever runs the system has to get in to
mend it, and is no easier to guess meanwhile than by one try more a process.
"""

import logging
from collections.abc import Callable
from typing import Any

import redis
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

log = logging.getLogger(__name__)


class SharedOrOwnCache(RedisCache):
    """Redis, or this process's memory while Redis is away."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._own = LocMemCache("while-the-shared-one-is-away", {"TIMEOUT": self.default_timeout})

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Store a value unless there is one; whether it was stored."""
        return bool(self._try(super().add, self._own.add, key, value, timeout, version))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """A value."""
        return self._try(super().get, self._own.get, key, default, version)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Store a value."""
        self._try(super().set, self._own.set, key, value, timeout, version)

    def delete(self, key: str, version: int | None = None) -> bool:
        """Remove a value; whether there was one."""
        return bool(self._try(super().delete, self._own.delete, key, version))

    def _try(self, shared: Callable[..., Any], own: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return shared(*arguments)
        except redis.RedisError as error:
            log.warning("cache unreachable: this process counts for itself: %s", error)
            return own(*arguments)
