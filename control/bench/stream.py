"""The bench's stream: frames encoded ahead, of which only the times are filled in when they are sent.

A placeholder has the width of what takes its place, so that sending a frame costs a few replacements of bytes and the
server leaves the cores to the system that is measured. The frames repeat after some seconds; times go on.
"""

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from listener.simulator.prints import VENUE_CUM, VENUE_IDS
from listener.simulator.universe import Universe, make_universe, odd_lots, round_lots
from listener.simulator.wire import BarEvent, QuoteEvent, TradeEvent, encode

TRADE, QUOTE, BAR = "T", "Q", "A"
# Events of each type in a mix; the first is about Massive's own (massive.md, published averages).
MIXES: Final[dict[str, dict[str, int]]] = {
    "mix": {TRADE: 2, QUOTE: 8, BAR: 1},
    "bars": {BAR: 1},
    "trades": {TRADE: 1},
    "quotes": {QUOTE: 1},
}
# Channel of each type, as clients know it, and the types in which probes are sent.
CHANNELS: Final = {TRADE: "stocks:trades:", QUOTE: "stocks:quotes:", BAR: "stocks:agg:"}
PROBED: Final = {"mix": (TRADE, QUOTE), "bars": (BAR,), "trades": (TRADE,), "quotes": (QUOTE,)}
# Several, because of one symbol's quotes only the newest of a batch is published.
PROBE_SYMBOLS: Final = tuple(f"PROBE{number:02d}" for number in range(16))
MOST_PROBES_A_SECOND: Final = 200

TICK_S: Final = 0.005
MAX_FRAME_EVENTS: Final = 1_000
# A symbol has one new bar a second; those beyond it come again, as Massive's corrected bars do, for so many seconds.
MAX_BAR_ROUNDS: Final = 10
_SEED: Final = 11
_TICKS_A_SECOND: Final = 200
_CYCLE_EVENTS: Final = 400_000
_LONGEST_CYCLE_S: Final = 10
# Massive holds a second bar for about two seconds.
_BAR_DELAY_S: Final = 2

_NOW: Final = 7_777_777_777_771
_NOW_BYTES: Final = str(_NOW).encode()
_START_OF: Final = tuple(8_888_888_888_880 + number for number in range(MAX_BAR_ROUNDS))
_END_OF: Final = tuple(9_999_999_999_980 + number for number in range(MAX_BAR_ROUNDS))
_SENT: Final = 1_111_111_111_111_111
_SENT_BYTES: Final = str(_SENT).encode()


@dataclass(frozen=True, slots=True)
class FrameTemplate:
    """One frame, ready but for its times.

    Attributes:
        due: When it is sent, seconds from the beginning of the cycle.
        events: How many events it has.
        probe: The event type of the probe in it, or an empty text.

    Prints and quotes come first, cut where their time stands: joining is the cheapest way to fill it in, half the price
    of replacing. Bars and the probe make up the tail.
    """

    due: float
    events: int
    probe: str
    _body: list[bytes]
    _tail: bytes
    _bar_rounds: tuple[int, ...]

    def filled(self, now_ms: int, second_ms: int, sent_us: int) -> bytes:
        """The frame as it goes out.

        Args:
            now_ms: The market's time.
            second_ms: The beginning of the market's present second; bars cover an earlier one.
            sent_us: The wall clock, epoch microseconds: what the probe carries.
        """
        now = b"%013d" % now_ms
        tail = self._tail.replace(_NOW_BYTES, now)
        for number in self._bar_rounds:
            start = second_ms - 1_000 * (_BAR_DELAY_S + number)
            tail = tail.replace(b"%013d" % _START_OF[number], b"%013d" % start)
            tail = tail.replace(b"%013d" % _END_OF[number], b"%013d" % (start + 1_000))
        if self.probe:
            tail = tail.replace(_SENT_BYTES, b"%016d" % sent_us)
        return now.join([*self._body, tail])


class _Probe(msgspec.Struct, frozen=True):
    """What of a published probe carries the time of sending: a trade's id, a quote's indicators, a bar's mean price."""

    event_type: str
    id: str = ""
    indicators: list[int] | None = None
    aggregate_vwap: float | None = None


_decode_probe = msgspec.json.Decoder(_Probe).decode


