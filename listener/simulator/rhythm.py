"""The market's rhythm: how busy it is over the day, as a multiple of the regular session's middle."""

import numpy as np

from listener.simulator.trading_days import MINUTE, TradingDay
from listener.simulator.universe import Floats, Ints

# Share of a day's shares that trade in the opening and the closing auction.
OPENING_SHARE = 0.012
CLOSING_SHARE = 0.06


def intensity(day: TradingDay, at: Ints) -> Floats:
    """How busy the market is at each instant: a U over the regular session, thin before it, thinner after.

    Args:
        day: The trading day.
        at: Epoch milliseconds.

    Returns:
        Multiples of the intensity in the middle of the regular session; 0 outside the trading day.
    """
    since_start = (at - day.start) / MINUTE
    since_open = (at - day.open) / MINUTE
    to_close = (day.close - at) / MINUTE
    pre = 0.012 + 0.13 * np.clip(since_start / 330.0, 0.0, 1.0) ** 3
    regular = 1.0 + 3.2 * np.exp(-np.maximum(since_open, 0.0) / 25.0) + 2.0 * np.exp(-np.maximum(to_close, 0.0) / 20.0)
    post = 0.008 + 0.12 * np.exp(np.minimum(to_close, 0.0) / 40.0)
    inside = (at >= day.start) & (at < day.end)
    return np.where(inside, np.where(since_open < 0, pre, np.where(to_close > 0, regular, post)), 0.0)


def busy_minutes(day: TradingDay, start: int, end: int) -> float:
    """The intensity summed over [start, end) (epoch ms), in minutes of mid-session business."""
    if end <= start:
        return 0.0
    middles = np.linspace(start, end, max(2, (end - start) // MINUTE + 1))
    middles = (middles[1:] + middles[:-1]) / 2
    return float(intensity(day, middles.astype(np.int64)).mean()) * (end - start) / MINUTE
