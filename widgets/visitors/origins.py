"""Where a socket comes from: a page of ours or a stranger's, and which address."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import HttpRequest, split_domain_port, validate_host


def same_origin(scope: dict[str, Any]) -> bool:
    """Whether a browser's page is ours; programs send no Origin and are judged by their login alone."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin1")
    if not origin:
        return True
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    # Whoever sits in the middle can make a page of our name, only not one that speaks TLS.
    if parts.scheme not in ({"https"} if settings.HTTPS else {"http", "https"}):
        return False
    host = headers.get(b"host", b"").decode("latin1").lower()
    # Under another name we serve no page either.
    return parts.netloc.lower() == host and validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)


def client_address(scope: dict[str, Any]) -> str:
    """The client's IP address, in one spelling; empty where there is none, as on a Unix socket.

    Behind `TRUSTED_PROXIES` proxies it is that entry of X-Forwarded-For, counted from the right: each of them appends
    whom it saw, and what stands further left is the client's own word. A header with fewer entries has not come
    through all of them, and what it says is not believed.
    """
    client = scope.get("client")
    peer = str(client[0]) if client else ""
    proxies = settings.TRUSTED_PROXIES
    if not proxies:
        return _spelt(peer) or peer
    lines = [value.decode("latin1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    entries = ",".join(lines).split(",")
    forwarded = _spelt(entries[-proxies]) if len(entries) >= proxies else None
    return forwarded or _spelt(peer) or peer


def request_address(request: HttpRequest) -> str:
    """The client's IP address of a request; see `client_address`."""
    # Under WSGI, as in a test, there is no scope.
    scope: dict[str, Any] | None = getattr(request, "scope", None)
    return client_address(scope) if scope is not None else str(request.META.get("REMOTE_ADDR", ""))


def household(address: str) -> str:
    """Whom a limit by address counts together: one IPv4 address, or the /64 that every IPv6 client has to itself."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return address
    # As a socket for both kinds says an IPv4 client's: all of them would be one /64.
    read = (read.ipv4_mapped if isinstance(read, ipaddress.IPv6Address) else None) or read
    if read.version == 4:
        return str(read)
    return str(ipaddress.ip_network((int(read), 64), strict=False))


def _spelt(entry: str) -> str | None:
    """An address as proxies write it, with or without a port, in one spelling; None when it is none."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        read = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = read.ipv4_mapped if isinstance(read, ipaddress.IPv6Address) else None
    return str(mapped or read)
