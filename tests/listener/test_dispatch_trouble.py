"""Publishing while broker or cache are away, blocked, silent, or refuse."""

import struct
from time import monotonic
from typing import Any

import kombu
from django.conf import settings

from processors.store import Store
from project import queues
from project.embedded import EmbeddedValkey, PrivateRabbitMQ
from project.processes import free_port
from tests.listener.proxy import Proxy
from tests.listener.publishing import application, batch_of, receive, sending, terms
from tests.services import wait_until


def test_what_a_broker_that_is_away_makes_too_old_is_given_up(store: Store) -> None:
    with sending(f"amqp://guest:guest@127.0.0.1:{free_port()}//", store, ttl_ms=300) as sender:
        sender.send("trades", 5)
        wait_until(lambda: terms(store).get("published"), what="the account")
        sender.send("trades", 7)
        wait_until(lambda: terms(store).get("dropped"), what="dropping what is too old")
    # One of them was on its way: it counts as in flight until it counts as lost.
    assert terms(store) == {"received": 12, "published": 5, "dropped": 7, "in_flight": 5}


def test_a_broker_that_went_and_came_back_is_published_to_again(store: Store) -> None:
    with PrivateRabbitMQ() as broker:
        queues.declare(broker.url, settings.MESSAGE_TTL_MS)
        with sending(broker.url, store) as sender:
            sender.send("trades", 1)
            receive(broker.url, "trades")
            broker.kill()
            events = sender.send("trades", 4)
            wait_until(lambda: sender.publisher.health.broker_error, what="the report")
            broker.start()
            arrived: list[bytes] = []
            while len(arrived) < 4:
                arrived += [bytes(event) for event in batch_of(receive(broker.url, "trades")).events]
            assert arrived == events
            wait_until(lambda: not sender.publisher.health.broker_error, what="the end of the report")
            sender.send("trades", 2)
            receive(broker.url, "trades")
    assert terms(store) == {"received": 7, "published": 7, "in_flight": 7}


def test_a_redis_broker_that_went_and_came_back_is_published_to_again(store: Store) -> None:
    with EmbeddedValkey(persist=False) as broker, sending(broker.broker_url, store) as sender:
        sender.send("trades", 1)
        receive(broker.broker_url, "trades")
        broker.kill()
        events = sender.send("trades", 250)
        wait_until(lambda: sender.problem, what="the report")
        broker.start()
        wait_until(lambda: not sender.problem, what="the end of the report")
        assert _events(broker.broker_url, 250)[0] == events
    assert terms(store) == {"received": 251, "published": 251, "in_flight": 251}


def test_a_cache_that_is_away_does_not_stop_publishing_and_learns_it_all_later(
    rabbitmq: str, store: Store, valkey: EmbeddedValkey
) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with sending(rabbitmq, store) as sender:
        valkey.kill()
        sender.send("trades", 4)
        receive(rabbitmq, "trades")
        assert sender.publisher.health.cache_error
        valkey.start()
        wait_until(lambda: not sender.publisher.health.cache_error, what="the next report")
        assert terms(store) == {"received": 4, "published": 4, "in_flight": 4}


