"""How workers and publishers meet their broker: how soon they ask again for one that is away, and what they say of a
queue that differs."""

import logging
from typing import Any

from amqp.exceptions import PreconditionFailed
from celery.app.amqp import AMQP
from kombu import Connection

from project import queues

log = logging.getLogger(__name__)

_ANSWER_S = 2


def asking_connection(url: str) -> Connection:
    """A connection for whoever asks a broker something and waits no longer than two seconds for any of its answers.

    One whose host was cut off never fails by itself.
    """
    waits = (
        ("socket_timeout", "socket_connect_timeout") if url.startswith("redis") else ("read_timeout", "write_timeout")
    )
    return Connection(url, connect_timeout=_ANSWER_S, transport_options=dict.fromkeys(waits, _ANSWER_S))


class PromptConnection(Connection):
    """A connection that asks every second for a broker that is away.

    kombu's pauses grow by two seconds to thirty: a worker would come back long after the broker; a batch lives five.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """As kombu does, with other pauses where the caller names none."""
        pauses = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 1.0}
        return super().ensure_connection(*args, **{**pauses, **options})


class PromptAMQP(AMQP):
    """The application's side of AMQP, over such connections."""

    Connection = PromptConnection

    def TaskConsumer(self, *args: Any, **options: Any) -> Any:  # noqa: N802 - Celery's own name
        """A worker's consumer of its queues; one that differs ends the worker with a sentence, not with a traceback."""
        try:
            return super().TaskConsumer(*args, **options)
        except PreconditionFailed as error:
            sentence = queues.refusal(error)
            if sentence is None:
                raise
            log.critical("%s", sentence)
            raise SystemExit(1) from error
