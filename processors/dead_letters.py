"""Counts what the broker expired or pushed out: a consumer of the dead-letter queue, inside each feed worker."""

from typing import Any

from celery import bootsteps
from kombu import Consumer
from kombu.message import Message

from project import queues

_TERMS = {"expired": "expired_broker", "maxlen": "overflowed"}


class DeadLetterStep(bootsteps.ConsumerStep):
    """Part of a worker that consumes feed queues; other workers leave the dead letters alone."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def get_consumers(self, channel: Any) -> list[Consumer]:
        from project.celery import app

        if not set(queues.FEEDS) & set(app.amqp.queues.consume_from):
            return []
        queue = queues.dead_letter_queue()
        return [Consumer(channel, queues=[queue], on_message=self.on_message, accept=None, prefetch_count=100)]

    def on_message(self, message: Message) -> None:
        """Count one dead letter by its reason and forget it. Its body is never opened."""
        from processors.tasks import count_disposed

        deaths: Any = message.headers.get("x-death") or [{}]
        term = _TERMS.get(deaths[0].get("reason", ""), "failed")
        if queues.HEADER_BATCH in message.headers:
            count_disposed(message.headers, term)
        message.ack()
