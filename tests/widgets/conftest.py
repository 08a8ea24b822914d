"""A web server for all tests of a module, and a cache to publish through."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio as redis_async

from project.embedded import EmbeddedValkey
from tests.widgets.serving import Talk, Web, new_token, web_server


@pytest.fixture(scope="module")
def _web(
    _valkey_server: EmbeddedValkey, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    folder: Path = tmp_path_factory.mktemp("web")
    with web_server(folder, _valkey_server.url) as web:
        yield web


@pytest.fixture
def web(_web: Web, valkey: EmbeddedValkey, transactional_db: None) -> Web:
    """The real server, with an empty cache and an empty database that the test process shares."""
    return _web


@pytest.fixture
def cache(valkey: EmbeddedValkey) -> Iterator["redis.Redis"]:
    """A client of the server's cache."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
async def async_cache(valkey: EmbeddedValkey) -> AsyncIterator["redis_async.Redis"]:
    """A client of the cache, for tests of hubs without a server."""
    async with redis_async.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
def talk(web: Web) -> Iterator[Talk]:
    """A client that is let in as an ordinary user."""
    with Talk.authorised(web, new_token("visitor")) as talk:
        yield talk
