"""Asking for reference data anew, though what there is would stand."""

from collections.abc import Collection
from typing import Final

import msgspec

from listener.events import market_of
from processors.reference.cache import Cache
from processors.reference.daily import AVERAGE_DAYS
from processors.reference.days import day_of, sessions_before
from processors.reference.loading import AVERAGE_VOLUME
from processors.reference.state import Kind, put_reference, reference_state
from processors.store import Store, answers_key

_WORDS_LIFE_S: Final = 30


def make_due(store: Store, base: str, kinds: Collection[str]) -> None:
    """Let kinds of reference data be asked for again by the next `refresh`; until it comes, the old data stands.

    Of the average volume the days go: they are told from their absence alone, and come back one by one.

    Args:
        store: The cache.
        base: Where REST calls go.
        kinds: Their names.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    source = store.source()
    if source is None or market_of(source.id) != "stocks" or (today := day_of(source)) is None:
        return
    cache = Cache(store.redis, source, base)
    due = {name: _due(kind) for name, kind in cache.kinds().items() if name in kinds}
    for name, kind in due.items():
        cache.put_kind(name, kind)
    if AVERAGE_VOLUME in kinds:
        cache.forget_days(sessions_before(today.date, AVERAGE_DAYS)[1:])
    state = reference_state(store)
    if state is not None and state.source == source.id:
        put_reference(store, msgspec.structs.replace(state, kinds={**state.kinds, **due}), {})


def say(store: Store, call: str, word: str) -> None:
    """Let whoever asked for it hear how far it is.

    Args:
        store: The cache.
        call: What the asking is known by.
        word: `begun` or `ended`.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    with store.redis.pipeline(transaction=True) as pipe:
        pipe.rpush(answers_key(call), word)
        pipe.expire(answers_key(call), _WORDS_LIFE_S)
        pipe.execute()


def _due(kind: Kind) -> Kind:
    return msgspec.structs.replace(kind, whole=False, cursor={}, problem="", again_at=0.0)
