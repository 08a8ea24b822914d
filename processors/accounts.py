"""The accounts of every event, by feed (design rule 5).

`received = malformed + dropped + buffered + published` is the listener's equation, each term from its own counters.
`published = processed + expired_broker + expired_worker + expired_age + overflowed + failed + lost + in_flight` is the
processors': each term is counted where it happens. The listener says in absolute figures how much it published, by the
second of receipt; the processors count what they settle by the same second. The difference is in flight, and lost when
that lasts ten seconds beyond its time to live. In a lossless run nothing ever expires, so there it stays in flight.
"""

from collections.abc import Mapping
from time import time
from typing import Final

from processors.store import SOURCE, Store, accounts_key, listener_accounts_key, published_key, settled_key
from project.queues import FEEDS

LISTENER_TERMS: Final = ("received", "malformed", "dropped", "buffered", "published")
SETTLED_TERMS: Final = ("processed", "expired_broker", "expired_worker", "expired_age", "overflowed", "failed")
TERMS: Final = (*LISTENER_TERMS, *SETTLED_TERMS, "lost", "in_flight", "duplicate")
_EQUATIONS: Final = (
    ("received", ("malformed", "dropped", "buffered", "published")),
    ("published", (*SETTLED_TERMS, "lost", "in_flight")),
)
GRACE_S: Final = 10


def accounts(store: Store, source: str, ttl_ms: int, now: float | None = None) -> dict[str, dict[str, int]]:
    """Every term by feed, all of one moment.

    Args:
        store: The cache.
        source: The source's id.
        ttl_ms: A message's time to live.
        now: Epoch seconds.
    """
    with store.redis.pipeline(transaction=True) as pipe:
        for key in (listener_accounts_key, accounts_key, published_key, settled_key):
            pipe.hgetall(key(source))
        pipe.hmget(SOURCE, "id", "lossless")
        listener, processors, published, settled, (present, lossless) = pipe.execute()
    result = {feed: dict.fromkeys(TERMS, 0) for feed in FEEDS}
    for name, value in listener.items():
        _, feed, term = name.decode().rsplit(":", 2)
        if term in LISTENER_TERMS:
            result[feed][term] += int(value)
    for name, value in processors.items():
        feed, _, term = name.decode().partition(":")
        result[feed][term] += int(value)
    oldest = (time() if now is None else now) - ttl_ms / 1_000 - GRACE_S
    endless = present == source.encode() and lossless == b"1"
    for sign, seconds in ((1, published), (-1, settled)):
        for name, value in seconds.items():
            *_, feed, second = name.decode().rsplit(":", 2)
            missing = "lost" if int(second) < oldest and not endless else "in_flight"
            result[feed][missing] += sign * int(value)
    return result


def imbalance(terms: Mapping[str, int]) -> tuple[int, int]:
    """What is missing in either equation of a feed: 0 and 0 when every event is accounted for."""
    listener, processors = (terms[whole] - sum(terms[part] for part in parts) for whole, parts in _EQUATIONS)
    return listener, processors


def contradictions(feeds: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What is wrong with the accounts, a line each in words and figures; nothing when they balance.

    Args:
        feeds: The terms by feed, all of one moment.
    """
    lines = []
    for feed, terms in feeds.items():
        for (whole, parts), missing in zip(_EQUATIONS, imbalance(terms), strict=True):
            if missing:
                said = " + ".join(f"{part} {terms[part]:,}" for part in parts)
                lines.append(f"{feed}: {whole} {terms[whole]:,} is not {said}: {missing:,} are not accounted for")
        # A cache that lost its last second shows this for the moment until the listener has told it again.
        negative = [f"{term} {events:,}" for term, events in terms.items() if events < 0]
        if negative:
            lines.append(f"{feed}: more was settled than the listener says that it published ({', '.join(negative)})")
    return lines
