"""Days of volume as the system records them: whole days, whole symbols, and past days over REST."""

import asyncio
from collections.abc import Mapping
from datetime import date
from io import StringIO

import msgspec
import numpy as np
import pytest
from channels.db import database_sync_to_async
from django.core.management import CommandError, call_command
from pytest_django import Settings

from processors.models import VolumeProfileDay
from processors.reference import refresh
from processors.reference.cache import known_splits
from processors.seeding.coverage import Gap, seeded_key, seeded_version_key, write_gaps
from processors.seeding.volume_history import backfill_profile, publish, record
from processors.seeding.volume_profile import MinuteVolumes, default_profile, load_profile, profile_of
from processors.sessions import trading_day
from processors.store import LISTENER_STATE, Store
from tests.listener.market_server import KEY, market_at, serving
from tests.processors.feeding import at, bar, batch, begin, feed_in, trade
from tests.processors.vendor_server import SPLITS, VendorServer

pytestmark = pytest.mark.django_db(transaction=True)


def recorded(kind: str, day: int) -> Mapping[str, Mapping[int, float]]:
    """Shares by symbol and minute of a day in the database."""
    volumes = MinuteVolumes.unpack(bytes(VolumeProfileDay.objects.get(kind=kind, day=day).volumes))
    found: dict[str, dict[int, float]] = {symbol: {} for symbol in volumes.symbols}
    for row, minute, shares in zip(volumes.rows, volumes.minutes, volumes.volumes, strict=True):
        found[volumes.symbols[row]][int(minute)] = float(shares)
    return found


def test_a_day_is_recorded_when_it_is_over_and_is_part_of_the_next_days_mean(store: Store) -> None:
    source = begin(store, clock=at("2024-03-11 04:00:00.000"))
    seconds = [("04:00:01", 100), ("04:00:59", 200), ("09:30:00", 5_000), ("19:59:58", 70)]
    bars = [bar("AAA", at(f"2024-03-11 {time}.000"), 5, 5, 5, 5, shares) for time, shares in seconds]
    feed_in(("aggregate", batch(bars[:3], source.id)))
    assert record(store) is None
    feed_in(("aggregate", batch(bars[3:], source.id)))
    assert record(store) == 1
    assert recorded("simulator", 20240311) == {"AAA": {0: 300, 330: 5_000, 959: 70}}
    assert record(store) is None
    assert load_profile(store, "simulator") is None
    feed_in(("aggregate", batch([bar("AAA", at("2024-03-12 04:00:00.000"), 5, 5, 5, 5)], source.id)))
    assert record(store) is None
    profile = load_profile(store, "simulator")
    assert profile is not None
    assert [profile.at(["AAA"], minute)[0] for minute in (0, 329, 330, 959)] == [300, 300, 5_300, 5_370]
    assert default_profile(store) is default_profile(store)


def test_what_was_recorded_before_a_split_is_told_in_todays_shares(store: Store, vendor: VendorServer) -> None:
    source = begin(store, clock=at("2024-03-11 04:00:00.000"))
    last = at("2024-03-11 19:59:58.000")
    names = ("REV", "FWD", "OLD")
    feed_in(("aggregate", batch([bar(symbol, last, 5, 5, 5, 5, 1_000) for symbol in names], source.id)))
    assert record(store, vendor.url) == 3
    feed_in(("trades", batch([trade("REV", at("2024-03-12 04:00:00.000"), 50.0)], source.id)))
    record(store, vendor.url)
    before = load_profile(store, "simulator")
    assert before is not None
    assert before.at(names, 959).tolist() == [1_000, 1_000, 1_000]
    # They may be announced when the profile is there already.
    vendor.tables[SPLITS] = [
        {"ticker": "REV", "execution_date": "2024-03-12", "split_from": 10, "split_to": 1},
        {"ticker": "FWD", "execution_date": "2024-03-12", "split_from": 1, "split_to": 4},
        {"ticker": "OLD", "execution_date": "2024-03-11", "split_from": 1, "split_to": 4},
    ]
    refresh(store, vendor.url, "key")
    record(store, vendor.url)
    profile = load_profile(store, "simulator")
    assert profile is not None
    assert profile.at(names, 959).tolist() == [100, 4_000, 1_000]
    assert not publish(store, "simulator", 20240312, known_splits(store, source, vendor.url, date(2024, 3, 12)))


