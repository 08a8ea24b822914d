"""The merging path's store, over the private Valkey."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from control.models import Scanner
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


@pytest.fixture
def only_our_scanners(db: None) -> None:
    """No shipped boards beside the test's own."""
    Scanner.objects.all().delete()


@pytest.fixture
def listening(valkey: EmbeddedValkey) -> Iterator[Any]:
    """A subscription to everything, from before the test on."""
    patterns = ("scanners:*", "quote:*", "status", "alerts*", "top_10_lists", "tw:delta:*")
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as pubsub:
        pubsub.psubscribe(*patterns)
        for _ in patterns:
            assert pubsub.get_message(timeout=5.0)["type"] == "psubscribe"
        yield pubsub
