"""The accounts of a system that runs: they balance whenever they are asked for, and what disappears is lost."""

import os
import signal
from typing import Any

import kombu
import pytest

from processors.accounts import accounts, contradictions
from processors.store import accounts_key, published_key
from project import queues
from tests.integration.pipeline import Pipeline
from tests.services import manage, wait_until

_RATE = 2_000
_FEED_S = 120
_TTL_MS = 1_000


@pytest.mark.parametrize("pipeline", ["rabbitmq"], indirect=True)
def test_the_check_holds_while_events_flow_and_what_is_swallowed_is_lost(pipeline: Pipeline, rabbitmq: str) -> None:
    pipeline.env["MESSAGE_TTL_MS"] = str(_TTL_MS)
    worker = pipeline.worker(1)
    worker.wait_for(" ready.", 60)
    pipeline.bench_feed(_RATE, _FEED_S)
    listener = pipeline.start("listen", "manage.py", "listen")
    wait_until(lambda: pipeline.settled() > _RATE, 60, "the flow")
    assert "Every event is accounted for" in pipeline.manage("stats", "--check")

    # Now a consumer takes a batch and never says what became of it. A stopped worker leaves it one.
    swallowed = _swallow(rabbitmq, worker.process.pid)
    assert listener.end() == 0

    source = pipeline.store.source()
    assert source is not None

    def feeds() -> dict[str, dict[str, int]]:
        found = accounts(pipeline.store, source.id, _TTL_MS)
        assert contradictions(found) == []
        return found

    # A second to live, and ten until it is called lost.
    wait_until(
        lambda: all(terms["in_flight"] == 0 for terms in feeds().values()), 30, "the last second's end", every=0.1
    )
    assert {feed: terms["lost"] for feed, terms in feeds().items() if terms["lost"]} == {"quotes": swallowed}

    # An event that nobody accounts for is told, with figures, and the command fails.
    pipeline.store.redis.hincrby(accounts_key(source.id), "quotes:processed", -1)
    pipeline.store.redis.hincrby(published_key(source.id), "other:trades:5", -2)
    done = manage("stats", "--check", "--json", env=pipeline.env)
    assert done.returncode == 1
    assert "quotes: published" in done.stderr
    assert "1 are not accounted for" in done.stderr
    assert "trades: more was settled" in done.stderr


def _swallow(url: str, worker: int) -> int:
    """Take a batch of quotes off its queue while the worker stands still; how many events it had."""

    channel: Any
    os.kill(worker, signal.SIGSTOP)
    try:
        with kombu.Connection(url) as connection, connection.channel() as channel:
            messages: list[Any] = []

            def taken() -> bool:
                message = channel.basic_get("quotes", no_ack=True)
                if message is not None:
                    messages.append(message)
                return bool(messages)

            wait_until(taken, 10, "a batch that waits")
            return int(messages[0].headers[queues.HEADER_EVENTS])
    finally:
        os.kill(worker, signal.SIGCONT)
