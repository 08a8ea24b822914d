"""`bench scan`: what a tick of the engine costs over a table of so many symbols and so many scanners.

It runs in a process of its own that polars has one thread in; the private Valkey beside it is another process.
`python -m control.bench.scan` prints one line of JSON.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final

import django
import msgspec
import psutil

from project.embedded import EmbeddedValkey

# The table's day, and the market's clock: an hour after the open, when everything is busy.
_DAY: Final = 20240311
_CLOCK: Final = 1_710_167_400_000
_SOURCE: Final = "simulator:bench"
# Share of the symbols of which something changed since the tick before.
SHARES: Final = (0.0, 0.01, 0.1)
MOST_SYMBOLS, MOST_SCANNERS, MOST_TICKS = 200_000, 500, 1_000
_BATCH: Final = 5_000
# Each symbol trades in so many minutes of the last hour; of a great many symbols in fewer, or filling takes too long.
_MINUTES: Final = 15
_LEAST_MINUTES: Final = 2
_FILLING: Final = 200_000
_HOUR_MS: Final = 3_600_000
_MB: Final = 1024 * 1024

Event = dict[str, Any]

# What people write, each of them at several thresholds.
_CONDITIONS: Final = (
    ("price > {0}", "accumulated_volume"),
    ("price BETWEEN 2 AND {1} AND pct_change > 0", "pct_change"),
    ("accumulated_volume > {2} AND price > 1", "gap_pct"),
    ("change_5m_pct > 0.{0} AND volume_5m > 1000", "change_5m_pct"),
    ("price < {1} AND COALESCE(relative_volume_tod, relative_volume) > 0.0{0}", "volume_spike"),
    ("pillars >= 2 AND free_float < {2}0", "float_rotation"),
    ("trades_1m > 0 AND spread_pct < {0}", "notional_5m"),
    ("vwap_distance_pct > 0 AND price > {0}", "vwap_distance_pct / (1 + spread_pct)"),
    ("hod_count > 0 AND ABS(pct_change_since_open) > 0.{0}", "hod_count"),
    ("session = 'regular' AND NOT halted AND price > {0}", "trades_1h"),
)
_ALERTS: Final = ("enter", "", "new_high", "", "leave", "", "halt", "", "new_low", "")


def events_of(symbols: Sequence[str], chance: random.Random, clock: int, minutes: int) -> dict[str, list[Event]]:
    """A market by feed: of each symbol a second bar and two prints every few minutes, and a quote.

    Args:
        clock: Epoch milliseconds at which it ends.
        minutes: How many with trades there are before that.
    """
    bars: list[Event] = []
    prints: list[Event] = []
    quotes: list[Event] = []
    for symbol in symbols:
        price, total = 1 + chance.paretovariate(1.2) * 5, 0
        for minute in range(minutes):
            start = clock - (minutes - minute) * (_HOUR_MS // minutes) + chance.randrange(59) * 1_000
            price *= chance.uniform(0.995, 1.005)
            open_, close = price, price * chance.uniform(0.998, 1.002)
            volume = chance.randrange(100, 5_000)
            total += volume
            bars.append(
                {"ev": "A", "sym": symbol, "s": start, "e": start + 1_000, "v": volume, "av": total}
                | {"o": open_, "c": close, "h": max(open_, close), "l": min(open_, close), "op": price}
                | {"vw": price, "a": price, "z": 100}
            )
            for _ in range(2):
                t = start + chance.randrange(1_000)
                prints.append({"ev": "T", "sym": symbol, "t": t, "q": t, "p": close, "s": 100, "x": 4, "z": 3})
        half = price * 0.0005
        quotes.append(
            {"ev": "Q", "sym": symbol, "t": clock - 1, "q": 1, "bp": price - half, "ap": price + half, "bs": 2, "as": 3}
        )
    return {"aggregate": bars, "trades": prints, "quotes": quotes}


class _Bench:
    """The table in a private cache, and an engine over it."""

    def __init__(self, url: str, symbols: int, scanners: int) -> None:
        from processors.scanning.boards import ScannerRow
        from processors.scanning.engine import Engine
        from processors.scanning.ticks import Rules
        from processors.store import Source, Store, connect

        self.store = Store(connect(url))
        self._chance = random.Random(1)  # noqa: S311 - the same market each time
        self._symbols = [f"S{number:06d}" for number in range(symbols)]
        self._clock, self._now, self._seq = _CLOCK, 1_000.0, 1
        rows = []
        for number in range(scanners):
            where, order_by = _CONDITIONS[number % len(_CONDITIONS)]
            step = 1 + number // len(_CONDITIONS)
            texts = where.format(step, 20 * step, 20_000 * step)
            alert_on = _ALERTS[number % len(_ALERTS)]
            rows.append(ScannerRow(f"board_{number}", texts, order_by, alert_on=alert_on, cooldown_s=0))
        self.rules = Rules(tuple(rows))
        # From before the day began: every row is complete.
        self.store.declare_source(Source(_SOURCE, "simulator", _CLOCK - 8 * 3_600_000, 1.0, lossless=True))
        self.engine = Engine(self.store, lambda: self._now, lambda: self.rules)

    def fill(self) -> int:
        """Put everything into the cache; how many events that were."""
        from processors.reference.state import REFERENCE_COLUMNS, ReferenceState, put_reference

        count, minutes = 0, max(_LEAST_MINUTES, min(_MINUTES, _FILLING // len(self._symbols)))
        for page in _pages(self._symbols, 500):
            for feed, events in events_of(page, self._chance, self._clock, minutes).items():
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
            for feed, events in events_of(changed, self._chance, self._clock + 60_000, 1).items():
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


def _summary(ticks: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Median and 99 % of whole ticks, the median of each step and of the processor's time; milliseconds."""
    whole = sorted(tick["tick"] for tick in ticks)
    steps = {name: round(median(tick.get(name, 0.0) for tick in ticks), 2) for name in ticks[-1]}
    del steps["tick"]
    figures = {"median": median(whole), "p99": whole[min(len(whole) - 1, round(0.99 * len(whole)))], "max": whole[-1]}
    return {name: round(value, 2) for name, value in figures.items()} | {"cpu": steps.pop("cpu"), "steps": steps}


