"""`bench scan`: what a tick of the engine costs over a table of so many symbols and so many scanners.

It runs in a process of its own that polars has one thread in; the private Valkey beside it is another process.
`python -m control.bench.scan` prints one line of JSON.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import django
import psutil

from control.bench.market import Market
from project.embedded import EmbeddedValkey

if TYPE_CHECKING:
    from processors.scanning.boards import ScannerRow

# Share of the symbols of which something changed since the tick before.
SHARES: Final = (0.0, 0.01, 0.1)
MOST_SYMBOLS, MOST_SCANNERS, MOST_TICKS = 200_000, 500, 1_000
_MB: Final = 1024 * 1024

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


def _scanners(number: int) -> "list[ScannerRow]":
    from processors.scanning.boards import ScannerRow

    rows = []
    for place in range(number):
        where, order_by = _CONDITIONS[place % len(_CONDITIONS)]
        step = 1 + place // len(_CONDITIONS)
        texts = where.format(step, 20 * step, 20_000 * step)
        rows.append(ScannerRow(f"board_{place}", texts, order_by, alert_on=_ALERTS[place % len(_ALERTS)], cooldown_s=0))
    return rows


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
            bench = Market(server.url, symbols, _scanners(scanners))
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
