"""What the cache holds about the system, read in a few round trips."""

from time import perf_counter, time
from typing import Any, Final

import msgspec
from django.conf import settings

from control.batch_latency import StageLatency, batch_latency
from processors import store as keys
from processors.accounts import accounts
from processors.components.report import Component, expected
from processors.reference.state import ReferenceState
from processors.store import Source, Store, source_from
from widgets.visitors.presence import Process, processes


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one moment.

    Attributes:
        now: Epoch milliseconds.
        components: The last word of everyone who is expected.
        accounts: Every term by feed.
        status: What the engine last published; empty when it has not for ten seconds.
        listener: The listener's report; empty when it has not reported for ten seconds.
        crew: What `up` says of the feed workers that it keeps; empty where it does not run.
        info: The cache's own figures.
        answer_ms: How long the cache took to answer.
    """

    now: int
    source: Source | None
    components: list[Component]
    accounts: dict[str, dict[str, int]]
    status: dict[str, Any]
    listener: dict[str, Any]
    crew: dict[str, Any]
    reference: ReferenceState | None
    web: list[Process]
    latency: dict[str, StageLatency]
    info: dict[str, Any]
    answer_ms: float


_decode_report: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decode_reference: Final = msgspec.json.Decoder(ReferenceState).decode


def read_facts(store: Store) -> Facts:
    """Read it all.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    asked = perf_counter()
    store.redis.ping()
    answer_ms = (perf_counter() - asked) * 1_000
    with store.redis.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.SOURCE)
        pipe.mget(keys.LISTENER_STATE, keys.STATUS, keys.FEED_CREW, keys.REFERENCE_STATE)
        pipe.info()
        of_source, (listener, status, crew, reference), info = pipe.execute()
    source = source_from(of_source)
    return Facts(
        now=round(time() * 1_000),
        source=source,
        components=expected(store.redis),
        accounts=accounts(store, source.id if source else "", settings.MESSAGE_TTL_MS),
        status=_decode(status),
        listener=_decode(listener),
        crew=_decode(crew),
        reference=_decode_reference(reference) if reference else None,
        web=processes(store.redis),
        latency=batch_latency(store.redis).stages,
        info=info,
        answer_ms=answer_ms,
    )


def _decode(report: bytes | None) -> dict[str, Any]:
    """A report's content; none where nothing that could be one stands."""
    try:
        return _decode_report(report) if report else {}
    except msgspec.DecodeError:
        return {}
