"""What tests look at when reference data has been loaded, and how they begin."""

from typing import Any

import msgspec

from processors.reference import REFERENCE_COLUMNS, REFERENCE_TEXTS, ReferenceState, reference_state
from processors.reference.cache import Cache
from processors.store import REFERENCE, Store
from tests.processors.feeding import at, begin
from tests.processors.vendor_server import VendorServer


def row(store: Store, symbol: str) -> dict[str, Any]:
    raw = store.redis.hget(REFERENCE, symbol)
    assert raw is not None, symbol
    return dict(zip((*REFERENCE_COLUMNS, *REFERENCE_TEXTS), msgspec.msgpack.decode(raw), strict=True))


def state(store: Store) -> ReferenceState:
    found = reference_state(store)
    assert found is not None
    return found


def let_time_pass(store: Store, vendor: VendorServer) -> None:
    """As if whatever was waited for were over."""
    source = store.source()
    assert source is not None
    cache = Cache(store.redis, source, vendor.url)
    for name, kind in cache.kinds().items():
        cache.put_kind(name, msgspec.structs.replace(kind, again_at=0.0))
    cache.wait(0.001)
    while cache.waits_until():
        pass


def begin_live(store: Store, clock: str = "2024-03-12 08:00:00.000", run: int = 1) -> None:
    begin(store, f"live:stocks:{run}", clock=at(clock), kind="live")