def probe_sent_us(message: bytes | str) -> tuple[str, int]:
    """Event type and time of sending (epoch microseconds) of a probe as it was published."""
    probe = _decode_probe(message)
    if probe.event_type == TRADE:
        return TRADE, int(probe.id)
    if probe.event_type == QUOTE:
        return QUOTE, (probe.indicators or [0])[0]
    return probe.event_type, int(probe.aggregate_vwap or 0)


def bars_a_second(rate: int, feeds: str) -> float:
    """How many of the events are bars."""
    mix = MIXES[feeds]
    return rate * mix.get(BAR, 0) / sum(mix.values())


def cycle_seconds(rate: int) -> int:
    """After how many seconds the stream's frames repeat."""
    return min(_LONGEST_CYCLE_S, max(1, _CYCLE_EVENTS // rate))


def make_frames(rate: int, feeds: str, symbols: int) -> list[FrameTemplate]:
    """One cycle of frames, evenly paced, sizes varying by half around their mean.

    Args:
        rate: Events a second.
        feeds: A key of `MIXES`.
        symbols: How many; activity follows Zipf's law.
    """
    seconds = cycle_seconds(rate)
    rng = np.random.default_rng((_SEED, rate))
    types, ends = _types(rng, rate, seconds, MIXES[feeds])
    events = _Events(rng, make_universe(_SEED, symbols), seconds)
    frames: list[FrameTemplate] = []
    probed, share = PROBED[feeds], _probes_a_tick(rate)
    start = probes = 0
    owed = 0.0
    for tick, end in enumerate(ends):
        second = tick // _TICKS_A_SECOND
        owed = min(owed + share, 2.0)
        if tick % _TICKS_A_SECOND == 0:
            bars = types[start : ends[min(tick + _TICKS_A_SECOND, len(ends)) - 1]].count(BAR)
            events.begin_second(second, bars)
        for first in range(start, end, MAX_FRAME_EVENTS):
            part = types[first : min(first + MAX_FRAME_EVENTS, end)]
            probe = ""
            if owed >= 1 and probed[probes % len(probed)] in part:
                probe = probed[probes % len(probed)]
                probes += 1
                owed -= 1
            frames.append(events.frame(tick * TICK_S, part, probe, probes))
        start = end
    return frames


def _types(rng: np.random.Generator, rate: int, seconds: int, mix: dict[str, int]) -> tuple[list[str], list[int]]:
    """The events' types in the order of sending, and the number of events up to each tick; seconds are alike."""
    shares = np.cumsum(list(mix.values())) / sum(mix.values()) * rate
    types: list[str] = []
    ends: list[int] = []
    for second in range(seconds):
        counts = np.diff(np.rint(shares * (second + 1)) - np.rint(shares * second), prepend=0).astype(int)
        kinds = np.repeat(list(mix), counts)
        rng.shuffle(kinds)
        weights = np.cumsum(rng.uniform(0.5, 1.5, _TICKS_A_SECOND))
        ends += (len(types) + np.rint(weights / weights[-1] * len(kinds)).astype(int)).tolist()
        types += kinds.tolist()
    return types, ends


def _probes_a_tick(rate: int) -> float:
    """`MOST_PROBES_A_SECOND`, at low rates a tenth of the events at most."""
    return min(MOST_PROBES_A_SECOND, rate / 10) / _TICKS_A_SECOND


class _Events:
    """Encodes events: prices walk from second to second, a symbol's events are consistent with each other."""

    def __init__(self, rng: np.random.Generator, universe: Universe, seconds: int) -> None:
        self._rng, self._universe, self._seconds = rng, universe, seconds
        walk = np.cumsum(rng.normal(0, 0.0004, (seconds, len(universe))), axis=0)
        self._prices: list[list[float]] = (universe.price / 10_000 * np.exp(walk)).round(2).clip(0.05).tolist()
        self._half_spreads: list[float] = (universe.half_spread * universe.price / 10_000).clip(0.01).tolist()
        self._cumulative = np.cumsum(universe.activity)
        self._by_rank: list[int] = np.argsort(universe.rank).tolist()
        self._second = self._sequence = 0
        self._bar_order: list[int] = []
        self._next_bar = 0

    def begin_second(self, second: int, bars: int) -> None:
        """Bars of a second: of the most active symbols, in an order of their own."""
        active = np.array(self._by_rank[: max(1, min(bars, len(self._by_rank)))])
        self._second, self._next_bar = second, 0
        self._bar_order = self._rng.permutation(active).tolist()

    def frame(self, due: float, types: list[str], probe: str, number: int) -> FrameTemplate:
        """One frame of these event types, one of them, of the type `probe`, being the probe."""
        symbols = np.searchsorted(self._cumulative, self._rng.random(len(types)) * self._cumulative[-1]).tolist()
        odd = self._rng.random(len(types)) < 0.5
        factors = self._universe.size_factor[symbols]
        sizes = np.where(odd, odd_lots(self._rng, len(types)), round_lots(self._rng, factors)).tolist()
        venues = VENUE_IDS[np.searchsorted(VENUE_CUM, self._rng.random(len(types))).clip(max=len(VENUE_IDS) - 1)]
        rounds: set[int] = set()
        at = types.index(probe) if probe else -1
        head: list[bytes] = []
        tail: list[bytes] = []
        for position, (kind, symbol, size, venue) in enumerate(
            zip(types, symbols, sizes, venues.tolist(), strict=True)
        ):
            self._sequence += 1
            name = PROBE_SYMBOLS[number % len(PROBE_SYMBOLS)] if position == at else ""
            if kind == TRADE:
                event = self._trade(symbol, size, venue, name)
            elif kind == QUOTE:
                event = self._quote(symbol, size, venue, name)
            else:
                event = self._bar(size, rounds, name)
            (tail if name or kind == BAR else head).append(event)
        *body, rest = (b"[" + b",".join(head)).split(_NOW_BYTES)
        between = b"," if head and tail else b""
        return FrameTemplate(
            due, len(types), probe, body, rest + between + b",".join(tail) + b"]", tuple(sorted(rounds))
        )

    def _trade(self, symbol: int, size: int, venue: int, probe: str) -> bytes:
        universe = self._universe
        return encode(
            TradeEvent(
                sym=probe or universe.tickers[symbol],
                x=venue,
                i=str(_SENT) if probe else str(100_000 + self._sequence),
                z=int(universe.tape[symbol]),
                p=self._prices[self._second][symbol],
                s=size,
                ds=f"{size}.0",
                c=(37,) if size < 100 else (14,) if self._sequence % 5 == 0 else (),
                t=_NOW,
                pt=_NOW,
                q=self._sequence,
            )
        )

    def _quote(self, symbol: int, size: int, venue: int, probe: str) -> bytes:
        universe = self._universe
        price, half = self._prices[self._second][symbol], self._half_spreads[symbol]
        quote = encode(
            QuoteEvent(
                sym=probe or universe.tickers[symbol],
                bx=venue,
                bp=round(max(0.01, price - half), 2),
                bs=1 + size // 100,
                ax=int(universe.exchange[symbol]),
                ap=round(price + half, 2),
                as_=1 + size % 37,
                c=1,
                t=_NOW,
                q=self._sequence,
                z=int(universe.tape[symbol]),
            )
        )
        return quote[:-1] + b',"i":[%d]}' % _SENT if probe else quote

    def _bar(self, size: int, rounds: set[int], probe: str) -> bytes:
        lap, position = divmod(self._next_bar, len(self._bar_order))
        self._next_bar += 1
        rounds.add(lap)
        symbol, second = self._bar_order[position], self._second - lap
        close, opened = self._prices[second % self._seconds][symbol], self._prices[(second - 1) % self._seconds][symbol]
        high, low = max(opened, close), min(opened, close)
        volume = 100 + size + symbol % 500 + 100 * lap
        day_volume = int(self._universe.average_trades[symbol]) * 80 + 1_000 * self._second
        return encode(
            BarEvent(
                sym=probe or self._universe.tickers[symbol],
                v=volume,
                av=day_volume,
                vw=round((opened + 2 * close) / 3, 4),
                o=opened,
                c=close,
                h=high,
                l=low,
                a=_SENT if probe else round(close * 0.998, 4),
                z=max(1, size // 2),
                s=_START_OF[lap],
                e=_END_OF[lap],
                dv=f"{volume}.0",
                dav=f"{day_volume}.0",
                op=self._prices[0][symbol],
            )
        )
