"""The servers and files that tests ask for. A test that asks for none starts none."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import kombu
import pytest
import redis
from django.conf import settings

from project import frontend, provision, queues
from project.embedded import EmbeddedValkey, PrivateRabbitMQ
from project.env import BASE_DIR
from project.processes import ServiceUnavailable
from tests import independent

if settings.SETTINGS_MODULE != "tests.settings":
    pytest.exit(f"DJANGO_SETTINGS_MODULE is {settings.SETTINGS_MODULE}: unset it, tests have their own.", returncode=4)


def _flushes(item: pytest.Item) -> bool:
    """Whether a test leaves the database without what migrations put there."""
    mark = item.get_closest_marker("django_db")
    return "transactional_db" in getattr(item, "fixturenames", ()) or bool(mark and mark.kwargs.get("transaction"))


# What takes half a minute or more, a file or a folder.
_LONGEST: Final = (
    *("tests/browser", "tests/control/test_up.py", "tests/integration/test_controls.py", "tests/widgets/test_fuzz.py"),
    *("tests/control/test_bench.py", "tests/project/test_compose.py", "tests/integration"),
    *("tests/processors/test_checkpoints.py", "tests/control/test_api_fuzzed.py"),
)


def _place(item: pytest.Item) -> int:
    path = item.path.relative_to(BASE_DIR)
    return next((place for place, long in enumerate(_LONGEST) if path.is_relative_to(long)), len(_LONGEST))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell the parallel run what stays together, in which order: a file's tests, and last those that flush.

    Of both the longest come first, so that no process works on alone at the end. A RabbitMQ that was given serves one
    test at a time.
    """
    items.sort(key=lambda item: (_flushes(item), _place(item)))
    given = "TEST_AMQP_URL" in os.environ
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        shares_a_broker = given and "rabbitmq" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("broker" if shares_a_broker else f"{item.path}:{_flushes(item)}"))


_REAL_DAY = BASE_DIR.parent / "shared" / "recordings" / "2013-10-07.ndjson.gz"


@pytest.fixture(scope="session")
def _valkey_server() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(settings.VALKEY_SOCKET, settings.RUN_DIR / "valkey", persist=False) as server:
        yield server


@pytest.fixture
def valkey(_valkey_server: EmbeddedValkey) -> EmbeddedValkey:
    """A private Valkey, empty; the settings of the test process (`REDIS_URL`, the default broker) mean this one."""
    if not _valkey_server.ready():
        # An earlier test ended it.
        _valkey_server.kill()
        _valkey_server.start()
    with redis.Redis.from_url(_valkey_server.url) as client:
        client.flushall()
        client.config_resetstat()
    return _valkey_server


@pytest.fixture(scope="session")
def _rabbitmq_url() -> Iterator[str]:
    given = os.environ.get("TEST_AMQP_URL", "")
    if given:
        yield given
        return
    try:
        server = PrivateRabbitMQ()
        server.start()
    except ServiceUnavailable as error:
        pytest.fail(str(error))
    yield server.url
    server.stop()


@pytest.fixture
def rabbitmq(_rabbitmq_url: str) -> str:
    """The address of a RabbitMQ without our queues: a private node, or `TEST_AMQP_URL`.

    It serves the whole session; a test that kills its broker takes a `PrivateRabbitMQ` of its own.
    """
    with kombu.Connection(_rabbitmq_url, connect_timeout=10) as connection, connection.channel() as channel:
        for name in (queues.DEAD_LETTERS, *queues.FEED_WORKER_QUEUES, queues.SCANS, queues.JOBS):
            kombu.Queue(name, channel=channel).delete()
    return _rabbitmq_url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium, for Playwright's `executable_path`."""
    try:
        return str(provision.chromium_program())
    except ServiceUnavailable as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def built_frontend() -> Path:
    """The folder of the built front end, built now if its sources changed."""
    try:
        frontend.build()
    except frontend.BuildError as error:
        pytest.fail(str(error))
    return frontend.OUTPUT


@pytest.fixture(scope="session")
def real_day() -> Path:
    """The recording of a real day: 638,619 events of AIG, BAC, IBM and SPY."""
    if not _REAL_DAY.exists():
        pytest.fail(f"The recording of the real day is not at {_REAL_DAY}: put it there.")
    return _REAL_DAY


@pytest.fixture(scope="session")
def real_rows(real_day: Path) -> dict[str, dict[str, Any]]:
    """The real day's table by the independent computation."""
    return independent.table(event for frame in independent.frames(real_day) for event in frame)
