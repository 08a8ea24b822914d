"""The accounts of every event, by feed (design rule 5).

`received = malformed + dropped + buffered + published` is the listener's equation, each term from its own counters.
`published = processed + expired_broker + expired_worker + expired_age + overflowed + failed + lost + in_flight` is the
processors': each term is counted where it happens. What was published and is settled nowhere yet is in flight, and lost
when that lasts ten seconds beyond its time to live.
"""

from collections.abc import Mapping
from time import time
from typing import Final

from processors.store import Store, accounts_key, listener_accounts_key, open_key
from project.queues import FEEDS

LISTENER_TERMS: Final = ("received", "malformed", "dropped", "buffered", "published")
SETTLED_TERMS: Final = ("processed", "expired_broker", "expired_worker", "expired_age", "overflowed", "failed")
TERMS: Final = (*LISTENER_TERMS, *SETTLED_TERMS, "lost", "in_flight", "duplicate")
_GRACE_S: Final = 10


def accounts(store: Store, source: str, ttl_ms: int, now: float | None = None) -> dict[str, dict[str, int]]:
    """Every term by feed, all of one moment.

    Args:
        store: The cache.
        source: The source's id.
        ttl_ms: A message's time to live.
        now: Epoch seconds.
    """
    with store.redis.pipeline(transaction=True) as pipe:
        pipe.hgetall(listener_accounts_key(source))
        pipe.hgetall(accounts_key(source))
        pipe.hgetall(open_key(source))
        listener, settled, open_ = pipe.execute()
    result = {feed: dict.fromkeys(TERMS, 0) for feed in FEEDS}
    for name, value in listener.items():
        _, feed, term = name.decode().rsplit(":", 2)
        result[feed][term] += int(value)
    for name, value in settled.items():
        feed, _, term = name.decode().partition(":")
        result[feed][term] += int(value)
    oldest = (time() if now is None else now) - ttl_ms / 1_000 - _GRACE_S
    for name, value in open_.items():
        feed, _, second = name.decode().partition(":")
        result[feed]["lost" if int(second) < oldest else "in_flight"] += int(value)
    return result


def imbalance(terms: Mapping[str, int]) -> tuple[int, int]:
    """What is missing in either equation of a feed: 0 and 0 when every event is accounted for."""
    listener = terms["received"] - sum(terms[term] for term in ("malformed", "dropped", "buffered", "published"))
    settled = terms["published"] - sum(terms[term] for term in (*SETTLED_TERMS, "lost", "in_flight"))
    return listener, settled
