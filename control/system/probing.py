"""Servers are asked beside the gathering: one that does not answer must not hold it up."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from time import monotonic, time
from typing import Any, Final, Generic, TypeVar

import msgspec
import redis
from amqp.exceptions import AMQPError
from django.conf import settings
from django.db import close_old_connections, connection
from kombu.exceptions import OperationalError

from control.models import AuditEntry, FeedSettings
from control.system.state import RunningOperation, ServiceState
from processors.redis_broker import PREFIX, broker_client
from project import queues
from project.broker import asking_connection

log = logging.getLogger(__name__)

T = TypeVar("T")

_PATIENCE_S: Final = 3.0
_WITHIN_MS: Final = 30_000
QUEUES: Final = (*queues.FEEDS, queues.LOSSLESS, queues.SCANS, queues.JOBS)


class NoAnswer(Exception):
    """Something that was asked does not answer; the text says why, without passwords."""


class Answer(msgspec.Struct, frozen=True):
    """What came of asking.

    Attributes:
        value: The answer; after a failure the last one, None before any.
        problem: Why there is none now; empty when there is.
        answer_ms: How long it took.
        since: Since when it is so, epoch milliseconds.
    """

    value: Any = None
    problem: str = ""
    answer_ms: float | None = None
    since: int = 0


class Probe(Generic[T]):
    """Asks something again and again in a thread of its own, while it is wanted.

    Args:
        name: What is asked, for its thread and for messages.
        ask: Asks it; raises `NoAnswer`.
        every_s: How often.
    """

    def __init__(self, name: str, ask: Callable[[], T], every_s: float) -> None:
        self._name, self._ask, self._every_s = name, ask, every_s
        self._answer = Answer()
        self._asked_at: float | None = None
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ask from now on."""
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask_for_ever, name=f"probe {self._name}", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Ask no more for now."""
        self._wanted.clear()

    def stop(self) -> None:
        """Ask never again."""
        self._stopping.set()
        self._wanted.set()

    @property
    def latest(self) -> Answer:
        """The latest answer; one that is awaited for too long is none."""
        answer, asked_at = self._answer, self._asked_at
        if asked_at is None or answer.problem or monotonic() - asked_at < _PATIENCE_S:
            return answer
        waited = monotonic() - asked_at
        return Answer(answer.value, f"no answer for {waited:.0f} s", None, round((time() - waited) * 1_000))

    def _ask_for_ever(self) -> None:
        while not self._stopping.is_set():
            self._wanted.wait()
            began = self._asked_at = monotonic()
            before = self._answer
            try:
                value = self._ask()
                after = Answer(value, "", round((monotonic() - began) * 1_000, 1), before.since)
            except NoAnswer as error:
                after = Answer(before.value, str(error), None, before.since)
            except Exception as error:
                log.exception("%s cannot be asked", self._name)
                after = Answer(before.value, f"it cannot be asked ({type(error).__name__})", None, before.since)
            if not before.since or bool(after.problem) != bool(before.problem):
                after = msgspec.structs.replace(after, since=round(time() * 1_000))
            self._answer, self._asked_at = after, None
            self._stopping.wait(self._every_s)


class Depth(msgspec.Struct, frozen=True):
    """A queue at the broker.

    Attributes:
        messages: That wait.
        consumers: Who take from it; None where the broker does not know.
        oldest_received_at: When the oldest batch was received, epoch milliseconds; None where that is not known.
    """

    messages: int
    consumers: int | None = None
    oldest_received_at: int | None = None


class Broker:
    """The broker over one kept connection.

    A Redis broker says how old a queue's oldest batch is: its header stands at the message's end, and the message,
    which may be large, stays there.
    """

    # For each queue its length, and of the oldest message what the listener wrote into its header.
    _LENGTHS: Final = """
    local said = {}
    for i, key in ipairs(KEYS) do
        said[2 * i - 1] = redis.call('LLEN', key)
        local oldest = redis.call('LINDEX', key, -1)
        local at = oldest and string.match(string.sub(oldest, -16384), '"' .. ARGV[1] .. '": ?(%d+)')
        said[2 * i] = at or ''
    end
    return said
    """

    def __init__(self) -> None:
        self._redis: Any = None
        self._amqp: Any = None

    def ask(self) -> dict[str, Depth | None]:
        """Every queue; None for one that does not exist.

        Raises:
            NoAnswer: The broker does not answer.
        """
        return self._ask_redis() if settings.BROKER_IS_REDIS else self._ask_amqp()

    def _ask_redis(self) -> dict[str, Depth | None]:
        try:
            if self._redis is None:
                self._redis = broker_client()
            keys = [PREFIX + name for name in QUEUES]
            said = self._redis.eval(self._LENGTHS, len(keys), *keys, queues.HEADER_RECEIVED)
        except redis.RedisError as error:
            raise NoAnswer(_short(error)) from error
        return {
            name: Depth(int(said[2 * at]), None, int(said[2 * at + 1]) if said[2 * at + 1] else None)
            for at, name in enumerate(QUEUES)
        }

    def _ask_amqp(self) -> dict[str, Depth | None]:
        found: dict[str, Depth | None] = {}
        try:
            if self._amqp is None:
                self._amqp = asking_connection(settings.CELERY_BROKER_URL)
                self._amqp.ensure_connection(max_retries=1, interval_start=0, timeout=2)
            channel = self._amqp.channel()
            for name in (*QUEUES, queues.DEAD_LETTERS):
                try:
                    said = channel.queue_declare(name, passive=True)
                    found[name] = Depth(said.message_count, said.consumer_count)
                except self._amqp.channel_errors:
                    # The broker closes the channel with its refusal.
                    channel = self._amqp.channel()
                    found[name] = None
            channel.close()
        except (OperationalError, OSError, AMQPError) as error:
            broken, self._amqp = self._amqp, None
            if broken is not None:
                broken.collect(socket_timeout=1)
            raise NoAnswer(_short(error)) from error
        return found


class Recorded(msgspec.Struct, frozen=True):
    """What the database says of what people want.

    Attributes:
        revision: Of the feed's settings.
        recording: Whether the feed is to be recorded.
        running: Operations that have not ended.
    """

    revision: int
    running: list[RunningOperation]


class Database:
    """The database: whether it answers, and on SQLite whether somebody locks it."""

    def ask(self) -> Recorded:
        """What is wanted, and what runs.

        Raises:
            NoAnswer: It does not answer, or cannot be written to.
        """
        try:
            close_old_connections()
            revision = FeedSettings.objects.order_by("pk").values_list("revision", flat=True).first()
            after = round(time() * 1_000) - _WITHIN_MS
            asked = AuditEntry.objects.filter(state=AuditEntry.State.ASKED).order_by("-pk")
            rows = list(asked.values_list("pk", "operation", "target", "username", "at")[:20])
        except Exception as error:
            connection.close()
            raise NoAnswer(_short(error)) from error
        self._check_lock()
        running = [
            RunningOperation(audit_id=pk, operation=name, target=target, username=who, at=round(at.timestamp() * 1_000))
            for pk, name, target, who, at in rows
        ]
        return Recorded(revision or 0, [one for one in running if one.at > after])

    def _check_lock(self) -> None:
        if connection.vendor != "sqlite":
            return
        # Not over Django's connection, which would wait for twenty seconds.
        try:
            with sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=1.5, isolation_level=None) as own:
                own.execute("BEGIN IMMEDIATE")
                own.execute("ROLLBACK")
            own.close()
        except sqlite3.Error as error:
            raise NoAnswer(f"it cannot be written to: {error}") from error


def service_state(kind: str, answer: Answer) -> ServiceState:
    """An answer as it is published."""
    return ServiceState(
        kind=kind, ok=not answer.problem, answer_ms=answer.answer_ms, problem=answer.problem, since=answer.since
    )


def _short(error: BaseException) -> str:
    """An error in a line; addresses with passwords do not occur in what these say."""
    return " ".join(str(error).split())[:200] or type(error).__name__
