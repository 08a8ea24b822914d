"""What a day has in store, known to nobody in the market: gaps, runs of low-float names, and the news behind them."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from listener.simulator.trading_days import HOUR, MINUTE, TradingDay
from listener.simulator.universe import (
    MARKET_DAY_VOLATILITY,
    STREAM_PLAN,
    UNIT,
    Floats,
    Ints,
    Universe,
    stream,
)

_GAPPERS_OF_8000: Final = 60
_RUNS_OF_8000: Final = 48
# A gapping stock draws this much more of its business before the open than others do.
_GAPPER_PREMARKET: Final = 8.0


class Story(NamedTuple):
    """Why a symbol moves.

    Attributes:
        symbol: Index of the symbol.
        at: When it is published, epoch milliseconds.
        move: The log-price move that it goes with.
    """

    symbol: int
    at: int
    move: float


@dataclass(frozen=True)
class Bursts:
    """Stretches of one-sided, heavy trading; parallel arrays.

    Attributes:
        symbol: Index of the symbol.
        start: Epoch milliseconds.
        end: Epoch milliseconds.
        drift: Log-price move a millisecond.
        business: Multiple of the symbol's usual number of prints.
    """

    symbol: Ints
    start: Ints
    end: Ints
    drift: Floats
    business: Floats

    def active(self, at: int) -> Ints:
        """Indices of the bursts under way at `at` (epoch ms)."""
        return np.flatnonzero((self.start <= at) & (at < self.end))


@dataclass(frozen=True)
class DayPlan:
    """The course of one day; arrays have one element a symbol.

    Attributes:
        day: The trading day.
        business: Prints against an average day.
        extended: Further multiple of the prints outside regular hours.
        overnight: Log-price move between the previous close and 04:00.
        bursts: One-sided stretches.
        stories: What is published, oldest first.
        gappers: Symbols that gap on news.
    """

    day: TradingDay
    business: Floats
    extended: Floats
    overnight: Floats
    bursts: Bursts
    stories: list[Story]
    gappers: Ints


def _share(of_8000: int, symbols: int) -> int:
    return max(1, round(of_8000 * symbols / 8_000))


def _candidates(universe: Universe, rng: np.random.Generator, fits: Ints, count: int) -> Ints:
    pool = fits if len(fits) >= count else np.arange(len(universe))
    return rng.choice(pool, size=min(count, len(pool)), replace=False)


def _log_uniform(rng: np.random.Generator, low: float, high: float, count: int) -> Floats:
    return np.exp(rng.uniform(np.log(low), np.log(high), count))


def plan_day(universe: Universe, day: TradingDay) -> DayPlan:
    """The plan of a day; the same universe and date give the same plan.

    Some 60 of 8,000 symbols gap by 5 to 80 percent, half of them on news from the night, half on news before the open;
    some 25 low-float symbols run by 12 to 90 percent within minutes, once or more, and give part of it back.
    """
    rng = stream(universe.seed, STREAM_PLAN, day.date.toordinal())
    n = len(universe)
    business = np.exp(rng.normal(-0.06, 0.35, n))
    extended = np.clip(1.6 * np.exp(-universe.rank / 900.0) + 0.25, 0.0, 2.0)
    market = rng.normal(0.0, 0.4 * MARKET_DAY_VOLATILITY)
    overnight = universe.beta * market + 0.3 * universe.own_sigma * rng.normal(0.0, 1.0, n)

    price = universe.price / UNIT
    gappers = _candidates(
        universe,
        rng,
        np.flatnonzero((price > 1.5) & (price < 80) & (universe.rank > n // 40) & ~universe.is_fund),
        _share(_GAPPERS_OF_8000, n),
    )
    count = len(gappers)
    sign = np.where(rng.random(count) < 0.72, 1.0, -1.0)
    size = _log_uniform(rng, 0.05, 0.8, count)
    moves = np.where(sign > 0, np.log1p(size), np.log1p(-np.minimum(size, 0.6)))
    in_the_night = rng.random(count) < 0.5
    published = np.where(
        in_the_night,
        day.start - rng.integers(5 * MINUTE, 8 * HOUR, count),
        day.start + rng.integers(10 * MINUTE, 5 * HOUR, count),
    )
    business[gappers] *= _log_uniform(rng, 6.0, 60.0, count) * np.clip(universe.rank[gappers] / n * 2, 0.3, 1.5)
    extended[gappers] = _GAPPER_PREMARKET
    overnight[gappers] = np.where(in_the_night, moves * rng.uniform(0.6, 1.05, count), overnight[gappers])

    late = ~in_the_night
    gap_ends = published + rng.integers(3 * MINUTE, 25 * MINUTE, count)
    rows = [
        (
            gappers[late],
            published[late],
            gap_ends[late],
            moves[late] / (gap_ends - published)[late],
            np.full(late.sum(), 4.0),
        )
    ]
    stories = [Story(*row) for row in zip(gappers.tolist(), published.tolist(), moves.tolist(), strict=True)]

    runners = _candidates(
        universe,
        rng,
        np.flatnonzero((price > 0.7) & (price < 20) & (universe.free_float < 25_000_000) & ~universe.is_fund),
        max(1, _share(_RUNS_OF_8000, n) // 2),
    )
    for symbol in runners.tolist():
        business[symbol] *= rng.uniform(1.5, 6.0)
        for _ in range(int(rng.integers(1, 4))):
            start = day.start + 2 * HOUR + int(rng.random() ** 0.8 * (day.close - day.start - 3 * HOUR))
            up = int(rng.integers(4 * MINUTE, 20 * MINUTE))
            fade = int(up * rng.uniform(1.5, 4.0))
            move = float(_log_uniform(rng, 0.12, 0.64, 1)[0]) * (1.0 if rng.random() < 0.88 else -0.7)
            crowd = float(_log_uniform(rng, 30.0, 160.0, 1)[0])
            rows.append(_row(symbol, start, start + up, move, crowd))
            rows.append(_row(symbol, start + up, start + up + fade, -move * rng.uniform(0.2, 0.8), crowd / 3))
            if rng.random() < 0.6:
                stories.append(Story(symbol, start - int(rng.integers(0, 3 * MINUTE)), move))
    # The market as a whole stays as busy as it is asked to be.
    business /= (business * universe.activity).sum()
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    return DayPlan(
        day=day,
        business=business,
        extended=extended,
        overnight=overnight,
        bursts=Bursts(
            columns[0].astype(np.int64),
            columns[1].astype(np.int64),
            columns[2].astype(np.int64),
            columns[3],
            columns[4],
        ),
        stories=sorted(stories, key=lambda story: story.at),
        gappers=gappers,
    )


def _row(symbol: int, start: int, end: int, move: float, crowd: float) -> tuple[Ints, Ints, Ints, Floats, Floats]:
    return (
        np.array([symbol]),
        np.array([start]),
        np.array([end]),
        np.array([move / (end - start)]),
        np.array([crowd]),
    )
