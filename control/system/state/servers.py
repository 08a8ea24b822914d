"""What is published of what the components use and serve: cache, broker, database, sockets, reference data, disk."""

import msgspec


class CacheState(msgspec.Struct, frozen=True, kw_only=True):
    """Redis or Valkey.

    Attributes:
        answer_ms: What a question takes, there and back.
        used_bytes: Of its memory.
        max_bytes: What it may use; 0: as much as there is.
        hit_rate: Of the keys that were asked for in the last seconds, how many were there, 0 to 1.
        evicted: Keys that it had to throw away since it began.
        aof: `off`, `ok`, or what is wrong with its file.
    """

    server: str
    since: int
    answer_ms: float
    used_bytes: int
    max_bytes: int
    keys: int
    hit_rate: float | None
    ops_per_s: float
    clients: int
    evicted: int
    aof: str


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is asked now and then whether it answers: the broker, the database.

    Attributes:
        kind: Such as `RabbitMQ`, `Redis`, `SQLite`, `PostgreSQL`.
        ok: Whether it answered.
        answer_ms: How long that took; None when it did not.
        problem: Why not, in words, without passwords.
        since: Since when it is so.
    """

    kind: str
    ok: bool
    answer_ms: float | None
    problem: str
    since: int


class WebState(msgspec.Struct, frozen=True, kw_only=True):
    """A web process.

    Attributes:
        process: Its host and process id, `host:pid`, which names it in `web.drain`.
        name: As of its component.
        sockets: Open ones at `/ws`.
        deliveries_per_s: Messages to clients.
        sent: Messages since it began; so are `dropped` and `conflated`.
        dropped: Messages lost because clients do not read them.
        conflated: Messages that a newer one has replaced.
        behind_ms: How long the oldest message of its slowest client has waited.
        draining: Whether it takes nobody in any more and is about to end.
        gathers: Whether it is the one that gathers this state.
    """

    process: str
    name: str
    since: int
    sockets: int
    authorised: int
    subscriptions: int
    deliveries_per_s: float
    bytes_per_s: float
    sent: int
    dropped: int
    conflated: int
    behind_ms: int
    draining: bool
    gathers: bool
    rss_bytes: int
    cpu_pct: float


class SlowClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client that does not read as fast as it is written to."""

    process: str
    username: str
    address: str
    behind_ms: int
    waiting_bytes: int
    dropped: int


class WdsState(msgspec.Struct, frozen=True, kw_only=True):
    """All sockets at `/ws` together.

    Attributes:
        feeds: Subscribers by feed or pattern, the most wanted first, at most twenty.
        slowest: The clients that are behind, the worst first, at most five.
    """

    sockets: int
    subscriptions: int
    deliveries_per_s: float
    bytes_per_s: float
    dropped: int
    conflated: int
    behind_ms: int
    feeds: dict[str, int]
    slowest: list[SlowClient]


class ReferenceKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of reference data.

    Attributes:
        symbols: How many it knows.
        at: When the last answer came; None before any.
        age_s: How long ago that was.
        whole: Whether all of it has come for the present trading day.
        problem: Why not, in words.
    """

    symbols: int
    at: int | None
    age_s: int | None
    whole: bool
    problem: str


class ReferenceData(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of symbols beside events.

    Attributes:
        day: The trading day (yyyymmdd) that it is for; None before any.
        symbols: How many have a previous day.
        age_s: Since any of it last changed.
        kinds: By kind.
    """

    day: int | None
    symbols: int
    age_s: int | None
    kinds: dict[str, ReferenceKind]


class RecordingNow(msgspec.Struct, frozen=True, kw_only=True):
    """The recording that is being written.

    Attributes:
        file: The present file's name, empty before the first.
        frames: In this file.
        bytes: Of this file.
        dropped: Events that did not fit, of all files.
        problem: Why it ended by itself, in words; empty while it runs.
    """

    file: str
    frames: int
    bytes: int
    dropped: int
    problem: str


class RecordingsState(msgspec.Struct, frozen=True, kw_only=True):
    """The folder of recordings, on the listener's host.

    Attributes:
        bytes: Of all recordings; None before there is a folder, or when no listener says.
        free_bytes: Of its disk.
        disk_bytes: The disk.
        most_bytes: What recordings may take before the oldest go.
        now: The one that is being written; None when recording is off.
    """

    bytes: int | None
    free_bytes: int | None
    disk_bytes: int | None
    files: int | None
    most_bytes: int
    now: RecordingNow | None
