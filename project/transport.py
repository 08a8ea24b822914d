"""TCP for many sockets that each get little at a time: written at the end of the loop's turn, not by way of epoll.

Twisted registers a transport with the reactor for each write, is called when the kernel has room, which it nearly
always has, and takes it out again: twice as dear as the write itself. Here all that a turn of the event loop has
written to a transport goes out at its end, in one piece; the reactor is asked only when the kernel takes no more.

Nothing is copied on the way: a message for many sockets is in memory once, however much of it each still has to take.
"""

import asyncio
import errno
from typing import Any, ClassVar, Final

from twisted.internet import tcp
from twisted.internet.main import CONNECTION_LOST

# What the kernel takes at once (IOV_MAX).
_MOST_PIECES: Final = 1_024


class PromptTransport(tcp.Server):
    """One accepted connection."""

    _turn: ClassVar[list["PromptTransport"]] = []
    # In the list of this turn.
    _due = False
    # With the reactor, because the kernel takes no more.
    _waits = False
    _all_written = True

    def startWriting(self) -> None:  # noqa: N802 - Twisted's name
        """There is something to write."""
        if self._due or self._waits:
            return
        self._due = True
        if not self._turn:
            asyncio.get_running_loop().call_soon(_end_turn, self._turn)
        self._turn.append(self)

    def stopWriting(self) -> None:  # noqa: N802
        """There is nothing more to write, or nobody to write to."""
        self._due = False
        self._all_written = True
        if self._waits:
            self._waits = False
            super().stopWriting()  # type: ignore[no-untyped-call]  # Twisted types it not

    def doWrite(self) -> Any:  # noqa: N802
        """Write what the kernel takes."""
        pieces: list[bytes | memoryview] = self._tempDataBuffer  # type: ignore[assignment]  # joined by Twisted's own
        if pieces:
            try:
                taken = self.socket.sendmsg(pieces if len(pieces) <= _MOST_PIECES else pieces[:_MOST_PIECES])
            except OSError as error:
                # The latter is said by macOS and the BSDs for a while.
                return None if error.errno in (errno.EAGAIN, errno.ENOBUFS) else CONNECTION_LOST
            self._tempDataLen -= taken
            if self._tempDataLen:
                whole = 0
                while taken >= len(pieces[whole]):
                    taken -= len(pieces[whole])
                    whole += 1
                del pieces[:whole]
                pieces[0] = memoryview(pieces[0])[taken:]
                return None
            pieces.clear()
        # All is written: what follows from that is as ever.
        return super().doWrite()  # type: ignore[no-untyped-call]  # Twisted types it not

    def writeSomeData(self, data: bytes) -> Any:  # noqa: N802
        """Nothing is left to write, and the kernel need not be told."""
        return super().writeSomeData(data) if data else 0

    def flush(self) -> None:
        """Write now what the kernel takes, and wait with the rest until it takes more."""
        if self._waits:
            return
        self._due = self._all_written = False
        # It calls `stopWriting` when it has written all.
        failed = self.doWrite()
        if failed is not None or not self._all_written:
            # The reactor comes to the same result, and knows what to do with a failure.
            self._waits = True
            super().startWriting()  # type: ignore[no-untyped-call]  # Twisted types it not


def _end_turn(turn: list[PromptTransport]) -> None:
    written = turn.copy()
    turn.clear()
    for transport in written:
        if transport._due:
            transport.flush()


def install() -> None:
    """Have every listening socket of this process make such transports."""
    tcp.Port.transport = PromptTransport