def run(symbols: int, scanners: int, ticks: int) -> dict[str, Any]:
    """Measure; times are milliseconds, memory is megabytes."""
    with tempfile.TemporaryDirectory(prefix="tw-scan-") as folder:
        server = EmbeddedValkey(Path(folder) / "valkey.sock", Path(folder) / "data", persist=False, maxmemory="4gb")
        with server:
            bench = _Bench(server.url, symbols, scanners)
            before = psutil.Process().memory_info().rss
            began = perf_counter()
            events = bench.fill()
            filling = perf_counter() - began
            take_over = bench.timed()
            for _ in range(3):
                # What is compiled and cached at first use is there by then.
                bench.tick(SHARES[1])
            results = {f"{share:.0%}": _summary([bench.tick(share) for _ in range(ticks)]) for share in SHARES}
            rss = psutil.Process().memory_info().rss
            cache = int(bench.store.redis.info("memory")["used_memory"])
            shown = bench.store.redis.hlen("tw:boards")
    return {
        "events_a_second": round(events / filling),
        "take_over_ms": {name: round(value, 1) for name, value in take_over.items()},
        "boards": shown,
        "tick_ms": results,
        "engine_rss_mb": round(rss / _MB),
        "table_rss_mb": round((rss - before) / _MB),
        "cache_mb": round(cache / _MB),
        "polars_threads": _polars_threads(),
    }


def _polars_threads() -> int:
    import polars

    return int(polars.thread_pool_size())


def _main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("symbols", "scanners", "ticks"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    sys.stdout.write(json.dumps(run(options.symbols, options.scanners, options.ticks)) + "\n")


if __name__ == "__main__":
    _main()
