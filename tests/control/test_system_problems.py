"""What is wrong, in words: which figures make a problem, which components are missed, and when a problem is over."""

import os
import subprocess
import sys
from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from control.system.assembling.processes import supervisor_state
from control.system.example import EXAMPLE
from control.system.liveness import clocks_ahead_ms, look
from control.system.problems import problems
from control.system.problems.finding import Signs
from control.system.standing import Found, Standing
from control.system.state import PartState, Percentiles, SystemState
from processors.components.report import Component

_CALM = Signs(now=EXAMPLE.at, depth_grown={}, evicted=0, web_dropped=0, clocks_ahead_ms={})
_PART = PartState(pid=4_249, state="running", restarts=0, last_ending="", next_start_at=None)
_BEAT = replace(EXAMPLE.components[0], name="beat", kind="beat", pid=4_300)
_SCANS = replace(EXAMPLE.components[0], name="scans", kind="scans", pid=4_301)
assert EXAMPLE.supervisor is not None
HEALTHY = replace(
    EXAMPLE,
    components=[EXAMPLE.components[0], _BEAT, _SCANS],
    workers=[EXAMPLE.workers[0], replace(EXAMPLE.workers[0], name="scans", kind="scans", pid=4_301)],
    supervisor=replace(EXAMPLE.supervisor, parts={"feed1": _PART}, feed_workers_wanted=1, feed_workers_running=1),
)


def _found(state: SystemState, **signs: Any) -> dict[str, Found]:
    return {found.id: found for found in problems(state, replace(_CALM, **signs))}


def test_a_system_that_does_well_has_no_problem() -> None:
    assert _found(HEALTHY) == {}


_TRADES = HEALTHY.feeds["trades"]
_QUEUE = HEALTHY.queues[0]
_CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("listener", {"listener": {"state": "refused", "reason": "The key is unknown."}}, "error", "key is unknown", "key"),
    ("listener", {"listener": {"state": "backing off", "reason": "No answer."}}, "error", "cut off", "by itself"),
    ("listener", {"listener": {"state": "stopped", "reason": "Off."}}, "warning", "is stopped", "Start it"),
    ("listener", {"listener": {"state": "gone"}}, "error", "No listener runs", "manage.py listen"),
    ("listener", {"listener": {"state": "connecting", "since": 0}}, "error", "connecting for", "goes on trying"),
    ("listener:settings", {"listener": {"wanted_revision": 4}}, "warning", "does not follow", "restart it"),
    ("listener:buffer", {"listener": {"buffered_bytes": 60 * 2**20}}, "warning", "94% full", "broker"),
    (
        "broker",
        {"broker": {"ok": False, "problem": "refused"}},
        "error",
        "does not answer: refused",
        "CELERY_BROKER_URL",
    ),
    ("database", {"database": {"ok": False, "problem": "it is locked"}}, "error", "is locked", "transaction"),
    ("cache:full", {"cache": {"used_bytes": 2_000 * 2**20}}, "error", "98%", "maxmemory"),
    ("cache:aof", {"cache": {"aof": "aof_last_write_status is err"}}, "error", "cannot write its file", "disk"),
    ("cache:slow", {"cache": {"answer_ms": 80.0}}, "warning", "80 ms", "slowlog"),
    ("engine:late", {"engine": {"ticks_per_s": 0.0}}, "error", "0.0 times a second", "scans"),
    ("web:behind", {"wds": {"behind_ms": 4_000}}, "warning", "trader, 10.0.0.7) is 4.0 s behind", "others do not"),
    ("disk", {"recordings": {"free_bytes": 2**20}}, "error", "only 1 MB left", "RECORDINGS_MAX_GB"),
    ("workers:count", {"supervisor": {"feed_workers_wanted": 3}}, "warning", "1 of 3 feed workers", "`up` starts"),
]


@pytest.mark.parametrize(("name", "changes", "severity", "text", "advice"), _CASES, ids=lambda case: str(case)[:24])
def test_a_problem_says_what_is_wrong_and_what_to_do(
    name: str, changes: dict[str, Any], severity: str, text: str, advice: str
) -> None:
    state = replace(HEALTHY, **{part: replace(getattr(HEALTHY, part), **some) for part, some in changes.items()})
    found = _found(state)
    assert list(found) == [name]
    assert found[name].severity == severity
    assert text in found[name].text
    assert advice in found[name].advice
    assert found[name].well


