"""The bench's feed: Massive's protocol over frames encoded ahead, as a process of its own.

`python -m control.bench.feed_server` serves one run. It says on standard output, one JSON object a line, when it
listens, when measuring begins and what it sent; it ends at SIGTERM.
"""

import argparse
import asyncio
import datetime as dt
import secrets
from collections import Counter
from time import monotonic, time_ns

import msgspec

from control.bench.saying import say
from control.bench.stream import MIXES, FrameTemplate, cycle_seconds, make_frames
from listener.simulator.client import Client
from listener.simulator.recorded_reference import RecordedReference
from listener.simulator.server import DEFAULT_API_KEY, Audience, SourceInfo
from listener.simulator.serving import serve
from listener.simulator.trading_days import HOUR, NEW_YORK, TradingCalendar

_DRAIN_S = 30.0


class Listening(msgspec.Struct, frozen=True, tag_field="is", tag="listening"):
    """The server takes connections at `address` and belongs to `source`."""

    address: str
    source: str


class Measuring(msgspec.Struct, frozen=True, tag_field="is", tag="measuring"):
    """The warm-up is over; `at` in epoch microseconds, as below."""

    at: int


class Finished(msgspec.Struct, frozen=True, tag_field="is", tag="finished"):
    """Everything is sent and read.

    Attributes:
        at: When the last frame was handed over.
        sent: Events, warm-up included.
        unsent: Events that were due while no client was there.
        probes: Probes sent, by event type.
        rate: Events a second while measuring.
        latest_ms: By how much the latest frame missed its time.
    """

    at: int
    sent: int
    unsent: int
    probes: dict[str, int]
    rate: float
    latest_ms: float


Said = Listening | Measuring | Finished


class BenchMarket:
    """Plays the frames at their times, once a client has subscribed; implements `listener.simulator.server.Market`.

    Args:
        frames: One cycle of the stream.
        rate: Events a second.
        warm_up: Seconds before measuring begins.
        seconds: Seconds of measuring.
    """

    name = "stocks"

    def __init__(self, frames: list[FrameTemplate], rate: int, warm_up: float, seconds: float) -> None:
        self._frames, self._cycle = frames, cycle_seconds(rate)
        self._warm_up, self._length = warm_up, warm_up + seconds
        today = dt.datetime.now(NEW_YORK).date()
        calendar = TradingCalendar(today)
        # Late enough for bars before it, early enough for an hour's run on the shortest day.
        self._start = calendar.before(today, 1)[0].open + HOUR
        self._began = monotonic()
        self.source_id = f"sim:bench-{secrets.token_hex(6)}"
        self.reference = RecordedReference(calendar, self._clock)
        self._sent = self._unsent = self._measured = 0
        self._probes: Counter[str] = Counter()
        self._latest = 0.0

    def _clock(self) -> int:
        return self._start + int((monotonic() - self._began) * 1_000)

    def source(self) -> SourceInfo:
        """The run that is served."""
        return SourceInfo(self.source_id, "simulator", self._clock(), 1.0, lossless=False)

    async def play(self, audience: Audience) -> None:
        """Send every frame at its time; a late one at once."""
        await audience.wait()
        second_zero = self._clock() // 1_000 * 1_000
        origin = monotonic()
        measured_from = 0.0
        cycle = 0
        while cycle * self._cycle < self._length:
            for frame in self._frames:
                due = cycle * self._cycle + frame.due
                if due >= self._length:
                    break
                late = monotonic() - origin - due
                # Also when it is late: the connection writes only while this waits.
                await asyncio.sleep(max(0.0, -late))
                if not measured_from and due >= self._warm_up:
                    measured_from = monotonic()
                    say(Measuring(time_ns() // 1_000))
                if measured_from:
                    self._latest = max(self._latest, late)
                self._send(frame, audience.client, second_zero + int(due) * 1_000, bool(measured_from))
            cycle += 1
        # The last tick's own time belongs to the run.
        await asyncio.sleep(max(0.0, origin + self._length - monotonic()))
        elapsed, at = monotonic() - measured_from, time_ns() // 1_000
        if (client := audience.client) is not None:
            async with asyncio.timeout(_DRAIN_S):
                await client.drained()
        say(
            Finished(
                at,
                self._sent,
                self._unsent,
                dict(self._probes),
                self._measured / elapsed,
                self._latest * 1_000,
            )
        )

    def _send(self, frame: FrameTemplate, client: Client | None, second_ms: int, measuring: bool) -> None:
        if client is None:
            self._unsent += frame.events
            return
        client.push(frame.filled(self._clock(), second_ms, time_ns() // 1_000))
        self._sent += frame.events
        if measuring:
            self._measured += frame.events
        if frame.probe:
            self._probes[frame.probe] += 1


async def _serve(market: BenchMarket) -> None:
    def announce(address: str) -> None:
        say(Listening(address, market.source_id))

    await serve(market, DEFAULT_API_KEY, "127.0.0.1", 0, announce)


def main() -> None:
    """Serve one run; the options are those of `bench ingest`, checked there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--feeds", choices=MIXES, required=True)
    parser.add_argument("--symbols", type=int, required=True)
    options = parser.parse_args()
    frames = make_frames(options.rate, options.feeds, options.symbols)
    asyncio.run(_serve(BenchMarket(frames, options.rate, options.warm_up, options.seconds)))


if __name__ == "__main__":
    main()
