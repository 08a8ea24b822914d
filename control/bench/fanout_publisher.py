"""The publisher of `bench fanout`: one message after the other, each at its time.

`python -m control.bench.fanout_publisher ARGUMENTS`, one JSON object. It says on standard output, one JSON object a
line, when a phase begins and what it sent.
"""

import sys
from time import monotonic, sleep, time_ns
from typing import Any

import msgspec

from control.bench.fanout_messages import END, FEED, padding, stamped
from control.bench.saying import say
from processors.store import connect


class Stream(msgspec.Struct, frozen=True):
    """What is published.

    Attributes:
        url: The cache's.
        size: Of a message, bytes.
        rate: Messages a second.
        phases: Each with its length in seconds.
    """

    url: str
    size: int
    rate: float
    phases: list[tuple[int, float]]


class Began(msgspec.Struct, frozen=True, tag_field="is", tag="began"):
    """A phase, at epoch microseconds."""

    phase: int
    at: int


class Sent(msgspec.Struct, frozen=True, tag_field="is", tag="sent"):
    """Messages by phase, and by how much the latest missed its time."""

    messages: dict[int, int]
    latest_ms: float


def publish(stream: Stream) -> None:
    """Send everything; a late message at once."""
    # As in `Store`: the library's types leave open whether an answer is awaited.
    cache: Any = connect(stream.url)
    before = padding(stream.size)
    sent: dict[int, int] = {}
    latest = 0.0
    due = monotonic()
    for phase, seconds in stream.phases:
        say(Began(phase, time_ns() // 1_000))
        sent[phase] = round(seconds * stream.rate)
        for _ in range(sent[phase]):
            late = monotonic() - due
            if late < 0:
                sleep(-late)
            latest = max(latest, late)
            cache.publish(FEED, stamped(before, phase, time_ns() // 1_000))
            due += 1 / stream.rate
    cache.publish(FEED, stamped(before, END, time_ns() // 1_000))
    say(Sent(sent, latest * 1_000))


if __name__ == "__main__":
    publish(msgspec.json.decode(sys.argv[1], type=Stream))
