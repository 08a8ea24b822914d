"""The publisher's connection to the broker: batches as feed tasks, confirmed when the broker gets round to it.

Over AMQP every message is answered in its own time with an ack or a nack, many of them at once. Over Redis what was
written has arrived, and a round of messages is written at once.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import redis
from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError  # type: ignore[attr-defined]  # not in the stubs

from listener.events import Batch
from listener.following import Following
from processors.tasks import FEED_TASKS
from project import queues
from project.batch_serializer import NAME as SERIALIZER

# What a broker that is away, blocked or failing raises, whichever transport speaks to it.
BROKER_ERRORS: Final = (OperationalError, BatchPublishError, OSError, AMQPError, redis.RedisError)
_CONNECT_TIMEOUT_S = 5.0
# A broker that takes nothing from its socket for so long is as good as gone.
_WRITE_TIMEOUT_S = 2.0


class BrokerLink:
    """One connection; after an error it is closed, and another one made.

    Every method may raise one of `BROKER_ERRORS`.

    Attributes:
        blocked: Whether the broker has said that it takes nothing at present (its memory or its disk is full).
    """

    def __init__(self, app: Celery, ttl_ms: int, lossless: bool, following: Following) -> None:
        """Connect.

        Args:
            app: The Celery application.
            ttl_ms: How long after its receipt a batch expires.
            lossless: Nothing expires, and everything goes to the lossless queue.
            following: Says which batches are followed.
        """
        self.blocked = False
        self._app, self._ttl_ms, self._lossless, self._following = app, ttl_ms, lossless, following
        self._batches: dict[str, tuple[str, Batch]] = {}
        self._unanswered: dict[int, str] = {}
        self._tag = 0
        self._declared: set[str] = set()
        self._connection = _connection(
            app,
            # The transport's own way is to wait for each confirm before the next message.
            confirm_publish=False,
            on_blocked=lambda reason: self._set_blocked(True),
            on_unblocked=lambda: self._set_blocked(False),
        )
        self._connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=_CONNECT_TIMEOUT_S)
        self._channel: Any = self._connection.channel()
        self._producer: Any = app.amqp.Producer(self._channel)
        self._confirms = self._connection.transport.driver_type == "amqp"
        if self._confirms:
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)

    def send(self, batches: dict[str, tuple[str, Batch]]) -> None:
        """Publish batches without waiting for the answers; a broker that blocks meanwhile gets no more of them.

        Args:
            batches: Feed and batch by the batch's id. The broker's answers take out what it has: at once, or in `wait`.
        """
        self._batches = batches
        with self._producer.batch():
            for feed, batch in list(batches.values()):  # answers to the first may come before the last is sent
                if self.blocked:
                    return
                self._publish(feed, batch)
        if not self._confirms:
            for batch_id in batches:
                self._following.answered(batch_id)
            batches.clear()

    def wait(self, timeout: float) -> bool:
        """Wait for answers to what was sent.

        Returns:
            Whether every message is answered. One that was refused is still among the batches then.
        """
        with suppress(TimeoutError):
            while self._unanswered or self.blocked:
                self._connection.drain_events(timeout=timeout)
        return not self._unanswered and not self.blocked

    def depth(self, queue: str) -> int:
        """Messages that wait in a queue of the project."""
        declared: Any = self._app.amqp.queues[queue](self._channel).queue_declare()
        return int(declared.message_count)

    def close(self, in_order: bool = False) -> None:
        """Put the connection away; `in_order` takes leave of the broker, which waits for its answer."""
        self._following.given_up()
        # A dead connection may fail in any way while it is put away.
        with suppress(Exception):
            if in_order and not self.blocked:
                self._connection.release()
            else:
                self._connection.collect()

    def _publish(self, feed: str, batch: Batch) -> None:
        """The one place where feed tasks are sent.

        The message is Celery's own; `apply_async` would look up for each one what is known here, at twice the cost.
        """
        queue = queues.LOSSLESS if self._lossless else feed
        if queue not in self._declared:
            self._app.amqp.queues[queue](self._channel).declare()
            self._declared.add(queue)
        expires = None if self._lossless else datetime.fromtimestamp((batch.received_at + self._ttl_ms) / 1_000, UTC)
        message = self._app.amqp.as_task_v2(
            batch.id,
            FEED_TASKS[feed].name,
            args=(batch,),
            expires=expires,
            ignore_result=True,
            argsrepr="",
            kwargsrepr="",
        )
        self._tag += 1
        if self._confirms:
            self._unanswered[self._tag] = batch.id
        self._producer.publish(
            message.body,
            exchange="",
            routing_key=queue,
            serializer=SERIALIZER,
            delivery_mode="transient",
            timeout=_WRITE_TIMEOUT_S,
            headers={
                **message.headers,
                queues.HEADER_EVENTS: len(batch.events),
                queues.HEADER_SOURCE: batch.source,
                queues.HEADER_FEED: feed,
                queues.HEADER_BATCH: batch.id,
                queues.HEADER_RECEIVED: batch.received_at,
                **self._following.headers(feed, batch),
            },
            **message.properties,
        )

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked

    def _answered(self, tag: int, multiple: bool) -> Iterable[str]:
        tags = [sent for sent in self._unanswered if sent <= tag] if multiple else [tag]
        return [self._unanswered.pop(one) for one in tags if one in self._unanswered]

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for batch in self._answered(tag, multiple):
            self._batches.pop(batch, None)
            self._following.answered(batch)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._answered(tag, multiple)


def _connection(app: Celery, **transport_options: object) -> Any:  # the stubs know of no confirms
    return app.connection_for_write(transport_options=transport_options)
