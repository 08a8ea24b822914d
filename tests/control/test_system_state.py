"""The system's state: gathered from a real cache, published, kept; by one process at a time; and over the API."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, time
from typing import Any

import msgspec
import pytest
import redis
from django.contrib.auth.models import Permission, User
from msgspec.structs import replace

from control.api.system import NOBODY_GATHERS
from control.models import ApiToken
from control.system.assembling.counters import Counters
from control.system.assembling.traffic import queue_states
from control.system.collecting import SYSTEM_LEASE, Collector
from control.system.example import EXAMPLE
from control.system.history import HISTORY, read_history
from control.system.liveness import Seen
from control.system.probing import Broker, Depth
from control.system.rates import Gains
from control.system.reading import read_facts
from control.system.state import SYSTEM_STATE, SystemState, read_state
from listener.batching import BatchLimits
from listener.dispatch import ListenerAccounts, Publisher
from listener.recording_folder import folder_use
from processors.accounts import TERMS
from processors.components import report
from processors.components.report import Component
from processors.store import COMPONENTS, FEED_CREW, LISTENER_STATE, Store, accounts_key, listener_accounts_key
from project import queues
from project.celery import app
from project.embedded import EmbeddedValkey
from tests.control.api_callers import Api
from tests.processors.accounting import TTL_MS, buffer, frame, now_ms
from tests.processors.feeding import begin
from tests.services import wait_until

_HOST = os.uname().nodename


def _component(name: str, kind: str, pid: int, queues: tuple[str, ...] = (), **figures: Any) -> Component:
    now = round(time() * 1_000)
    return Component(
        name=name, kind=kind, host=_HOST, pid=pid, since=now - 60_000, at=now, rss_bytes=100 * 2**20, cpu_pct=12.0,
        threads=4, log_level="INFO", queues=list(queues), figures=figures,
    )  # fmt: skip


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    """A cache with a source, a listener's report and some accounts."""
    store = Store(redis.Redis.from_url(valkey.url))
    begin(store)
    source = store.source()
    assert source is not None
    store.redis.hset(listener_accounts_key(source.id), mapping={"r:trades:received": 100, "r:trades:published": 100})
    store.redis.hset(accounts_key(source.id), mapping={"trades:processed": 90, "trades:failed": 10})
    said = {
        "state": "live", "since": 5, "reason": "All is well.", "feed": "real-time", "market": "stocks",
        "subscriptions": "A.*,T.*", "buffered_bytes": 7, "settings_revision": 4,
        "recording": {
            "file": "/private/2026-03-03.01.ndjson.zst", "frames": 1, "bytes": 2, "dropped": 0, "problem": ""
        },
    }  # fmt: skip
    store.redis.set(LISTENER_STATE, msgspec.json.encode(said))
    return store


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector("web:1")
    yield collector
    collector.stop()


def test_what_components_say_becomes_the_state(store: Store, collector: Collector) -> None:
    here = os.getpid()
    disk = {"bytes": 5, "files": 1, "free_bytes": 10 * 2**30, "disk_bytes": 20 * 2**30}
    report.say(store.redis, _component("listener", "listener", os.getppid(), recordings_folder=disk))
    report.say(
        store.redis,
        _component(
            "feed1", "feed worker", here, queues.FEED_WORKER_QUEUES,
            batches=10, events={"trades": 90}, busy_s=2.0, merge_ms={"p50": 1.5, "p99": 4.0, "max": 5.0},
        ),
    )  # fmt: skip
    store.redis.set(FEED_CREW, b'{"wanted":2,"running":1}')
    channel = store.redis.pubsub()
    channel.subscribe(SYSTEM_STATE)
    channel.get_message(timeout=2)
    first = collector.gather(store)
    message = channel.get_message(timeout=2)
    assert message is not None
    assert msgspec.json.decode(message["data"], type=SystemState) == first == read_state(store.redis)
    assert 0 < store.redis.pttl(SYSTEM_STATE) <= 10_000
    assert first.gathered_by == "web:1"
    assert first.listener.state == "live"
    assert (first.listener.subscriptions, first.listener.settings_revision) == (["A.*", "T.*"], 4)
    assert first.recordings.now is not None
    assert first.recordings.now.file == "2026-03-03.01.ndjson.zst"
    assert (first.recordings.bytes, first.recordings.free_bytes) == (5, 10 * 2**30)
    trades = first.feeds["trades"]
    assert {term: getattr(trades, term) for term in ("received", "processed", "failed")} == {
        "received": 100,
        "processed": 90,
        "failed": 10,
    }
    (worker,) = first.workers
    assert (worker.name, worker.state, worker.merge_ms.p99) == ("feed1", "running", 4.0)
    assert first.cache.keys > 0
    assert first.cache.server.startswith("Valkey")
    assert {queue.name: queue.consumers for queue in first.queues}["trades"] == 1
    assert set(first.figures) > {"in_per_s", "trades_depth", "latency_p99_ms", "cpu_pct"}

    # A second later more has come: there are rates.
    source = store.source()
    assert source is not None
    store.redis.hincrby(listener_accounts_key(source.id), "r:trades:received", 50)
    store.redis.hincrby(accounts_key(source.id), "trades:failed", 20)
    second = collector.gather(store)
    assert second.feeds["trades"].in_per_s > 0
    assert second.feeds["trades"].lost_per_min == 20
    # The accounts do not add up any more.
    assert second.feeds["trades"].unbalanced == 70
    assert {problem.id for problem in second.problems} >= {"accounts:wasted"}
    history = read_history(store.redis, 0)
    assert history.figures["in_per_s"] == [first.figures["in_per_s"]]
    assert history.at == [first.at]


