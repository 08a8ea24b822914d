"""Keeps messages out of private networks when a connection is made, too.

A look at an address beforehand does not suffice: its name may lead elsewhere a moment later, and some services are
told by a server of the address's choice where to go on.
"""

import ipaddress
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_here = threading.local()


class PrivateNetwork(ConnectionRefusedError):
    """A connection would have led into a private network."""


@contextmanager
def public_only() -> Iterator[None]:
    """Let this thread connect to public addresses alone."""
    _here.guarded = True
    try:
        yield
    finally:
        _here.guarded = False


def is_public(ip: str) -> bool:
    """Whether an IP address is one of the internet's, and no group's."""
    found = ipaddress.ip_address(ip.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_global and not found.is_multicast


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not getattr(_here, "guarded", False):
        return
    # A Unix socket's address is a path.
    to = arguments[1]
    if not (isinstance(to, tuple) and is_public(str(to[0]))):
        raise PrivateNetwork("notifications may not go into a private network")


# Whatever library connects, Python asks here first (PEP 578).
sys.addaudithook(_look)
