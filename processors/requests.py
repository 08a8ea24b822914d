"""How a feed worker acknowledges: at once."""

import logging

from celery.worker.request import Request

log = logging.getLogger(__name__)


class FeedRequest(Request):
    """A request that acknowledges where it stands instead of through the event loop's queue.

    Celery hands an acknowledgement to its event loop, which runs it after the next wait for the socket. With a `solo`
    pool the task has run in that loop's own thread, and once the prefetched messages are used up the broker sends
    nothing to end the wait: the worker would stand still for a second or more with work waiting for it.
    """

    _connection_errors: tuple[type[BaseException], ...]

    def acknowledge(self) -> None:
        """Tell the broker that the batch is dealt with."""
        if not self.acknowledged:
            self.message.ack_log_error(log, self._connection_errors)
            self.acknowledged = True
