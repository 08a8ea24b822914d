"""Callers of the API, and a market for them."""

from collections.abc import Iterator

import pytest

from control import preview
from processors.store import Store, default_store
from project.embedded import EmbeddedValkey
from tests.control.api_callers import NOW, Api
from tests.processors.feeding import batch, begin, feed_in, trade
from tests.rights import new_user


@pytest.fixture
def trader(db: None) -> Api:
    return Api(new_user("trader"))


@pytest.fixture
def other(db: None) -> Api:
    return Api(new_user("other"))


@pytest.fixture
def staff(db: None) -> Api:
    return Api(new_user("operator", staff=True))


@pytest.fixture
def market(valkey: EmbeddedValkey) -> Iterator[Store]:
    """A table of three symbols."""
    store = default_store()
    preview.live_rows.cache_clear()
    begin(store)
    prices = {"LOW": 2.0, "MID": 10.0, "TOP": 50.0}
    feed_in(("trades", batch([trade(symbol, NOW, price) for symbol, price in prices.items()])))
    yield store
    preview.live_rows.cache_clear()
