"""One web process at a time gathers the state of the system and publishes it, in a thread beside its clients.

Who is there is looked at several times a second, so that a component that dies is told of at once; all the rest each
second. When the process ends, another one goes on within two seconds, and knows from the state what was wrong before.
"""

import logging
import os
import secrets
import socket
import threading
from time import monotonic, time
from typing import Any, Final

import msgspec
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from control.system.assembling import processes, servers, traffic
from control.system.assembling.counters import Counters
from control.system.history import EVERY_MS, figures, keep
from control.system.liveness import Seen, clocks_ahead_ms, look
from control.system.probing import Broker, Database, Depth, Probe, Recorded, service_state
from control.system.problems import problems
from control.system.problems.finding import Signs
from control.system.reading import Facts, read_facts
from control.system.standing import Standing
from control.system.state import (
    SYSTEM_STATE,
    SYSTEM_STATE_LIFE_MS,
    Percentiles,
    SupervisorState,
    SystemProblem,
    SystemState,
    read_state,
)
from processors.components.report import Component, expected
from processors.store import Store, connect

log = logging.getLogger(__name__)

SYSTEM_LEASE: Final = "tw:lease:system"
_LEASE_MS: Final = 1_600
_GATHER_EVERY_S: Final = 1.0
_LOOK_EVERY_S: Final = 0.3
_TIMEOUT_S: Final = 2.0
_STOP_S: Final = 1.0
# Until all parts have started, on two cores.
_STARTING_MS: Final = 20_000
# Until all have noticed that the cache is back.
_BACK_MS: Final = 4_000

_encode: Final = msgspec.json.Encoder().encode