def test_wasted_malformed_and_missing_events_are_told_of() -> None:
    bad = replace(_TRADES, lost_per_min=40, malformed_per_min=3, unbalanced=1)
    found = _found(replace(HEALTHY, feeds={"trades": bad}))
    assert set(found) == {"accounts:wasted", "accounts:malformed", "accounts:unbalanced"}
    assert found["accounts:wasted"].severity == "warning"
    assert found["accounts:wasted"].text.startswith("40 events of trades (")
    assert found["accounts:unbalanced"].text == "1 event of trades is not accounted for."
    worse = replace(bad, lost_per_min=20_000)
    assert _found(replace(HEALTHY, feeds={"trades": worse}))["accounts:wasted"].severity == "error"


def test_the_same_trouble_of_several_feeds_is_one_sentence() -> None:
    bad = replace(_TRADES, lost_per_min=40, malformed_per_min=3, in_per_s=100.0)
    feeds = {"trades": bad, "quotes": replace(bad, lost_per_min=3_000), "news": _TRADES}
    late = [replace(_QUEUE, name=name, oldest_ms=age, depth=9) for name, age in (("trades", 3_000), ("quotes", 51_000))]
    grows = replace(_QUEUE, name="aggregate", depth=90)
    found = _found(replace(HEALTHY, feeds=feeds, queues=[*late, grows]), depth_grown={"aggregate": 80})
    assert {name: one.text for name, one in found.items()} == {
        "accounts:wasted": "3,040 events, 3,000 of quotes (50.0%), 40 of trades (0.7%), were dropped, expired, "
        "overflowed, failed or got lost within the last minute.",
        "accounts:malformed": "6 events, 3 of trades, 3 of quotes, could not be read within the last minute.",
        "queues:late": "The oldest batch waits in trades for 3.0 s, quotes for 51.0 s; 18 wait, and expire instead of "
        "being merged after 5 s. Growing: aggregate (90 batches wait, 80 more than some seconds ago).",
    }
    assert {found["accounts:wasted"].severity, found["queues:late"].severity} == {"error"}


def test_queues_that_nobody_takes_from_or_that_are_late() -> None:
    left = [replace(_QUEUE, name=name, consumers=0, depth=2) for name in ("trades", "quotes")]
    found = _found(replace(HEALTHY, queues=left))
    assert "these queues: trades, quotes; 4 messages" in found["queues:consumers"].text
    old = _found(replace(HEALTHY, queues=[replace(_QUEUE, oldest_ms=3_000, depth=9)]))
    assert "waits in trades for 3.0 s; 9 wait, and expire after 5 s" in old["queues:late"].text
    grows = _found(replace(HEALTHY, queues=[replace(_QUEUE, depth=90)]), depth_grown={"trades": 80})
    assert "80 more" in grows["queues:late"].text
    # Without its broker nothing is known of them.
    away = replace(HEALTHY, queues=left, broker=replace(HEALTHY.broker, ok=False, problem="away"))
    assert set(_found(away)) == {"broker"}


def test_what_the_last_minute_and_other_hosts_show() -> None:
    found = _found(HEALTHY, evicted=7, web_dropped=3, clocks_ahead_ms={"east": 7_200, "west": -20})
    assert set(found) == {"cache:evicted", "web:dropped", "clock:east"}
    assert "7.2 s ahead" in found["clock:east"].text


def test_a_long_way_is_told_of_with_its_slowest_stage() -> None:
    slow = {"queue_to_merge": Percentiles(p50=1.0, p99=1_900.0), "frame_to_socket": Percentiles(p50=2.0, p99=2_000.0)}
    assert (
        "takes 2.0 s from the feed to the browsers, most of it queue to merge"
        in _found(replace(HEALTHY, latency=slow))["latency"].text
    )


def test_failing_and_slow_scanners_are_named() -> None:
    one = HEALTHY.engine.scanners["top_gainers"]
    scanners = {"mine": replace(one, failing="no such column"), "top": replace(one, slow=True)}
    found = _found(replace(HEALTHY, engine=replace(HEALTHY.engine, scanners=scanners)))
    assert "mine does not run: no such column" in found["engine:failing"].text
    assert found["engine:slow scanners"].text.endswith("top.")


