"""Patterns of feeds: what a grant names, and what it covers.

A pattern is a feed's name, or a name's beginning and `*`. A cache key is read by the rights of the feed of its name.
"""

import re
from collections.abc import Collection
from typing import Final

MARKETS: Final = ("stocks", "options", "indices", "crypto", "forex", "futures")
# The first words of the documented feeds. Redis carries more than these: the broker's own channels, for one.
FAMILIES: Final = frozenset(
    (*MARKETS, "quote", "bars", "scanners", "top_10_lists", "alerts", "news", "status", "unknown")
)
# The market's clock and the feed's state: the page cannot even say that it is connected without it.
_FOR_EVERYONE: Final = "status"
# What whoever reads everything reads.
EVERY_FEED: Final = frozenset(f"{family}*" for family in FAMILIES)
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,100}|[A-Za-z0-9_.:/-]{1,99}\*")


def problem_of(pattern: str) -> str:
    """Why a grant cannot have this pattern, for whoever wrote it; "" when it can."""
    if not _WELL_FORMED.fullmatch(pattern):
        return (
            "Use a feed's name such as scanners:top_gainers, or its beginning and * such as scanners:*: letters, "
            "digits and _ . : / - only, * at the end alone, at most 100 characters."
        )
    if _family(pattern) not in FAMILIES:
        return (
            f"There are no feeds that begin so. Begin with one of {', '.join(sorted(FAMILIES))}, "
            "in full: scanners:*, not scan*."
        )
    return ""


def covers(granted: str, wanted: str) -> bool:
    """Whether a granted pattern covers all of another: a feed, or everything that a wanted pattern matches."""
    if granted.endswith("*"):
        return wanted.removesuffix("*").startswith(granted[:-1])
    return granted == wanted


def allows(patterns: Collection[str], feed: str) -> bool:
    """Whether grants of these patterns let somebody read a feed, a cache key, or all that a pattern matches.

    One of them has to cover all of it: two that cover it together only do not.
    """
    if _family(feed) not in FAMILIES:
        return False
    return feed == _FOR_EVERYONE or any(covers(pattern, feed) for pattern in patterns)


def in_words(patterns: Collection[str]) -> str:
    """What somebody with these patterns may read, for people."""
    if set(patterns) >= EVERY_FEED:
        return "everything"
    return ", ".join(sorted(patterns)) or "nothing but the market's clock and the feed's state (status)"


def _family(pattern: str) -> str:
    return pattern.removesuffix("*").partition(":")[0]
