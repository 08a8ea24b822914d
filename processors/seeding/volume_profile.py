"""The volume that is usual at a time of the day: what `relative_volume_tod` compares the present day with.

The mean over the last recorded days (`volume_history.py`) lies in the cache, in blocks of half an hour: whoever asks
for a minute of the day holds one of them, not the whole market's day.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Self

import msgspec
import numpy as np
import zstandard

from processors.store import Store

MINUTE_MS: Final = 60_000
# From 04:00 to 20:00.
MINUTES: Final = 960
_BLOCK: Final = 30
_HEAD: Final = "head"
_LIFE_S: Final = 4 * 86_400
_LOOK_EVERY_S: Final = 10.0

Volumes = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class MinuteVolumes:
    """Shares traded by symbol and minute of one day.

    Attributes:
        symbols: Those that traded.
        rows: Parallel to `minutes` and `volumes`: the position of the symbol.
        minutes: Minutes of the day, 0 is 04:00; each once a symbol.
        volumes: Shares.
    """

    symbols: tuple[str, ...]
    rows: Whole
    minutes: Whole
    volumes: Volumes

    def packed(self) -> bytes:
        """What the database keeps: some megabytes for the whole market."""
        figures = (self.rows.astype("<u4"), self.minutes.astype("<u2"), self.volumes.astype("<f8"))
        return zstandard.compress(
            msgspec.msgpack.encode((" ".join(self.symbols), *(column.tobytes() for column in figures)))
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The figures as they were packed."""
        symbols, rows, minutes, volumes = msgspec.msgpack.decode(zstandard.decompress(packed))
        return cls(
            tuple(symbols.split()),
            np.frombuffer(rows, "<u4").astype(np.int64),
            np.frombuffer(minutes, "<u2").astype(np.int64),
            np.frombuffer(volumes, "<f8").astype(np.float64),
        )

    @classmethod
    def of(cls, figures: Iterable[tuple[str, Whole, Volumes]]) -> Self:
        """Put together symbols, each with its minutes of the day and the shares in them."""
        held = [each for each in figures if len(each[1])]
        if not held:
            return cls((), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        return cls(
            tuple(symbol for symbol, _, _ in held),
            np.repeat(np.arange(len(held)), [len(minutes) for _, minutes, _ in held]),
            np.concatenate([minutes for _, minutes, _ in held]).astype(np.int64),
            np.concatenate([volumes for _, _, volumes in held]).astype(np.float64),
        )

    def with_more(self, other: "MinuteVolumes") -> "MinuteVolumes":
        """These figures, and of the other's those of symbols that are not among them."""
        known = set(self.symbols)
        kept = np.array([symbol not in known for symbol in other.symbols], bool)
        if not kept.any():
            return self
        position = len(self.symbols) + np.cumsum(kept) - 1
        taken = kept[other.rows]
        return MinuteVolumes(
            (*self.symbols, *(symbol for symbol in other.symbols if symbol not in known)),
            np.concatenate([self.rows, position[other.rows[taken]]]),
            np.concatenate([self.minutes, other.minutes[taken]]),
            np.concatenate([self.volumes, other.volumes[taken]]),
        )

    def in_shares(self, ratio: Callable[[str], float]) -> "MinuteVolumes":
        """These figures in other shares: `ratio` gives how many there are for each of a symbol's."""
        ratios = np.array([ratio(symbol) for symbol in self.symbols])
        if (ratios == 1.0).all():
            return self
        return MinuteVolumes(self.symbols, self.rows, self.minutes, self.volumes * ratios[self.rows])


class _Head(msgspec.Struct, frozen=True):
    """What the blocks are of.

    Attributes:
        stamp: Of which recorded days, for which day; names the blocks.
        symbols: In the order of the columns.
        days: Little-endian doubles: on how many days each symbol traded.
    """

    stamp: str
    symbols: str
    days: bytes


class Profile:
    """Mean accumulated volume by minute of the day, of each symbol over the recorded days on which it traded.

    Args:
        symbols: In the order of the columns.
        days: On how many days each of them traded.
        read_block: Gives the packed sums of so many half hours after 04:00, None where there are none.
        stamp: Names the days that it is of.
    """

    def __init__(
        self, symbols: Sequence[str], days: Volumes, read_block: Callable[[int], bytes | None], stamp: str = ""
    ) -> None:
        self.stamp = stamp
        self._position = {symbol: at for at, symbol in enumerate(symbols)}
        # A last column stands for symbols that are unknown.
        self._days = np.append(days, np.nan)
        self._read_block = read_block
        self._block = -1
        self._sums = np.empty((0, 0))
        self._asked: list[str] = []
        self._columns = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._position)

    def at(self, symbols: Sequence[str], minute_of_day: int) -> Volumes:
        """Mean shares up to and including a minute of the day, by symbol; NaN where that is unknown or none.

        Args:
            symbols: Looked up once, if they are asked for in the same order again.
            minute_of_day: 0 is 04:00; what is beyond the day counts as its first or last.
        """
        block, minute = divmod(min(max(minute_of_day, 0), MINUTES - 1), _BLOCK)
        if block != self._block:
            packed = self._read_block(block)
            if packed is None:
                return np.full(len(symbols), np.nan)
            self._sums, self._block = _unpack_block(packed, len(self)), block
        if list(symbols) != self._asked:
            self._asked = list(symbols)
            unknown = len(self)
            self._columns = np.array([self._position.get(symbol, unknown) for symbol in symbols], np.int64)
        means: Volumes = self._sums[minute][self._columns] / self._days[self._columns]
        means[means == 0] = np.nan
        return means


