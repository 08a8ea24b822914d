"""A running system whose every component is told to do something, and does it."""

import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import redis

from processors.components.instructions import Answer, instruct
from processors.components.report import Component, components, expected
from tests.services import wait_until

# A component does what it is told within a second, where nothing else takes the cores.
_SOON_S = 2.5
# Two seconds of a core each, many of them at once, beside other tests.
_BACK_S = 60.0


def _named(cache: "redis.Redis", name: str) -> Component:
    return next(component for component in components(cache) if component.name == name)


def _told(cache: "redis.Redis", to: str, what: str, **arguments: Any) -> Answer:
    """What the one component answers that is called so."""
    begun = time.monotonic()
    (answer,) = instruct(cache, to, what, arguments, timeout_s=5)
    assert time.monotonic() - begun < _SOON_S
    assert answer.ok, answer.said
    return answer


def everybody_is_there(cache: "redis.Redis") -> None:
    """Every process of the system says how it does."""
    names = {"up", "simulate", "listener", "feed1", "feed2", "scans", "jobs", "beat", "web1", "web2"}
    wait_until(lambda: {component.name for component in components(cache)} == names, _BACK_S, "everybody's report")
    by_name = {component.name: component for component in components(cache)}
    for name, component in by_name.items():
        assert component.rss_bytes > 10_000_000, name
        assert component.log_level == "INFO", name
        assert abs(component.heard_at - component.at) < 2_000, name
    assert "trades" in by_name["feed1"].queues
    work = by_name["feed1"].figures
    assert work["batches"] > 0
    assert work["busy_s"] > 0
    assert work["events"]["trades"] > 0
    assert work["merge_ms"]["p99"] >= work["merge_ms"]["p50"] > 0
    assert time.time() * 1_000 - work["last_received_at"]["trades"] < 10_000
    engine = by_name["scans"].figures
    assert engine["leads"]
    assert engine["ticks"] > 0
    assert engine["tick_ms"]["max"] > 0
    assert engine["scanners"]["top_volume"]["rows"] > 0
    assert by_name["listener"].figures["state"] == "live"
    assert time.time() * 1_000 - by_name["beat"].figures["last_tick_at"] < 5_000

    def parts() -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = _named(cache, "up").figures["parts"]
        return found

    wait_until(lambda: {part["state"] for part in parts().values()} == {"running"}, _BACK_S, "all parts' start")
    assert parts().keys() == names - {"up"} | {"valkey"}
    assert parts()["feed1"]["pid"] == by_name["feed1"].pid
    assert parts()["feed1"]["restarts"] == 0
    assert by_name["up"].figures["feed_workers"] == {"wanted": 2, "running": 2}


def everybody_obeys(cache: "redis.Redis", run_dir: Path) -> None:
    """What each can be told while it runs."""
    heard = {answer.component for answer in instruct(cache, "all", "log_level", {"level": "WARNING"})}
    assert heard == {component.name for component in components(cache)}
    assert _told(cache, "scans", "log_level", level="INFO").before == "WARNING"

    with sqlite3.connect(run_dir / "tapewatch.sqlite3", timeout=10) as database:
        database.execute("UPDATE control_feedsettings SET subscriptions = 'T.*,Q.*', revision = revision + 1")
    looked = _told(cache, "listener", "look")
    assert looked.after["subscriptions"] == ["T.*", "Q.*"]
    assert looked.after["settings_revision"] == looked.before["settings_revision"] + 1
    connected = _told(cache, "listener", "reconnect")
    assert connected.after["state"] == "live"
    assert connected.after["since"] > connected.before["since"]

    with sqlite3.connect(run_dir / "tapewatch.sqlite3", timeout=10) as database:
        database.execute("UPDATE control_scanner SET enabled = 0 WHERE slug = 'top_losers'")
    running = _told(cache, "scans", "look").after["scanners"]
    assert "top_volume" in running
    assert "top_losers" not in running

    least, most = (_told(cache, "jobs", "autoscale", most=3, least=3).after[end] for end in ("least", "most"))
    assert (least, most) == (3, 3)
    assert _told(cache, "jobs", "grow", by=1).after == {"processes": 4, "least": 4, "most": 4}
    assert _told(cache, "jobs", "shrink", by=2).after["most"] == 2
    assert _told(cache, "jobs", "add_queue", queue="unknown").after == ["jobs", "unknown"]
    assert _told(cache, "jobs", "cancel_queue", queue="unknown").after == ["jobs"]
    anew = _told(cache, "jobs", "restart_pool")
    assert set(anew.before) - set(anew.after)
    for to, what, arguments in (
        ("jobs", "add_queue", {"queue": "nowhere"}),
        ("jobs", "autoscale", {"most": 1, "least": 2}),
        ("web", "drain", {"seconds": -1}),
        ("up", "restart", {}),
        ("up", "restart_part", {"name": "nobody"}),
        ("beat", "dance", {}),
    ):
        assert [answer.ok for answer in instruct(cache, to, what, arguments)].count(True) == 0, what


def whoever_ends_comes_back(cache: "redis.Redis") -> None:
    """Restarted by itself, by `up`, drained, or killed: each has a successor, and is missed meanwhile."""
    before = {component.name: component for component in components(cache)}
    _told(cache, "feed2", "restart")
    assert _told(cache, "web2", "drain", seconds=1).after["draining"]
    os.kill(before["jobs"].pid, signal.SIGKILL)
    wait_until(
        lambda: _named(cache, "up").figures["parts"]["jobs"]["last_ending"] == "was ended by SIGKILL", 2, "the bad news"
    )
    assert "jobs" in {component.name for component in expected(cache)}
    # It may finish what it does first.
    assert instruct(cache, "up", "restart_part", {"name": "beat"})[0].ok

    def succeeded() -> bool:
        now = {component.name: component for component in expected(cache)}
        ended = ("feed2", "web2", "jobs", "beat")
        return now.keys() == before.keys() and all(now[name].pid != before[name].pid for name in ended)

    wait_until(succeeded, _BACK_S, "everybody's successor")
    assert _named(cache, "feed1").pid == before["feed1"].pid
