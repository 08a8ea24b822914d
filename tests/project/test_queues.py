"""Queues that exist with other settings, on a real RabbitMQ: said in a sentence, renewed, and no work lost silently."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection, Queue
from pytest_django import Settings

from control import startup
from control.selectors import queue_depths
from project import queues
from project.checks import check_queues
from project.processes import free_port
from tests.services import environment, manage

_TTL_MS = 5_000
_OTHER_TTL_MS = 7_000


@pytest.fixture
def channel(rabbitmq: str) -> Iterator[Any]:
    with Connection(rabbitmq) as connection, connection.channel() as channel:
        yield channel


def _waiting(channel: Any, name: str) -> int:
    count: int = channel.queue_declare(name, passive=True).message_count
    return count


def _put(rabbitmq: str, name: str) -> None:
    with Connection(rabbitmq) as connection:
        connection.Producer().publish({}, routing_key=name)


def test_declared_queues_do_not_differ(rabbitmq: str) -> None:
    assert queues.declare(rabbitmq, _TTL_MS) == []
    assert queues.declare(rabbitmq, _TTL_MS) == []
    assert queues.differences(rabbitmq, _TTL_MS) == {}


def test_looking_for_differences_makes_no_queue(rabbitmq: str, channel: Any) -> None:
    assert queues.differences(rabbitmq, _TTL_MS) == {}
    with pytest.raises(Exception, match="no queue 'trades'"):
        _waiting(channel, "trades")


def test_another_time_to_live_is_said_by_name_with_what_to_do(rabbitmq: str) -> None:
    queues.declare(rabbitmq, _OTHER_TTL_MS)
    found = queues.differences(rabbitmq, _TTL_MS)
    assert set(found) == {*queues.FEEDS, queues.SCANS}
    sentence = found["aggregate"]
    assert sentence.startswith("The queue aggregate exists with x-message-ttl ")
    assert "7000" in sentence
    assert "5000" in sentence
    assert "`manage.py up` declares it anew" in sentence
    # Nothing was changed by looking.
    assert queues.declare(rabbitmq, _OTHER_TTL_MS) == []


def test_check_says_so(rabbitmq: str, tmp_path: Path) -> None:
    queues.declare(rabbitmq, _OTHER_TTL_MS)
    done = manage("check", env=environment(tmp_path, CELERY_BROKER_URL=rabbitmq))
    assert done.returncode == 0
    assert "(tapewatch.W002) The queue aggregate exists with x-message-ttl" in done.stderr
    assert "The same goes for trades, quotes, halts, news, unknown, scans." in done.stderr


def test_check_says_nothing_of_a_broker_that_is_away_or_is_redis(settings: Settings) -> None:
    assert check_queues(None) == []
    settings.BROKER_IS_REDIS = False
    settings.CELERY_BROKER_URL = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
    assert check_queues(None) == []


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [("guest:guest", "guest:hush", "ACCESS_REFUSED"), ("//", "/nowhere", "vhost nowhere not found")],
)
def test_a_broker_that_refuses_us_is_said_without_the_password(
    rabbitmq: str, settings: Settings, right: str, wrong: str, message: str
) -> None:
    before, _, after = rabbitmq.rpartition(right)
    url = before + wrong + after
    settings.BROKER_IS_REDIS, settings.CELERY_BROKER_URL = False, url
    (warning,) = check_queues(None)
    assert message in warning.msg
    with pytest.raises(startup.CannotStart, match=f"refuses us .*{message}") as raised:
        startup.declare_queues(url, _TTL_MS)
    assert "hush" not in warning.msg + str(raised.value)
    # Only the command that shows the queues' depths goes on without them.
    assert set(queue_depths().values()) == {None}


def test_feed_queues_are_renewed_with_what_lies_in_them(rabbitmq: str, channel: Any) -> None:
    queues.declare(rabbitmq, _OTHER_TTL_MS)
    _put(rabbitmq, "trades")
    renewed = startup.declare_queues(rabbitmq, _TTL_MS)
    assert renewed == [*queues.FEEDS, queues.SCANS]
    assert queues.differences(rabbitmq, _TTL_MS) == {}
    assert _waiting(channel, "trades") == 0


@pytest.mark.parametrize("name", [queues.JOBS, queues.LOSSLESS, queues.DEAD_LETTERS])
def test_work_is_never_deleted_with_its_queue(rabbitmq: str, channel: Any, name: str) -> None:
    Queue(name, queue_arguments={"x-max-length": 7}, channel=channel).declare()
    _put(rabbitmq, name)
    with pytest.raises(startup.CannotStart, match=f"The queue {name} .* `rabbitmqctl delete_queue {name}`"):
        startup.declare_queues(rabbitmq, _TTL_MS)
    assert _waiting(channel, name) == 1
    channel.queue_purge(name)
    assert startup.declare_queues(rabbitmq, _TTL_MS) == [name]
    assert queues.differences(rabbitmq, _TTL_MS) == {}


def test_other_refusals_are_not_explained_as_a_difference() -> None:
    assert queues.refusal(PreconditionFailed("PRECONDITION_FAILED - unknown delivery tag 1")) is None
    assert queues.refusal(OSError("away")) is None
