"""HTTP requests within bounds: whole within a minute, no larger than Django takes, one after the other.

Twisted gives a client another minute for each byte that it sends; it keeps a body of any size in a file until the last
byte of it has come, and only then does Django refuse it; and it answers a few hundred requests at once that have come
in one piece, though nobody reads the answers.
"""

from typing import Any

from django.conf import settings
from twisted.web import http

_TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedChannel(http.HTTPChannel):
    """One connection's requests."""

    transport: Any
    _networkProducer: Any  # noqa: N815
    _begun = False
    # Bytes of the body that comes in.
    _size = 0
    # The next requests, which wait until the answer before them is being read.
    _next = b""

    def resetTimeout(self) -> None:  # noqa: N802 - Twisted's name
        """Something has come: a request has its time from its first byte on, and gets no more by sending slowly."""
        if not self._begun:
            self._begun = True
            super().resetTimeout()  # type: ignore[no-untyped-call]  # Twisted types it not

    def allContentReceived(self) -> None:  # noqa: N802
        """A request is there; what comes now is the next one."""
        self._begun, self._size = False, 0
        super().allContentReceived()  # type: ignore[no-untyped-call]

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802
        """Take a piece of a body, or what follows a request that is being answered."""
        if not self._handlingRequest:
            self._size += len(data)
            if self._size > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
                self.transport.write(_TOO_LARGE)
                self.loseConnection()  # type: ignore[no-untyped-call]
                return
        super().rawDataReceived(data)

    def setLineMode(self, extra: bytes = b"") -> Any:  # noqa: N802
        """A request is answered: go on with what has come meanwhile, if there is room for its answer."""
        if extra and self._waitingForTransport:
            self._networkProducer.pauseProducing()
            self._next, extra = extra, b""
        return super().setLineMode(extra)  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:  # noqa: N802
        """There is room again."""
        super().resumeProducing()  # type: ignore[no-untyped-call]
        if self._next:
            data, self._next = self._next, b""
            self.dataReceived(data)  # type: ignore[no-untyped-call]
