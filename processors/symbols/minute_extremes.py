"""New highs and lows by the minute, and crosses of the day's mean price: what a symbol's minute bars say in order.

The last minutes stand in a ring, so that a corrected or late bar changes what it should; older ones are folded into a
summary of the day so far. Both are done for many symbols at once, one row a symbol.
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np

from processors.sessions import session_at
from processors.symbols.columns import Floats, Mask, Whole, grown
from processors.symbols.trade_activity import MINUTE_MS

# Bars are corrected for 15 minutes; who changes an older minute has the symbol loaded anew.
RING: Final = 20
# Columns of a summary.
_HIGH, _LOW = (0, 1, 2), (3, 4, 5)
_COLUMNS: Final = {
    "hod_count": 6,
    "lod_count": 7,
    "hod_at": 8,
    "lod_at": 9,
    "new_high_at": 10,
    "new_low_at": 11,
    "vwap_crossed_at": 13,
}
# The side of the day's mean price on which the last minute closed, and when it was last crossed.
_CROSSES: Final = slice(12, 14)
_WIDTH: Final = 14
_NOTHING: Final = np.array([np.nan] * 6 + [0, 0] + [np.nan] * 4 + [0, np.nan])
_SIDES: Final = (
    (_HIGH, np.fmax, np.greater, _COLUMNS["hod_count"], _COLUMNS["hod_at"], _COLUMNS["new_high_at"]),
    (_LOW, np.fmin, np.less, _COLUMNS["lod_count"], _COLUMNS["lod_at"], _COLUMNS["new_low_at"]),
)
_REGULAR: Final = 1
_OUTSIDE: Final = -1

Signs = np.ndarray[Any, np.dtype[np.int8]]
# One entry a row and minute: row, minute of the epoch, high, low, and the sign that `fold` takes.
Minutes = tuple[Whole, Whole, Floats, Floats, Signs]


def _last_true(mask: Mask) -> Whole:
    """Index of the last true column of each row, −1 where there is none."""
    last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)
    return np.where(mask.any(axis=1), last, -1)


@lru_cache(maxsize=4_096)
def _session_of(minute: int) -> int:
    day, _ = session_at(minute * MINUTE_MS)
    return _OUTSIDE if day is None else day.session_index(minute * MINUTE_MS)


def sessions_of(minutes: Whole) -> Whole:
    """The session of each minute of the epoch: 0 pre, 1 regular, 2 post, −1 outside a trading day."""
    return np.array([_session_of(minute) for minute in minutes.tolist()], np.int64)


def fold(summary: Floats, minutes: Whole, high: Floats, low: Floats, sign: Signs, ended: int) -> Floats:
    """The summary of a day after further minutes.

    Args:
        summary: The day before them, one row a symbol (columns: see the module).
        minutes: The minutes of the epoch, ascending.
        high: The greatest price by row and minute; NaN where nothing was traded.
        low: The least.
        sign: Of the last close less the day's mean price: −1, 1, or 0 where it is not known.
        ended: The first minute that has not ended: only those before it can cross.
    """
    after = summary.copy()
    sessions = sessions_of(minutes)
    for session in range(3):
        of_session = np.flatnonzero(sessions == session)
        if len(of_session) == 0:
            continue
        starts = minutes[of_session] * MINUTE_MS
        for (of_sessions, furthest, beyond, count, set_at, new_at), values in zip(_SIDES, (high, low), strict=True):
            seen = np.empty((len(after), len(of_session) + 1))
            seen[:, 0] = after[:, of_sessions[session]]
            seen[:, 1:] = values[:, of_session]
            furthest.accumulate(seen, axis=1, out=seen)
            # A comparison with NaN is false: the first minute of a session sets nothing.
            sets = beyond(values[:, of_session], seen[:, :-1])
            after[:, of_sessions[session]] = seen[:, -1]
            last = _last_true(sets)
            some = last >= 0
            after[some, new_at] = starts[last[some]]
            if session == _REGULAR:
                after[:, count] += sets.sum(axis=1)
                after[some, set_at] = starts[last[some]]
    after[:, _CROSSES] = _crosses(summary[:, _CROSSES], minutes, sign, ended)
    return after


def _crosses(before: Floats, minutes: Whole, sign: Signs, ended: int) -> Floats:
    """The last side of the day's mean price and when it was last crossed, after further minutes; as for `fold`."""
    after = before.copy()
    sides = np.empty((len(before), len(minutes) + 1), np.int8)
    sides[:, 0] = before[:, 0]
    sides[:, 1:] = np.where(minutes < ended, sign, 0)
    latest = np.maximum.accumulate(np.where(sides != 0, np.arange(sides.shape[1]), 0), axis=1)
    standing = np.take_along_axis(sides, latest, axis=1)
    # One of them is of the other side than the one that stood before it.
    last = _last_true(sides[:, 1:] * standing[:, :-1] < 0)
    some = last >= 0
    after[:, 0] = standing[:, -1]
    after[some, 1] = (minutes[last[some]] + 1) * MINUTE_MS
    return after


def _better(rest: Signs, own: Signs) -> Signs:
    return np.where(rest != 0, rest, own)