def test_a_killed_component_is_told_of_at_once_and_comes_back(store: Store, collector: Collector) -> None:
    with subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE) as process:
        killed = _component("scans", "scans", process.pid, (queues.SCANS,))
        collector.start()
        wait_until(lambda: read_state(store.redis) is not None, 3, "the first state")
        report.say(store.redis, killed)
        report.say(store.redis, _component("beat", "beat", os.getpid()))
        process.kill()
        process.wait()
    died = monotonic()

    def problem() -> Any:
        state = read_state(store.redis)
        return next((one for one in state.problems if one.component == "scans"), None) if state is not None else None

    wait_until(lambda: problem() is not None, 3, "the problem")
    assert monotonic() - died < 1.5
    assert "Boards and alerts stand still" in problem().text
    # Another took its place.
    report.forget(store.redis, killed.address)
    report.say(store.redis, _component("scans", "scans", os.getppid(), (queues.SCANS,)))
    wait_until(lambda: problem() is None, 3, "the end of the problem")
    state = read_state(store.redis)
    assert state is not None
    assert "scans is back" in state.recoveries[0].text


def test_who_says_nothing_for_two_seconds_is_told_of(store: Store, collector: Collector) -> None:
    said = _component("listener", "listener", os.getpid())
    report.say(store.redis, said)
    assert {one.state for one in collector.gather(store).components} == {"running"}
    store.redis.zincrby(COMPONENTS, -2_300, said.address)
    state = collector.gather(store)
    assert [one.state for one in state.components] == ["silent"]
    (problem,) = [one for one in state.problems if one.component == "listener"]
    assert "has said nothing for 2 s" in problem.text
    assert problem.severity == "error"


def test_one_process_gathers_and_another_goes_on_within_two_seconds(store: Store, collector: Collector) -> None:
    told = replace(EXAMPLE.problems[0], id="x", since=1)
    store.redis.set(SYSTEM_STATE, msgspec.json.encode(replace(EXAMPLE, problems=[told], gathered_by="web:0")))
    # One that was killed has held the turn for as long as it may.
    store.hold_lease(SYSTEM_LEASE, "dead", 1_600)
    began = monotonic()
    collector.start()

    def gathered_by() -> str:
        state = read_state(store.redis)
        return state.gathered_by if state is not None else ""

    wait_until(lambda: gathered_by() == "web:1", 4, "the change")
    assert monotonic() - began < 2.5
    state = read_state(store.redis)
    assert state is not None
    # What was wrong before is known.
    assert told in state.problems
    other = Collector("web:2")
    other.start()
    wait_until(lambda: collector.leads, 1, "its turn")
    assert not other.leads
    # One that ends in peace leaves its turn at once.
    collector.stop()
    wait_until(lambda: other.leads, 1, "the other's turn")
    other.stop()


def test_a_cache_that_is_away_is_told_of_by_who_gathers_and_that_it_is_back(
    valkey: EmbeddedValkey, store: Store, collector: Collector
) -> None:
    collector.start()
    wait_until(lambda: read_state(store.redis) is not None, 3, "the first state")
    assert collector.without_cache is None
    valkey.kill()
    wait_until(lambda: collector.without_cache is not None, 3, "the state without a cache")
    known = collector.without_cache
    assert known is not None
    assert (known.health, known.problems[0].id) == ("error", "cache")
    assert "does not answer" in known.problems[0].text
    valkey.start()
    fresh = Store()
    wait_until(lambda: read_state(fresh.redis) is not None, 5, "the state in the new cache")
    state = read_state(fresh.redis)
    assert state is not None
    assert "The cache is back, after" in state.recoveries[0].text
    assert collector.without_cache is None


def test_who_takes_the_turn_over_when_the_cache_is_back_tells_of_it(store: Store, collector: Collector) -> None:
    collector._cache_is_away(ConnectionError("away"), 0.1)
    collector._turn()
    state = read_state(store.redis)
    assert collector.leads
    assert state is not None
    assert [one.id for one in state.recoveries] == ["cache"]


