"""How busy the simulated market is: from the wanted rate of events to prints, quotes and sizes."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from listener.simulator.rhythm import CLOSING_SHARE, OPENING_SHARE
from listener.simulator.universe import USUAL_RATE, Floats, Universe, mean_print_size

QUOTES_A_PRINT: Final = 4.0
# Minutes of mid-session business in a day, extended hours included.
DAY_MINUTES: Final = 532.0
# Share of prints that count for open and close and so make a bar.
_PRICED_SHARE: Final = 0.5
_BAND_MESSAGES_A_SECOND: Final = 1 / 900


@dataclass(frozen=True)
class Pace:
    """Arrays have one element a symbol.

    Attributes:
        trades_a_minute: Prints in the middle of an average session.
        size_scale: Multiple of the sizes at the usual rate, so that a day's shares depend little on the rate.
        mean_size: Mean size of a print, shares.
        average_volume: Shares on an average day.
    """

    trades_a_minute: Floats
    size_scale: float
    mean_size: Floats
    average_volume: Floats


def _events_a_second(universe: Universe, trades: float) -> float:
    per_symbol = trades * universe.activity * _PRICED_SHARE
    seconds = (1 - np.exp(-per_symbol)).sum()
    minutes = (1 - np.exp(-60 * per_symbol)).sum() / 60
    return float(trades * (1 + QUOTES_A_PRINT) + seconds + minutes + len(universe) * _BAND_MESSAGES_A_SECOND)


def make_pace(universe: Universe, rate: float) -> Pace:
    """The pace at which all feeds together send about `rate` events a second in the middle of an average session."""
    low, high = 0.0, rate
    for _ in range(60):
        trades = (low + high) / 2
        low, high = (trades, high) if _events_a_second(universe, trades) < rate else (low, trades)
    trades_a_minute = universe.activity * max(low, 1e-6) * 60
    size_scale = float(np.clip(USUAL_RATE / rate, 0.5, 20.0))
    mean_size = mean_print_size(universe.size_factor, size_scale)
    average_volume = trades_a_minute * DAY_MINUTES * mean_size * (1 + OPENING_SHARE + CLOSING_SHARE)
    return Pace(trades_a_minute, size_scale, mean_size, average_volume)
