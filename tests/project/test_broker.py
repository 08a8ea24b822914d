"""How the application meets its broker: one that is away, and one whose queue differs."""

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from project import queues
from project.broker import PromptAMQP
from project.processes import free_port


def _app(broker: str) -> Celery:
    app = Celery("test", amqp=PromptAMQP, broker=broker, set_as_current=False)
    app.conf.task_queues = (queues.feed_queue("trades", 5_000),)
    return app


def test_a_broker_that_is_away_is_asked_for_every_second() -> None:
    pauses: list[float] = []
    connection = _app(f"amqp://127.0.0.1:{free_port()}//").connection_for_read()
    with connection, pytest.raises(OperationalError):
        connection.ensure_connection(lambda error, pause: pauses.append(pause), max_retries=3)
    assert pauses == [0.5, 1.0, 1.0]


def test_a_worker_that_meets_a_queue_with_other_settings_says_so_and_ends(
    rabbitmq: str, caplog: pytest.LogCaptureFixture
) -> None:
    queues.declare(rabbitmq, 7_000)
    app = _app(rabbitmq)
    with app.connection_for_read() as connection, pytest.raises(SystemExit) as ended:
        app.amqp.TaskConsumer(connection.default_channel)
    assert ended.value.code == 1
    assert caplog.messages == [queues.differences(rabbitmq, 5_000)["trades"]]
