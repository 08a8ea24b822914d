"""Bounds of HTTP requests, by Twisted's own clock: in time, in size."""

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPFactory

from project.requests import BoundedChannel


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(clock: Clock) -> Any:
    """A connection that the server has taken."""
    factory: Any = HTTPFactory(timeout=60, reactor=clock)  # type: ignore[arg-type]  # it is one
    factory.protocol = BoundedChannel
    channel = factory.buildProtocol(None)
    assert channel is not None
    transport: Any = StringTransport()  # type: ignore[no-untyped-call]  # Twisted types it not
    channel.makeConnection(transport)
    transport.protocol = channel
    return transport


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nHost: ", b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n"])
def test_a_request_that_never_ends_ends_after_a_minute(clock: Clock, connection: Any, begun: bytes) -> None:
    clock.advance(50)
    connection.protocol.dataReceived(begun)
    for _ in range(59):
        clock.advance(1)
        assert not connection.disconnecting
        connection.protocol.dataReceived(b"x")
    clock.advance(2)
    assert connection.disconnecting


@pytest.mark.parametrize("length", [b"Content-Length: 99999999", b"Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large_is_not_kept(connection: Any, length: bytes) -> None:
    connection.protocol.dataReceived(b"POST / HTTP/1.1\r\n" + length + b"\r\n\r\n")
    sent = 0
    while not connection.disconnecting:
        connection.protocol.dataReceived(b"ffff\r\n" + b"x" * 65_535 + b"\r\n")
        sent += 65_535
        assert sent < 3_000_000
    assert sent > 2_000_000
    assert connection.value().startswith(b"HTTP/1.1 413 ")
