"""What is published of an event's way: the source, the listener, the accounts, the queues."""

import msgspec


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """The run of the feed that the table belongs to.

    Attributes:
        id: Empty before any.
        kind: `live`, `simulator` or `recording`.
        speed: Market seconds a second; 0 is as fast as it can be read.
        session: `pre`, `regular`, `post` or `closed`, by the market's clock.
        market_clock: The market's time.
        newest_event_at: The newest event's own time.
        delay_ms: How far that lies behind where the market's clock should be; None when nothing paces the source.
    """

    id: str
    kind: str
    speed: float
    lossless: bool
    since: int
    session: str
    market_clock: int | None
    newest_event_at: int | None
    delay_ms: int | None


class ListenerState(msgspec.Struct, frozen=True, kw_only=True):
    """What the listener says of itself.

    Attributes:
        state: `stopped`, `waiting`, `connecting`, `authenticating`, `live`, `backing off`, `refused`; `gone` when
            none has reported for ten seconds.
        since: Since when it is in that state.
        reason: Why, in words.
        buffered_bytes: What waits in its buffer.
        buffer_bytes: What fits in there.
        settings_revision: Which revision of the feed settings it follows.
        wanted_revision: Which there is; None when the database cannot be asked.
        in_per_s: Events received.
        published_per_s: Events handed to the broker.
    """

    state: str
    since: int
    reason: str
    feed: str
    market: str
    subscriptions: list[str]
    buffered_bytes: int
    buffer_bytes: int
    settings_revision: int | None
    wanted_revision: int | None
    in_per_s: float
    published_per_s: float


class FeedAccounts(msgspec.Struct, frozen=True, kw_only=True):
    """Every term of one feed's accounts, in events of the present source (design rule 5).

    Attributes:
        received: Of these, `malformed + dropped + buffered + published` is the sum.
        published: Of these, `processed + expired_broker + expired_worker + expired_age + overflowed + failed + lost +
            in_flight` is the sum.
        unbalanced: What is missing in both equations together; anything but 0 is a mistake.
        in_per_s: Received.
        out_per_s: Processed.
        lost_per_min: Expired, overflowed, failed, dropped or lost within the last minute.
        malformed_per_min: Malformed within the last minute.
    """

    received: int = 0
    malformed: int = 0
    dropped: int = 0
    buffered: int = 0
    published: int = 0
    processed: int = 0
    expired_broker: int = 0
    expired_worker: int = 0
    expired_age: int = 0
    overflowed: int = 0
    failed: int = 0
    lost: int = 0
    in_flight: int = 0
    duplicate: int = 0
    unbalanced: int = 0
    in_per_s: float = 0.0
    out_per_s: float = 0.0
    lost_per_min: int = 0
    malformed_per_min: int = 0


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """A queue at the broker.

    Attributes:
        depth: Messages (batches, tasks) that wait; None when the broker cannot be asked.
        oldest_ms: How long the oldest of them has waited since its receipt; None where that is not known.
        in_per_s: Events put into a feed's queue; of other queues None.
        out_per_s: Events that workers or the broker were done with; of `scans`, ticks; of others None.
        consumers: Workers that take from it.
    """

    name: str
    depth: int | None
    oldest_ms: int | None
    in_per_s: float | None
    out_per_s: float | None
    consumers: int | None