# Frames that a broker may send at any time: connection.blocked, connection.unblocked, channel.close.
def _method(channel: int, class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    payload = struct.pack(">HH", class_id, method_id) + arguments
    return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


BLOCKED = _method(0, 10, 60, b"\x0alow memory")
UNBLOCKED = _method(0, 10, 61)
CHANNEL_CLOSED = _method(1, 20, 40, struct.pack(">H", 541) + b"\x00" + struct.pack(">HH", 0, 0))


def _events(url: str, count: int, queue: str = "trades") -> tuple[list[bytes], list[str]]:
    """The next events of a queue, each batch's once, and the ids of all batches that came."""
    events: list[bytes] = []
    ids: list[str] = []
    while len(events) < count:
        batch = batch_of(receive(url, queue))
        if batch.id not in ids:
            events += [bytes(event) for event in batch.events]
        ids.append(batch.id)
    return events, ids


def test_a_blocked_broker_keeps_nobody_waiting_and_gets_it_all_afterwards(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with Proxy(rabbitmq) as proxy, sending(proxy.url, store) as sender:
        sender.send()
        _events(rabbitmq, 3)
        proxy.hold()
        proxy.say(BLOCKED)
        events = sender.send("trades", 4)
        wait_until(lambda: "blocked" in sender.problem, what="the report")
        began = monotonic()
        for _ in range(100):
            events += sender.send("trades", 20)
        assert monotonic() - began < 0.5
        wait_until(lambda: terms(store).get("buffered", 0) == 2_000, what="the accounts' next report")
        proxy.say(UNBLOCKED)
        proxy.resume()
        arrived, ids = _events(rabbitmq, 2_004)
        wait_until(lambda: not sender.problem, what="the end of the report")
    assert arrived == events
    # What had been sent before was not sent again.
    assert len(ids) == len(set(ids))
    assert terms(store) == {"received": 2_007, "published": 2_007, "in_flight": 2_007}


def test_a_broker_that_blocks_within_a_round_gets_no_more_of_it(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with Proxy(rabbitmq) as proxy, sending(proxy.url, store) as sender:
        sender.send()
        _events(rabbitmq, 3)
        sender.wait_until_idle()
        proxy.say(BLOCKED)
        events = sender.send("trades", 300)
        # It says so when the first batch is on its way; that is taken and confirmed.
        wait_until(lambda: "blocked" in sender.problem, what="the report")
        arrived, _ = _events(rabbitmq, 100)
        with kombu.Connection(rabbitmq) as connection:
            channel: Any = connection.channel()
            assert channel.queue_declare("trades", passive=True).message_count == 0
        proxy.say(UNBLOCKED)
        assert arrived + _events(rabbitmq, 200)[0] == events
        wait_until(lambda: not sender.problem, what="the end of the report")


def test_a_broker_that_confirms_nothing_is_tried_anew_and_what_comes_twice_has_one_id(
    rabbitmq: str, store: Store
) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with Proxy(rabbitmq) as proxy, sending(proxy.url, store) as sender:
        sender.send()
        _events(rabbitmq, 3)
        proxy.mute()
        events = sender.send("trades", 4)
        wait_until(lambda: "confirmed nothing" in sender.problem, what="the report")
        proxy.resume()
        wait_until(lambda: not sender.problem, what="the end of the report")
        first, second = (batch_of(receive(rabbitmq, "trades")) for _ in range(2))
    assert first == second
    assert [bytes(event) for event in first.events] == events
    assert terms(store) == {"received": 7, "published": 7, "in_flight": 7}


def test_a_channel_that_is_closed_between_rounds_is_replaced(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with Proxy(rabbitmq) as proxy, sending(proxy.url, store) as sender:
        sender.send()
        _events(rabbitmq, 3)
        proxy.say(CHANNEL_CLOSED)
        events = sender.send("trades", 250)
        assert _events(rabbitmq, 250)[0] == events
    assert terms(store)["published"] == 253


def test_a_batch_that_is_refused_is_offered_again(rabbitmq: str, store: Store) -> None:
    app = application(rabbitmq)
    full = {"x-overflow": "reject-publish", "x-max-length": 1}
    app.conf.task_queues = (kombu.Queue("trades", queue_arguments=full),)
    with sending(rabbitmq, store, app=app) as sender:
        events = sender.send("trades", 300)
        wait_until(lambda: "refused" in sender.problem, what="the report")
        arrived, ids = _events(rabbitmq, 300)
        wait_until(lambda: not sender.problem, what="the end of the report")
    assert sorted(arrived) == sorted(events)
    assert len(ids) == 3
    assert terms(store) == {"received": 300, "published": 300, "in_flight": 300}
