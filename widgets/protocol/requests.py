"""What clients say: requests, read and checked."""

import re
from typing import Annotated, Final

import msgspec

_FEED: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,100}|[A-Za-z0-9_.:/-]{0,99}\*")
# More than any list holds.
_MOST: Final = 1_000_000

FeedName = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^({_FEED.pattern})$"})]


class ProtocolError(ValueError):
    """A request that cannot be understood or answered; its text is for the client.

    Attributes:
        feed: The feed that it is about, where that is known.
    """

    def __init__(self, text: str, feed: str | None = None) -> None:
        super().__init__(text)
        self.feed = feed


class Auth(msgspec.Struct, frozen=True, tag_field="action", tag="auth"):
    """Says who one is. A page of the same origin that is logged in needs none.

    Attributes:
        api_key: A token of `manage.py issue_token`, or the one that a page was given for itself.
    """

    api_key: str | None = None


class Subscribe(msgspec.Struct, frozen=True, tag_field="action", tag="subscribe"):
    """Asks for a feed's messages. Said again of the same feed it changes the options, and nothing is doubled.

    Attributes:
        feed: A feed, or a pattern: the beginning of feeds' names and `*`.
        envelope: Messages come with feed, sequence number and type.
        snapshot: The current value comes first; ignored without `envelope`.
        delta: Boards come as what changed; needs `envelope`.
        max_rate: At most so many messages a second of each feed, the latest wins; null is no such limit.
    """

    feed: FeedName
    envelope: bool = False
    snapshot: bool = False
    delta: bool = False
    max_rate: Annotated[float, msgspec.Meta(ge=0.01, le=1000)] | None = None


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="action", tag="unsubscribe"):
    """Ends a subscription; where none stands nothing changes.

    Attributes:
        feed: As it was subscribed to.
    """

    feed: FeedName


class Get(msgspec.Struct, frozen=True, tag_field="action", tag="get"):
    """Asks once for the newest that the system has.

    Attributes:
        cache: A key; it has the name of its feed.
        limit: Of a list only so many, the newest or best; null for all.
    """

    cache: FeedName
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Ping(msgspec.Struct, frozen=True, tag_field="action", tag="ping"):
    """Asks whether the service is there."""


class Unknown(msgspec.Struct, frozen=True):
    """A JSON object whose `action` is none of these, or missing."""


Request = Auth | Subscribe | Unsubscribe | Get | Ping | Unknown


class _Head(msgspec.Struct):
    action: str = ""


class _Name(msgspec.Struct):
    feed: str = ""


_decode_name = msgspec.json.Decoder(_Name).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_DECODERS: Final[dict[str, "msgspec.json.Decoder[Request]"]] = {
    str(request.__struct_config__.tag): msgspec.json.Decoder(request)
    for request in (Auth, Subscribe, Unsubscribe, Get, Ping)
}


def read_request(text: str) -> Request:
    """Read and check a client's message.

    Raises:
        ProtocolError: It is no JSON object, one of its values has the wrong type, or it asks for what cannot be.
    """
    try:
        decoder = _DECODERS.get(_decode_head(text).action)
        request = decoder.decode(text) if decoder is not None else Unknown()
    except msgspec.ValidationError as error:
        raise ProtocolError(f"Not understood: {error}.", _feed_of(text)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        raise ProtocolError("Not understood: send one JSON object a message.") from None
    if isinstance(request, Subscribe | Unsubscribe):
        checked_feed(request.feed)
    elif isinstance(request, Get):
        checked_feed(request.cache)
        return Get(request.cache, checked_limit(request.limit))
    if isinstance(request, Subscribe) and request.delta and not request.envelope:
        raise ProtocolError('Deltas come in an envelope: send "envelope":true with "delta":true.', request.feed)
    return request


def _feed_of(text: str) -> str | None:
    """Which feed a request is about that is not as it should be; None where it names none."""
    try:
        feed = _decode_name(text).feed
    except msgspec.DecodeError:
        return None
    return feed if _FEED.fullmatch(feed) else None


def checked_feed(feed: str) -> str:
    """A feed's name, or a pattern that ends in `*`.

    Raises:
        ProtocolError: It is none.
    """
    if not _FEED.fullmatch(feed):
        raise ProtocolError("No such feed: use letters, digits and _ . : / - only, and * at the end alone.")
    return feed


def checked_limit(limit: int | None) -> int | None:
    """How many of a list, or None for all.

    Raises:
        ProtocolError: It is not positive.
    """
    if limit is None:
        return None
    if limit < 1:
        raise ProtocolError("A limit is a whole number, at least 1.")
    return min(limit, _MOST)
