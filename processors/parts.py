"""How a row of the symbol table is kept: parts, one a kind of event, each merged on its own.

Bars and trades of a symbol never write the same values, so a row needs no lock and its parts merge in any order; what
lies between them (the price, the day's extremes) is derived when it is read, in `fields.py`. A part is a msgpack array,
written by the scripts in `lua/`; the names here are its positions, in order. NaN stands for "none yet".
"""

from typing import Final

TRADE_COLUMNS: Final = (
    "day",
    *("last_t", "last_u", "last_q", "last_n", "last_p"),
    *("first_t", "first_u", "first_q", "first_n", "first_p"),
    *("regular_t", "regular_u", "regular_q", "regular_n", "regular_p"),
    *("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low"),
    *("volume", "trades", "notional"),
    *("newest_t", "newest_u", "newest_q", "newest_n"),
)
BAR_COLUMNS: Final = (
    "day",
    *("s", "_su", "_sq", "n", "accumulated"),
    *("op_s", "_ou", "_oq", "op_n", "op"),
    *("first_s", "_fu", "_fq", "first_n", "first_o"),
    *("regular_s", "_ru", "_rq", "regular_n", "regular_o"),
    *("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low"),
    *("settled_0", "settled_1", "settled_2", "settled_3", "settled_4", "settled_5"),
    *("e", "open", "high", "low", "close", "volume"),
)

TRADES: Final = "tw:table:trades"
SECOND_BARS: Final = "tw:table:bars"
MINUTE_BARS: Final = "tw:table:minutes"
QUOTES: Final = "tw:table:quotes"
HALTS: Final = "tw:table:halts"
PARTS: Final = (TRADES, SECOND_BARS, MINUTE_BARS, QUOTES, HALTS)
