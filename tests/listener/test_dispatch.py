"""Batches on their way to a real broker: what arrives, and what happens when broker or cache are away."""

from collections.abc import Callable
from datetime import datetime
from time import monotonic, time
from typing import Any

import kombu
import msgspec
import pytest
from django.conf import settings

from listener.dispatch import ListenerAccounts, Pace
from listener.sorting import SortedFrame
from processors.accounts import accounts
from processors.store import Store
from project import queues
from project.processes import free_port
from tests.listener.proxy import Proxy
from tests.listener.publishing import SOURCE, TTL_MS, Sender, application, batch_of, receive, sending, terms
from tests.services import wait_until


def test_a_batch_arrives_with_its_headers_and_expires(rabbitmq: str, store: Store) -> None:
    queues.declare(rabbitmq, settings.MESSAGE_TTL_MS)
    with sending(rabbitmq, store) as sender:
        events = sender.send("quotes")
        message = receive(rabbitmq, "quotes")
    batch = batch_of(message)
    assert [bytes(event) for event in batch.events] == events
    assert batch.source == SOURCE
    assert message.headers["task"] == "processors.tasks.process_quotes"
    # The first of a feed is followed on its way.
    assert message.headers.pop(queues.HEADER_PUBLISHED) / 1_000 >= batch.received_at
    assert message.headers.pop(queues.HEADER_MEASURED) is True
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