def mean_of(days: Iterable[MinuteVolumes]) -> tuple[list[str], Volumes, list[bytes]]:
    """Add days up.

    Returns:
        The symbols, on how many days each traded, and what was traded up to each minute on all of them, as blocks.
    """
    position: dict[str, int] = {}
    counts: Volumes = np.zeros(0)
    total = np.zeros((MINUTES, 0))
    for day in days:
        columns = np.array([position.setdefault(symbol, len(position)) for symbol in day.symbols], np.int64)
        if len(position) > len(counts):
            more = len(position) - len(counts)
            counts, total = np.pad(counts, (0, more)), np.pad(total, ((0, 0), (0, more)))
        counts[columns] += 1
        # Each minute is there once a symbol.
        total[day.minutes, columns[day.rows]] += day.volumes
    np.cumsum(total, axis=0, out=total)
    return list(position), counts, [_pack_block(total[at : at + _BLOCK]) for at in range(0, MINUTES, _BLOCK)]


def _pack_block(sums: Volumes) -> bytes:
    # Most minutes bring most symbols nothing; whole shares come out of differences as they went in.
    return zstandard.compress(np.diff(sums, axis=0, prepend=0.0).astype("<f8").tobytes(), 1)


def _unpack_block(packed: bytes, symbols: int) -> Volumes:
    steps = np.frombuffer(zstandard.decompress(packed), "<f8").reshape(_BLOCK, symbols)
    # And the column of the unknown.
    return np.pad(np.cumsum(steps, axis=0), ((0, 0), (0, 1)), constant_values=np.nan)


def profile_of(days: Iterable[MinuteVolumes]) -> Profile:
    """The profile of days at hand."""
    symbols, counts, blocks = mean_of(days)
    return Profile(symbols, counts, blocks.__getitem__)


def profile_key(kind: str) -> str:
    """Hash of the head and the blocks of the mean of a kind of source."""
    return f"tw:profile:{kind}"


def put_profile(store: Store, kind: str, stamp: str, days: Iterable[MinuteVolumes]) -> int:
    """Put the mean of days into the cache, in one step; of how many symbols it is."""
    symbols, counts, blocks = mean_of(days)
    head = msgspec.msgpack.encode(_Head(stamp, " ".join(symbols), counts.astype("<f8").tobytes()))
    key = profile_key(kind)
    with store.redis.pipeline(transaction=True) as pipe:
        pipe.delete(key)
        pipe.hset(key, mapping={_HEAD: head, **{f"{stamp}:{at}": block for at, block in enumerate(blocks)}})
        pipe.expire(key, _LIFE_S)
        pipe.execute()
    return len(symbols)


def profile_stamp(store: Store, kind: str) -> str:
    """Which days the profile in the cache is of; empty when there is none."""
    raw = store.redis.hget(profile_key(kind), _HEAD)
    return msgspec.msgpack.decode(raw, type=_Head).stamp if raw else ""


def load_profile(store: Store, kind: str) -> Profile | None:
    """The profile in the cache, None when there is none. Its blocks are read as they are asked for."""
    key = profile_key(kind)
    raw = store.redis.hget(key, _HEAD)
    if raw is None:
        return None
    head = msgspec.msgpack.decode(raw, type=_Head)
    symbols, days = head.symbols.split(), np.frombuffer(head.days, "<f8").astype(np.float64)
    return Profile(symbols, days, lambda block: store.redis.hget(key, f"{head.stamp}:{block}"), head.stamp)


class _Present:
    """The profile of the present source's kind, as it was when it was last looked for."""

    def __init__(self) -> None:
        self.kind = ""
        self.profile: Profile | None = None
        self.looked_at = -_LOOK_EVERY_S

    def look(self, store: Store) -> None:
        now = monotonic()
        if now - self.looked_at < _LOOK_EVERY_S:
            return
        self.looked_at = now
        source = store.source()
        kind = source.kind if source is not None else ""
        stamp = profile_stamp(store, kind)
        if kind != self.kind or stamp != (self.profile.stamp if self.profile is not None else ""):
            self.kind, self.profile = kind, load_profile(store, kind)


_present: Final = _Present()


def default_profile(store: Store) -> Profile | None:
    """The profile for the present source: the same object until, looked for every ten seconds, there is another."""
    _present.look(store)
    return _present.profile
