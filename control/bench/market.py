"""A market in a private cache, and an engine over it: what `bench scan` and the boards of `bench fanout` tick."""

import random
from collections.abc import Iterator, Sequence
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from processors.scanning.boards import ScannerRow

# The table's day, and the market's clock: an hour after the open, when everything is busy.
_DAY: Final = 20240311
_CLOCK: Final = 1_710_167_400_000
_SOURCE: Final = "simulator:bench"
_BATCH: Final = 5_000
# Each symbol trades in so many minutes of the last hour; of a great many symbols in fewer, or filling takes too long.
_MINUTES: Final = 15
_LEAST_MINUTES: Final = 2
_FILLING: Final = 200_000
_HOUR_MS: Final = 3_600_000

Event = dict[str, Any]


def events_of(
    prices: dict[str, float], symbols: Sequence[str], chance: random.Random, clock: int, minutes: int
) -> dict[str, list[Event]]:
    """A market by feed: of each symbol a second bar and two prints every few minutes, and a quote.

    Args:
        prices: Where each symbol stands; it goes on from there.
        clock: Epoch milliseconds at which it ends.
        minutes: How many with trades there are before that.
    """
    bars: list[Event] = []
    prints: list[Event] = []
    quotes: list[Event] = []
    for symbol in symbols:
        price, total = prices[symbol], 0
        for minute in range(minutes):
            start = clock - (minutes - minute) * (_HOUR_MS // minutes) + chance.randrange(59) * 1_000
            open_, price = price, round(price * chance.uniform(0.995, 1.005), 4)
            volume = chance.randrange(100, 5_000)
            total += volume
            bars.append(
                {"ev": "A", "sym": symbol, "s": start, "e": start + 1_000, "v": volume, "av": total}
                | {"o": open_, "c": price, "h": max(open_, price), "l": min(open_, price), "op": open_}
                | {"vw": price, "a": price, "z": 100}
            )
            for _ in range(2):
                t = start + chance.randrange(1_000)
                prints.append({"ev": "T", "sym": symbol, "t": t, "q": t, "p": price, "s": 100, "x": 4, "z": 3})
        prices[symbol] = price
        half = price * 0.0005
        quotes.append(
            {"ev": "Q", "sym": symbol, "t": clock - 1, "q": 1, "bp": price - half, "ap": price + half, "bs": 2, "as": 3}
        )
    return {"aggregate": bars, "trades": prints, "quotes": quotes}


class Market:
    """The table in a private cache, and an engine over it.

    Args:
        url: Of the cache.
        symbols: How many.
        scanners: Whose boards the engine makes.
    """

    def __init__(self, url: str, symbols: int, scanners: "Sequence[ScannerRow]") -> None:
        from processors.scanning.engine import Engine
        from processors.scanning.ticks import Rules
        from processors.store import Source, Store, connect

        self.store = Store(connect(url))
        self._chance = random.Random(1)  # noqa: S311 - the same market each time
        self._symbols = [f"S{number:06d}" for number in range(symbols)]
        self._prices = {symbol: 1 + self._chance.paretovariate(1.2) * 5 for symbol in self._symbols}
        self._clock, self._now, self._seq = _CLOCK, 1_000.0, 1
        self.rules = Rules(tuple(scanners))
        # From before the day began: every row is complete.
        self.store.declare_source(Source(_SOURCE, "simulator", _CLOCK - 8 * 3_600_000, 1.0, lossless=True))
        self.engine = Engine(self.store, lambda: self._now, lambda: self.rules)

    def fill(self) -> int:
        """Put everything into the cache; how many events that were."""
        from processors.reference.state import REFERENCE_COLUMNS, ReferenceState, put_reference

        count, minutes = 0, max(_LEAST_MINUTES, min(_MINUTES, _FILLING // len(self._symbols)))
        for page in _pages(self._symbols, 500):
            for feed, events in events_of(self._prices, page, self._chance, self._clock, minutes).items():
                count += self._merge(feed, events)
            texts = ["A Company", "XNAS"]
            values = [self._chance.uniform(1, 50)] * (len(REFERENCE_COLUMNS) - 3) + [1e6, 1e7, 1e9]
            packed = msgspec.msgpack.encode([*values, *texts])
            put_reference(self.store, ReferenceState(_SOURCE, _DAY, 1, 1.0), dict.fromkeys(page, packed))
        return count

    def _merge(self, feed: str, events: Sequence[Event]) -> int:
        from listener.events import Batch
        from processors.tasks import parts_of

        for page in _pages(events, _BATCH):
            raws = [msgspec.Raw(msgspec.json.encode(event)) for event in page]
            batch = Batch(f"{feed}-{self._seq}", _SOURCE, self._seq, self._clock, raws)
            self._seq += len(raws)
            for part, prepare in parts_of(feed, batch):
                self.store.merge(prepare(part, self.store), part, feed)
        return len(events)

    def tick(self, share: float) -> dict[str, float]:
        """A second of the market of a share of the symbols, and a tick; its steps in milliseconds."""
        self._clock += 1_000
        self._now += 1.0
        changed = self._chance.sample(self._symbols, round(share * len(self._symbols)))
        if changed:
            for feed, events in events_of(self._prices, changed, self._chance, self._clock + 60_000, 1).items():
                self._merge(feed, [self._in_this_second(event) for event in events])
        return self.timed()

    def _in_this_second(self, event: Event) -> Event:
        start = self._clock - 1_000
        return event | ({"s": start, "e": self._clock} if event["ev"] == "A" else {"t": start + event["t"] % 1_000})

    def timed(self) -> dict[str, float]:
        """A tick, as it is; its steps in milliseconds, and what it used of a core."""
        began, used = perf_counter(), process_time()
        if not self.engine.tick():
            raise RuntimeError("The engine did not publish: another one is at work on the bench's cache.")
        whole = {"tick": perf_counter() - began, "cpu": process_time() - used}
        return {name: seconds * 1_000 for name, seconds in (self.engine.laps | whole).items()}


def _pages(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
