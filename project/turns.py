"""Several processes on one listening socket: each takes one connection, and leaves the next to the others.

A connection wakes all of them. Twisted takes up to a hundred at once, so who is first may get a whole burst, and a
WebSocket stays for hours: of 200 clients that came at once to four processes one got 136 and another 8. With a
millisecond's pause after each connection they got 41 to 55. (Sockets of their own with SO_REUSEPORT share as well, but
what has been dealt to a process that hangs or ends waits there or is lost; here the others take it.)
"""

import asyncio
from typing import Final

from twisted.internet import tcp

_PAUSE_S: Final = 0.001


class TurnTakingPort(tcp.Port):
    """A listening socket that rests after each connection."""

    numberAccepts: int  # noqa: N815 - Twisted's name

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Take one connection, if nobody else was faster."""
        self.numberAccepts = 1
        super().doRead()  # type: ignore[no-untyped-call]  # Twisted types it not
        if self.connected:
            self.stopReading()  # type: ignore[no-untyped-call]
            asyncio.get_running_loop().call_later(_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()  # type: ignore[no-untyped-call]


def install() -> None:
    """Have every listening socket that this process opens or inherits from now on take turns."""
    tcp.Port = TurnTakingPort  # type: ignore[misc]
