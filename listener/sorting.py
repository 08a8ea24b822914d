"""Frame → events by feed. One malformed event costs itself and nothing else (design rule 8)."""

import re
from dataclasses import dataclass, field
from typing import Final

import msgspec

from listener.events import FEED_OF, Head

_UNKNOWN = "unknown"
_SAMPLE_BYTES = 500
# What decoding can raise: no JSON or another type, no UTF-8, nested too deeply.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|["\[\]{},]', re.DOTALL)


class _Start(msgspec.Struct, frozen=True, gc=False):
    """What nearly every event can be sorted by; one without `sym` is looked at again, as a `Head`."""

    ev: str
    sym: str | None = None


_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_starts = msgspec.json.Decoder(list[_Start]).decode
_decode_head = msgspec.json.Decoder(Head).decode
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, slots=True)
class Malformed:
    """What was wrong with one event or frame, and its first bytes, for the operator."""

    feed: str
    reason: str
    sample: str


@dataclass(slots=True)
class SortedFrame:
    """One frame's events.

    Attributes:
        events: Raw events by feed, in the order of the frame.
        malformed: What could not be used; each is one event in the accounts.
        statuses: The server's status messages, which are no market events and are not counted.
        size: The frame's length, of which the events' bytes are slices; None when they come from no frame.
    """

    events: dict[str, list[msgspec.Raw]] = field(default_factory=dict)
    malformed: list[Malformed] = field(default_factory=list)
    statuses: list[dict[str, object]] = field(default_factory=list)
    size: int | None = None


def sort_frame(frame: str | bytes) -> SortedFrame:
    """Sort a frame's events by feed. Never raises: what cannot be used is in `malformed`.

    Every event that is handed on is UTF-8 and an object with a type.

    Args:
        frame: A JSON array of event objects, as Massive sends it.
    """
    result = SortedFrame(size=len(frame))
    starts: list[_Start | Head | None]
    try:
        if isinstance(frame, bytes) and not frame.isascii():
            frame.decode()  # strings that nobody reads are not checked below
        raws, starts = _decode_raws(frame), list(_decode_starts(frame))
    except _UNREADABLE as error:
        raws = _elements(frame, error, result)
        starts = [_head(raw, result) for raw in raws]
    events = result.events
    feed_of = FEED_OF.get
    for raw, start in zip(raws, starts, strict=True):
        if start is None:
            continue
        feed = feed_of(start.ev)
        if feed is None:
            if start.ev == "status":
                _keep_status(raw, result)
                continue
            feed = _UNKNOWN
        # An unknown type may be keyed by anything; what we know must name its symbol.
        elif not start.sym and not _names_symbol(raw, feed, result):
            continue
        batch = events.get(feed)
        if batch is None:
            events[feed] = [raw]
        else:
            batch.append(raw)
    return result


def _names_symbol(raw: msgspec.Raw, feed: str, result: SortedFrame) -> bool:
    """Whether an event without `sym` names its symbol otherwise; it is malformed when it does not."""
    head = _head(raw, result)
    if head is None:
        return False
    if not head.symbol:
        result.malformed.append(Malformed(feed, f"{head.ev} event without a symbol", _sample(raw)))
        return False
    return True


def _elements(frame: str | bytes, error: BaseException, result: SortedFrame) -> list[msgspec.Raw]:
    """The slow way, taken only by frames that hold something malformed: the array's elements, whatever is in them."""
    data = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
    try:
        return _decode_raws(data)
    except _UNREADABLE:
        texts = _split(data.strip())
    if texts is None:
        result.malformed.append(Malformed(_UNKNOWN, f"frame is no JSON array: {error}", _sample(data)))
        return []
    return [msgspec.Raw(text.strip()) for text in texts]


def _split(text: bytes) -> list[bytes] | None:
    """The texts between the outermost commas of an array, by its brackets alone; None when these do not match."""
    if not text.startswith(b"["):
        return None
    texts: list[bytes] = []
    depth, start = 0, 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
        elif token in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                whole = token == b"]" and match.end() == len(text)
                return [*texts, text[start : match.start()]] if whole else None
        elif token == b'"':
            return None  # a string that does not end
        elif token == b"," and depth == 1:
            texts.append(text[start : match.start()])
            start = match.end()
    return None


def _head(raw: msgspec.Raw, result: SortedFrame) -> Head | None:
    try:
        bytes(raw).decode()
        return _decode_head(raw)
    except _UNREADABLE as error:
        feed = _UNKNOWN
        try:
            event_type = _decode_object(raw).get("ev")
        except _UNREADABLE:
            event_type = None
        if isinstance(event_type, str):
            feed = FEED_OF.get(event_type, _UNKNOWN)
        result.malformed.append(Malformed(feed, str(error), _sample(raw)))
        return None


def _keep_status(raw: msgspec.Raw, result: SortedFrame) -> None:
    try:
        result.statuses.append(_decode_object(raw))
    except _UNREADABLE as error:
        result.malformed.append(Malformed(_UNKNOWN, str(error), _sample(raw)))


def _sample(data: bytes | msgspec.Raw) -> str:
    return bytes(data)[:_SAMPLE_BYTES].decode("utf-8", "replace")
