"""A pipeline for each test that asks for one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from project.embedded import EmbeddedValkey
from tests.integration.pipeline import Pipeline


@pytest.fixture
def pipeline(tmp_path: Path, valkey: EmbeddedValkey, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """A pipeline over the broker that the test's parameter names: `rabbitmq` or `embedded`."""
    broker = request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else None
    with ExitStack() as stack:
        pipeline = Pipeline(stack, tmp_path, valkey, broker)
        yield pipeline
        pipeline.stop()