def _component(name: str, pid: int, silent_ms: int = 200, host: str = os.uname().nodename, **more: Any) -> Component:
    kind = "feed worker" if name.startswith("feed") else name
    now = EXAMPLE.at
    said = {"since": now - 60_000, "at": now - silent_ms, "heard_at": now - silent_ms, **more}
    return Component(
        name=name, kind=kind, host=host, pid=pid, rss_bytes=1, cpu_pct=0.0, threads=1, log_level="INFO", queues=[],
        figures={}, silent_ms=silent_ms, **said,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ended() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen((sys.executable, "-c", "")) as process:
        process.wait()
        return process.pid


def test_who_has_ended_is_gone_at_once_and_who_hangs_is_silent_after_two_seconds(ended: int) -> None:
    here = os.getpid()
    said = [_component("beat", here), _component("jobs", here, 2_500), _component("scans", ended, 100)]
    there = {one.said.name: one.state for one in look(said, None)}
    assert there == {"beat": "running", "jobs": "silent", "scans": "gone"}


def test_who_was_there_before_the_system_began_is_not_missed(ended: int) -> None:
    said = [_component("scans", ended, 9_000), _component("jobs", ended, 100)]
    assert [one.said.name for one in look(said, None, EXAMPLE.at - 5_000)] == ["jobs"]


def test_what_up_knows_counts_at_once() -> None:
    here = os.getpid()
    said = [_component("feed1", here), _component("feed2", here), _component("up", here), _component("scans", here)]
    parts = {"feed1": replace(_PART, pid=here), "scans": replace(_PART, pid=None, state="waiting")}
    there = {one.said.name: one.state for one in look(said, parts)}
    # feed2 still runs, and is nobody's part any more: as long as it answers it is shown.
    assert there == {"feed1": "running", "feed2": "running", "up": "running", "scans": "gone"}
    retired = [_component("feed2", here, 3_000)]
    assert look(retired, parts) == []


def test_a_newcomer_on_another_host_stands_for_one_that_is_missed() -> None:
    at = EXAMPLE.at
    old = [_component("worker", 1, 9_000, "box1"), _component("worker", 2, 9_000, "box2")]
    new = _component("worker", 1, 200, "box3", since=at - 8_000)
    found = {(one.said.host, one.state) for one in look([*old, new], None)}
    assert found == {("box2", "silent"), ("box3", "running")}


def test_a_successor_in_up_stands_for_it_also_when_the_clock_was_put_back(ended: int) -> None:
    new = _component("scans", os.getpid(), since=EXAMPLE.at - 3_600_000)
    there = look([_component("scans", ended, 5_000), new], {"scans": replace(_PART, pid=os.getpid())})
    assert [(one.said.pid, one.state) for one in there] == [(os.getpid(), "running")]


def test_what_an_up_that_is_gone_said_of_its_parts_holds_no_more() -> None:
    keeper = replace(_component("up", 1), figures={"parts": {"scans": to_builtins(_PART)}})
    assert supervisor_state([keeper], {}) is not None
    assert supervisor_state([replace(keeper, silent_ms=60_000)], {}) is None


def test_clocks_are_compared_with_the_caches() -> None:
    ahead = _component("beat", 1, host="east", at=EXAMPLE.at + 5_000, heard_at=EXAMPLE.at)
    assert clocks_ahead_ms([ahead]) == {"east": 5_000}


def _missing(name: str, state: str, part: PartState | None, kind: str = "scans") -> Found | None:
    assert HEALTHY.supervisor is not None
    component = replace(_SCANS, name=name, kind=kind, state=state, silent_ms=2_600)
    others = [one for one in HEALTHY.components if one.kind != "scans"]
    parts = {"feed1": _PART} | ({name: part} if part is not None else {})
    found = _found(
        replace(
            HEALTHY, components=[*others, component], supervisor=replace(HEALTHY.supervisor, parts=parts), workers=[]
        )
    )
    return found.get(f"component:{name}@trading-1")


def test_a_component_that_is_missed_is_told_of_with_what_happens_next() -> None:
    killed = PartState(
        pid=None, state="waiting", restarts=2, last_ending="was ended by SIGKILL", next_start_at=EXAMPLE.at + 2_000
    )
    found = _missing("scans", "gone", killed)
    assert found is not None
    assert found.severity == "error"
    assert found.text == "scans (process 4301) was ended by SIGKILL. Boards and alerts stand still."
    assert "starts it again in 2.0 s (restart 3)" in found.advice
    hangs = _missing("scans", "silent", _PART)
    assert hangs is not None
    assert "has said nothing for 3 s" in hangs.text
    assert "kill -9 4301" in hangs.advice
    refuses = _missing("scans", "gone", replace(killed, state="down", last_ending="refuses its configuration"))
    assert refuses is not None
    assert "stays down" in refuses.advice
    alone = _missing("scans", "gone", None)
    assert alone is not None
    assert "docker compose up -d scans" in alone.advice


def test_a_feed_worker_among_others_is_a_warning_and_what_ended_as_it_should_is_none() -> None:
    found = _missing("feed2", "gone", None, "feed worker")
    assert found is not None
    assert found.severity == "warning"
    assert "The other one takes its batches" in found.text
    assert _missing("replay", "gone", replace(_PART, state="down", last_ending="finished"), "source") is None
    assert _missing("feed2", "gone", replace(_PART, state="ending"), "feed worker") is None


def _seen(name: str = "x", **more: int) -> list[Found]:
    return [
        Found(id=name, severity="error", component="c", text="It is bad.", advice="Mend it.", well="It is well", **more)
    ]


def test_a_problem_has_to_last_and_is_over_when_it_has_been_gone_for_a_while() -> None:
    standing = Standing()
    assert standing.follow(_seen(), 0) == ([], [])
    assert standing.follow(_seen(), 1_000)[0] == []
    stand, _ = standing.follow(_seen(), 2_000)
    assert [(problem.id, problem.since) for problem in stand] == [("x", 0)]
    # Gone for a moment, it stands; and comes again as the same.
    assert len(standing.follow([], 3_000)[0]) == 1
    assert standing.follow(_seen(), 4_000)[0][0].since == 0
    stand, over = standing.follow([], 8_100)
    assert stand == []
    assert [(one.text, one.lasted_ms) for one in over] == [("It is well, after 4.0 s.", 4_000)]
    assert standing.follow([], 70_000) == ([], [])


def test_what_is_only_glimpsed_is_no_problem() -> None:
    standing = Standing()
    for second in range(20):
        found = _seen() if second % 3 == 0 else []
        assert standing.follow(found, second * 1_000) == ([], [])


def test_a_system_that_starts_is_given_time_except_where_somebody_dies() -> None:
    standing = Standing(patient_until=20_000)
    assert standing.follow([*_seen(), *_seen("dead", after_ms=0)], 0)[0][0].id == "dead"
    assert len(standing.follow([*_seen(), *_seen("dead", after_ms=0)], 15_000)[0]) == 1
    assert len(standing.follow([*_seen(), *_seen("dead", after_ms=0)], 20_000)[0]) == 2


def test_another_process_goes_on_with_what_was_told() -> None:
    before = Standing()
    told, _ = before.follow(_seen(after_ms=0), 1_000)
    after = Standing()
    after.resume(told, [], 2_000)
    assert after.follow(_seen(after_ms=0), 3_000)[0] == told
    stand, over = after.follow([], 9_000)
    assert (stand, [one.id for one in over]) == ([], ["x"])


def test_what_is_counted_over_a_minute_is_not_over_because_another_process_goes_on() -> None:
    told, _ = Standing().follow(_seen("accounts:wasted", after_ms=0), 1_000)
    after = Standing()
    after.resume(told, [], 2_000)
    assert after.follow([], 50_000)[0] == told
    _, over = after.follow([], 62_000)
    assert [one.text for one in over] == ["Over: It is bad, after 1.0 s."]


def test_a_clock_that_is_put_back_holds_nothing_up() -> None:
    hour = 3_600_000
    standing = Standing()
    standing.follow([*_seen("old", after_ms=0), *_seen("new")], hour)
    stand, _ = standing.follow([*_seen("old"), *_seen("new")], 0)
    assert [(one.id, one.since) for one in stand] == [("old", 0)]
    assert {one.id for one in standing.follow(_seen("new"), 2_000)[0]} == {"old", "new"}
    assert {one.id for one in standing.follow([], 7_000)[1]} == {"old", "new"}
    assert standing.follow([], 70_000) == ([], [])
