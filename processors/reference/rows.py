"""A symbol's reference array, put together from whatever kinds of data have come."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from math import isfinite, nan
from typing import Final

import msgspec

from processors.reference.daily import DailyBars
from processors.reference.splits import Splits
from processors.reference.tables import Float, Ratios, Ticker

# A mean of fewer sessions says less than the vendor's own average.
_LEAST_SESSIONS: Final = 2
_VOLUME: Final = 4
_UNKNOWN_DAY: Final = [nan] * 6
_encode = msgspec.msgpack.Encoder().encode


def in_todays_shares(day: DailyBars, splits: Splits) -> DailyBars:
    """A day's bars in the dollars and shares of today; of a day that the vendor adjusted, as they are."""
    if day.adjusted:
        return day
    bars = {
        symbol: [value * ratio if place == _VOLUME else value / ratio for place, value in enumerate(figures)]
        if (ratio := splits.ratio(symbol, day.date)) != 1.0
        else figures
        for symbol, figures in day.bars.items()
    }
    return DailyBars(day.date, True, bars)


def average_volumes(days: Sequence[DailyBars]) -> dict[str, float]:
    """The mean volume by symbol over the sessions in which it traded; of those with two such sessions at least."""
    volumes: dict[str, list[float]] = defaultdict(list)
    for day in days:
        for symbol, figures in day.bars.items():
            if figures[_VOLUME] > 0:
                volumes[symbol].append(figures[_VOLUME])
    return {symbol: sum(each) / len(each) for symbol, each in volumes.items() if len(each) >= _LEAST_SESSIONS}


def reference_rows(
    previous: date,
    days: Sequence[DailyBars],
    floats: Mapping[str, Float],
    ratios: Mapping[str, Ratios],
    tickers: Mapping[str, Ticker],
    splits: Splits,
    today: date,
) -> dict[str, bytes]:
    """The packed arrays (`state.REFERENCE_COLUMNS`, `REFERENCE_TEXTS`) by symbol.

    Args:
        previous: The trading day before.
        days: Daily bars of it and of sessions before it.
        floats: By symbol; a figure without a date is taken as today's, as are ratios.
        ratios: By symbol.
        tickers: By symbol.
        splits: Up to today.
        today: The trading day.
    """
    days = [in_todays_shares(day, splits) for day in days]
    before = next((day.bars for day in days if day.date == previous), {})
    averages = average_volumes(days)
    rows: dict[str, bytes] = {}
    for symbol in before.keys() | floats.keys() | ratios.keys() | tickers.keys():
        float_, ratio, ticker = floats.get(symbol), ratios.get(symbol), tickers.get(symbol)
        average = averages.get(symbol, nan)
        cap = ticker.market_cap if ticker is not None else None
        if ratio is not None:
            cap = ratio.market_cap if ratio.market_cap is not None else cap
            if not isfinite(average) and ratio.average_volume is not None:
                average = ratio.average_volume * splits.ratio(symbol, ratio.date or today)
        shares = nan
        if float_ is not None:
            shares = float_.free_float * splits.ratio(symbol, float_.effective_date or today)
        rows[symbol] = _encode(
            [
                *before.get(symbol, _UNKNOWN_DAY),
                *(average, shares, nan if cap is None else cap),
                *((ticker.name, ticker.primary_exchange) if ticker is not None else (None, None)),
            ]
        )
    return rows
