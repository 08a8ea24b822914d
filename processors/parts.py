"""How a row of the symbol table is kept: parts, one a kind of event, each merged on its own.

Bars and trades of a symbol never write the same values, so a row needs no lock and its parts merge in any order; what
lies between them (the price, the day's extremes) is derived when it is read, in `fields.py`.

Figures are little-endian doubles, one a column named here, NaN for "none yet": the scripts in `lua/` merge them.
Events are kept as they came behind their order, written in digits of fixed width, so that the newer of two is the
greater text.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

TRADE_COLUMNS: Final = (
    "day",
    *("last_t", "last_u", "last_q", "last_n", "last_p"),
    *("first_t", "first_u", "first_q", "first_n", "first_p"),
    *("regular_t", "regular_u", "regular_q", "regular_n", "regular_p"),
    *("pre_high", "pre_low", "regular_high", "regular_low", "post_high", "post_low"),
    *("volume", "trades", "notional"),
    # The newest bucket of the symbol's activity, of either length; those before it are in its ring.
    *("five", "five_trades", "five_volume", "five_notional"),
    *("minute", "minute_trades", "minute_volume", "minute_notional"),
)
# A bucket that is not the newest of its batch: the row of figures it belongs to, from 1; first slot and number of slots
# of its length in the ring.
OLDER_BUCKET: Final = ("row", "first_slot", "slots", "bucket", "trades", "volume", "notional")
# A bar put together from trades, on its way into a script behind the row of figures it belongs to, and as it is kept:
# of one second, or what has left the ring.
TRADED_BAR: Final = (
    *("s", "open_t", "open_u", "open_q", "open_n", "open", "close_t", "close_u", "close_q", "close_n", "close"),
    *("high", "low", "volume", "notional", "trades"),
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
# A bar as it is kept: start, receipt, end, ... In what has left the ring several are one: `n` is then the start of the
# last, and `vw` what they come to, in ten-thousandths of a dollar.
STORED_BAR: Final = ("s", "n", "e", "open", "high", "low", "close", "volume", "vw", "a")
# One bar on its way into a script; the last nine stand in the row as they are while it is the latest.
BAR_FIGURES: Final = ("day", "session", "accumulated", "op", *STORED_BAR, "z")

TRADES: Final = "tw:table:trades"
SECOND_BARS: Final = "tw:table:bars"
MINUTE_BARS: Final = "tw:table:minutes"
QUOTES: Final = "tw:table:quotes"
# The newest LULD event of any kind; beside it the newest bands, the newest halt and the newest resumption.
HALTS: Final = "tw:table:halts"
BANDS: Final = "tw:table:bands"
HALT: Final = "tw:table:halt"
RESUME: Final = "tw:table:resume"
# What REST says of a day that was not seen whole, with the columns of bars.
SEEDED: Final = "tw:table:seed"
PARTS: Final = (TRADES, SECOND_BARS, MINUTE_BARS, QUOTES, HALTS, BANDS, HALT, RESUME, SEEDED)
# The newest event of its kind, beside the figures of all of them.
NEWEST_TRADES: Final = "tw:table:newest:trades"
NEWEST_SECOND_BARS: Final = "tw:table:newest:bars"
NEWEST_MINUTE_BARS: Final = "tw:table:newest:minutes"

# Where bars come from, best first: second bars; minute bars; trades, put together by the second where no bars come;
# REST, by the minute, where the day was not seen.
BAR_KINDS: Final = ("A", "AM", "T", "R")
# A bar as readers get it, whatever its kind and however it is kept. Times are epoch milliseconds, [start, end);
# `session` is 0 pre, 1 regular, 2 post; what is not known is NaN. `vwap` is the bar's, `day_vwap` the day's as of it.
BAR: Final = np.dtype(
    [
        ("start", "<i8"),
        ("end", "<i8"),
        ("session", "u1"),
        *((name, "<f8") for name in ("open", "high", "low", "close", "volume", "vwap", "day_vwap", "trades")),
    ]
)
# A symbol's trades by time: slots of five seconds, then of minutes, a bucket's slot being its number modulo their
# count. Buckets are numbered from the epoch on; prints that update volume count, `notional` is in ten-thousandths of a
# dollar.
ACTIVITY: Final = np.dtype([("bucket", "<u4"), ("trades", "<u4"), ("volume", "<f8"), ("notional", "<f8")])
ACTIVITY_RINGS: Final = "tw:ring:activity:"
FIVE_SECONDS: Final = 72
MINUTES: Final = 64

pack_trades: Final = struct.Struct(f"<{len(TRADE_COLUMNS)}d").pack
pack_older: Final = struct.Struct(f"<{len(OLDER_BUCKET)}d").pack
pack_traded: Final = struct.Struct(f"<{1 + len(TRADED_BAR)}d").pack
pack_bar: Final = struct.Struct(f"<{len(BAR_FIGURES)}d").pack

# Event time in milliseconds, what is finer of it, sequence number, receipt number.
Order = tuple[int, int, int, int]
_ORDER: Final = "%013d%06d%016d%016d"
_ORDER_CHARACTERS: Final = 51
_RECEIPT: Final = slice(35, 51)


def figures(part: bytes) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The columns of a part of trades or bars."""
    return np.frombuffer(part, "<f8")


_RING_BYTES: Final = ACTIVITY.itemsize * (FIVE_SECONDS + MINUTES)
_BUCKET_FIGURES: Final = len(ACTIVITY.fields or ())


def activity(rows: Sequence[bytes], rings: Sequence[bytes | None]) -> "np.ndarray[tuple[int, int], Any]":
    """Activity by time, a line of `ACTIVITY` slots a symbol: `FIVE_SECONDS` of five seconds, `MINUTES` of a minute.

    Args:
        rows: The symbols' parts of trades, in which the newest buckets grow.
        rings: Those before (`ACTIVITY_RINGS`).
    """
    joined = bytearray().join((ring or b"").ljust(_RING_BYTES, b"\0") for ring in rings)
    slots = np.frombuffer(joined, ACTIVITY).reshape(len(rows), FIVE_SECONDS + MINUTES)
    newest = figures(b"".join(rows)).reshape(len(rows), len(TRADE_COLUMNS))[:, -2 * _BUCKET_FIGURES :]
    for first, count, of_length in (
        (0, FIVE_SECONDS, newest[:, :_BUCKET_FIGURES]),
        (FIVE_SECONDS, MINUTES, newest[:, _BUCKET_FIGURES:]),
    ):
        lines = np.flatnonzero(np.isfinite(of_length[:, 0]))
        places = first + of_length[lines, 0].astype(np.int64) % count
        for name, column in zip(ACTIVITY.names or (), of_length[lines].T, strict=True):
            slots[name][lines, places] = column
    return slots


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
