"""The publisher of `bench fanout --board`: the real engine over a market of its own, whose one board ticks.

`python -m control.bench.fanout_board_publisher ARGUMENTS`, one JSON object. What it says is what the publisher of plain
messages says, and at last what the board is. A stamped message follows each tick, on the plain messages' feed.
"""

import json
import os
import sys
from statistics import mean
from time import monotonic, sleep, time_ns
from typing import Final

import django
import msgspec

from control.bench.fanout_clients import board_digest
from control.bench.fanout_messages import END, FEED, LEAST_SIZE, padding, stamped
from control.bench.fanout_publisher import Began
from control.bench.market import Market
from control.bench.saying import say

SLUG: Final = "fanout"
# So many of its symbols have a bar, prints and a quote in a tick.
_CHANGED: Final = 0.3
# More symbols than rows: some enter the board, others leave it.
_SYMBOLS_A_ROW: Final = 1.2


class Ticking(msgspec.Struct, frozen=True):
    """What is published.

    Attributes:
        url: The cache's.
        rows: Of the board.
        rate: Ticks a second.
        phases: Each with its length in seconds.
    """

    url: str
    rows: int
    rate: float
    phases: list[tuple[int, float]]


class Ticked(msgspec.Struct, frozen=True, tag_field="is", tag="ticked"):
    """Everything is published.

    Attributes:
        ticks: How many.
        board_bytes: How long the board was, in the mean.
        digest: Of the board in the cache, at last.
    """

    ticks: int
    board_bytes: int
    digest: str


def publish(ticking: Ticking) -> None:
    """Fill the table, and let it tick."""
    from processors.scanning.board_messages import board_key
    from processors.scanning.boards import ScannerRow

    key = board_key(SLUG)
    board = ScannerRow(SLUG, "price > 0", "pct_change", limit=ticking.rows)
    market = Market(ticking.url, round(_SYMBOLS_A_ROW * ticking.rows) + 1, [board])
    market.fill()
    before, due = padding(LEAST_SIZE), monotonic()
    sizes: list[int] = []
    for phase, seconds in ticking.phases:
        say(Began(phase, time_ns() // 1_000))
        for _ in range(round(seconds * ticking.rate)):
            sleep(max(0.0, due - monotonic()))
            market.tick(_CHANGED)
            market.store.redis.publish(FEED, stamped(before, phase, time_ns() // 1_000))
            sizes.append(market.store.redis.strlen(key))
            due += 1 / ticking.rate
    market.store.redis.publish(FEED, stamped(before, END, time_ns() // 1_000))
    say(Ticked(len(sizes), round(mean(sizes)), board_digest(json.loads(market.store.redis.get(key)))))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    publish(msgspec.json.decode(sys.argv[1], type=Ticking))