class MinuteExtremes:
    """The minutes of every symbol, by row of the symbol table."""

    def __init__(self) -> None:
        self._head = 0
        self._high: Floats = np.empty((0, RING))
        self._low: Floats = np.empty((0, RING))
        # By REST, which fills up minutes that were not wholly seen; its sign goes before the other where it has one.
        self._rest_high: Floats = np.empty((0, RING))
        self._rest_low: Floats = np.empty((0, RING))
        self._rest_sign: Signs = np.empty((0, RING), np.int8)
        self._sign: Signs = np.empty((0, RING), np.int8)
        self._settled: Floats = np.empty((0, _WIDTH))
        self._shown: Floats = np.empty((0, _WIDTH))
        self._changed: Mask = np.empty(0, np.bool_)
        self._ended = 0

    def extend(self, length: int) -> None:
        """Have at least so many rows."""
        if length > len(self._changed):
            self._high, self._low = grown(self._high, length, np.nan), grown(self._low, length, np.nan)
            self._rest_high = grown(self._rest_high, length, np.nan)
            self._rest_low = grown(self._rest_low, length, np.nan)
            self._sign, self._rest_sign = grown(self._sign, length, 0), grown(self._rest_sign, length, 0)
            self._settled, self._shown = grown(self._settled, length, _NOTHING), grown(self._shown, length, _NOTHING)
            self._changed = grown(self._changed, length, fill=False)

    def _in_order(self) -> Whole:
        return np.arange(self._head - RING + 1, self._head + 1)

    def _minutes(self, rows: Any, minutes: Whole) -> tuple[Floats, Floats, Signs]:
        """High, low and sign of rows by minute, as `fold` takes them."""
        at: Any = (np.asarray(rows)[:, None], minutes % RING)
        high, low = np.fmax(self._high[at], self._rest_high[at]), np.fmin(self._low[at], self._rest_low[at])
        return high, low, self._signs(at)

    def _signs(self, at: Any) -> Signs:
        return _better(self._rest_sign[at], self._sign[at])

    def has_rest(self, rows: Whole, minutes: Whole) -> Mask:
        """Whether REST told of minutes in the ring, one a row."""
        held = (minutes > self._head - RING) & (minutes <= self._head)
        return held & np.isfinite(self._rest_high[rows, minutes % RING])

    def advance(self, to: int) -> None:
        """Begin the minutes up to a minute of the epoch; those that leave the ring settle."""
        if to <= self._head:
            return
        leaving = self._in_order()[: to - self._head]
        if self._head:
            everyone = np.arange(len(self._settled))
            self._settled = fold(self._settled, leaving, *self._minutes(everyone, leaving), ended=to)
        slots = leaving % RING
        for values in (self._high, self._low, self._rest_high, self._rest_low):
            values[:, slots] = np.nan
        self._sign[:, slots] = self._rest_sign[:, slots] = 0
        self._head = to

    def begin(self, rows: Whole) -> None:
        """Forget rows: a new day, or one that is loaded anew."""
        for values in (self._high, self._low, self._rest_high, self._rest_low):
            values[rows] = np.nan
        self._sign[rows] = self._rest_sign[rows] = 0
        self._settled[rows] = _NOTHING
        self._changed[rows] = True

    def put(self, rows: Whole, minutes: Whole, high: Floats, low: Floats, sign: Signs) -> None:
        """Replace minutes of the ring, one entry a row and minute."""
        at = (rows, minutes % RING)
        self._high[at], self._low[at], self._sign[at] = high, low, sign
        self._changed[rows] = True

    def load(self, own: Minutes, rest: Minutes) -> None:
        """Take in all minutes of rows that have just begun.

        Args:
            own: As `put` takes them.
            rest: Those of them that REST told.
        """
        rows, minutes, high, low, sign = own
        rest_rows, rest_minutes, rest_high, rest_low, rest_sign = rest
        old, rest_old = minutes <= self._head - RING, rest_minutes <= self._head - RING
        self.put(rows[~old], minutes[~old], high[~old], low[~old], sign[~old])
        at = (rest_rows[~rest_old], rest_minutes[~rest_old] % RING)
        self._rest_high[at], self._rest_low[at] = rest_high[~rest_old], rest_low[~rest_old]
        self._rest_sign[at] = rest_sign[~rest_old]
        self._changed[rest_rows] = True
        if not old.any() and not rest_old.any():
            return
        # What has left the ring, as tables of row by minute.
        lines = np.unique(np.concatenate((rows[old], rest_rows[rest_old])))
        left = np.concatenate((minutes[old], rest_minutes[rest_old]))
        span = np.arange(left.min(), left.max() + 1)
        highs = np.full((len(lines), len(span)), np.nan)
        lows, signs = highs.copy(), np.zeros(highs.shape, np.int8)
        at = (np.searchsorted(lines, rows[old]), minutes[old] - span[0])
        highs[at], lows[at], signs[at] = high[old], low[old], sign[old]
        at = (np.searchsorted(lines, rest_rows[rest_old]), rest_minutes[rest_old] - span[0])
        highs[at] = np.fmax(highs[at], rest_high[rest_old])
        lows[at] = np.fmin(lows[at], rest_low[rest_old])
        signs[at] = _better(rest_sign[rest_old], signs[at])
        self._settled[lines] = fold(self._settled[lines], span, highs, lows, signs, ended=self._head)

    def at(self, clock: int, length: int) -> dict[str, Floats]:
        """The fields of minutes for the first `length` rows as of a clock (epoch ms); times are epoch milliseconds."""
        self.extend(length)
        self.advance(clock // MINUTE_MS)
        minutes, ended = self._in_order(), clock // MINUTE_MS
        if ended != self._ended:
            # Of rows without events nothing else changes when a minute ends.
            self._ended = ended
            sign = self._signs((slice(None), minutes % RING))
            self._shown[:, _CROSSES] = _crosses(self._settled[:, _CROSSES], minutes, sign, ended)
        rows = np.flatnonzero(self._changed[:length])
        if len(rows):
            self._shown[rows] = fold(self._settled[rows], minutes, *self._minutes(rows, minutes), ended=ended)
            self._changed[rows] = False
        return {name: self._shown[:length, column] for name, column in _COLUMNS.items()}
