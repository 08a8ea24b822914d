"""The cache: every Redis key in one place, and every write that the merging path makes.

Internal keys begin with `tw:`. What clients ask for by a documented name is answered by `snapshots.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

import msgspec
import redis
from django.conf import settings

from listener.events import Batch
from processors import parts
from processors.merge import Merge

SOURCE: Final = "tw:source"
CHANGED: Final = "tw:changed"
VERSION: Final = "tw:version"
INTEREST: Final = "tw:interest"
PATTERNS: Final = "tw:patterns"
REFERENCE: Final = "tw:reference"
REFERENCE_STATE: Final = "tw:reference:state"
SCANS_LEASE: Final = "tw:lease:scans"
LISTENER_LEASE: Final = "tw:lease:listener"
LISTENER_STATE: Final = "tw:listener"
# What `up` says of the feed workers it keeps, for a few seconds.
FEED_CREW: Final = "tw:feed_crew"
SAMPLES: Final = "tw:samples"
STATUS: Final = "status"
# What belongs to one source and goes with it.
OF_A_SOURCE: Final = (
    *("tw:table:", "tw:ring:", "tw:raw:", CHANGED, REFERENCE, SAMPLES, STATUS),
    *("scanners:", "quote:", "alerts", "bars:", "news:", "unknown"),
)
# A mark must outlive every redelivery: a killed worker's batches come back at once over AMQP, after the visibility
# timeout (15 s) over Redis.
MARK_LIFE_MS: Final = 300_000
ACCOUNTS_LIFE_S: Final = 86_400
_MAX_SAMPLES: Final = 100
_SAMPLE_CHARACTERS: Final = 500


def accounts_key(source: str) -> str:
    """Hash of `feed:term` → events, counted by the processors."""
    return f"tw:accounts:{source}"


def published_key(source: str) -> str:
    """Hash of `run:feed:second of receipt` → events published, as each listener run says."""
    return f"tw:published:{source}"


def settled_key(source: str) -> str:
    """Hash of `feed:second of receipt` → events settled, counted by the processors."""
    return f"tw:settled:{source}"


def listener_accounts_key(source: str) -> str:
    """Hash of `run:feed:term` → events, counted by each listener run."""
    return f"tw:accounts:listener:{source}"


def connect(url: str | None = None, **options: Any) -> "redis.Redis":
    """A client for the cache, bytes in and out, that never waits for ever."""
    return redis.Redis.from_url(
        url or settings.REDIS_URL,
        **{"socket_timeout": 10, "socket_connect_timeout": 5, "health_check_interval": 30, **options},
    )


def _script(*names: str) -> str:
    folder = Path(__file__).parent / "lua"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


@dataclass(frozen=True, slots=True)
class Source:
    """The run of a feed that the table belongs to.

    Attributes:
        id: Unique to the run.
        kind: `live`, `simulator` or `recording`.
        clock: The market's time when the source began, epoch milliseconds.
        speed: Market seconds a second; 0 is as fast as it can be read.
        lossless: Whether nothing may expire.
        since: When it became the present one, epoch milliseconds.
        newest: The market's clock: the newest event time merged; 0 before the first.
    """

    id: str
    kind: str
    clock: int
    speed: float
    lossless: bool
    since: int = 0
    newest: int = 0

    @property
    def market_clock(self) -> int:
        """The newest event time, or where the source began."""
        return max(self.newest, self.clock) if self.newest == 0 else self.newest


class Store:
    """The merging path's side of the cache. Every method may raise `redis.RedisError`; none retries on its own."""

    def __init__(self, client: "redis.Redis | None" = None) -> None:
        # The library types every answer as bytes or str; this connection gives bytes.
        self.redis: Any = client if client is not None else connect()
        register = self.redis.register_script
        self._merges = {
            name: register(_script("prelude", name)) for name in ("trades", "bars", "latest", "unknown", "news")
        }
        self._source = register(_script("source"))
        self._publish = register(_script("publish"))
        self._lease = register(_script("lease"))
        self._release = register(_script("release"))
        self._settle = register(_script("settle"))
        self._fold = register(_script("fold"))
        self.interest = Interest(self.redis)

    def merge(self, merge: Merge, batch: Batch, feed: str) -> str:
        """Apply a merge, exactly once.

        Args:
            merge: From `processors.merge`.
            batch: Where it comes from.
            feed: The queue's name, for the accounts.

        Returns:
            `applied`, `duplicate` (was applied before; nothing changed) or `superseded` (of an earlier source).
        """
        messages = msgspec.msgpack.encode(merge.messages) if merge.messages else b""
        outcome, interest = self._merges[merge.script](
            args=[
                batch.source,
                batch.id,
                feed,
                merge.applied,
                len(merge.failed),
                batch.received_at // 1_000,
                MARK_LIFE_MS,
                merge.newest,
                msgspec.msgpack.encode(merge.entries),
                messages,
                merge.figures,
            ]
        )
        if merge.failed:
            self.keep_samples(feed, merge.failed)
        self.interest.told(int(interest))
        return str(outcome, "ascii")

    def settle(self, source: str, batch: str, feed: str, term: str, events: int, received_at: int) -> bool:
        """Account for a batch that a worker or the broker disposed of without merging it.

        Args:
            batch: The batch's id.
            term: The reason, such as `expired_worker`.
            received_at: The batch's, epoch milliseconds.

        Returns:
            False when it is accounted for already, merged or not: then it counts as a duplicate.
        """
        return bool(self._settle(args=[source, batch, feed, events, term, received_at // 1_000, MARK_LIFE_MS]))

    def fold_accounts(self, source: str, run: str, before: int) -> None:
        """Fold the accounts of seconds that nobody writes to any more into one figure a feed.

        Args:
            run: The listener's run that asks; what others had in their buffers when they ended was dropped.
            before: Epoch seconds; earlier seconds of receipt are folded.
        """
        self._fold(args=[published_key(source), settled_key(source), listener_accounts_key(source), run, before])

    def keep_samples(self, feed: str, failed: Iterable[tuple[str, str]]) -> None:
        """Keep what could not be used for the operator: reason and event, newest first, capped."""
        rows = [
            msgspec.json.encode({"feed": feed, "reason": reason, "sample": sample[:_SAMPLE_CHARACTERS]})
            for reason, sample in failed
        ][:_MAX_SAMPLES]
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.lpush(SAMPLES, *rows)
            pipe.ltrim(SAMPLES, 0, _MAX_SAMPLES - 1)
            pipe.execute()

    def declare_source(self, source: Source) -> bool:
        """Make a source the present one; a new one finds table, bars and boards empty, in one atomic step.

        Returns:
            Whether it is new.
        """
        new = self._source(
            args=[
                source.id,
                source.kind,
                source.clock,
                source.speed,
                int(source.lossless),
                int(time() * 1_000),
                *OF_A_SOURCE,
            ]
        )
        for key in (accounts_key, listener_accounts_key, published_key, settled_key):
            self.redis.expire(key(source.id), ACCOUNTS_LIFE_S)
        return bool(new)

    def source(self) -> Source | None:
        """The present source, or None before any."""
        return source_from(self.redis.hgetall(SOURCE))

    def hold_lease(self, key: str, token: str, life_ms: int) -> bool:
        """Take or keep a lease; True while `token` holds it."""
        return bool(self._lease(args=[key, token, life_ms]))

    def release_lease(self, key: str, token: str) -> None:
        """Give a lease back, so that the next holder need not wait for its end."""
        self._release(args=[key, token])

    def publish_boards(self, token: str, source: str, boards: list[tuple[str, int, bytes]]) -> bool:
        """Set (for so many milliseconds; 0: not) and publish payloads, fenced by the lease and the source."""
        flat: list[Any] = [value for board in boards for value in board]
        return bool(self._publish(args=[token, source, *flat]))

    def changed_since(self, version: int) -> tuple[int, list[bytes]]:
        """The table's version, and the symbols whose rows changed after `version`: all, if that was too long ago."""
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.get(VERSION)
            pipe.xrange(CHANGED, min=f"{version + 1}-0")
            now, changes = pipe.execute()
        now = int(now or 0)
        if now <= version:
            return now, []
        if not changes or changes[0][0] != b"%d-0" % (version + 1):
            with self.redis.pipeline(transaction=True) as pipe:
                for key in parts.PARTS:
                    pipe.hkeys(key)
                return now, list(set().union(*pipe.execute()))
        return now, list(set().union(*(fields[b"symbols"].split() for _, fields in changes)))

    def read_parts(self, symbols: list[bytes]) -> dict[str, list[bytes | None]]:
        """The kept parts of rows, by table key, in the order of `symbols`; None where a symbol has none."""
        if not symbols:
            return {key: [] for key in parts.PARTS}
        with self.redis.pipeline(transaction=True) as pipe:
            for key in parts.PARTS:
                pipe.hmget(key, symbols)
            return dict(zip(parts.PARTS, pipe.execute(), strict=True))


def source_from(fields: dict[bytes, bytes]) -> Source | None:
    """A `Source` from its hash, or None when that is empty."""
    if b"id" not in fields:
        return None
    return Source(
        id=fields[b"id"].decode(),
        kind=fields[b"kind"].decode(),
        clock=int(fields[b"clock"]),
        speed=float(fields[b"speed"]),
        lossless=fields[b"lossless"] == b"1",
        since=int(fields[b"since"]),
        newest=int(fields[b"newest"]),
    )


class Interest:
    """Which channels somebody listens to, so that nothing is encoded and published for nobody.

    Every merge reports a counter that the hubs raise when a subscription comes or goes; only then are the channels
    asked for again, and every two seconds for hubs that died. Patterns cannot be asked of Redis: hubs write them down
    with the time until which they stand.
    """

    _REFRESH_S = 2.0

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client
        self._known = -1
        self._told = 0
        self._asked = 0.0
        self._channels: frozenset[str] = frozenset()
        self._prefixes: tuple[str, ...] = ()

    def told(self, counter: int) -> None:
        """Take note of the counter that a merge reported."""
        self._told = counter

    def refresh(self) -> None:
        """Ask again if something changed, or the last answer is old. Called once a batch."""
        now = monotonic()
        if self._known == self._told and now - self._asked < self._REFRESH_S:
            return
        self._known, self._asked = self._told, now
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.pubsub_channels("*")
            pipe.zrangebyscore(PATTERNS, time(), "+inf")
            channels, patterns = pipe.execute()
        self._channels = frozenset(channel.decode() for channel in channels)
        self._prefixes = tuple(pattern.decode().removesuffix("*") for pattern in patterns)

    def wanted(self, channel: str) -> bool:
        """Whether somebody listens to a channel."""
        return channel in self._channels or (bool(self._prefixes) and channel.startswith(self._prefixes))

    def any_of(self, prefix: str) -> bool:
        """Whether somebody listens to some channel that begins so."""
        return any(channel.startswith(prefix) for channel in self._channels) or any(
            pattern.startswith(prefix) or prefix.startswith(pattern) for pattern in self._prefixes
        )


@lru_cache(maxsize=1)
def default_store() -> Store:
    """The process's own store, connected at first use."""
    return Store()
