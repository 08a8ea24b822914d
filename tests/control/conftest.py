"""Callers of the API, and a market for them."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from control import preview
from control.roles import Role
from processors.store import Store, default_store
from project.embedded import EmbeddedValkey
from tests.control.account_people import PASSWORD, log_in
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


@pytest.fixture
def ann(db: None) -> User:
    """A trader with a password."""
    user = User.objects.create_user("ann", "ann@example.com", PASSWORD)
    user.groups.add(Group.objects.get(name=Role.TRADER))
    return user


@pytest.fixture
def at_home(ann: User) -> Client:
    """A browser where Ann has just logged in."""
    client = Client(headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0 Safari/537.36"})
    assert log_in(client, "ann").status_code == 302
    return client


@pytest.fixture
def boss(db: None) -> Client:
    """A browser where a superuser is logged in."""
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client