class Collector:
    """Gathers while it holds the lease.

    Args:
        name: This web process's, `host:pid`.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._token = secrets.token_hex(8)
        self._store: Store | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._leads = False
        self._quiet = False
        self._away_since = self._fresh_at = 0
        self._patient_until = 0.0
        self._without_cache: SystemState | None = None
        self._begin_anew()
        self._broker: Probe[dict[str, Depth | None]] = Probe("broker", Broker().ask, 1.0)
        self._database: Probe[Recorded] = Probe("database", Database().ask, 1.0)

    @property
    def leads(self) -> bool:
        """Whether this is the process that gathers."""
        return self._leads

    def start(self) -> None:
        """Begin; begun already, nothing changes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="system state", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, and leave the turn to another process at once."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)
        for probe in self._probes:
            probe.stop()

    def __enter__(self) -> "Collector":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def _probes(self) -> tuple[Probe[Any], ...]:
        return (self._broker, self._database)

    @property
    def without_cache(self) -> SystemState | None:
        """The last state, with what is wrong now, while the cache is away; only the one who gathers has it."""
        return self._without_cache

    def _cache_is_away(self, error: Exception, waited_s: float) -> None:
        now = round(time() * 1_000)
        self._away_since = self._away_since or now - round(waited_s * 1_000)
        if self._state is None:
            return
        away = SystemProblem(
            id="cache",
            severity="error",
            component="cache",
            text=f"The cache ({self._state.cache.server}) does not answer: {' '.join(str(error).split())[:200]}. "
            "Nothing is merged, ranked or sent; what comes in waits with the listener, and expires.",
            advice="`up` starts its own one again at once; another one is yours to start. Is REDIS_URL right? All "
            "figures here are those of before.",
            since=self._away_since,
        )
        others = [problem for problem in self._state.problems if problem.id != away.id]
        self._without_cache = msgspec.structs.replace(self._state, at=now, health="error", problems=[away, *others])

    def _cache_is_back(self) -> None:
        now, since = round(time() * 1_000), self._away_since
        self._away_since, self._without_cache = 0, None
        if since:
            lasted = now - since
            self._be_patient(_BACK_MS)
            self._standing.recovered("cache", "cache", f"The cache is back, after {lasted / 1_000:.1f} s.", now, lasted)

    def _begin_anew(self) -> None:
        """Forget what was: another process may have gathered meanwhile."""
        self._counters, self._standing = Counters(), Standing()
        self._state: SystemState | None = None
        self._missed: frozenset[tuple[str, str]] = frozenset()
        self._gathered_at = self._sampled_at = 0.0

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = monotonic()
            try:
                self._turn()
                self._quiet = False
            except (redis.RedisError, OSError) as error:
                if not self._quiet:
                    log.warning("cache unreachable, the system's state is not gathered: %s", error)
                self._quiet = True
                self._cache_is_away(error, monotonic() - began)
            except Exception:
                if not self._quiet:
                    log.exception("the system's state cannot be gathered")
                self._quiet = True
            self._stopping.wait(max(0.05, began + _LOOK_EVERY_S - monotonic()))
        if self._leads and self._store is not None:
            try:
                self._store.release_lease(SYSTEM_LEASE, self._token)
            except redis.RedisError as error:
                log.debug("cache unreachable, the turn to gather ends by itself: %s", error)

    def _turn(self) -> None:
        if self._store is None:
            # Of its own: nobody else may wait for it, and it waits for nobody for long.
            self._store = Store(
                connect(socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0))
            )
        leads = self._store.hold_lease(SYSTEM_LEASE, self._token, _LEASE_MS)
        if leads != self._leads:
            self._leads = leads
            self._change_turns()
        # Whoever gathers now tells of it.
        self._cache_is_back()
        if not leads:
            return
        if monotonic() - self._gathered_at >= _GATHER_EVERY_S - 0.5 * _LOOK_EVERY_S or self._someone_is_missed():
            self._gathered_at = monotonic()
            self.gather(self._store)

    def _change_turns(self) -> None:
        log.debug("this process %s the system's state", "gathers" if self._leads else "no longer gathers")
        for probe in self._probes:
            if self._leads:
                probe.start()
            else:
                probe.pause()
        self._begin_anew()
        if self._leads and self._store is not None:
            before = read_state(self._store.redis)
            if before is None:
                self._standing = Standing(round(time() * 1_000) + _STARTING_MS)
                self._be_patient(_STARTING_MS)
            else:
                self._standing.resume(before.problems, before.recoveries, round(time() * 1_000))

    def _someone_is_missed(self) -> bool:
        """Whether somebody else is missed than when it was gathered last."""
        assert self._store is not None  # noqa: S101 - the turn has made it
        said = expected(self._store.redis)
        return _missed(self._look(said, processes.supervisor_state(said, {}))) != self._missed

    def _look(self, expected: list[Component], keeper: SupervisorState | None) -> list[Seen]:
        since = self._fresh_at if monotonic() < self._patient_until else 0
        return look(expected, keeper.parts if keeper is not None else None, since)

    def _be_patient(self, ms: int) -> None:
        """Give everyone so much time to be there."""
        self._fresh_at = round(time() * 1_000)
        self._patient_until = max(self._patient_until, monotonic() + ms / 1_000)

    def gather(self, store: Store) -> SystemState:
        """Gather and publish once.

        Raises:
            redis.RedisError: The cache cannot be reached.
        """
        facts = read_facts(store)
        state = self._put_together(facts)
        sampled = monotonic() - self._sampled_at >= EVERY_MS / 1_000 - 0.5 * _LOOK_EVERY_S
        said = _encode(state)
        with store.redis.pipeline(transaction=False) as pipe:
            pipe.set(SYSTEM_STATE, said, px=SYSTEM_STATE_LIFE_MS)
            pipe.publish(SYSTEM_STATE, said)
            if sampled:
                self._sampled_at = monotonic()
                keep(pipe, state.at, state.figures)
            pipe.execute()
        self._state = state
        return state

    def _put_together(self, facts: Facts) -> SystemState:
        counters, now_s = self._counters, monotonic()
        counters.begin(facts.source.id if facts.source is not None else "")
        supervisor = processes.supervisor_state(facts.components, facts.crew)
        seen = self._look(facts.components, supervisor)
        self._missed = _missed(seen)
        broker, database = (probe.latest for probe in self._probes)
        depths = broker.value if not broker.problem else None
        recorded: Recorded | None = database.value
        state = SystemState(
            at=facts.now,
            gathered_by=self.name,
            health="ok",
            problems=[],
            recoveries=[],
            source=traffic.source_state(facts),
            listener=traffic.listener_state(facts, recorded, counters, now_s),
            feeds=traffic.feed_accounts(facts, counters, now_s),
            queues=traffic.queue_states(facts, seen, depths, counters, now_s),
            components=processes.component_states(seen),
            workers=processes.worker_states(seen, counters, now_s),
            jobs=processes.jobs_state(seen),
            engine=processes.engine_state(facts, seen, counters, now_s),
            latency={stage: Percentiles(p50=one.p50, p99=one.p99, max=one.max) for stage, one in facts.latency.items()},
            cache=servers.cache_state(facts, counters, now_s),
            broker=service_state("Redis" if settings.BROKER_IS_REDIS else "RabbitMQ", broker),
            database=service_state(_DATABASES.get(settings.DATABASES["default"]["ENGINE"], "database"), database),
            web=servers.web_states(facts, seen, self.name),
            wds=servers.wds_state(facts),
            reference=servers.reference_data(facts),
            recordings=servers.recordings_state(facts, seen),
            supervisor=supervisor,
            operations_running=recorded.running if recorded is not None else [],
            figures={},
        )
        signs = Signs(
            now=facts.now,
            depth_grown={
                queue.name: counters.grown(f"{queue.name} depth", queue.depth or 0, now_s) for queue in state.queues
            },
            evicted=counters.of_minute("evicted", state.cache.evicted, now_s),
            web_dropped=sum(
                counters.of_minute(f"{process.process} dropped", process.dropped, now_s) for process in state.web
            ),
            clocks_ahead_ms=clocks_ahead_ms([one.said for one in seen if one.state == "running"]),
        )
        counters.forget(now_s)
        stand, recovered = self._standing.follow(problems(state, signs), facts.now)
        state = msgspec.structs.replace(
            state, problems=stand, recoveries=recovered, health=stand[0].severity if stand else "ok"
        )
        return msgspec.structs.replace(state, figures=figures(state))


def _missed(seen: list[Seen]) -> frozenset[tuple[str, str]]:
    return frozenset((one.said.address, one.state) for one in seen if one.state != "running")


_DATABASES: Final = {
    "django.db.backends.sqlite3": "SQLite",
    "django.db.backends.postgresql": "PostgreSQL",
    "django.db.backends.mysql": "MySQL",
}

collector: Final = Collector()
