"""The day so far, when a run starts in the middle of it: a believable shortcut instead of a replay from 04:00.

The day is drawn in cells of a quarter of an hour: for each symbol and cell prints, shares, open, high, low and close.
Figures (extremes, volume, vwap, official open) and minute bars of the time before the start are both made from the
cells, so that they agree with each other and with what the tape adds later.
"""

from dataclasses import dataclass

import numpy as np

from listener.simulator.auctions import Auction
from listener.simulator.figures import DayFigures
from listener.simulator.pace import Pace
from listener.simulator.plan import DayPlan
from listener.simulator.rhythm import busy_minutes
from listener.simulator.trading_days import MINUTE
from listener.simulator.universe import (
    MARKET_DAY_VOLATILITY,
    STREAM_OPENING,
    Bools,
    Floats,
    Ints,
    Universe,
    stream,
    to_tick,
)

CELL = 15 * MINUTE
_REGULAR_MINUTES = 390.0


@dataclass(frozen=True)
class Cell:
    """A quarter of an hour; arrays have one element a symbol, prices in ten-thousandths of a dollar.

    Attributes:
        start: Epoch ms.
        end: Epoch ms; the last cell ends where the run starts.
        open: 0 where the symbol did not trade; high, low, close alike.
        volume: Shares.
        count: Prints.
    """

    start: int
    end: int
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    count: Ints


@dataclass(frozen=True)
class DaySoFar:
    """What came before the start of a run.

    Attributes:
        price: Price of each symbol at the start, ten-thousandths of a dollar.
        figures: The day's figures at the start.
        cells: Oldest first.
    """

    price: Floats
    figures: DayFigures
    cells: list[Cell]


def draw_day_so_far(
    universe: Universe, plan: DayPlan, opening: Auction, close_before: Ints, until: int, pace: Pace
) -> DaySoFar:
    """Draw the day from its start to `until`.

    Args:
        universe: The symbols.
        plan: The day.
        opening: The opening auction.
        close_before: Close of the day before by symbol, ten-thousandths of a dollar.
        until: The start of the run, epoch ms.
        pace: How busy the market is.
    """
    rng = stream(universe.seed, STREAM_OPENING, plan.day.date.toordinal())
    day, n = plan.day, len(universe)
    price = np.maximum(close_before * np.exp(plan.overnight), 50.0)
    figures = DayFigures.empty(day, n)
    cells: list[Cell] = []
    start = day.start
    while start < min(until, day.end):
        end = min(start + CELL, until, day.close if start < day.close else day.end)
        regular = day.open <= start < day.close
        in_burst, business = _bursts(plan, start, end, n)
        expected = (
            pace.trades_a_minute
            * plan.business
            * business
            * busy_minutes(day, start, end)
            * (1.0 if regular else plan.extended)
        )
        count = rng.poisson(expected)
        spread = np.sqrt((end - start) / MINUTE / _REGULAR_MINUTES * (0.85 if regular else 0.1))
        step = universe.own_sigma * spread
        market = rng.normal(0.0, MARKET_DAY_VOLATILITY * spread)
        after = price * np.exp(universe.beta * market + step * rng.standard_normal(n) + in_burst)
        cross = opening.size_of_all(n) if start == day.open else np.zeros(n, np.int64)
        crossed = cross > 0
        cell = _cell(start, end, price, np.maximum(after, 50.0), step, count + crossed, rng)
        noise = np.exp(rng.normal(0.0, 0.25, n)) * pace.mean_size
        volume = np.where(count > 0, np.maximum(1, count * noise), 0).astype(np.int64) + cross
        cell = Cell(start, end, cell.open, cell.high, cell.low, cell.close, volume, cell.count)
        if start == day.open:
            figures.official_open[:] = np.where(crossed, cell.open, 0)
        traded = np.flatnonzero(volume)
        middle = (cell.open + cell.high + cell.low + cell.close)[traded] // 4
        figures.add(
            start, traded, cell.open[traded], cell.high[traded], cell.low[traded], cell.close[traded], volume[traded],
            middle * volume[traded], cell.count[traded], np.ones(len(traded), np.bool_),
        )  # fmt: skip
        cells.append(cell)
        price, start = np.maximum(after, 50.0), end
    return DaySoFar(price, figures, cells)


def _bursts(plan: DayPlan, start: int, end: int, n: int) -> tuple[Floats, Floats]:
    """The bursts' log-price move and multiple of business within [start, end), by symbol."""
    bursts = plan.bursts
    overlap = np.clip(np.minimum(bursts.end, end) - np.maximum(bursts.start, start), 0, None)
    move, business = np.zeros(n), np.ones(n)
    np.add.at(move, bursts.symbol, bursts.drift * overlap)
    np.add.at(business, bursts.symbol, (bursts.business - 1) * overlap / (end - start))
    return move, business


def _cell(
    start: int, end: int, before: Floats, after: Floats, step: Floats, count: Ints, rng: np.random.Generator
) -> Cell:
    beyond = np.abs(rng.normal(0.0, 0.35, (2, len(before)))) * step
    opens, close = to_tick(before), to_tick(after)
    # One print has one price.
    opens = np.where(count == 1, close, opens)
    many = count > 2
    high = np.where(many, to_tick(np.maximum(before, after) * np.exp(beyond[0])), np.maximum(opens, close))
    low = np.where(many, to_tick(np.minimum(before, after) * np.exp(-beyond[1])), np.minimum(opens, close))
    traded: Bools = count > 0
    return Cell(
        start, end, opens * traded, np.maximum(high, np.maximum(opens, close)) * traded,
        np.minimum(low, np.minimum(opens, close)) * traded, close * traded, np.zeros_like(count), count,
    )  # fmt: skip