def test_symbols_that_were_not_seen_whole_are_left_out(store: Store) -> None:
    source = begin(store, clock=at("2024-03-11 04:00:00.000"))
    last = at("2024-03-11 19:59:58.000")
    feed_in(("aggregate", batch([bar(symbol, last, 5, 5, 5, 5) for symbol in ("AAA", "BBB")], source.id)))
    noon = at("2024-03-11 12:00:00.000")
    write_gaps(store, source.id, [Gap(noon, noon + 60_000)])
    store.redis.hset(seeded_key(source.id), "BBB", noon + 60_000)
    store.redis.set(seeded_version_key(source.id), 1)
    assert record(store) == 1
    assert recorded("simulator", 20240311).keys() == {"BBB"}


async def test_past_days_are_loaded_over_rest(store: Store) -> None:
    market = market_at("09:30", symbols=5)
    last = trading_day(market.calendar.before(market.tape.day.date, 1)[0].date)
    assert last is not None
    symbols = market.universe.tickers
    async with serving(market) as address:
        backfill = database_sync_to_async(backfill_profile)
        kept, stopped = await asyncio.wait_for(backfill("live", f"http://{address}", KEY, symbols, last, 3), 20)
    assert stopped is None
    assert len(kept) == 3
    days = [await database_sync_to_async(recorded)("live", number) for number in sorted(kept)]
    for number, day in zip(sorted(kept), days, strict=True):
        then = trading_day(last.date.replace(year=number // 10_000, month=number // 100 % 100, day=number % 100))
        assert then is not None
        for symbol, shares in day.items():
            minutes = market.reference.minutes(symbol, then.date, False)
            starts = ((minutes.start - then.start) // 60_000).tolist()
            assert shares == dict(zip(starts, minutes.volume.tolist(), strict=True))
    rows = await database_sync_to_async(list)(VolumeProfileDay.objects.values_list("volumes", flat=True))
    means = profile_of(MinuteVolumes.unpack(bytes(packed)) for packed in rows).at(symbols, 959)
    totals = {symbol: [sum(day[symbol].values()) for day in days if symbol in day] for symbol in symbols}
    expected = [sum(each) / len(each) if each else np.nan for each in totals.values()]
    assert np.allclose(means, expected, rtol=1e-12, equal_nan=True)


async def test_the_command_loads_the_most_active_symbols_or_says_what_is_missing(
    store: Store, settings: Settings
) -> None:
    command = database_sync_to_async(call_command)
    with pytest.raises(CommandError, match="No feed has been read yet"):
        await command("backfill_profile")
    market, out = market_at("09:30", symbols=5), StringIO()
    begin(store, clock=market.now)
    async with serving(market) as address:
        settings.MASSIVE_REST_URL, settings.MASSIVE_API_KEY = f"http://{address}", ""
        await command("backfill_profile", "--days", "2", "--most-active", "3", stdout=out)
    assert [line.partition(": ")[2] for line in out.getvalue().splitlines()] == ["3 symbols", "3 symbols"]
    with pytest.raises(CommandError, match="does not tell the most active symbols"):
        await command("backfill_profile")
    # Where the listener reads goes before the environment: a simulator may have had to take another port.
    async with serving(market) as address:
        settings.MASSIVE_REST_URL = ""
        settings.MASSIVE_SECURE = False
        store.redis.set(LISTENER_STATE, msgspec.json.encode({"feed": address}))
        await command("backfill_profile", "--days", "1", "--most-active", "2", stdout=(found := StringIO()))
    assert found.getvalue().endswith(": 2 symbols\n")
