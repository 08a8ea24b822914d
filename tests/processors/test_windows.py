"""Trailing windows against a plain computation over all bars, whatever order they come in and however late."""

from collections.abc import Iterable
from datetime import date
from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import parts
from processors.sessions import trading_day
from processors.symbols.news_times import NewsTimes
from processors.symbols.trade_activity import TradeActivity
from processors.symbols.windows import Windows
from tests.processors.feeding import at

OPEN = at("2024-03-11 09:30:00.000")
SECOND, BUCKET, MINUTE = 1_000, 5_000, 60_000
Bar = tuple[int, int, float, float, float, float, float]  # start, end, high, low, close, volume, the day's mean price
Days = dict[int, dict[int, Bar]]  # row → start → bar


def packed(bars: Iterable[Bar]) -> Any:
    """Bars as the cache's readers give them."""
    columns = ("start", "end", "high", "low", "close", "volume", "day_vwap")
    array = np.zeros(len(rows := sorted(bars)), parts.BAR)
    for index, bar in enumerate(rows):
        for name, value in zip(columns, bar, strict=True):
            array[name][index] = value
    return array


def bar(start: int, close: float = 5.0, volume: float = 100, **more: float) -> Bar:
    """A second bar; its high and low are its close unless they are given."""
    return (
        *(start, start + int(more.get("length", SECOND)), more.get("high", close), more.get("low", close)),
        *(close, volume, more.get("day_vwap", nan)),
    )


