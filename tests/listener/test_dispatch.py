"""Batches on their way to a real broker: what arrives, and what happens when broker or cache are away."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic, time
from typing import Any

import kombu
import msgspec
import pytest
from celery import Celery
from django.conf import settings
from kombu.serialization import loads

from listener.batching import BatchLimits, Buffer
from listener.dispatch import ListenerAccounts, Pace, Publisher
from listener.sorting import SortedFrame
from processors.accounts import accounts, imbalance
from processors.store import Store
from project import queues
from project.batch_serializer import CONTENT_TYPE
from project.embedded import EmbeddedValkey, PrivateRabbitMQ
from project.processes import free_port
from tests.listener.proxy import Proxy
from tests.services import wait_until

SOURCE = "simulator:1"
# Longer than a broker takes to start; the queues have the project's own time to live.
TTL_MS = 60_000


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    return Store()


def application(url: str) -> Celery:
    """An application whose connections are to another broker than the project's; tasks and queues are the project's."""
    app = Celery("test", broker=url, set_as_current=False)
    app.conf.update(
        broker_transport_options={"confirm_publish": True, "connect_timeout": 2},
        task_queues=queues.all_queues(settings.MESSAGE_TTL_MS),
    )
    return app


class Sender:
    """A publisher that runs, and the buffer that feeds it."""

    def __init__(self, app: Celery, store: Store, ttl_ms: int, lossless: bool) -> None:
        limits = BatchLimits(100, 20, 1_000_000, ttl_ms, lossless)
        self.buffer = Buffer(limits, int(time() * 1_000_000))
        self.buffer.begin_source(SOURCE)
        self.publisher = Publisher(app, self.buffer, ListenerAccounts(store, self.buffer, "run"), limits)
        self.sent = 0

    @property
    def problem(self) -> str:
        """What is wrong with the broker, as the listener reports it."""
        return self.publisher.health.broker_error

    def wait_until_idle(self) -> None:
        """Return when the broker has answered everything."""
        wait_until(lambda: not (link := self.publisher._link) or not link._unanswered, what="the broker's answers")

    def send(self, feed: str = "trades", count: int = 3) -> list[bytes]:
        """Put events of their own into the buffer, as a frame that came now."""
        events = [b'{"ev":"T", "n":%d}' % number for number in range(self.sent, self.sent + count)]
        self.sent += count
        self.buffer.add(SortedFrame({feed: [msgspec.Raw(event) for event in events]}), int(time() * 1_000))
        return events


@contextmanager
def sending(
    url: str, store: Store, ttl_ms: int = TTL_MS, lossless: bool = False, app: Celery | None = None
) -> Iterator[Sender]:
    sender = Sender(app or application(url), store, ttl_ms, lossless)
    sender.publisher.start()
    try:
        yield sender
    finally:
        sender.publisher.stop(2.0)
        assert not sender.publisher.is_alive()


def receive(url: str, queue: str, seconds: float = 10.0) -> Any:
    """The next message of a queue; its body is read as a worker does."""
    with kombu.Connection(url, connect_timeout=5) as connection, connection.channel() as channel:
        bound = kombu.Queue(queue, channel=channel)
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            try:
                message = bound.get(no_ack=True)
            except connection.channel_errors as error:
                raise AssertionError(f"there is no queue {queue}") from error
            if message is not None:
                return message
    raise AssertionError(f"nothing came to {queue}")


def batch_of(message: Any) -> Any:
    ((batch,), _, _) = loads(message.body, message.content_type, message.content_encoding, accept={CONTENT_TYPE})
    return batch


def terms(store: Store, feed: str = "trades") -> dict[str, int]:
    found = accounts(store, SOURCE, TTL_MS)[feed]
    assert imbalance(found) == (0, 0)
    return {name: value for name, value in found.items() if value}


def test_a_batch_arrives_with_its_headers_and_expires(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with sending(rabbitmq, store) as sender:
        events = sender.send("quotes")
        message = receive(rabbitmq, "quotes")
    batch = batch_of(message)
    assert [bytes(event) for event in batch.events] == events
    assert batch.source == SOURCE
    assert message.headers["task"] == "processors.tasks.process_quotes"
    assert {name: value for name, value in message.headers.items() if name.startswith("tw_")} == {
        queues.HEADER_EVENTS: 3,
        queues.HEADER_SOURCE: SOURCE,
        queues.HEADER_FEED: "quotes",
        queues.HEADER_BATCH: batch.id,
        queues.HEADER_RECEIVED: batch.received_at,
    }
    expires = datetime.fromisoformat(message.headers["expires"]).timestamp()
    assert expires == pytest.approx((batch.received_at + TTL_MS) / 1_000, abs=0.002)
    assert message.properties["delivery_mode"] == 1
    assert message.headers["argsrepr"] == ""
    assert terms(store, "quotes") == {"received": 3, "published": 3, "in_flight": 3}


def test_every_feed_has_a_queue_of_its_own(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with sending(rabbitmq, store) as sender:
        for feed in queues.FEEDS:
            sender.send(feed, 1)
        tasks = {receive(rabbitmq, feed).headers["task"].rpartition("_")[2] for feed in queues.FEEDS}
    assert tasks == {"aggregates", "trades", "quotes", "halts", "news", "unknown"}


def test_a_lossless_batch_never_expires(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with sending(rabbitmq, store, ttl_ms=1, lossless=True) as sender:
        sender.send("trades")
        message = receive(rabbitmq, queues.LOSSLESS)
    assert message.headers["expires"] is None
    assert message.headers["task"] == "processors.tasks.process_trades"
    assert len(batch_of(message).events) == 3


def test_a_lossless_publisher_waits_for_the_workers_and_loses_nothing(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    events = 0
    with sending(rabbitmq, store, lossless=True) as sender:
        for _ in range(30):
            events += len(sender.send("trades", 1_000))

        def waiting() -> int:
            with kombu.Connection(rabbitmq) as connection:
                channel: Any = connection.channel()
                return int(channel.queue_declare(queues.LOSSLESS, passive=True).message_count)

        wait_until(lambda: waiting() >= 64, what="publishing up to the credit")
        # Its credit is checked before each round, of at most 32 batches.
        assert waiting() < 64 + 32
        arrived = 0
        while arrived < events:
            arrived += len(batch_of(receive(rabbitmq, queues.LOSSLESS)).events)
    assert arrived == events == 30_000
    assert terms(store) == {"received": events, "published": events, "in_flight": events}


def test_what_is_buffered_at_the_end_is_still_published(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with sending(rabbitmq, store) as sender:
        sender.send("trades", 250)
    counts = [len(batch_of(receive(rabbitmq, "trades")).events) for _ in range(3)]
    assert sum(counts) == 250
    assert terms(store)["published"] == 250


def test_a_batch_is_accounted_for_before_it_is_sent(store: Store) -> None:
    with sending(f"amqp://guest:guest@127.0.0.1:{free_port()}//", store) as sender:
        sender.send("trades", 5)
        wait_until(lambda: terms(store).get("published"), what="the account")
        assert terms(store) == {"received": 5, "published": 5, "in_flight": 5}
        wait_until(lambda: sender.publisher.health.broker_error, what="the report")
        # What comes meanwhile waits, and reading is never kept waiting.
        began = monotonic()
        for _ in range(100):
            sender.send("trades", 100)
        assert monotonic() - began < 0.5
        wait_until(lambda: terms(store).get("buffered", 0) > 0, what="the accounts' next report")
    assert "guest" not in sender.publisher.health.broker_error


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


def test_a_flood_of_one_feed_does_not_starve_another(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with Proxy(rabbitmq) as proxy, sending(proxy.url, store) as sender:
        proxy.hold()
        for _ in range(50):
            sender.send("quotes", 1_000)
        sender.send("halts", 1)
        proxy.resume()
        receive(rabbitmq, "halts")
        # The halt came last and left in the first round; the flood needs many.
        assert terms(store, "quotes")["buffered"] > 0


def test_rounds_are_the_farther_apart_the_more_comes() -> None:
    def settled(rate: int) -> float:
        pace = Pace(0.02)
        return [pace.pause(rate // 100, 0.01) for _ in range(500)][-1]

    assert settled(0) == 0
    assert settled(10_000) == pytest.approx(0.004, rel=0.05)
    assert settled(50_000) == pytest.approx(0.02, rel=0.05)
    assert settled(300_000) == 0.02


def test_what_belongs_to_an_ended_source_is_neither_published_nor_counted(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    sender = Sender(application(rabbitmq), store, TTL_MS, lossless=False)
    written = ListenerAccounts(store, sender.buffer, "run")
    sender.send("trades", 4)
    taken = sender.buffer.take(0)
    sender.buffer.begin_source("simulator:2")
    assert not written.count(taken)
    written.write()
    assert terms(store) == {}
    assert accounts(store, "simulator:2", TTL_MS)["trades"]["published"] == 0


def test_an_error_that_nobody_expects_ends_the_publisher_and_is_kept(rabbitmq: str, store: Store) -> None:
    with sending(rabbitmq, store) as sender:
        # The sorting never lets such bytes through.
        sender.buffer.add(SortedFrame({"trades": [msgspec.Raw(b'"\xff"')]}), int(time() * 1_000))
        wait_until(lambda: sender.publisher.failed, what="the end")
        wait_until(lambda: not sender.publisher.is_alive(), what="the thread's end")


def test_stopping_waits_no_longer_than_it_is_told(store: Store) -> None:
    sender = Sender(application(f"amqp://guest:guest@127.0.0.1:{free_port()}//"), store, TTL_MS, lossless=False)
    sender.publisher.start()
    sender.send("trades", 5)
    wait_until(lambda: sender.publisher.health.broker_error, what="the report")
    stop: Callable[[float], None] = sender.publisher.stop
    began = monotonic()
    stop(0.2)
    assert monotonic() - began < 2
    assert not sender.publisher.is_alive()
