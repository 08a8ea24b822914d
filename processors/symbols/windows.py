"""Trailing windows over the bars of every symbol: volumes, prices of a while ago, extremes and crosses by the minute.

A bar belongs to the five-second bucket of its last millisecond, (end − 1) // 5000. A window of N minutes as of a clock
is the 12 N buckets up to the clock's own, so windows decay as the clock advances, without events. Each bucket has the
bars of the symbol's best kind (`parts.BAR_KINDS`), or of REST in minutes that that kind does not have. Of a minute that
both have REST tells the close, and with it the last bucket's price (`bars.minute_bars`).
"""

from typing import Any, Final

import numpy as np

from processors.symbols.columns import Floats, Mask, Whole, grown
from processors.symbols.minute_extremes import MinuteExtremes, Minutes
from processors.symbols.trade_activity import BUCKET_MS, MINUTE_MS, window_sum

Bars = np.ndarray[Any, Any]

_PER_MINUTE: Final = 12
_MINUTES_AGO: Final = (1, 5, 15)
# The rings are a little longer than the longest window: bars may be read before the clock that they moved.
_VOLUMES: Final = 84
_CLOSES: Final = 192
# What is looked at of so many rows together stays in the processor's cache.
_ROWS_AT_ONCE: Final = 512


class Windows:
    """The windows of every symbol, by row of the symbol table."""

    def __init__(self) -> None:
        self._head = 0
        self._volumes: Floats = np.empty((_VOLUMES, 0))
        self._closes: Floats = np.empty((0, _CLOSES))
        # The newest close that has left the ring.
        self._older: Floats = np.empty(0)
        # Prices of so many minutes ago as of the bucket `_seen`, and rows of which they have to be found anew.
        self._ago: Floats = np.empty((0, len(_MINUTES_AGO)))
        self._seen = 0
        self._stale: Mask = np.empty(0, np.bool_)
        # Rows with bars that reach into another minute than they begin in: no minute of theirs can be replaced alone.
        self._irregular: Mask = np.empty(0, np.bool_)
        self._minutes = MinuteExtremes()

    def extend(self, length: int) -> None:
        """Have at least so many rows."""
        if length > len(self._stale):
            self._volumes = grown(self._volumes, length, 0, axis=1)
            self._closes = grown(self._closes, length, np.nan)
            self._older, self._ago = grown(self._older, length, np.nan), grown(self._ago, length, np.nan)
            self._stale = grown(self._stale, length, fill=False)
            self._irregular = grown(self._irregular, length, fill=False)
            self._minutes.extend(len(self._stale))

    def begin(self, rows: Whole) -> None:
        """Forget rows: their day is a new one, or they are loaded anew."""
        self._volumes[:, rows] = 0
        self._closes[rows] = np.nan
        self._older[rows] = np.nan
        self._stale[rows], self._irregular[rows] = True, False
        self._minutes.begin(rows)

    def put(self, rows: Whole, bars: Bars) -> Whole:
        """Replace minutes of bars.

        Args:
            rows: The row of each bar; those of one row and minute stand together.
            bars: All bars (`parts.BAR`) of each minute that they touch, of the symbol's own kind, ascending by minute.

        Returns:
            Rows that have to be loaded anew instead: what changed there is too old, or REST has a part in it.
        """
        if len(bars) == 0:
            return np.empty(0, np.int64)
        minutes, buckets = bars["start"] // MINUTE_MS, (bars["end"] - 1) // BUCKET_MS
        self._advance(int(buckets.max()))
        self._irregular[rows[buckets // _PER_MINUTE != minutes]] = True
        # What has left the ring even in part cannot be put in order with the rest, nor what REST has a part in.
        is_old = minutes * _PER_MINUTE <= self._head - _CLOSES
        anew = np.unique(rows[is_old | self._irregular[rows] | self._minutes.has_rest(rows, minutes)])
        if len(anew):
            usable = ~np.isin(rows, anew)
            rows, bars, minutes, buckets = rows[usable], bars[usable], minutes[usable], buckets[usable]
        if len(bars):
            firsts = _firsts(rows, minutes)
            self._empty_minutes(rows[firsts], minutes[firsts])
            self._put_buckets(rows, buckets, bars["volume"], bars["close"])
            self._minutes.put(*_by_minute(rows, minutes, bars, firsts))
        return anew

    def load(self, own: tuple[Whole, Bars], rest: tuple[Whole, Bars]) -> None:
        """Take in whole days, of rows that have just begun.

        Args:
            own: The row of each bar, and the bars of the symbols' own kinds, ascending by start within a row.
            rest: The same of minute bars by REST.
        """
        (rows, bars), (rest_rows, rest_bars) = own, rest
        minutes, rest_minutes = bars["start"] // MINUTE_MS, rest_bars["start"] // MINUTE_MS
        every_row, every_minute = np.concatenate((rows, rest_rows)), np.concatenate((minutes, rest_minutes))
        if len(every_row) == 0:
            return
        buckets, rest_buckets = (bars["end"] - 1) // BUCKET_MS, (rest_bars["end"] - 1) // BUCKET_MS
        self._advance(int(np.concatenate((buckets, rest_buckets)).max()))
        self._irregular[rows[buckets // _PER_MINUTE != minutes]] = True

        of_rows, of_bars = rows, bars
        if len(rest_bars):
            first, width = int(every_minute.min()), int(every_minute.max() - every_minute.min()) + 1
            place, rest_place = rows * width + minutes - first, rest_rows * width + rest_minutes - first
            priced = rest_bars.copy()
            priced["volume"][np.isin(rest_place, place)] = 0
            of_rows, of_bars = np.concatenate((rows, rest_rows)), np.concatenate((bars, priced))
            # Stable: of those that end together REST's is the last.
            order = np.lexsort((of_bars["end"], of_rows))
            of_rows, of_bars = of_rows[order], of_bars[order]
        self._put_buckets(of_rows, (of_bars["end"] - 1) // BUCKET_MS, of_bars["volume"], of_bars["close"])
        by_rest = _by_minute(rest_rows, rest_minutes, rest_bars, _firsts(rest_rows, rest_minutes))
        self._minutes.load(_by_minute(rows, minutes, bars, _firsts(rows, minutes)), by_rest)

    def at(self, clock: int, length: int) -> dict[str, Floats]:
        """What the windows hold for the first `length` rows as of a clock (epoch ms).

        Returns:
            `volume_1m`, `volume_5m`; `volume_before`, the mean minute of the five before the last; `close_1m`,
            `close_5m`, `close_15m`, the price so long ago; and the fields of `MinuteExtremes.at`.
        """
        self.extend(length)
        bucket = clock // BUCKET_MS
        self._advance(bucket)
        self._look_back(bucket)
        volumes = self._volumes[:, :length]
        return {
            "volume_1m": window_sum(volumes, self._head, bucket, _PER_MINUTE),
            "volume_5m": window_sum(volumes, self._head, bucket, 5 * _PER_MINUTE),
            "volume_before": window_sum(volumes, self._head, bucket - _PER_MINUTE, 5 * _PER_MINUTE) / 5,
            **{f"close_{ago}m": self._ago[:length, index] for index, ago in enumerate(_MINUTES_AGO)},
            **self._minutes.at(clock, length),
        }

    def _advance(self, to: int) -> None:
        """Begin the buckets up to `to`; what leaves the rings is forgotten but for its newest close."""
        self._minutes.advance(to // _PER_MINUTE)
        if to <= self._head:
            return
        leaving = np.arange(self._head - _CLOSES + 1, min(self._head, to - _CLOSES) + 1)
        if self._head and len(leaving):
            closes = self._closes[:, leaving % _CLOSES]
            newest = _last_finite(closes)
            some = np.flatnonzero(newest >= 0)
            self._older[some] = closes[some, newest[some]]
        self._closes[:, np.arange(max(self._head, to - _CLOSES) + 1, to + 1) % _CLOSES] = np.nan
        self._volumes[np.arange(max(self._head, to - _VOLUMES) + 1, to + 1) % _VOLUMES] = 0
        self._head = to

    def _empty_minutes(self, rows: Whole, minutes: Whole) -> None:
        every_row = np.repeat(rows, _PER_MINUTE)
        buckets = (minutes[:, None] * _PER_MINUTE + np.arange(_PER_MINUTE)).ravel()
        # A slot of a bucket to come still holds an old one.
        held = (buckets > self._head - _VOLUMES) & (buckets <= self._head)
        self._volumes[buckets[held] % _VOLUMES, every_row[held]] = 0
        held = (buckets > self._head - _CLOSES) & (buckets <= self._head)
        self._closes[every_row[held], buckets[held] % _CLOSES] = np.nan

    def _put_buckets(self, rows: Whole, buckets: Whole, volumes: Floats, closes: Floats) -> None:
        """Volumes and closes of bars, ascending by bucket within a row, where they are the row's first or not old."""
        held = (buckets > self._head - _VOLUMES) & np.isfinite(volumes)
        np.add.at(self._volumes, (buckets[held] % _VOLUMES, rows[held]), volumes[held])
        priced = np.isfinite(closes)
        held = (buckets > self._head - _CLOSES) & priced
        # Where a bucket has several closes, the last assigned stays.
        self._closes[rows[held], buckets[held] % _CLOSES] = closes[held]
        older = (buckets <= self._head - _CLOSES) & priced
        self._older[rows[older]] = closes[older]
        self._stale[rows[buckets <= self._seen - _PER_MINUTE]] = True

    def _look_back(self, bucket: int) -> None:
        """Find the prices of a while ago as of a bucket: step by step as buckets end, else anew."""
        steps = bucket - self._seen
        # The buckets that the oldest price steps over have to be in the ring still.
        if 0 <= steps < bucket - _PER_MINUTE * _MINUTES_AGO[-1] - self._head + _CLOSES:
            for step in range(self._seen + 1, bucket + 1):
                for index, ago in enumerate(_MINUTES_AGO):
                    closes = self._closes[:, (step - _PER_MINUTE * ago) % _CLOSES]
                    np.copyto(self._ago[:, index], closes, where=np.isfinite(closes))
        else:
            self._stale[:] = True
        self._seen = bucket
        rows = np.flatnonzero(self._stale)
        self._stale[rows] = False
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            self._find_ago(rows[start : start + _ROWS_AT_ONCE], bucket)

    def _find_ago(self, rows: Whole, bucket: int) -> None:
        held_from = self._head - _CLOSES + 1
        closes = self._closes[rows[:, None], np.arange(held_from, bucket - _PER_MINUTE + 1) % _CLOSES]
        for index, ago in enumerate(_MINUTES_AGO):
            self._ago[rows, index] = self._older[rows]
            held = closes[:, : max(bucket - _PER_MINUTE * ago - held_from + 1, 0)]
            if held.shape[1]:
                newest = _last_finite(held)
                some = np.flatnonzero(newest >= 0)
                self._ago[rows[some], index] = held[some, newest[some]]


def _firsts(rows: Whole, minutes: Whole) -> Whole:
    """Where a row and minute begin, in bars of which those of one row and minute stand together."""
    return np.flatnonzero(np.concatenate(([True], (rows[1:] != rows[:-1]) | (minutes[1:] != minutes[:-1]))))


def _by_minute(rows: Whole, minutes: Whole, bars: Bars, firsts: Whole) -> Minutes:
    """Bars put together by row and minute: row, minute, high, low, and on which side of the day's mean they end."""
    if len(bars) == 0:
        return rows, minutes, bars["high"], bars["low"], np.empty(0, np.int8)
    lasts = bars[np.concatenate((firsts[1:], [len(bars)])) - 1]
    sign = np.nan_to_num(np.sign(lasts["close"] - lasts["day_vwap"])).astype(np.int8)
    high, low = np.fmax.reduceat(bars["high"], firsts), np.fmin.reduceat(bars["low"], firsts)
    return rows[firsts], minutes[firsts], high, low, sign


def _last_finite(values: Floats) -> Whole:
    """Index of the last finite value of each row, −1 where there is none."""
    finite = np.isfinite(values)
    last = values.shape[1] - 1 - np.argmax(finite[:, ::-1], axis=1)
    return np.where(finite.any(axis=1), last, -1)
