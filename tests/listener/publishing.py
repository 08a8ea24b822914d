"""A publisher at work, and what arrives of it at a real broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, time
from typing import Any

import kombu
import msgspec
from celery import Celery
from django.conf import settings
from kombu.serialization import loads

from listener.batching import BatchLimits, Buffer
from listener.dispatch import ListenerAccounts, Publisher
from listener.sorting import SortedFrame
from processors.accounts import accounts, imbalance
from processors.store import Store
from project import queues
from project.batch_serializer import CONTENT_TYPE
from tests.services import wait_until

SOURCE = "simulator:1"
# Longer than a broker takes to start; the queues have the project's own time to live.
TTL_MS = 60_000


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
