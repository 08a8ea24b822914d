"""What the system's state asks servers: the broker over one connection, the database; and what silence is taken for."""

from threading import Event
from typing import Any

import pytest

from control.models import AuditEntry
from control.system import probing
from control.system.probing import Broker, Database, Depth, NoAnswer, Probe
from project import queues
from tests.listener.proxy import Proxy
from tests.services import wait_until


def test_rabbitmq_is_asked_over_one_connection(rabbitmq: str, settings: Any) -> None:
    settings.CELERY_BROKER_URL, settings.BROKER_IS_REDIS = rabbitmq, False
    broker = Broker()
    # A refusal closes a channel, not the connection.
    assert set(broker.ask().values()) == {None}
    queues.declare(rabbitmq, 5_000)
    depths = broker.ask()
    assert depths["trades"] == Depth(0, 0)
    assert depths[queues.DEAD_LETTERS] == Depth(0, 0)


def test_a_broker_that_falls_silent_is_given_up_and_asked_anew(
    rabbitmq: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("project.broker._ANSWER_S", 0.3)
    with Proxy(rabbitmq) as proxy:
        settings.CELERY_BROKER_URL, settings.BROKER_IS_REDIS = proxy.url, False
        broker = Broker()
        broker.ask()
        proxy.mute()
        with pytest.raises(NoAnswer):
            broker.ask()
        proxy.resume()
        assert broker.ask()


def test_a_broker_that_is_away_is_named_without_its_password(settings: Any) -> None:
    for url in ("amqp://user:hush@127.0.0.1:1//", "redis://:hush@127.0.0.1:1/0"):
        settings.CELERY_BROKER_URL, settings.BROKER_IS_REDIS = url, url.startswith("redis")
        with pytest.raises(NoAnswer) as caught:
            Broker().ask()
        assert "hush" not in str(caught.value)
        assert str(caught.value)


@pytest.mark.django_db(transaction=True)
def test_the_database_says_what_is_wanted_and_what_runs() -> None:
    asked = AuditEntry.objects.create(username="chief", via="browser", operation="listener.stop", target="listener")
    AuditEntry.objects.create(username="chief", via="browser", operation="listener.start", state="done")
    said = Database().ask()
    assert said.revision >= 0
    assert [(one.audit_id, one.operation, one.username) for one in said.running] == [
        (asked.pk, "listener.stop", "chief")
    ]


def test_what_does_not_answer_for_a_while_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_PATIENCE_S", 0.5)
    asked, go = Event(), Event()

    def ask() -> int:
        asked.set()
        go.wait(10)
        raise NoAnswer("it is gone")

    probe = Probe("test", ask, 0.01)
    probe.start()
    assert asked.wait(2)
    assert probe.latest.problem == ""
    wait_until(lambda: "no answer for" in probe.latest.problem, 5, "the problem")
    go.set()
    wait_until(lambda: probe.latest.problem == "it is gone", 2, "the refusal")
    probe.stop()
