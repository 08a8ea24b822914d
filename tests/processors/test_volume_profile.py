"""The usual volume by minute of the day: the mean against plain Python, recorded days, kinds that never mix."""

import random
from collections.abc import Iterable, Mapping
from time import perf_counter

import numpy as np
import pytest

from processors.models import VolumeProfileDay
from processors.seeding.volume_history import keep, publish
from processors.seeding.volume_profile import MINUTES, MinuteVolumes, load_profile, profile_of, put_profile
from processors.store import Store

Plain = Mapping[str, Mapping[int, int]]


def some_day(seed: int, symbols: Iterable[str]) -> dict[str, dict[int, int]]:
    """Shares by symbol and minute; some symbols do not trade."""
    chance = random.Random(seed)
    traded = [symbol for symbol in symbols if chance.random() < 0.7]
    return {
        symbol: {minute: chance.randint(1, 10**8) for minute in chance.sample(range(MINUTES), chance.randint(1, 40))}
        for symbol in traded
    }


def packed(day: Plain) -> MinuteVolumes:
    return MinuteVolumes.of(
        (symbol, np.array(sorted(of)), np.array([float(of[minute]) for minute in sorted(of)]))
        for symbol, of in day.items()
    )


def plain_mean(days: Iterable[Plain], symbol: str, minute: int) -> float | None:
    sums = [sum(shares for at, shares in day[symbol].items() if at <= minute) for day in days if symbol in day]
    return sum(sums) / len(sums) if sums and sum(sums) else None


SYMBOLS = [f"S{number}" for number in range(60)]


def test_the_mean_is_that_of_plain_arithmetic(store: Store) -> None:
    days = [some_day(seed, SYMBOLS) for seed in range(10)]
    volumes = [packed(day) for day in days]
    put_profile(store, "live", "stamp", [MinuteVolumes.unpack(each.packed()) for each in volumes])
    loaded = load_profile(store, "live")
    assert loaded is not None
    asked = [*SYMBOLS, "UNKNOWN"]
    for profile in (profile_of(volumes), loaded):
        for minute in (0, 1, 29, 30, 31, 500, 958, 959, 5_000, 30):
            expected = [plain_mean(days, symbol, minute) for symbol in asked]
            means = [None if np.isnan(mean) else mean for mean in profile.at(asked, minute)]
            assert means == expected
    assert load_profile(store, "simulator") is None


@pytest.mark.django_db
def test_kinds_never_mix_and_the_last_ten_days_before_the_present_one_count(store: Store) -> None:
    days = {20240300 + number: some_day(number, SYMBOLS) for number in range(1, 13)}
    for number, day in days.items():
        keep("live", number, packed(day), number)
    keep("simulator", 20240301, packed({"S1": {5: 5}}), 1)
    assert publish(store, "live", 20240312)
    assert not publish(store, "live", 20240312)
    profile = load_profile(store, "live")
    assert profile is not None
    before = [days[number] for number in range(20240302, 20240312)]
    assert [None if np.isnan(mean) else mean for mean in profile.at(SYMBOLS, 700)] == [
        plain_mean(before, symbol, 700) for symbol in SYMBOLS
    ]
    assert load_profile(store, "simulator") is None
    assert publish(store, "live", 20240313)
    assert not publish(store, "live", 20240301)


@pytest.mark.django_db
def test_thirty_days_are_kept_and_a_day_is_added_to() -> None:
    for number in range(20240301, 20240332):
        keep("live", number, packed({"AAA": {1: number}}), 7)
    assert VolumeProfileDay.objects.filter(kind="live").count() == 30
    keep("live", 20240331, packed({"AAA": {1: 3}, "BBB": {2: 4}}), 9)
    keep("live", 20240331, packed({"CCC": {3: 5}}), 8)
    day = VolumeProfileDay.objects.get(kind="live", day=20240331)
    assert (day.symbols, day.until) == (3, 9)
    means = profile_of([MinuteVolumes.unpack(bytes(day.volumes))]).at(["AAA", "BBB", "CCC"], 3)
    assert means.tolist() == [3, 4, 5]


def test_the_whole_market_is_answered_in_about_a_millisecond() -> None:
    symbols = [f"S{number}" for number in range(12_000)]
    rows = np.repeat(np.arange(12_000), 20)
    minutes = np.tile(np.arange(300, 320), 12_000)
    profile = profile_of([MinuteVolumes(tuple(symbols), rows, minutes, np.ones(len(rows)))])
    assert profile.at(symbols, 319).sum() == 240_000
    began = perf_counter()
    for minute in range(300, 310):
        profile.at(symbols, minute)
    assert (perf_counter() - began) / 10 < 0.01
