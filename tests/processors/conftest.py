"""The merging path's store, over the private Valkey."""

import pytest

from processors.store import Store, default_store
from project.embedded import EmbeddedValkey


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    """The store that the feed tasks of this process write to; empty."""
    return default_store()
