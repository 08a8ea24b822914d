"""What was loaded, kept in Redis by kind, so that a restart, a new source or a rate limit only costs what is missing.

What the vendor told of the real market stands for every live source. What a simulator or a recording told is of its own
world, and goes with the source.
"""

from collections.abc import Sequence
from datetime import date
from time import time
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from processors.reference.daily import DailyBars
from processors.reference.splits import Splits
from processors.reference.state import Kind
from processors.reference.tables import SPLITS, Rows, Table
from processors.store import REFERENCE, Source, Store

_WEEK_S: Final = 7 * 86_400
_encode = msgspec.msgpack.Encoder().encode
_decode_kind = msgspec.json.Decoder(Kind).decode


class Cache:
    """Kinds, tables and daily bars of one world. Every method may raise `redis.RedisError`.

    Args:
        redis: The connection.
        source: Whose reference data it is.
        base: Where REST calls go.
    """

    def __init__(self, redis: Any, source: Source, base: str) -> None:
        self._redis = redis
        world = f"tw:rest:{urlsplit(base).netloc}" if source.kind == "live" else f"{REFERENCE}:cache:{source.id}"
        self._prefix = f"{world}:"

    def kinds(self) -> dict[str, Kind]:
        """How far each kind has been loaded."""
        return {name.decode(): _decode_kind(raw) for name, raw in self._redis.hgetall(self._prefix + "kinds").items()}

    def put_kind(self, name: str, kind: Kind) -> None:
        """Note how far a kind has been loaded."""
        with self._redis.pipeline(transaction=True) as pipe:
            self._note(pipe, name, kind)
            pipe.execute()

    def _note(self, pipe: Any, name: str, kind: Kind) -> None:
        pipe.hset(self._prefix + "kinds", name, msgspec.json.encode(kind))
        pipe.expire(self._prefix + "kinds", _WEEK_S)

    def put_page(self, table: Table, rows: Rows, kind: Kind, first: bool) -> None:
        """Keep a page and how far the table has come. The old rows stand until the last page of the new ones is there.

        Args:
            table: The table.
            rows: The page's.
            kind: As of this page.
            first: Whether it is the first page.
        """
        whole, coming = self._prefix + table.name, f"{self._prefix}{table.name}:coming"
        with self._redis.pipeline(transaction=True) as pipe:
            if first:
                pipe.delete(coming)
            if rows:
                pipe.hset(coming, mapping={name: _encode(row) for name, row in rows.items()})
                pipe.expire(coming, _WEEK_S)
            if kind.whole:
                # Of what a rename needs, only an empty table is known to lack.
                pipe.rename(coming, whole) if kind.symbols else pipe.delete(whole)
            self._note(pipe, table.name, kind)
            pipe.execute()

    def add(self, table: Table, rows: Rows) -> None:
        """Keep rows that were asked for on demand."""
        if rows:
            key = self._prefix + table.name
            self._redis.hset(key, mapping={name: _encode(row) for name, row in rows.items()})
            self._redis.expire(key, _WEEK_S)

    def table(self, table: Table) -> dict[str, Any]:
        """All rows of a table by what they are kept under: the newest pages over the old ones."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._prefix + table.name)
            pipe.hgetall(f"{self._prefix}{table.name}:coming")
            whole, coming = pipe.execute()
        return {name.decode(): table.of(msgspec.msgpack.decode(raw)) for name, raw in {**whole, **coming}.items()}

    def names(self, table: Table) -> set[str]:
        """What a whole table's rows are kept under."""
        return {name.decode() for name in self._redis.hkeys(self._prefix + table.name)}

    def _day_key(self, day: date, adjusted: bool) -> str:
        return f"{self._prefix}daily:{day.isoformat()}{':adjusted' if adjusted else ''}"

    def put_day(self, bars: DailyBars, life_s: int) -> None:
        """Keep a day's bars for so many seconds."""
        self._redis.set(self._day_key(bars.date, bars.adjusted), bars.packed(), ex=life_s)

    def absent_days(self, days: Sequence[date], adjusted: bool = False) -> list[date]:
        """The days whose bars are not kept."""
        with self._redis.pipeline(transaction=False) as pipe:
            for day in days:
                pipe.exists(self._day_key(day, adjusted))
            return [day for day, kept in zip(days, pipe.execute(), strict=True) if not kept]

    def forget_days(self, days: Sequence[date]) -> None:
        """Keep the bars of these days no more, and leave none of them alone."""
        self._redis.unlink(*(self._day_key(day, adjusted=False) for day in days))
        self._redis.unlink(*(f"{self._prefix}bad:{day.isoformat()}" for day in days))

    def put_bad_day(self, day: date, life_s: int) -> None:
        """Leave a day whose answer was no use alone for so many seconds."""
        self._redis.set(f"{self._prefix}bad:{day.isoformat()}", 1, ex=life_s)

    def is_bad(self, day: date) -> bool:
        """Whether a day is left alone."""
        return bool(self._redis.exists(f"{self._prefix}bad:{day.isoformat()}"))

    def days(self, days: Sequence[date], adjusted: bool = False) -> list[DailyBars]:
        """The bars that are kept of these days."""
        kept = self._redis.mget([self._day_key(day, adjusted) for day in days])
        return [DailyBars.unpack(day, adjusted, raw) for day, raw in zip(days, kept, strict=True) if raw is not None]

    def asked(self) -> dict[str, float]:
        """When symbols were asked for one by one, epoch seconds."""
        return {name.decode(): float(at) for name, at in self._redis.hgetall(self._prefix + "asked").items()}

    def put_asked(self, symbol: str, at: float) -> None:
        """Note when a symbol was asked for, known or not."""
        self._redis.hset(self._prefix + "asked", symbol, at)
        self._redis.expire(self._prefix + "asked", _WEEK_S)

    def wait(self, seconds: float) -> None:
        """Leave the vendor alone for so long."""
        self._redis.set(self._prefix + "wait", time() + seconds, px=max(1, int(seconds * 1_000)))

    def waits_until(self) -> float:
        """Until when the vendor is left alone, epoch seconds; 0 when it is not."""
        return float(self._redis.get(self._prefix + "wait") or 0)


def known_splits(store: Store, source: Source, base: str, today: date) -> Splits:
    """The splits up to a day, as far as they have been loaded.

    Raises:
        redis.RedisError: The cache cannot be read.
    """
    return Splits(Cache(store.redis, source, base).table(SPLITS).values(), today)