def test_a_redis_broker_says_how_old_its_oldest_batch_is(store: Store) -> None:
    of, received = buffer(), now_ms()
    for second in range(3):
        of.add(frame(10, first=second * 10), received + second)
    publisher = Publisher(app, of, ListenerAccounts(store, of, "run"), BatchLimits(10, 20, 1_000_000, TTL_MS))
    publisher.start()
    broker = Broker()
    try:
        wait_until(lambda: (broker.ask()["trades"] or Depth(0)).messages == 3, what="the batches' arrival")
    finally:
        publisher.stop(2.0)
    depth = broker.ask()["trades"]
    assert depth == Depth(3, None, received)
    assert broker.ask()["jobs"] == Depth(0)


def test_what_recordings_take_is_measured_where_they_are(tmp_path: Path) -> None:
    assert folder_use(tmp_path / "none") is None
    (tmp_path / "2026-03-03.01.ndjson.zst").write_bytes(b"12345")
    (tmp_path / "notes.txt").write_bytes(b"not one of ours")
    use = folder_use(tmp_path)
    assert use is not None
    assert (use.bytes, use.files) == (5, 1)
    assert 0 < use.free_bytes < use.disk_bytes


def test_where_the_broker_does_not_say_it_nothing_waits_longer_than_it_can(store: Store, collector: Collector) -> None:
    facts = read_facts(store)
    taken = _component("feed1", "feed worker", os.getpid(), last_received_at={"news": facts.now - 51_000})
    counters = Counters()

    def oldest(depth: int, later_ms: int = 0) -> int | None:
        depths: dict[str, Depth | None] = {"news": Depth(depth, 1)}
        now = replace(facts, now=facts.now + later_ms)
        states = queue_states(now, [Seen(taken, "running")], depths, counters, later_ms / 1_000)
        return next(state.oldest_ms for state in states if state.name == "news")

    # A message lives five seconds; and one in a queue that was empty a moment ago has come since.
    assert oldest(1) == 5_000
    assert oldest(0, 1_000) is None
    assert oldest(3, 1_400) == 400


def test_gains_are_those_of_the_window_and_begin_anew_with_the_counter() -> None:
    gains = Gains(4.0)
    assert [gains.rate("x", value, second) for second, value in enumerate((10, 20, 30))] == [0.0, 10.0, 10.0]
    assert gains.gain("x", 130, 10.0) == 100
    assert gains.rate("x", 5, 11.0) == 0.0
    assert gains.rate("x", 7, 12.0) == 2.0


@pytest.fixture
def operator(db: None) -> Api:
    return _caller("chief", "view_system")


def _caller(name: str, *permissions: str) -> Api:
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    api = Api(user)
    ApiToken.objects.filter(user=user).update(scopes=["read", "operate"])
    return api


def test_the_state_over_the_api_is_for_who_may_see_it(store: Store, collector: Collector, operator: Api) -> None:
    stranger = _caller("stranger")
    for path in ("/system", "/system/history", "/system/components", "/system/accounts"):
        assert stranger("GET", path)[0] == 403
        assert Api()("GET", path)[0] == 401
    status, problem = operator("GET", "/system")
    assert (status, problem["detail"]) == (503, NOBODY_GATHERS)
    assert operator("GET", "/system/accounts")[0] == 503
    report.say(store.redis, _component("beat", "beat", os.getpid(), sent=3))
    state = collector.gather(store)
    status, shown = operator("GET", "/system")
    assert status == 200
    assert msgspec.convert(shown, SystemState) == state
    assert operator("GET", "/system/accounts")[1]["trades"]["processed"] == 90
    assert set(TERMS) <= set(operator("GET", "/system/accounts")[1]["trades"])
    (component,) = operator("GET", "/system/components")[1]
    assert (component["name"], component["figures"]) == ("beat", {"sent": 3})


def test_the_history_over_the_api_is_that_of_the_minutes_asked_for(
    store: Store, collector: Collector, operator: Api
) -> None:
    collector.gather(store)
    kept = read_history(store.redis, 0)
    status, shown = operator("GET", "/system/history?minutes=5")
    assert status == 200
    assert (shown["every_ms"], shown["at"]) == (5_000, kept.at)
    assert {len(values) for values in shown["figures"].values()} == {1}
    assert operator("GET", "/system/history?minutes=0.000001")[1]["at"] == []
    assert store.redis.llen(HISTORY) == 1
    for minutes in ("0", "16", "x", "nan"):
        assert operator("GET", f"/system/history?minutes={minutes}")[0] == 422


def test_the_description_has_the_state_with_what_everything_means() -> None:
    from control.api import api

    description = api.get_openapi_schema()
    answer = description["paths"]["/api/v1/system"]["get"]["responses"][200]["content"]["application/json"]
    assert answer["schema"] == {"$ref": "#/components/schemas/SystemState"}
    assert msgspec.convert(answer["example"], SystemState) == EXAMPLE
    schemas = description["components"]["schemas"]
    assert schemas["SystemProblem"]["properties"]["advice"]["description"] == "What to do."
    assert set(schemas["SystemState"]["required"]) == {field.name for field in msgspec.structs.fields(SystemState)}
