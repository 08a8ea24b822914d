"""What the server says: answers, notices, and the envelope of a feed's messages."""

from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

Kind = Literal["snapshot", "update", "delta"]


class Authorized(msgspec.Struct, frozen=True, tag_field="status", tag="authorized"):
    """The token is good; from here on requests are answered."""


class InvalidKey(msgspec.Struct, frozen=True, tag_field="status", tag="invalid key"):
    """The token is none, was revoked or has expired. Close 4401 follows."""


class Unauthorized(msgspec.Struct, frozen=True, tag_field="status", tag="unauthorized"):
    """A request came before `auth`. Close 4401 follows."""


class Subscribed(msgspec.Struct, frozen=True, tag_field="status", tag="subscribed"):
    """The subscription stands, or is about to: every message of the feed that follows is sent."""

    feed: str


class Unsubscribed(msgspec.Struct, frozen=True, tag_field="status", tag="unsubscribed"):
    """No more messages through this subscription."""

    feed: str


class Forbidden(msgspec.Struct, frozen=True, tag_field="status", tag="forbidden"):
    """The user may not read this feed. Unasked: may not any more, and the subscription has ended."""

    feed: str


class Error(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="status", tag="error"):
    """A request could not be understood or answered; the socket stays.

    Attributes:
        error: Why, for people.
        feed: The feed that it is about, where there is one.
    """

    error: str
    feed: str | msgspec.UnsetType = msgspec.UNSET


class InvalidAction(msgspec.Struct, frozen=True, tag_field="status", tag="invalid action"):
    """There is no such action; the socket stays."""


class Pong(msgspec.Struct, frozen=True, tag_field="status", tag="pong"):
    """The answer to `ping`.

    Attributes:
        at: The server's clock, epoch milliseconds.
    """

    at: int


class Interrupted(msgspec.Struct, frozen=True, tag_field="status", tag="interrupted"):
    """The service has lost its cache: no messages until `resumed`. The socket stays.

    Attributes:
        error: Why, for people.
    """

    error: str


class Resumed(msgspec.Struct, frozen=True, tag_field="status", tag="resumed"):
    """The cache is back; a snapshot follows for each subscription that asked for them."""


class Reconnect(msgspec.Struct, frozen=True, tag_field="status", tag="reconnect"):
    """The server stops; close 1012 follows.

    Attributes:
        after_ms: How long to wait before connecting again, so that not everybody comes at once.
    """

    after_ms: int


Status = (
    Authorized
    | InvalidKey
    | Unauthorized
    | Subscribed
    | Unsubscribed
    | Forbidden
    | Error
    | InvalidAction
    | Pong
    | Interrupted
    | Resumed
    | Reconnect
)


class Cached(msgspec.Struct, frozen=True):
    """The answer to `get`.

    Attributes:
        cache: The key.
        data: The newest that the system has; null where there is nothing.
    """

    cache: str
    data: msgspec.Raw | None

    @classmethod
    def of(cls, cache: str, data: bytes | None) -> "Cached":
        """The answer that holds `data`, JSON as it is kept."""
        return cls(cache, msgspec.Raw(data) if data is not None else None)


class Envelope(msgspec.Struct, frozen=True):
    """A feed's message, for those who asked for an envelope. `envelope_head` writes the same without copying `data`.

    Attributes:
        feed: The concrete feed, where the subscription is a pattern too.
        seq: Counts the messages of this feed on this socket, from 1; where some were lost it skips their numbers.
        type: Whether `data` is the whole current value, the feed's next message, or what changed.
        data: The payload.
    """

    feed: str
    seq: Annotated[int, msgspec.Meta(ge=1)]
    type: Kind
    data: Any


ENVELOPE_END: Final = b"}"
_TYPES: Final[dict[Kind, bytes]] = {
    kind: b',"type":"%s","data":' % kind.encode() for kind in ("snapshot", "update", "delta")
}
_encode = msgspec.json.Encoder().encode


def encode(message: Status | Cached | Envelope) -> str:
    """A message as it goes out."""
    return _encode(message).decode()


def envelope_head(feed: str, seq: int, kind: Kind) -> bytes:
    """The bytes before the payload of an enveloped message; `ENVELOPE_END` comes after it."""
    return b"%b%d%b" % (_opening(feed), seq, _TYPES[kind])


@lru_cache(maxsize=16_384)
def _opening(feed: str) -> bytes:
    return b'{"feed":%b,"seq":' % _encode(feed)
