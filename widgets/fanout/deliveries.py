"""When a batch's messages have gone out: workers say what they have merged, after its messages and on the same way."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from processors.batch_traces import DELIVERED, delivered, noting, now_us

log = logging.getLogger(__name__)


class Deliveries:
    """Notes of each followed batch when this process has written its messages to all sockets that had room."""

    def __init__(self) -> None:
        self._ask: Callable[..., Any] | None = None

    def note_through(self, ask: Callable[..., Any]) -> None:
        """Take note over this connection from now on."""
        self._ask = ask

    def heard(self, data: bytes) -> None:
        """A worker says that it has merged a batch: its messages have come; they go out when the loop's turn ends."""
        asyncio.get_running_loop().call_soon(self._written, data)

    def _written(self, data: bytes) -> None:
        try:
            note = delivered(data, now_us())
        except msgspec.DecodeError as error:
            log.warning("what was said of a batch cannot be read: %s", error)
            return
        if note is not None and self._ask is not None:
            for command in noting(DELIVERED, note):
                self._ask(*command)
