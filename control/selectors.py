"""Read-only views of the running system, for commands, pages and probes."""

from time import time
from typing import Any, TypedDict

import msgspec
import redis
from amqp.exceptions import AMQPError
from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError

from control.models import FeedSettings
from control.samples import Malformed, UnknownType, malformed, unknown_types
from processors import store as keys
from processors.accounts import accounts
from processors.redis_broker import broker_client, depth
from processors.scanning.status import status_message
from processors.store import Store
from project import queues
from project.queues import FEEDS
from widgets.visitors.presence import Process, processes


class FeedCrew(msgspec.Struct, frozen=True):
    """How many feed workers are wanted, and how many run, those among them that are about to end."""

    wanted: int
    running: int

    def __str__(self) -> str:
        return f"{self.running} run, {self.wanted} wanted"


class WebProcess(TypedDict):
    """A web process in short.

    Attributes:
        name: Its host and process id.
        sockets: How many are open at `/ws`.
        subscriptions: Of all of them.
        deliveries_per_s: Messages a second to them.
        bytes_per_s: And their bytes.
        dropped: Messages that were lost since it began, because clients do not read them.
        behind_ms: How long the oldest message of the slowest client has waited.
    """

    name: str
    sockets: int
    subscriptions: int
    deliveries_per_s: float
    bytes_per_s: float
    dropped: int
    behind_ms: int


class Stats(TypedDict):
    """What `manage.py stats --json` prints.

    Attributes:
        source: The present source's id, or None.
        feeds: Every term of the accounts, by feed, in events.
        newest_event_at: The market's clock, epoch ms, or None before the first event.
        newest_event_age_ms: How far it lies behind where the clock should be; None when nothing paces the source.
        buffer_bytes: What waits in the listener.
        queues: Messages that wait, by queue; None where the broker cannot be asked.
        components: Each part's state in a word or two.
        web: The web processes that are alive.
        unknown: The event types that nobody knows, each with a sample.
        malformed: Why events could not be used, each reason with a sample.
    """

    source: str | None
    feeds: dict[str, dict[str, int]]
    newest_event_at: int | None
    newest_event_age_ms: int | None
    buffer_bytes: int
    queues: dict[str, int | None]
    components: dict[str, str]
    web: list[WebProcess]
    unknown: list[UnknownType]
    malformed: list[Malformed]


def system_stats(store: Store) -> Stats:
    """The accounts and depths of this moment.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    source = store.source()
    report = store.redis.get(keys.LISTENER_STATE)
    listener: dict[str, Any] = msgspec.json.decode(report) if report else {}
    status = status_message(source, report, time() * 1_000) if source else None
    depths = queue_depths()
    crew = feed_crew(store.redis)
    web = processes(store.redis)
    return Stats(
        source=source.id if source else None,
        feeds=accounts(store, source.id if source else "", settings.MESSAGE_TTL_MS),
        newest_event_at=status["newest_event_at"] if status else None,
        newest_event_age_ms=status["delay_ms"] if status else None,
        buffer_bytes=int(listener.get("buffered_bytes", 0)),
        queues=depths,
        components={
            "listener": f"{listener.get('state', 'stopped')}: {listener.get('reason', 'no listener reports')}",
            "broker": "unreachable" if all(value is None for value in depths.values()) else "ok",
            "cache": "ok",
            "feed workers": str(crew or "not kept by `up`"),
            "web": _web_state(web),
        },
        web=[_in_short(process) for process in web],
        unknown=unknown_types(store),
        malformed=malformed(store),
    )


def queue_depths() -> dict[str, int | None]:
    """Messages that wait in each queue; None for one that does not exist or cannot be asked."""
    names = (*FEEDS, queues.LOSSLESS, queues.SCANS, queues.JOBS)
    if settings.BROKER_IS_REDIS:
        try:
            client = broker_client()
            return {name: depth(client, name) for name in names}
        except redis.RedisError:
            return dict.fromkeys(names)
    depths: dict[str, int | None] = dict.fromkeys((*names, queues.DEAD_LETTERS))
    channel: Any
    try:
        with Connection(settings.CELERY_BROKER_URL, connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            for name in depths:
                try:
                    with connection.channel() as channel:
                        depths[name] = channel.queue_declare(name, passive=True).message_count
                except connection.channel_errors:
                    depths[name] = None
    except (OperationalError, OSError, AMQPError):  # the last: a refused login
        return depths
    return depths


def _web_state(web: list[Process]) -> str:
    if not web:
        return "no process reports"
    sockets, deliveries = sum(process.sockets for process in web), sum(process.deliveries_per_s for process in web)
    behind = max(process.behind_ms for process in web)
    return (
        f"{len(web)} {'process' if len(web) == 1 else 'processes'}, {sockets:,} sockets, "
        f"{deliveries:,.0f} messages a second, the slowest client {behind:,} ms behind"
    )


def _in_short(process: Process) -> WebProcess:
    return WebProcess(
        name=process.name,
        sockets=process.sockets,
        subscriptions=process.subscriptions,
        deliveries_per_s=process.deliveries_per_s,
        bytes_per_s=process.bytes_per_s,
        dropped=process.dropped,
        behind_ms=process.behind_ms,
    )


def feed_crew(cache: "redis.Redis") -> FeedCrew | None:
    """The feed workers that `up` keeps; None when it does not run, as where containers are scaled instead.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    said: Any = cache.get(keys.FEED_CREW)
    return None if said is None else msgspec.json.decode(said, type=FeedCrew)


def feed_settings() -> FeedSettings:
    """What the listener is to do; a row that nobody has saved yet follows the environment in all.

    Raises:
        django.db.DatabaseError: The database cannot be asked.
    """
    return FeedSettings.objects.order_by("pk").first() or FeedSettings()
