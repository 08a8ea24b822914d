"""The messages of `bench fanout`: of one size each, with phase and time of publishing in a stamp at their end.

At the end, because what stands before it in a frame, an envelope with its growing number, has no fixed length.
"""

from typing import Final

# An in-order feed: nothing of it is conflated away, so that what does not arrive is lost.
FEED: Final = "stocks:trades:FANOUT"
# Phases of a run. The last message of all has the phase END.
WARM_UP, HEALTHY, SETTLING, STALLED, END = range(5)
LEAST_SIZE: Final = 100

_STAMP: Final = b'"stamp":['
_PHASE_AT: Final = len(_STAMP)
_SENT_AT: Final = _PHASE_AT + 2
_SENT_END: Final = _SENT_AT + 16
# The stamp's length, with the braces of message and envelope behind it.
_TAIL: Final = _SENT_END + 3


def padding(size: int) -> bytes:
    """What stands before the stamp in a message of `size` bytes."""
    return b'{"pad":"' + b"x" * (size - len(b'{"pad":"",') - _TAIL + 1) + b'",'


def stamped(padding: bytes, phase: int, sent_us: int) -> bytes:
    """A message.

    Args:
        padding: What `padding` made.
        phase: One digit.
        sent_us: Epoch microseconds.
    """
    return b"%s%s%d,%016d]}" % (padding, _STAMP, phase, sent_us)


def read_stamp(data: bytes, end: int) -> tuple[int, int] | None:
    """Phase and time of publishing (epoch microseconds) of the message that ends before `end`; None without a stamp."""
    at = data.find(_STAMP, end - _TAIL, end)
    if at < 0:
        return None
    return data[at + _PHASE_AT] - 48, int(data[at + _SENT_AT : at + _SENT_END])
