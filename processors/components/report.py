"""A process's word about itself, as it stands in the cache, and who has given one."""

from functools import lru_cache
from typing import Any, Final

import msgspec
import redis

from processors.store import COMPONENTS, component_key, script

# Who says nothing for so long is not there.
SILENT_MS: Final = 5_000
# A successor of the same name ends the waiting for whoever has missed one report.
_SUCCEEDED_MS: Final = 1_500
# So long one that said no goodbye is missed.
_MISSED_MS: Final = 600_000


class Component(msgspec.Struct, frozen=True):
    """One process of the system. Times are epoch milliseconds.

    Attributes:
        name: What it is called, such as `listener`, `feed1`, `scans`, `jobs`, `beat`, `web`, `up`, `simulate`; unique
            with its host and process id.
        kind: `listener`, `feed worker`, `scans`, `jobs`, `beat`, `web`, `up` or `source`.
        host: Where it runs.
        pid: Its process id there.
        since: When it began, by its host's clock.
        at: When it said this, by its host's clock.
        rss_bytes: Resident memory, with that of its pool's processes; what they share counts for each.
        cpu_pct: Of one core, since its last word, its pool's processes left out.
        threads: How many it has.
        log_level: The least level that it logs.
        queues: Those that it takes tasks from.
        figures: What its kind has to say beside that.
        heard_at: When the cache heard it, by the cache's clock; filled in by who reads it.
        silent_ms: How long nothing was heard of it since, by the cache's clock; filled in by who reads it.
    """

    name: str
    kind: str
    host: str
    pid: int
    since: int
    at: int
    rss_bytes: int
    cpu_pct: float
    threads: int
    log_level: str
    queues: list[str]
    figures: dict[str, Any]
    heard_at: int = 0
    silent_ms: int = 0

    @property
    def address(self) -> str:
        """Its host and process id: a name that no other has."""
        return f"{self.host}:{self.pid}"

    def is_called(self, called: str) -> bool:
        """Whether this is meant by a name, a kind, a host and process id, or `all`."""
        return called in (self.name, self.kind, self.address, "all")


def say(cache: "redis.Redis", component: Component) -> None:
    """Let a process's word stand in the cache.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    _said(cache)(
        keys=[component_key(component.address), COMPONENTS],
        args=[msgspec.json.encode(component), component.address, _MISSED_MS],
    )


def forget(cache: "redis.Redis", address: str) -> None:
    """Let nobody miss a process that has ended, by its host and process id.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    with cache.pipeline(transaction=True) as pipe:
        pipe.delete(component_key(address))
        pipe.zrem(COMPONENTS, address)
        pipe.execute()


def components(cache: "redis.Redis") -> list[Component]:
    """Who has said something within the last five seconds, by name.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    return [component for component in expected(cache) if component.silent_ms <= SILENT_MS]


def expected(cache: "redis.Redis") -> list[Component]:
    """The last word of all that were heard of within ten minutes and did not say goodbye, by name.

    One that has a successor of its name on its host is not waited for any more.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    with cache.pipeline(transaction=True) as pipe:
        pipe.time()
        pipe.zrange(COMPONENTS, 0, -1, withscores=True)
        (seconds, microseconds), scores = pipe.execute()
    heard = {address.decode(): round(score) for address, score in scores}
    now = seconds * 1_000 + microseconds // 1_000
    said: Any = cache.mget([component_key(address) for address in heard]) if heard else []
    found = [
        msgspec.structs.replace(component, heard_at=at, silent_ms=max(0, now - at))
        for at, word in zip(heard.values(), said, strict=True)
        if word is not None and (component := _read(word)) is not None
    ]
    newest: dict[tuple[str, str], int] = {}
    for component in found:
        namesake = (component.host, component.name)
        newest[namesake] = max(component.since, newest.get(namesake, 0))
    stay = [
        component
        for component in found
        if component.silent_ms <= _SUCCEEDED_MS or component.since == newest[component.host, component.name]
    ]
    return sorted(stay, key=lambda component: (len(component.name), component.name, component.host, component.pid))


_decode: Final = msgspec.json.Decoder(Component).decode


def _read(word: bytes) -> Component | None:
    """A report; None for one of another version, which must not hide all the others."""
    try:
        return _decode(word)
    except msgspec.DecodeError:
        return None


@lru_cache(maxsize=4)
def _said(cache: "redis.Redis") -> Any:
    return cache.register_script(script("component"))
