"""Frame → events by feed. One malformed event costs itself and nothing else (design rule 8)."""

from dataclasses import dataclass, field

import msgspec

from listener.events import FEED_OF, Head

_UNKNOWN = "unknown"
_SAMPLE_BYTES = 500

_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_heads = msgspec.json.Decoder(list[Head]).decode
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
    """

    events: dict[str, list[msgspec.Raw]] = field(default_factory=dict)
    malformed: list[Malformed] = field(default_factory=list)
    statuses: list[dict[str, object]] = field(default_factory=list)


def sort_frame(frame: str | bytes) -> SortedFrame:
    """Sort a frame's events by feed. Never raises: what cannot be used is in `malformed`.

    Args:
        frame: A JSON array of event objects, as Massive sends it.
    """
    result = SortedFrame()
    try:
        raws = _decode_raws(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        result.malformed.append(Malformed(_UNKNOWN, f"frame is no JSON array: {error}", _sample(frame)))
        return result
    try:
        heads: list[Head | None] = list(_decode_heads(frame))
    except (msgspec.DecodeError, UnicodeDecodeError):
        heads = [_head(raw, result) for raw in raws]
    events = result.events
    feed_of = FEED_OF.get
    for raw, head in zip(raws, heads, strict=True):
        if head is None:
            continue
        feed = feed_of(head.ev)
        if feed is None:
            if head.ev == "status":
                result.statuses.append(_decode_object(raw))
                continue
            feed = _UNKNOWN
        # An unknown type may be keyed by anything; what we know must name its symbol.
        elif not head.symbol:
            result.malformed.append(Malformed(feed, f"{head.ev} event without a symbol", _sample(raw)))
            continue
        batch = events.get(feed)
        if batch is None:
            events[feed] = [raw]
        else:
            batch.append(raw)
    return result


def _head(raw: msgspec.Raw, result: SortedFrame) -> Head | None:
    """The slow way, taken only by frames that hold a malformed event."""
    try:
        return _decode_head(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        feed, reason = _UNKNOWN, str(error)
        try:
            event_type = _decode_object(raw).get("ev")
        except (msgspec.DecodeError, UnicodeDecodeError):
            event_type = None
        if isinstance(event_type, str):
            feed = FEED_OF.get(event_type, _UNKNOWN)
        result.malformed.append(Malformed(feed, reason, _sample(raw)))
        return None


def _sample(data: str | bytes | msgspec.Raw) -> str:
    text = data if isinstance(data, str) else str(bytes(data), "utf-8", "replace")
    return text[:_SAMPLE_BYTES]
