"""Parts killed under load: the flow comes back, nothing counts twice, and what was lost is counted under its reason."""

import signal
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
import redis

from project.embedded import EmbeddedValkey, PrivateRabbitMQ
from tests.integration.pipeline import Pipeline, assert_balanced
from tests.services import Part, wait_until

_RATE = "5000"
# A message lives five seconds, and ten later it is called lost.
_SETTLED_S = 25.0
# Generous: how long it takes is for a bench to say, on a machine that does nothing else.
_BACK_S = 40.0


def _begin(pipeline: Pipeline) -> tuple[Part, Part]:
    """A simulated open at a few thousand events a second, two workers, and a listener that is live; the latter two."""
    workers = [pipeline.worker(1), pipeline.worker(2)]
    feed = pipeline.start(
        "simulate",
        *("manage.py", "simulate", "--port", str(pipeline.port), "--rate", _RATE, "--start", "2026-11-20 10:00"),
    )
    feed.wait_for("listening", 30)
    for worker in workers:
        worker.wait_for("ready", 30)
    listener = pipeline.start("listen", "manage.py", "listen")
    _flows(pipeline, 20)
    return workers[0], listener


def _flows(pipeline: Pipeline, seconds: float) -> None:
    """Wait until a few hundred more events are settled."""
    before, deadline = None, monotonic() + seconds
    while monotonic() < deadline:
        try:
            settled = pipeline.settled()
        except redis.ConnectionError:
            continue
        before = settled if before is None else before
        if settled > before + 500:
            return
    raise AssertionError(f"nothing flows within {seconds:g} s")


def _end(pipeline: Pipeline, listener: Part) -> dict[str, int]:
    """Stop the listener, wait until every event is settled or lost; the sums over all feeds."""
    assert listener.end() == 0

    def nothing_in_flight() -> bool:
        return all(terms["in_flight"] == 0 for terms in pipeline.stats()["feeds"].values())

    wait_until(nothing_in_flight, _SETTLED_S, "the last event's end", every=0.5)
    stats = pipeline.stats()
    assert_balanced(stats)
    feeds = stats["feeds"].values()
    return {term: sum(terms[term] for terms in feeds) for term in next(iter(feeds))}


@pytest.mark.parametrize("pipeline", ["rabbitmq"], indirect=True)
def test_a_killed_worker_loses_nothing(pipeline: Pipeline) -> None:
    worker, listener = _begin(pipeline)
    worker.process.send_signal(signal.SIGKILL)
    # The other takes over what was not acknowledged.
    _flows(pipeline, _BACK_S)
    sums = _end(pipeline, listener)
    assert sums["lost"] == sums["failed"] == 0
    assert sums["processed"] == sums["published"]


@pytest.mark.parametrize("pipeline", ["rabbitmq"], indirect=True)
def test_a_killed_listener_is_followed_by_another(pipeline: Pipeline) -> None:
    _, listener = _begin(pipeline)
    listener.process.send_signal(signal.SIGKILL)
    listener.process.wait(5)
    second = pipeline.start("listen2", "manage.py", "listen")
    # Its start takes a second or two, and the lease of the dead one three.
    second.wait_for("live:", _BACK_S)
    _flows(pipeline, _BACK_S)
    sums = _end(pipeline, second)
    assert sums["failed"] == 0
    # At most what the dead one had in its hands was counted as published and never sent.
    assert sums["lost"] < 5_000
    assert sums["processed"] + sums["lost"] + sums["expired_worker"] + sums["expired_broker"] == sums["published"]


def test_a_killed_broker_and_a_killed_cache_come_back(tmp_path: Path) -> None:
    with PrivateRabbitMQ() as broker, EmbeddedValkey() as cache, ExitStack() as stack:
        pipeline = Pipeline(stack, tmp_path, cache, broker.url)
        _begin(pipeline)
        broker.kill()
        broker.start()
        _flows(pipeline, _BACK_S)
        cache.kill()
        cache.start()
        _flows(pipeline, _BACK_S)
        pipeline.stop()
