"""The merging path's store, over the private Valkey."""

from collections.abc import Iterator

import pytest

from processors.store import Store, default_store
from project.embedded import EmbeddedValkey
from tests.processors.vendor_server import VendorServer, serving_vendor


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    """The store that the feed tasks of this process write to; empty."""
    return default_store()


@pytest.fixture
def vendor() -> Iterator[VendorServer]:
    """A vendor that knows one symbol, ABC, which closes at the day of the month."""
    with serving_vendor() as server:
        yield server
