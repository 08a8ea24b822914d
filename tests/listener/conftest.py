"""What the listener writes to, over the private Valkey."""

import pytest

from processors.store import Store
from project.embedded import EmbeddedValkey


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    """A store of its own; empty."""
    return Store()
