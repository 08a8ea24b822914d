"""Why a connection to the feed ended, in words, and what follows: the one place where errors are sorted."""

import enum
import http
import socket
import ssl
from dataclasses import dataclass
from typing import Final

import aiohttp
from massive.exceptions import AuthError
from websockets.exceptions import (
    ConnectionClosed,
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.frames import Close

from listener.address import ServerTroubled
from listener.client import HandshakeRefused, NotMassive

# What Massive says before it cuts a connection off because the key's place is taken.
_CROWDED: Final = "max_connections"


class Follows(enum.Enum):
    """What to do after a connection has ended."""

    RETRY = "again after a pause that grows"
    RETRY_IN_A_MINUTE = "again when the key's other connection has had time to end"
    STOP = "not again before the configuration changes"


@dataclass(frozen=True, slots=True)
class Ending:
    """A connection's end, for the listener to act upon and for people to read."""

    follows: Follows
    reason: str


class FeedSilent(Exception):
    """Nothing comes although the market trades."""


class SubscriptionsRefused(Exception):
    """The server gives us nothing of what we ask for."""


# Whatever ends a connection; any other exception is a mistake of ours, and must not be taken for the server's.
ENDINGS: Final = (
    AuthError,
    HandshakeRefused,
    NotMassive,
    ServerTroubled,
    FeedSilent,
    SubscriptionsRefused,
    OSError,
    WebSocketException,
    aiohttp.ClientError,
)


def ending_of(error: Exception, host: str, server_said: str = "") -> Ending:
    """Sort what ended a connection.

    A refusal of the upgrade by HTTP is never one of the key, which is presented only afterwards: it comes from a
    proxy, a firewall or a server that is not up yet, and goes away without a change of ours.

    Args:
        error: One of `ENDINGS`.
        host: The feed's host, for the words.
        server_said: The status that the server sent shortly before, such as `slow_consumer`; it explains best.
    """
    if isinstance(error, AuthError):
        return Ending(
            Follows.STOP,
            f"{host} does not accept the API key: {error}. Set MASSIVE_API_KEY to one that it accepts and start the "
            "listener again, or change the feed's settings.",
        )
    if isinstance(error, SubscriptionsRefused):
        return Ending(
            Follows.STOP,
            f"{host} refuses every subscription: {error}. Change the feed's settings to a market and subscriptions "
            "that the plan of the API key includes.",
        )
    if isinstance(error, (aiohttp.InvalidURL, InvalidURI)):
        return Ending(Follows.STOP, f"{host} is no address. Change the feed's settings.")
    if _CROWDED in server_said or (isinstance(error, HandshakeRefused) and error.status == _CROWDED):
        return Ending(Follows.RETRY_IN_A_MINUTE, _sentence(server_said or str(error)))
    return Ending(Follows.RETRY, _sentence(server_said or _in_words(error, host)))


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _in_words(error: Exception, host: str) -> str:
    """A passing error as a person would say it."""
    if isinstance(error, HandshakeRefused):
        return f"{host} breaks the handshake off with {error}"
    if isinstance(error, NotMassive):
        return f"{host} does not speak Massive's protocol ({error})"
    if isinstance(error, FeedSilent):
        return str(error)
    if isinstance(error, ConnectionClosed):
        return _closing(error)
    return f"{host} cannot be reached: {_obstacle(error)}"


def _closing(error: ConnectionClosed) -> str:
    if error.rcvd is not None:
        return f"The server closed the connection with {_frame(error.rcvd)}"
    if error.sent is not None:
        return f"The connection was given up with {_frame(error.sent)}"
    return "The connection broke off"


def _frame(close: Close) -> str:
    return f"{close.code:d} ({close.reason})" if close.reason else f"{close.code:d}"


def _obstacle(error: BaseException) -> str:
    """What stands between us and the server."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, ServerTroubled):
        return _http(error.status, error.server)
    if isinstance(error, (InvalidStatus, InvalidProxyStatus)):
        return _http(error.response.status_code, error.response.headers.get("Server", ""))
    if isinstance(error, InvalidMessage):
        return "what answers there does not speak HTTP"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved ({error.strerror})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return str(error) or "no answer in time"
    return str(error) or type(error).__name__


def _http(status: int, server: str) -> str:
    try:
        phrase = f" {http.HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    return f"HTTP {status}{phrase}{f' from {server}' if server else ''} instead of a WebSocket"
