"""What an address of a notification target may be, and what may be shown of it.

Addresses are apprise's (https://github.com/caronc/apprise/wiki). They carry secrets, and where they lead is for people
to say who need not be trusted with this machine's own network.
"""

import logging
import re
import socket
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from apprise import Apprise, AppriseAsset, NotifyBase
from django.conf import settings

from control.notifications.guard import is_public

# Services over the network alone: apprise also knows ways to this machine's desktop, log and files.
SERVICES: Final = frozenset(
    (
        *("mailto", "mailtos", "json", "jsons", "form", "forms", "xml", "xmls"),
        *("tgram", "discord", "slack", "msteams", "workflow", "workflows", "gchat", "wxteams", "zulip", "guilded"),
        *("matrix", "matrixs", "mmost", "mmosts", "rocket", "rockets", "signal", "signals", "twilio"),
        *("ntfy", "ntfys", "gotify", "gotifys", "pover", "pbul", "simplepush", "ifttt", "pagerduty", "opsgenie"),
    )
)
# What they let an address say of files, patience and ways round: none of an address's affair here.
_REFUSED: Final = frozenset({"pgp", "pgpkey", "template", "redirect", "verify", "retry", "wait", "cto", "rto"})
_CONNECT_S: Final = 4.0
_READ_S: Final = 8.0
_MOST_CHARACTERS: Final = 2_000
_SHORTEST_SECRET: Final = 4
# Each is a message of its own, with its own patience, and services are not asked too quickly.
_MOST_RECIPIENTS: Final = 5

# Redirects would lead past the look at where an address goes.
_ASSET: Final = AppriseAsset(app_id="Tapewatch", app_desc="Tapewatch alerts", app_url="", http_redirects=False)
# Its own lines may carry parts of addresses; what it complains of is captured, cleaned and stored (`delivering`).
_LOG: Final = logging.getLogger("apprise")
_LOG.propagate = False
_LOG.setLevel(logging.WARNING)


class BadAddress(ValueError):
    """An address that cannot be used; the message says why and what to write, without the address."""


def service_of(address: str) -> NotifyBase:
    """The service behind an address, ready to notify; nothing is sent or looked up yet.

    Raises:
        BadAddress: It is none, or leads where none may.
    """
    address = address.strip()
    if not address:
        raise BadAddress("The address cannot be read: enter it anew.")
    if len(address) > _MOST_CHARACTERS or not address.isprintable():
        raise BadAddress(f"Use one line of at most {_MOST_CHARACTERS:,} characters.")
    try:
        scheme, query = urlsplit(address).scheme.lower(), parse_qsl(urlsplit(address).query, keep_blank_values=True)
    except ValueError as error:
        raise BadAddress(_USAGE) from error
    if named := sorted(_REFUSED & {name.lower() for name, _ in query}):
        raise BadAddress(f"Leave out {', '.join(named)}: it cannot be chosen here.")
    service: Any = None
    if scheme in {"http", "https"}:
        # The page of a service that apprise knows by its host, else any webhook that takes JSON.
        service = _made(address)
        if service is None or service.service_name == "Apprise API":
            service = _made(address.replace("http", "json", 1))
    elif scheme in SERVICES:
        service = _made(address)
    else:
        raise BadAddress(_USAGE)
    if service is None:
        raise BadAddress(f"{scheme}:// needs more than that: see its page in apprise's wiki for what belongs in it.")
    if len(service) > _MOST_RECIPIENTS:
        raise BadAddress(f"Name at most {_MOST_RECIPIENTS} recipients; for more make another target.")
    service.redirects = False
    service.socket_connect_timeout, service.socket_read_timeout = _CONNECT_S, _READ_S
    return service  # type: ignore[no-any-return]


def check_way(service: NotifyBase) -> None:
    """Refuse a host of this machine's own network, which is not what notifications are for (`NOTIFY_PRIVATE`).

    Raises:
        BadAddress: One of the host's addresses is not public, or it has none.
    """
    if settings.NOTIFY_PRIVATE:
        return
    for host in _hosts(service):
        try:
            found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError) as error:
            raise BadAddress("The host has no address: check its name.") from error
        if not all(is_public(str(ip)) for ip in found):
            raise BadAddress("The host is in a private network. Set NOTIFY_PRIVATE=1 where notifications may go there.")


def shown(address: str) -> str:
    """What anybody may see of an address: the service, and the host of a webhook or mail."""
    try:
        service = service_of(address)
    except BadAddress:
        return "cannot be read"
    hosts = _hosts(service)
    return f"{service.service_name} ({hosts[0]})" if hosts else str(service.service_name)


def without_secrets(text: str, address: str) -> str:
    """A service's complaint, without anything that stands in its address: it may be stored and shown."""
    host = {host.lower() for host in _hosts_of(address)}
    # As they stand in it, and as they are meant.
    pieces = {*re.split(r"[^\w.\-]+", address), *map(unquote, re.split(r"[/?&=:@#]+", address))}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= _SHORTEST_SECRET and piece.lower() not in host and piece.lower() not in SERVICES:
            text = text.replace(piece, "…")
    return text


_USAGE: Final = (
    "Use an address of apprise such as tgram://TOKEN/CHAT, discord://ID/TOKEN, slack://A/B/C, "
    "mailtos://USER:PASSWORD@gmail.com?to=YOU@example.com, or the https:// address of a webhook."
)


def _made(address: str) -> Any:
    return Apprise.instantiate(address, asset=_ASSET, suppress_exceptions=True)


def _hosts(service: NotifyBase) -> list[str]:
    """The hosts that an address itself names; those of services such as Telegram are apprise's own."""
    mail = getattr(service, "smtp_host", None)
    host = mail or (service.host if _names_host(service) else None)
    return [host.strip("[]")] if host else []


def _names_host(service: NotifyBase) -> bool:
    # Most services keep a token where other addresses have a host.
    templates: Any = service.templates
    named = any("{host}" in template for template in templates)
    return named and getattr(service, "mode", None) not in {"cloud", "hook"}


def _hosts_of(address: str) -> list[str]:
    try:
        return _hosts(service_of(address))
    except BadAddress:
        return []
