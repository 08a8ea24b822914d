"""Days of volume by the minute, in the database: recorded from the system's own minute bars, or asked for over REST."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import partial
from time import monotonic, time
from typing import Final
from zlib import crc32

import numpy as np
from django.db import transaction

from listener.events import market_of
from processors import parts
from processors.bars import minute_bars, read_days
from processors.models import VolumeProfileDay
from processors.reference import day_of
from processors.reference.cache import known_splits
from processors.reference.splits import NO_SPLITS, Splits
from processors.reference.vendor import Vendor, VendorError
from processors.seeding.coverage import coverage
from processors.seeding.rest_bars import for_each, minutes_of
from processors.seeding.volume_profile import MINUTE_MS, MinuteVolumes, Volumes, Whole, profile_stamp, put_profile
from processors.sessions import TradingDay, previous_trading_day
from processors.store import Source, Store

log = logging.getLogger(__name__)

MEAN_DAYS: Final = 10
_KEPT_DAYS: Final = 30
# The job comes by once a minute, and the last event of a day is some time before its end.
_NEAR_END_MS: Final = 120_000
_SYMBOLS_AT_ONCE: Final = 1_000
_BACKFILL_S: Final = 3_600.0


def record(store: Store, base: str = "") -> int | None:
    """Record the present source's day once it is over, and see to it that the cache has the mean of the days before it.

    Args:
        store: The cache.
        base: Where REST calls go: its splits turn the shares of earlier days into today's.

    Returns:
        How many symbols were recorded; None when no day has ended, or it is recorded already.
    """
    source = store.source()
    if source is None or market_of(source.id) != "stocks" or (day := day_of(source)) is None:
        return None
    recorded = _record_day(store, source, day) if _is_over(source, day) else None
    publish(store, source.kind, day.number, known_splits(store, source, base, day.date))
    return recorded


def _is_over(source: Source, day: TradingDay) -> bool:
    near = _NEAR_END_MS * max(1.0, source.speed)
    return source.market_clock >= day.end - near or (source.kind == "live" and time() * 1_000 >= day.end)


def _record_day(store: Store, source: Source, day: TradingDay) -> int | None:
    clock = source.market_clock
    if VolumeProfileDay.objects.filter(kind=source.kind, day=day.number, until=clock).exists():
        return None
    whole, seeded = coverage(store, source, day)
    with store.redis.pipeline(transaction=False) as pipe:
        for part in (parts.TRADES, parts.SECOND_BARS, parts.MINUTE_BARS, parts.SEEDED):
            pipe.hkeys(part)
        names = sorted({symbol.decode() for symbols in pipe.execute() for symbol in symbols})
    volumes = MinuteVolumes.of(_own_minutes(store, [name for name in names if whole or name in seeded], day))
    if not volumes.symbols:
        return 0
    keep(source.kind, day.number, volumes, clock)
    log.info("volume profile of %d recorded: %d symbols", day.number, len(volumes.symbols))
    return len(volumes.symbols)


def _own_minutes(store: Store, symbols: Sequence[str], day: TradingDay) -> Iterator[tuple[str, Whole, Volumes]]:
    for start in range(0, len(symbols), _SYMBOLS_AT_ONCE):
        page = symbols[start : start + _SYMBOLS_AT_ONCE]
        days = read_days(store, [symbol.encode() for symbol in page])
        for symbol, by_kind in days.items():
            bars = minute_bars(by_kind)
            bars = bars[(bars["start"] >= day.start) & (bars["start"] < day.end)]
            yield symbol.decode(), (bars["start"] - day.start) // MINUTE_MS, bars["volume"]


def keep(kind: str, day: int, volumes: MinuteVolumes, until: int) -> None:
    """Put a day into the database, beside what is there of other symbols; days beyond the last thirty go."""
    with transaction.atomic():
        before = VolumeProfileDay.objects.select_for_update().filter(kind=kind, day=day).first()
        if before is not None:
            volumes = volumes.with_more(MinuteVolumes.unpack(bytes(before.volumes)))
            until = max(until, before.until)
        values = {"until": until, "symbols": len(volumes.symbols), "volumes": volumes.packed()}
        VolumeProfileDay.objects.update_or_create(kind=kind, day=day, defaults=values)
        kept = VolumeProfileDay.objects.filter(kind=kind).order_by("-day").values_list("day", flat=True)
        if len(days := list(kept)) > _KEPT_DAYS:
            VolumeProfileDay.objects.filter(kind=kind, day__lt=days[_KEPT_DAYS - 1]).delete()


def publish(store: Store, kind: str, day: int, splits: Splits = NO_SPLITS) -> bool:
    """Put the mean of the ten days before a day (yyyymmdd) into the cache, unless it is there; whether it was not.

    Args:
        store: The cache.
        kind: Of source.
        day: The day that it is for.
        splits: Up to that day; what was recorded is in the shares of its own day.
    """
    rows = VolumeProfileDay.objects.filter(kind=kind, day__lt=day).order_by("-day")[:MEAN_DAYS]
    known = rows.values_list("day", "until", "symbols")
    if not known:
        return False
    executed = splits.after(_date(min(row[0] for row in known)))
    # One that becomes known later makes another profile.
    of_splits = crc32(repr(sorted(executed)).encode()) if executed else 0
    stamp = "-".join(map(str, (day, of_splits, *(figure for row in known for figure in row))))
    if profile_stamp(store, kind) == stamp:
        return False
    days = (
        MinuteVolumes.unpack(bytes(packed)).in_shares(partial(splits.ratio, since=_date(number)))
        for number, packed in rows.values_list("day", "volumes").iterator(1)
    )
    symbols = put_profile(store, kind, stamp, days)
    log.info("volume profile for %d: %d days, %d symbols", day, len(known), symbols)
    return True


def _date(number: int) -> date:
    return date(number // 10_000, number // 100 % 100, number % 100)


def backfill_profile(
    kind: str, base: str, key: str, symbols: Iterable[str], last: TradingDay, days: int = MEAN_DAYS
) -> tuple[dict[int, int], VendorError | None]:
    """Ask REST for the minute bars of past days, one call a symbol, and keep them.

    Args:
        kind: The kind of source that it is for.
        base: Where REST calls go.
        key: The key that they take there.
        symbols: Most active first.
        last: The last day, which must be over.
        days: How many.

    Returns:
        How many symbols were kept by day (yyyymmdd), and why it ended before its time, if it did.
    """
    asked = [last]
    while len(asked) < days:
        asked.append(previous_trading_day(asked[-1].date))
    found: dict[int, list[tuple[str, Whole, Volumes]]] = {day.number: [] for day in asked}

    def work(vendor: Vendor, symbol: str) -> None:
        rows = minutes_of(vendor, symbol, asked[-1].start, asked[0].end)
        starts = np.array([row.t for row in rows], np.int64)
        volumes = np.array([row.v for row in rows])
        for day in asked:
            inside = (starts >= day.start) & (starts < day.end)
            found[day.number].append((symbol, (starts[inside] - day.start) // MINUTE_MS, volumes[inside]))

    stopped = for_each(base, key, symbols, work, monotonic() + _BACKFILL_S)
    kept = {}
    for day in asked:
        volumes = MinuteVolumes.of(found[day.number])
        if volumes.symbols:
            keep(kind, day.number, volumes, day.end)
            kept[day.number] = len(volumes.symbols)
    return kept, stopped
