"""What crosses `/ws`: a client's requests, read and checked; the answers and messages, put into words.

The names are those of kuhl-haus-mdp's WDS, so that its clients work unchanged (design, "WDS protocol").
"""

import re
from typing import Any, Final, Literal

import msgspec

_FEED: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,100}|[A-Za-z0-9_.:/-]{0,99}\*")
# More than any list holds.
_MOST: Final = 1_000_000


class Request(msgspec.Struct, frozen=True):
    """A client's message, whatever its action; each action reads what it needs."""

    action: str = ""
    api_key: str | None = None
    feed: str | None = None
    cache: str | None = None
    limit: int | None = None
    envelope: bool = False
    snapshot: bool = False


class ProtocolError(ValueError):
    """A message that cannot be understood; its text is for the client."""


_decode = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


def read_request(text: str) -> Request:
    """Read a client's message.

    Raises:
        ProtocolError: It is no JSON object, or one of its values has the wrong type.
    """
    try:
        return _decode(text)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"Not understood: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        raise ProtocolError("Not understood: send one JSON object a message.") from None


def checked_feed(feed: str | None) -> str:
    """A feed's name, or a pattern that ends in `*`.

    Raises:
        ProtocolError: It is missing or no name.
    """
    if feed is None:
        raise ProtocolError('A feed is missing: send {"action":…,"feed":"scanners:top_gainers"}.')
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


def status(value: str, **more: str) -> str:
    """A status answer, such as `{"status":"subscribed","feed":F}`."""
    return _encode({"status": value, **more}).decode()


def cached(key: str, data: bytes | None) -> str:
    """The answer to `get`; `data` is JSON as it is kept."""
    content: Any = msgspec.Raw(data) if data is not None else None
    return _encode({"cache": key, "data": content}).decode()


def enveloped(feed: str, seq: int, kind: Literal["snapshot", "update"], data: str) -> str:
    """A message of a feed in its envelope; `data` is JSON."""
    return f'{{"feed":{_encode(feed).decode()},"seq":{seq},"type":"{kind}","data":{data}}}'