class Fed:
    """Windows that are fed as the symbol table feeds them, and everything that they were ever given."""

    def __init__(self) -> None:
        self.windows = Windows()
        self.own: Days = {}
        self.rest: Days = {}

    def put(self, row: int, *bars: Bar) -> None:
        days = self.own.setdefault(row, {})
        days.update({each[0]: each for each in bars})
        self.windows.extend(row + 1)
        minutes = {each[0] // MINUTE for each in bars}
        touched = packed(each for start, each in days.items() if start // MINUTE in minutes)
        for again in self.windows.put(np.full(len(touched), row), touched).tolist():
            self.reload(again)

    def fill(self, row: int, *bars: Bar) -> None:
        self.rest.setdefault(row, {}).update({each[0]: each for each in bars})
        self.windows.extend(row + 1)
        self.reload(row)

    def reload(self, *rows: int) -> None:
        self.windows.begin(np.array(rows))
        loaded = []
        for days in (self.own, self.rest):
            found = [packed(days.get(row, {}).values()) for row in rows]
            loaded.append((np.repeat(np.array(rows), [len(of) for of in found]), np.concatenate(found)))
        self.windows.load(*loaded)

    def at(self, clock: int, row: int = 0) -> dict[str, float | None]:
        """What the windows say of a row; None for unknown."""
        found = self.windows.at(clock, row + 1)
        return {name: None if isnan(value := float(column[row])) else value for name, column in found.items()}


def expected(own: dict[int, Bar], rest: dict[int, Bar], clock: int) -> dict[str, float | None]:
    """The same from the contract's text: all bars, one after the other."""
    covered = {start // MINUTE for start in own}
    bars = [*own.values(), *(each for each in rest.values() if each[0] // MINUTE not in covered)]
    priced = [*own.values(), *rest.values()]
    now = clock // BUCKET

    def volume(first: int, last: int) -> float:
        return sum(each[5] for each in bars if first <= (each[1] - 1) // BUCKET <= last)

    def close(ago: int) -> float | None:
        # Of bars that end together REST's is the last.
        found = [each for each in reversed(priced) if (each[1] - 1) // BUCKET <= now - 12 * ago]
        return max(found, key=lambda each: each[1])[4] if found else None

    result: dict[str, float | None] = {
        "volume_1m": volume(now - 11, now),
        "volume_5m": volume(now - 59, now),
        "volume_before": volume(now - 71, now - 12) / 5,
        **{f"close_{ago}m": close(ago) for ago in (1, 5, 15)},
    }
    return result | _expected_minutes(own, rest, clock)


def _expected_minutes(own: dict[int, Bar], rest: dict[int, Bar], clock: int) -> dict[str, float | None]:
    day = trading_day(date(2024, 3, 11))
    assert day is not None
    names = ("hod_at", "lod_at", "new_high_at", "new_low_at", "vwap_crossed_at")
    result: dict[str, float | None] = {"hod_count": 0, "lod_count": 0, **dict.fromkeys(names)}
    extremes: dict[int, tuple[float, float]] = {}
    side = 0
    for minute in sorted({start // MINUTE for start in (*own, *rest)}):
        mine = sorted(each for start, each in own.items() if start // MINUTE == minute)
        told = [each for start, each in rest.items() if start // MINUTE == minute]
        both = [*mine, *told]
        start, high, low = minute * MINUTE, max(each[2] for each in both), min(each[3] for each in both)
        session = day.session_index(start)
        if session in extremes:
            most, least = extremes[session]
            for beyond, short, side_name in ((high > most, "hod", "high"), (low < least, "lod", "low")):
                if beyond:
                    result[f"new_{side_name}_at"] = start
                    if session == 1:
                        result[f"{short}_at"] = start
                        result[f"{short}_count"] = (result[f"{short}_count"] or 0) + 1
            extremes[session] = (max(most, high), min(least, low))
        else:
            extremes[session] = (high, low)
        # REST's close and mean price where they tell a side, else those of the feed's last bar.
        sided = [last for last in (*mine[-1:], *told) if not isnan(last[6]) and last[4] != last[6]]
        if sided and start + MINUTE <= clock:
            now = 1 if sided[-1][4] > sided[-1][6] else -1
            if side not in (0, now):
                result["vwap_crossed_at"] = start + MINUTE
            side = now
    return result


def test_a_bar_counts_from_its_own_bucket_until_it_has_left_the_window() -> None:
    fed = Fed()
    fed.put(0, bar(OPEN + 4_000))  # ends at the bucket's last millisecond
    for clock, one, five in (
        *((OPEN, 100, 100), (OPEN + 4_999, 100, 100), (OPEN + 59_999, 100, 100), (OPEN + 60_000, 0, 100)),
        *((OPEN + 299_999, 0, 100), (OPEN + 300_000, 0, 0), (OPEN + 120 * MINUTE, 0, 0)),
    ):
        found = fed.at(clock)
        assert (found["volume_1m"], found["volume_5m"]) == (one, five)


def test_the_mean_minute_before_ends_where_the_last_minute_begins() -> None:
    fed = Fed()
    fed.put(0, bar(OPEN, volume=500))
    assert (fed.at(OPEN + 59_999)["volume_before"], fed.at(OPEN + 60_000)["volume_before"]) == (0, 100)
    assert (fed.at(OPEN + 359_999)["volume_before"], fed.at(OPEN + 360_000)["volume_before"]) == (100, 0)


def test_the_price_a_minute_ago_is_that_of_the_bucket_twelve_before() -> None:
    fed = Fed()
    fed.put(0, bar(OPEN, 5.0), bar(OPEN + 5_000, 6.0))
    assert fed.at(OPEN + 59_999)["close_1m"] is None
    assert fed.at(OPEN + 60_000)["close_1m"] == 5
    assert fed.at(OPEN + 64_999)["close_1m"] == 5
    assert fed.at(OPEN + 65_000)["close_1m"] == 6
    assert fed.at(OPEN + 15 * MINUTE + 4_999)["close_15m"] == 5
    assert fed.at(OPEN + 8 * 60 * MINUTE)["close_15m"] == 6


def test_a_corrected_bar_changes_the_window_that_it_lies_in() -> None:
    fed = Fed()
    fed.put(0, bar(OPEN, 5.0, 100), bar(OPEN + 1_000, 6.0, 10))
    clock = OPEN + 3 * MINUTE
    assert (fed.at(clock)["volume_5m"], fed.at(clock)["close_1m"]) == (110, 6)
    fed.put(0, bar(OPEN + 1_000, 7.0, 40))
    assert (fed.at(clock)["volume_5m"], fed.at(clock)["close_1m"]) == (140, 7)


def test_a_bar_that_is_too_late_for_the_ring_lands_in_its_own_minute() -> None:
    fed = Fed()
    fed.put(0, bar(OPEN + 1 * MINUTE, 9.0), bar(OPEN + 40 * MINUTE, 8.0))
    clock = OPEN + 41 * MINUTE
    assert fed.at(clock)["hod_count"] == 0
    fed.put(0, bar(OPEN, 5.0))
    assert (fed.at(clock)["hod_count"], fed.at(clock)["hod_at"]) == (1, OPEN + MINUTE)
    assert fed.at(clock) == expected(fed.own[0], {}, clock)


def test_each_session_sets_its_own_new_highs_and_only_the_regular_one_is_counted() -> None:
    fed = Fed()
    pre = OPEN - 10 * MINUTE
    fed.put(0, bar(pre, 9.0), bar(pre + MINUTE, 10.0))
    assert (fed.at(pre + 2 * MINUTE)["new_high_at"], fed.at(pre + 2 * MINUTE)["hod_count"]) == (pre + MINUTE, 0)
    # The running minute counts at once; the session's first minute sets nothing.
    fed.put(0, bar(OPEN, 5.0))
    assert fed.at(OPEN + SECOND)["new_high_at"] == pre + MINUTE
    fed.put(0, bar(OPEN + MINUTE, 6.0))
    found = fed.at(OPEN + MINUTE + SECOND)
    assert (found["new_high_at"], found["hod_at"], found["hod_count"]) == (OPEN + MINUTE, OPEN + MINUTE, 1)


def test_a_cross_is_seen_when_its_minute_has_ended_without_another_event() -> None:
    fed = Fed()
    fed.put(
        0, bar(OPEN, 5.0, day_vwap=6.0), bar(OPEN + MINUTE, 6.0, day_vwap=6.0), bar(OPEN + 2 * MINUTE, 7, day_vwap=6)
    )
    assert fed.at(OPEN + 3 * MINUTE - 1)["vwap_crossed_at"] is None
    assert fed.at(OPEN + 3 * MINUTE)["vwap_crossed_at"] == OPEN + 3 * MINUTE
    assert fed.at(OPEN + 90 * MINUTE)["vwap_crossed_at"] == OPEN + 3 * MINUTE


def test_what_rest_fills_up_counts_where_no_own_bar_does_and_widens_where_one_does() -> None:
    fed = Fed()
    fed.put(0, bar(OPEN + MINUTE, 5.0, 10))
    whole = {"length": float(MINUTE)}
    fed.fill(0, bar(OPEN, 4.0, 600, **whole), bar(OPEN + MINUTE, 6.0, 700, high=9.0, low=1.0, **whole))
    found = fed.at(OPEN + 2 * MINUTE)
    assert (found["volume_5m"], found["hod_count"], found["lod_count"]) == (610, 1, 1)
    assert found == expected(fed.own[0], fed.rest[0], OPEN + 2 * MINUTE)


def test_of_a_minute_that_the_feed_saw_in_part_rest_tells_the_close() -> None:
    fed = Fed()
    whole = {"length": float(MINUTE)}
    fed.put(0, bar(OPEN, 5.0, day_vwap=4.0), bar(OPEN + MINUTE, 5.0, day_vwap=4.0))
    fed.fill(0, bar(OPEN + MINUTE, 3.0, 700, day_vwap=4.0, **whole))
    found = fed.at(OPEN + 3 * MINUTE)
    assert (found["close_1m"], found["vwap_crossed_at"]) == (3.0, OPEN + 2 * MINUTE)
    # A bar that comes late leaves it at that.
    fed.put(0, bar(OPEN + MINUTE + SECOND, 5.5, day_vwap=4.0))
    found = fed.at(OPEN + 3 * MINUTE)
    assert (found["close_1m"], found["vwap_crossed_at"]) == (3.0, OPEN + 2 * MINUTE)


def test_a_new_day_begins_with_nothing() -> None:
    fed = Fed()
    fed.put(0, bar(OPEN, 5.0), bar(OPEN + MINUTE, 6.0))
    fed.at(OPEN + 2 * MINUTE)
    fed.windows.begin(np.array([0]))
    fed.own.clear()
    tomorrow = at("2024-03-12 04:00:00.000")
    assert fed.at(tomorrow) == expected({}, {}, tomorrow)


@st.composite
def _steps(draw: st.DrawFn) -> list[tuple[str, int, int, Bar]]:
    """What happens: a bar of a row at a clock, by the feed or by REST; few values, so that ties are common."""
    clock, steps = OPEN - 2 * MINUTE, []
    for _ in range(draw(st.integers(1, 25))):
        clock += draw(st.sampled_from((0, 1, 4_999, 5_000, 59_000, 60_000, 400_000, 1_500_000)))
        late = draw(st.sampled_from((0, 0, 1_000, 5_000, 61_000, 900_000, 1_400_000)))
        prices = sorted(draw(st.lists(st.integers(4, 12), min_size=3, max_size=3)))
        low, close, high = (price / 4 for price in prices)
        day_vwap = draw(st.sampled_from((nan, 1.5, 2.0, 2.5)))
        kind = draw(st.sampled_from(("own", "own", "own", "odd", "rest")))
        unit = MINUTE if kind == "rest" else SECOND
        start = (clock - late) // unit * unit + (500 if kind == "odd" else 0)
        values = (high, low, close, float(draw(st.integers(0, 500))), day_vwap)
        steps.append((kind, draw(st.integers(0, 1)), clock, (start, start + unit, *values)))
    return steps


@given(_steps())
@settings(max_examples=80, deadline=None)
def test_windows_equal_the_plain_computation_after_every_step(steps: list[tuple[str, int, int, Bar]]) -> None:
    fed = Fed()
    fed.windows.extend(2)
    for kind, row, clock, each in steps:
        (fed.fill if kind == "rest" else fed.put)(row, each)
        for of in (0, 1):
            assert fed.at(clock, of) == expected(fed.own.get(of, {}), fed.rest.get(of, {}), clock)
    fresh = Fed()
    fresh.own, fresh.rest = fed.own, fed.rest
    fresh.windows.extend(2)
    fresh.reload(0, 1)
    for of in (0, 1):
        assert fresh.at(clock, of) == expected(fed.own.get(of, {}), fed.rest.get(of, {}), clock)


def _activity(*trades: tuple[int, float]) -> Any:
    """Kept activity after trades of one share: time and price in ten-thousandths."""
    slots = np.zeros(parts.FIVE_SECONDS + parts.MINUTES, parts.ACTIVITY)
    for t, notional in sorted(trades):
        for first, count, unit in ((0, parts.FIVE_SECONDS, BUCKET), (parts.FIVE_SECONDS, parts.MINUTES, MINUTE)):
            slot = slots[first + t // unit % count]
            if slot["bucket"] != t // unit:
                slots[first + t // unit % count] = (t // unit, 0, 0, 0)
                slot = slots[first + t // unit % count]
            slot["trades"] += 1
            slot["notional"] += notional
    return slots[None, :]


def test_trades_count_in_their_windows_to_the_millisecond() -> None:
    activity = TradeActivity()
    activity.put(np.array([1]), _activity((OPEN, 50_000.0), (OPEN + 5_000, 20_000.0)))
    for clock, one, five, hour in (
        *((OPEN + 5_000, 2, 2, 2), (OPEN + 59_999, 2, 2, 2), (OPEN + 60_000, 1, 2, 2), (OPEN + 65_000, 0, 2, 2)),
        *((OPEN + 299_999, 0, 2, 2), (OPEN + 300_000, 0, 1, 2), (OPEN + 60 * MINUTE - 1, 0, 0, 2)),
        (OPEN + 60 * MINUTE, 0, 0, 0),
    ):
        found = activity.at(clock, 2)
        assert [found[f"trades_{window}"][1] for window in ("1m", "5m", "1h")] == [one, five, hour]
        assert found["trades_1h"][0] == 0
    assert TradeActivity().at(OPEN, 0)["trades_1m"].tolist() == []


def test_notional_is_in_dollars_and_kept_slots_of_long_ago_do_not_count() -> None:
    activity = TradeActivity()
    activity.put(np.array([1]), _activity((OPEN, 50_000.0)))
    activity.put(np.array([0]), _activity((OPEN - 400_000, 70_000.0)))
    # A clock before the newest slots: these do not count yet.
    assert activity.at(OPEN - MINUTE, 2)["notional_1m"].tolist() == [0, 0]
    assert activity.at(OPEN, 2)["notional_5m"].tolist() == [0, 5]
    assert activity.at(OPEN, 2)["notional_1h"].tolist() == [7, 5]


@pytest.mark.parametrize(("clock", "count", "last"), [(0, 0, nan), (100, 1, 100), (86_400_099, 2, 5_000)])
def test_news_of_the_last_day_is_counted(clock: int, count: int, last: float) -> None:
    news = NewsTimes()
    news.put([(b"OTHER|1", 99.0), (b"ABC|1", 100.0), (b"ABC|2", 5_000.0)], lambda symbol: int(symbol == b"ABC"))
    found = news.at(clock, 2)
    assert found["count"][1] == count
    assert found["last_at"][1] == last or isnan(last)
    later = news.at(100 + 86_400_000, 2)
    assert (later["count"].tolist(), later["last_at"].tolist()) == ([0, 1], [99, 5_000])
