"""What the operator looks at when something came that the system does not know, or cannot use."""

import re
from typing import Final, TypedDict

import msgspec

from processors.merging.raw import UNKNOWN_KEYS
from processors.store import SAMPLES, Store

_SAMPLE_BYTES: Final = 500
_MOST_REASONS: Final = 20
_EVENT_TYPE: Final = re.compile(rb'"ev"\s*:\s*"([^"\\]{1,40})"')


class UnknownType(TypedDict):
    """An event type that no market's documentation knew.

    Attributes:
        type: The event's `ev`; empty when it gives none in its beginning.
        kept: How many of its events are kept; all types together are capped.
        key: The newest one's, for `get` at the WebSocket service.
        sample: The newest one's beginning.
    """

    type: str
    kept: int
    key: str
    sample: str


class Malformed(TypedDict):
    """Why events of a feed could not be used, and the beginning of the last one."""

    feed: str
    reason: str
    sample: str


def unknown_types(store: Store) -> list[UnknownType]:
    """The unknown types of the present source, the one that came last first.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    keys = store.redis.zrevrange(UNKNOWN_KEYS, 0, -1)
    with store.redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.getrange(key, 0, _SAMPLE_BYTES - 1)
        samples = pipe.execute()
    types: dict[str, UnknownType] = {}
    for key, sample in zip(keys, samples, strict=True):
        if not sample:
            continue  # its time to live is over
        found = _EVENT_TYPE.search(sample)
        name = found[1].decode("utf-8", "replace") if found else ""
        known = types.setdefault(
            name, UnknownType(type=name, kept=0, key=key.decode(), sample=sample.decode("utf-8", "replace"))
        )
        known["kept"] += 1
    return list(types.values())


def malformed(store: Store) -> list[Malformed]:
    """The last events that could not be used, the newest of each feed and reason.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    newest: dict[tuple[str, str], Malformed] = {}
    for raw in store.redis.lrange(SAMPLES, 0, -1):
        sample = msgspec.json.decode(raw, type=Malformed)
        newest.setdefault((sample["feed"], sample["reason"]), sample)
    return list(newest.values())[:_MOST_REASONS]
