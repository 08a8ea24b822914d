"""The simulated market as it is played to a client: days one after the other, at a multiple of real time."""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from listener.simulator.bar_rows import bar_events
from listener.simulator.book import quote_events
from listener.simulator.client import Client
from listener.simulator.history import History
from listener.simulator.pace import make_pace
from listener.simulator.plan import plan_day
from listener.simulator.prints import trade_events
from listener.simulator.server import TRADE_HALTS_PATH, Audience, SourceInfo
from listener.simulator.simulated_reference import SimulatedReference
from listener.simulator.subscriptions import Subscription
from listener.simulator.tape import STEP, DayTape, Step
from listener.simulator.trade_halts import halts_document
from listener.simulator.trading_days import SECOND, TradingCalendar, TradingDay, new_york_time
from listener.simulator.universe import Ints, make_universe
from listener.simulator.wire import TYPE_OF, Event, LuldEvent, encode

log = logging.getLogger(__name__)

FRAME_EVENTS: Final = 1_000
# How long the generator may work before others on the loop get their turn, seconds.
_TURN: Final = 0.02
# When the machine cannot keep up by more than this, the market's clock falls behind instead of hurrying after it,
# seconds.
_MAX_LAG: Final = 2.0


class SimulatedMarket:
    """A run of the simulator; implements `server.Market`.

    Args:
        seed: Decides everything, from 0 up.
        symbols: How many, 1 to `universe.MAX_SYMBOLS`.
        start: The market's time at which the run starts, epoch ms, on a trading day in New York.
        rate: Events a second of all feeds in the middle of an average session.
        speed: Multiple of real time, above 0.
    """

    name = "stocks"

    def __init__(self, seed: int, symbols: int, start: int, rate: float = 2_000.0, speed: float = 1.0) -> None:
        date = new_york_time(start).date()
        self._speed = speed
        self.calendar = TradingCalendar(date)
        day = self.calendar.latest(date)
        self.universe = make_universe(seed, symbols)
        self._pace = make_pace(self.universe, rate)
        self._history = History(self.universe, self.calendar, day, self._pace)
        self.tape = self._tape_of(day, self._history.close_before(day.date), start)
        self.reference = SimulatedReference(self.universe, self.calendar, self._history, self.tape, start)
        begins = new_york_time(start).replace(tzinfo=None).isoformat(timespec="seconds")
        self._source = f"sim:{seed}:{begins}:{secrets.token_hex(4)}"

    @property
    def now(self) -> int:
        """The market's time, epoch ms: everything before it has been generated."""
        return self.reference.now

    def source(self) -> SourceInfo:
        """The run that is served."""
        return SourceInfo(
            self._source, "simulator", self.now, self._speed, lossless=False, trade_halts=TRADE_HALTS_PATH
        )

    def trade_halts(self) -> bytes:
        """The day's halts that the stream does not tell, as Nasdaq Trader lists them."""
        return halts_document(self.universe, self.tape.bands.pauses)

    def _tape_of(self, day: TradingDay, close_before: Ints, start: int) -> DayTape:
        return DayTape(self.universe, plan_day(self.universe, day), self._pace, close_before, start)

    def advance(self, until: int) -> Step | None:
        """Generate the next step that ends by `until` (epoch ms); None when there is none."""
        if self.tape.over:
            following = self.calendar.next(self.tape.day.date)
            if until >= following.start + STEP:
                close = self._history.finish(self.tape.figures, self.tape.close_before)
                close = self.reference.after_splits(close, following.date)
                self.tape = self._tape_of(following, close, following.start)
                self.reference.begin_day(self.tape)
        if self.tape.over or until < self.tape.now + STEP:
            # The night passes in silence, and in one go.
            silent_until = until if self.tape.over else min(until, self.tape.now)
            self.reference.now = max(self.now, silent_until)
            return None
        step = self.tape.step()
        self.reference.now = self.tape.now
        return step

    async def play(self, audience: Audience) -> None:
        """Generate at the speed of the run and send to whoever listens; never ends by itself."""
        began, origin = time.monotonic(), self.now
        while True:
            turn_ends = time.monotonic() + _TURN
            target = origin + int((time.monotonic() - began) * SECOND * self._speed)
            while time.monotonic() < turn_ends and (step := self.advance(target)) is not None:
                client = audience.client
                if client is not None:
                    self._send(step, client)
            behind = (target - self.now) / SECOND / self._speed
            if behind > _MAX_LAG:
                began, origin = time.monotonic(), self.now
            ahead = (self.now + STEP - target) / SECOND / self._speed
            # Even when late, others on the loop get their turn; a night is looked at once a second.
            await asyncio.sleep(min(max(ahead, 0.0), 1.0))

    def _send(self, step: Step, client: Client) -> None:
        events = list(self.events(step, client.subscription))
        for first in range(0, len(events), FRAME_EVENTS):
            client.push(encode(events[first : first + FRAME_EVENTS]))

    def events(self, step: Step, wanted: Subscription) -> Iterator[Event]:
        """The step's events that a subscription wants, in the order of sending."""
        events = self._all_events(step, wanted)
        if wanted.covers(kind for kind in TYPE_OF.values() if wanted.touches(kind)):
            return events
        return (event for event in events if wanted.matches(TYPE_OF[type(event)], event.sym))

    def _all_events(self, step: Step, wanted: Subscription) -> Iterator[Event]:
        universe = self.universe
        if wanted.touches("LULD"):
            yield from self._band_events(step, halts=False)
        trades = trade_events(step.prints, universe) if wanted.touches("T") else []
        quotes = quote_events(step.quotes, universe) if wanted.touches("Q") else []
        if trades and quotes:
            both: list[Event] = [*quotes, *trades]
            order = np.argsort(np.concatenate([step.quotes.seq, step.prints.seq]))
            yield from (both[index] for index in order.tolist())
        else:
            yield from trades or quotes
        if wanted.touches("LULD"):
            yield from self._band_events(step, halts=True)
        for rows in step.bars:
            if wanted.touches("A" if rows.length == SECOND else "AM"):
                yield from bar_events(rows, universe, self.tape.figures.official_open)

    def _band_events(self, step: Step, halts: bool) -> Iterator[LuldEvent]:
        for change, seq in step.bands:
            if (change.upper == 0) is halts:
                # Whole milliseconds and a part below, as the tape's nanosecond clock shows.
                at = step.start * 1_000_000 + seq * 7_919 % 1_000_000
                yield LuldEvent(
                    self.universe.tickers[change.symbol], change.upper / 10_000, change.lower / 10_000,
                    (change.indicator,), int(self.universe.tape[change.symbol]), at, seq,
                )  # fmt: skip
