"""Signs of life: a slow client's answer may be long in coming."""

from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.testing import StringTransport

from project.brake import BrakedProtocol


class _Timers:
    """Takes timers, and says how many are running."""

    def __init__(self) -> None:
        self.running: list[_Timer] = []

    def call_later(self, seconds: float, call: Callable[..., Any]) -> "_Timer":
        self.running.append(_Timer(self.running))
        return self.running[-1]


class _Timer:
    def __init__(self, running: "list[_Timer]") -> None:
        self._running = running

    def cancel(self) -> None:
        self._running.remove(self)


def test_a_client_whose_answer_takes_long_is_asked_no_further_and_lives_on() -> None:
    timers = _Timers()
    protocol = BrakedProtocol()
    protocol.factory = WebSocketServerFactory()  # type: ignore[no-untyped-call]  # autobahn types it not
    protocol.factory.setProtocolOptions(autoPingTimeout=30)
    protocol.factory._batched_timer = timers
    transport: Any = StringTransport()  # type: ignore[no-untyped-call]  # Twisted types it not
    protocol.makeConnection(transport)
    # As it is when the handshake is done.
    protocol.state, protocol.current_frame = protocol.STATE_OPEN, None
    timers.running.clear()
    protocol._sendAutoPing()
    ping = transport.value()
    protocol._sendAutoPing()
    assert transport.value() == ping
    assert len(timers.running) == 1
    protocol.dataReceived(b"\x8a" + bytes((0x80 | ping[1],)) + b"\0\0\0\0" + ping[2:])
    assert timers.running == []
    protocol._sendAutoPing()
    assert len(timers.running) == 1
    assert len(transport.value()) == 2 * len(ping)
