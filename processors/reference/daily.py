"""Daily bars of the whole market, as one call gives them.

Source: Massive's grouped daily bars (`/v2/aggs/grouped/locale/us/market/stocks/{date}`).
"""

import datetime as dt
from math import nan
from typing import Final

import msgspec
import numpy as np
import zstandard

from processors.reference.vendor import Vendor

# Of the previous days, so many make the average volume.
AVERAGE_DAYS: Final = 30
_PATH: Final = "/v2/aggs/grouped/locale/us/market/stocks/"
_COLUMNS: Final = 6


class _Bar(msgspec.Struct, frozen=True):
    T: str
    c: float
    o: float | None = None
    h: float | None = None
    l: float | None = None  # noqa: E741  # Massive's name
    v: float | None = None
    vw: float | None = None


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    symbols: str
    figures: bytes


class DailyBars(msgspec.Struct, frozen=True):
    """A day's bars by symbol: open, high, low, close, volume and VWAP, NaN where one is unknown.

    Attributes:
        date: The day.
        adjusted: Whether the vendor adjusted them for splits; otherwise they are as they were printed.
        bars: By symbol.
    """

    date: dt.date
    adjusted: bool
    bars: dict[str, list[float]]

    def packed(self) -> bytes:
        """What is cached."""
        figures = np.array(list(self.bars.values()), "<f8").tobytes()
        return zstandard.compress(msgspec.msgpack.encode(_Packed(" ".join(self.bars), figures)))

    @classmethod
    def unpack(cls, day: dt.date, adjusted: bool, packed: bytes) -> "DailyBars":
        """The bars of a day as they were cached."""
        held = msgspec.msgpack.decode(zstandard.decompress(packed), type=_Packed)
        figures = np.frombuffer(held.figures, "<f8").reshape(-1, _COLUMNS).tolist()
        return cls(day, adjusted, dict(zip(held.symbols.split(), figures, strict=True)))


def load_day(vendor: Vendor, day: dt.date, adjusted: bool) -> DailyBars:
    """Ask for a day's bars; empty when the vendor has none.

    Raises:
        VendorError: There is no usable answer.
    """
    page = vendor.page(_PATH + day.isoformat(), {"adjusted": str(adjusted).lower()})
    bars = {
        bar.T: [nan if value is None else value for value in (bar.o, bar.h, bar.l, bar.c, bar.v, bar.vw)]
        for bar in page.rows(_Bar)
        if bar.c > 0 and bar.T.split() == [bar.T]
    }
    return DailyBars(day, adjusted, bars)
