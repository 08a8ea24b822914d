"""How a row of the symbol table is kept: parts, one a kind of event, each merged on its own.

Bars and trades of a symbol never write the same values, so a row needs no lock and its parts merge in any order; what
lies between them (the price, the day's extremes) is derived when it is read, in `fields.py`.

Figures are little-endian doubles, one a column named here, NaN for "none yet": the scripts in `lua/` merge them.
Events are kept as they came behind their order, written in digits of fixed width, so that the newer of two is the
greater text.
"""

import struct
from typing import Final

import numpy as np

TRADE_COLUMNS: Final = (
    "day",
    *("last_t", "last_u", "last_q", "last_n", "last_p"),
    *("first_t", "first_u", "first_q", "first_n", "first_p"),
    *("regular_t", "regular_u", "regular_q", "regular_n", "regular_p"),
    *("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low"),
    *("volume", "trades", "notional"),
)
BAR_COLUMNS: Final = (
    "day",
    *("s", "n", "accumulated"),
    *("op_s", "op_n", "op"),
    *("first_s", "first_n", "first_o"),
    *("regular_s", "regular_n", "regular_o"),
    *("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low"),
    *("settled_0", "settled_1", "settled_2", "settled_3", "settled_4", "settled_5"),
    *("e", "open", "high", "low", "close", "volume", "vw", "a", "z"),
)
# One bar on its way into a script; the last nine stand in the row as they are while it is the latest.
BAR_FIGURES: Final = (
    *("day", "session", "s", "n", "accumulated", "op"),
    *("e", "open", "high", "low", "close", "volume", "vw", "a", "z"),
)

TRADES: Final = "tw:table:trades"
SECOND_BARS: Final = "tw:table:bars"
MINUTE_BARS: Final = "tw:table:minutes"
QUOTES: Final = "tw:table:quotes"
HALTS: Final = "tw:table:halts"
PARTS: Final = (TRADES, SECOND_BARS, MINUTE_BARS, QUOTES, HALTS)
# The newest event of its kind, beside the figures of all of them.
NEWEST_TRADES: Final = "tw:table:newest:trades"
NEWEST_SECOND_BARS: Final = "tw:table:newest:bars"
NEWEST_MINUTE_BARS: Final = "tw:table:newest:minutes"

pack_trades: Final = struct.Struct(f"<{len(TRADE_COLUMNS)}d").pack
pack_bar: Final = struct.Struct(f"<{len(BAR_FIGURES)}d").pack

# Event time in milliseconds, what is finer of it, sequence number, receipt number.
Order = tuple[int, int, int, int]
_ORDER: Final = "%013d%06d%016d%016d"
_ORDER_CHARACTERS: Final = 51
_RECEIPT: Final = slice(35, 51)


def figures(part: bytes) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The columns of a part of trades or bars."""
    return np.frombuffer(part, "<f8")


def keep(order: Order, event: str) -> str:
    """An event behind its order; of two, the newer is the greater text.

    Args:
        order: None of the numbers is negative, and none has more digits than 13, 6, 16 and 16.
        event: As it came.
    """
    return _ORDER % order + event


def event_of(kept: bytes) -> bytes:
    """The event that was kept, as it came."""
    return kept[_ORDER_CHARACTERS:]


def received_at(kept: bytes) -> int:
    """When a kept event was received, epoch milliseconds: receipt numbers are microseconds (listener.batching)."""
    return int(kept[_RECEIPT]) // 1_000
