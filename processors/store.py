"""The cache: every Redis key in one place, and every write that the merging path makes.

Internal keys begin with `tw:`. What clients ask for by a documented name is answered by `snapshots.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

import msgspec
import redis
from django.conf import settings

from listener.events import Batch
from processors import changes, parts
from processors.changes import Changes
from processors.interest import INTEREST as INTEREST
from processors.interest import PATTERNS as PATTERNS
from processors.interest import Interest as Interest
from processors.merging.base import Merge

SOURCE: Final = "tw:source"
CHANGED: Final = "tw:changed"
VERSION: Final = "tw:version"
REFERENCE: Final = "tw:reference"
REFERENCE_STATE: Final = "tw:reference:state"
SCANS_LEASE: Final = "tw:lease:scans"
# What the engine writes (lua/publish.lua): how often it did, the boards' versions, what the rules saw, and the alerts
# that the database has not taken yet.
SCANS_TURN: Final = "tw:scans:turn"
BOARDS: Final = "tw:boards"
RULE_STATES: Final = "tw:alerts:state"
ALERTS_OUTBOX: Final = "tw:alerts:outbox"
# Whose the rules are: a user's number, or 0 for everyone's. Also a channel, which says
# it before anything of such a rule is published.
OWNERS: Final = "tw:rules:owners"
# Prefix of the hashes of page tokens that were used; each stands for as long as its token would be good.
SPENT: Final = "tw:spent:"
# Prefix of the counts of failed logins: by account and address, by address, and by account.
LOCKOUT: Final = "tw:lockout:"
LISTENER_LEASE: Final = "tw:lease:listener"
LISTENER_STATE: Final = "tw:listener"
# What `up` says of the feed workers it keeps, for a few seconds.
FEED_CREW: Final = "tw:feed_crew"
# The web processes, the score when each was last heard of; what each says of its sockets stands at `wds_process_key`.
WDS_PROCESSES: Final = "tw:wds"
# The processes of the system, the score when each was last heard of; what each says stands at `component_key`. What
# they are told to do comes over the channel, their answers stand at `answers_key`.
COMPONENTS: Final = "tw:components"
INSTRUCTIONS: Final = "tw:instruct"
SAMPLES: Final = "tw:samples"
STATUS: Final = "status"
# Members `SYM|id`, the score an article's time of publication.
NEWS_RECENT: Final = "tw:news:recent"
# What belongs to one source and goes with it.
OF_A_SOURCE: Final = (
    *("tw:table:", "tw:ring:", "tw:day:", "tw:raw:", "tw:gaps:", "tw:seeded:", "tw:seeding:"),
    *(
        CHANGED,
        REFERENCE,
        SAMPLES,
        STATUS,
        "scanners:",
        "top_10_lists",
        "quote:",
        "alerts",
        "bars:",
        "news:",
        NEWS_RECENT,
        "unknown",
        BOARDS,
        RULE_STATES,
        OWNERS,
    ),
)
# A mark must outlive every redelivery: a killed worker's batches come back at once over AMQP, after the visibility
# timeout (15 s) over Redis.
MARK_LIFE_MS: Final = 300_000
ACCOUNTS_LIFE_S: Final = 86_400
_COVERED_S: Final = 60.0
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


def wds_process_key(name: str) -> str:
    """What a web process says of its sockets, for a few seconds."""
    return f"tw:wds:{name}"


def component_key(address: str) -> str:
    """What a process of the system says of itself, by its host and process id."""
    return f"tw:component:{address}"


def answers_key(instruction: str) -> str:
    """List of what the processes have answered to an instruction, by its id, for half a minute."""
    return f"tw:answers:{instruction}"


def connect(url: str | None = None, **options: Any) -> "redis.Redis":
    """A client for the cache, bytes in and out, that never waits for ever."""
    return redis.Redis.from_url(
        url or settings.REDIS_URL,
        **{"socket_timeout": 10, "socket_connect_timeout": 5, "health_check_interval": 30, **options},
    )


def script(*names: str) -> str:
    """The text of a Lua script put together from files of `lua/`, without their endings."""
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
            names[-1]: register(script("changed", "prelude", *names))
            for names in (("rings", "trades"), ("rings", "bars"), ("latest",), ("unknown",), ("news",))
        }
        self._read_history = register(script("rings", "read_history"))
        self._put_minutes = register(script("changed", "put_minutes"))
        self._mark_changed = register(script("changed", "mark_changed"))
        self._source = register(script("source"))
        self._lease = register(script("lease"))
        self._release = register(script("release"))
        self._settle = register(script("settle"))
        self._fold = register(script("fold"))
        self.interest = Interest(self.redis)
        self._covered: tuple[tuple[str, int], dict[str, int]] = (("", 0), {})

    def covered(self, source: str) -> dict[str, int]:
        """By symbol, the day for which it is known to have bars of its own: none need be put together from trades.

        Asked anew each minute, because a cache that was lost has forgotten them.
        """
        known = (source, int(monotonic() / _COVERED_S))
        if self._covered[0] != known:
            self._covered = (known, {})
        return self._covered[1]

    def merge(self, merge: Merge, batch: Batch, feed: str) -> str:
        """Apply a merge, exactly once.

        Args:
            merge: From `processors.merging.base`.
            batch: Where it comes from.
            feed: The queue's name, for the accounts.

        Returns:
            `applied`, `duplicate` (was applied before; nothing changed) or `superseded` (of an earlier source).
        """
        messages = msgspec.msgpack.encode(merge.messages) if merge.messages else b""
        outcome, interest, told = self._merges[merge.script](
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
        for symbol, day in zip(told[::2], told[1::2], strict=True):
            self.covered(batch.source)[symbol.decode()] = day
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
        self._covered = (("", 0), {})
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

    def changes_since(self, version: int) -> Changes:
        """What changed after a version: by kind, or that everything has to be read, if that was too long ago."""
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.get(VERSION)
            pipe.xrange(CHANGED, min=f"{version + 1}-0")
            now, entries = pipe.execute()
        now = int(now or 0)
        if now <= version:
            return Changes(now)
        if not entries or entries[0][0] != b"%d-0" % (version + 1):
            return self._everything(now)
        return changes.put_together(now, (fields for _, fields in entries))

    def _everything(self, version: int) -> Changes:
        with self.redis.pipeline(transaction=True) as pipe:
            for key in (*parts.PARTS, REFERENCE):
                pipe.hkeys(key)
            pipe.zrange(NEWS_RECENT, 0, -1)
            *keys, reference, articles = pipe.execute()
        by_part = {key: frozenset(symbols) for key, symbols in zip(parts.PARTS, keys, strict=True)}
        return Changes(
            version,
            everything=True,
            rows=frozenset().union(*by_part.values()),
            parts=by_part,
            trades=by_part[parts.TRADES],
            reference=frozenset(reference),
            news=frozenset(article.partition(b"|")[0] for article in articles),
            seeded=by_part[parts.SEEDED],
        )

    def mark_changed(self, kind: str, symbols: Iterable[str | bytes]) -> None:
        """Tell readers of what was written outside the merges.

        Args:
            kind: As in `changes`, or the table key of a row's part.
            symbols: Of which something changed.
        """
        names = b" ".join(symbol.encode() if isinstance(symbol, str) else symbol for symbol in symbols)
        if names:
            self._mark_changed(args=[kind, names])

    def read_parts(self, symbols: Sequence[bytes]) -> dict[str, list[bytes | None]]:
        """The kept parts of rows, by table key, in the order of `symbols`; None where a symbol has none."""
        if not symbols:
            return {key: [] for key in parts.PARTS}
        with self.redis.pipeline(transaction=True) as pipe:
            for key in parts.PARTS:
                pipe.hmget(key, symbols)
            return dict(zip(parts.PARTS, pipe.execute(), strict=True))

    def read_history(self, asked: bytes) -> list[Any]:
        """Bars as they are kept; what is asked and answered stands in `lua/read_history.lua`."""
        answer: list[Any] = self._read_history(args=[asked])
        return answer

    def put_minutes(self, arguments: Sequence[Any]) -> bool:
        """Put in minute bars from REST; the arguments are those of `lua/put_minutes.lua`."""
        return bool(self._put_minutes(args=arguments))

    def read_changed(self, changed: Changes) -> dict[str, dict[bytes, bytes]]:
        """The kept parts that changed, by table key and symbol; with those of trades what `parts.activity` needs."""
        asked = [(key, sorted(symbols)) for key, symbols in changed.parts.items() if symbols]
        with self.redis.pipeline(transaction=True) as pipe:
            for key, symbols in asked:
                pipe.hmget(key, symbols)
            for key, symbols in asked:
                if key == parts.TRADES:
                    pipe.mget([parts.ACTIVITY_RINGS.encode() + symbol for symbol in symbols])
                    asked = [*asked, (parts.ACTIVITY_RINGS, symbols)]
            answers = pipe.execute()
        return {
            key: {symbol: part for symbol, part in zip(symbols, kept, strict=True) if part is not None}
            for (key, symbols), kept in zip(asked, answers, strict=True)
        }


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


@lru_cache(maxsize=1)
def default_store() -> Store:
    """The process's own store, connected at first use."""
    return Store()
