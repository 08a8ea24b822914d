"""What processes say of themselves, and what they do when they are told."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import psutil
import pytest
import redis

from processors.components import agent as agents
from processors.components import levels, pulse
from processors.components.agent import Agent
from processors.components.instructions import CannotDo, NobodyThere, Said, instruct
from processors.components.report import Component, components, expected, forget, say
from processors.store import COMPONENTS, component_key, connect
from project import logs
from project.embedded import EmbeddedValkey
from tests.services import wait_until


@pytest.fixture
def cache(valkey: EmbeddedValkey) -> "redis.Redis":
    return connect()


def _component(name: str, pid: int, since: int) -> Component:
    return Component(name, "feed worker", "elsewhere", pid, since, since, 1, 0.0, 1, "INFO", [], {})


def _last_heard(cache: "redis.Redis", component: Component, seconds_ago: float) -> None:
    """Let a process have said its last word some time ago."""
    say(cache, component)
    heard = cache.zscore(COMPONENTS, component.address)
    assert heard is not None
    cache.zadd(COMPONENTS, {component.address: heard - seconds_ago * 1_000})


@pytest.fixture
def worker(cache: "redis.Redis") -> Iterator[Agent]:
    """An agent that counts, echoes, refuses, fails, and never answers in time."""
    counted = iter(range(1_000_000))

    def figures() -> dict[str, Any]:
        return {"reports": next(counted)}

    def refuse(arguments: dict[str, Any]) -> Said:
        raise CannotDo("Not today: ask tomorrow.")

    def fail(arguments: dict[str, Any]) -> Said:
        raise ZeroDivisionError("by nought")

    def sleep(arguments: dict[str, Any]) -> Said:
        time.sleep(0.4)
        return Said("late")

    def echo(arguments: dict[str, Any]) -> Said:
        return Said("heard", before={"was": 1}, after=arguments)

    knows = {"echo": echo, "refuse": refuse, "fail": fail, "sleep": sleep}
    with Agent("feed7", "feed worker", figures, knows, queues=lambda: ["trades"]) as agent:
        wait_until(lambda: components(cache), 3, "the first report")
        yield agent


def test_a_process_says_each_second_how_it_does_until_it_says_goodbye(worker: Agent, cache: "redis.Redis") -> None:
    (first,) = components(cache)
    assert (first.name, first.kind, first.pid, first.queues) == ("feed7", "feed worker", os.getpid(), ["trades"])
    assert first.log_level == logs.current_log_level()
    assert first.rss_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.3)
    assert first.threads >= 3
    assert abs(first.heard_at - first.at) < 1_000
    wait_until(lambda: components(cache)[0].at > first.at, 2, "the next report")
    second = components(cache)[0]
    assert 800 <= second.at - first.at <= 1_800
    assert second.figures["reports"] == first.figures["reports"] + 1
    worker.report_now()
    wait_until(lambda: components(cache)[0].at > second.at, 0.5, "a report at once")
    worker.stop()
    assert expected(cache) == []


def test_one_that_says_nothing_more_is_missed_until_it_is_replaced_or_forgotten(cache: "redis.Redis") -> None:
    dead, other = _component("feed1", 11, since=1_000), _component("feed2", 22, since=1_000)
    _last_heard(cache, dead, 2.5)
    say(cache, other)
    assert [component.pid for component in components(cache)] == [11, 22]
    assert 2_500 <= expected(cache)[0].silent_ms < 4_000
    _last_heard(cache, dead, 7)
    assert [component.pid for component in components(cache)] == [22]
    assert [component.pid for component in expected(cache)] == [11, 22]
    # Its successor is not one process more.
    say(cache, _component("feed1", 33, since=9_000))
    assert [component.pid for component in expected(cache)] == [33, 22]
    # Two that live share a name when they were given the same.
    say(cache, msgspec.structs.replace(dead, pid=44))
    assert [component.pid for component in expected(cache)] == [33, 44, 22]
    forget(cache, other.address)
    assert 22 not in [component.pid for component in expected(cache)]


@pytest.mark.parametrize("to", ["feed7", "feed worker", "all", "{address}"])
def test_whoever_is_called_carries_it_out_and_answers(worker: Agent, cache: "redis.Redis", to: str) -> None:
    (component,) = components(cache)
    begun = time.monotonic()
    (answer,) = instruct(cache, to.format(address=component.address), "echo", {"by": 2})
    assert time.monotonic() - begun < 0.5
    assert (answer.component, answer.host, answer.pid) == ("feed7", component.host, component.pid)
    assert (answer.ok, answer.said, answer.before, answer.after) == (True, "heard", {"was": 1}, {"by": 2})


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("refuse", "Not today: ask tomorrow."),
        ("fail", "It failed: ZeroDivisionError: by nought"),
        ("dance", "feed7 does not know how to dance; it knows echo, fail, log_level, refuse, restart, sleep."),
        ("log_level", "'LOUD' is no level"),
    ],
)
def test_what_cannot_be_done_is_answered_in_words(worker: Agent, cache: "redis.Redis", what: str, said: str) -> None:
    (answer,) = instruct(cache, "feed7", what, {"level": "loud"})
    assert not answer.ok
    assert answer.said.startswith(said)
    assert instruct(cache, "feed7", "echo", {})[0].ok


def test_nobody_there_is_an_error_and_nobody_in_time_is_no_answer(worker: Agent, cache: "redis.Redis") -> None:
    with pytest.raises(NobodyThere, match="called feed8"):
        instruct(cache, "feed8", "echo", {})
    say(cache, _component("feed8", 88, since=1))
    assert instruct(cache, "feed8", "echo", {}, timeout_s=0.1) == []
    # Of two, one is not there to answer.
    assert [answer.component for answer in instruct(cache, "feed worker", "echo", {}, timeout_s=0.3)] == ["feed7"]
    assert instruct(cache, "feed7", "sleep", {}, timeout_s=0.1) == []
    cache.publish("tw:instruct", b"nonsense")
    wait_until(lambda: instruct(cache, "feed7", "echo", {})[0].ok, 2, "an answer after what cannot be read")


def test_figures_that_fail_do_not_make_a_process_look_dead(cache: "redis.Redis") -> None:
    def broken() -> dict[str, Any]:
        raise LookupError("gone")

    with Agent("jobs", "jobs", broken):
        wait_until(lambda: components(cache), 3, "a report")
        assert components(cache)[0].figures == {}


def test_a_report_of_another_version_hides_nobody(cache: "redis.Redis") -> None:
    say(cache, _component("feed1", 1, 1))
    other = _component("feed2", 2, 1)
    say(cache, other)
    cache.set(component_key(other.address), b'{"name": "feed2"}')
    assert [one.name for one in components(cache)] == ["feed1"]


def test_what_cannot_be_put_into_words_makes_nobody_mute_or_deaf(cache: "redis.Redis") -> None:
    queues: list[Any] = [object()]
    knows = {"odd": lambda arguments: Said("odd", after=object()), "echo": lambda arguments: Said("heard")}
    with Agent("jobs", "jobs", instructions=knows, queues=lambda: queues) as agent:
        agent.report_now()
        wait_until(lambda: agent._unsaid, 3, "a report that fails")
        queues[:] = ["trades"]
        wait_until(lambda: components(cache), 3, "one that does not")
        assert instruct(cache, "jobs", "odd", {}, timeout_s=0.1) == []
        wait_until(lambda: instruct(cache, "jobs", "echo", {}, timeout_s=0.2), 3, "an answer")


def test_who_is_answered_nothing_any_more_listens_anew(
    cache: "redis.Redis", valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listeners() -> set[str]:
        return {client["id"] for client in cache.client_list(_type="pubsub")}

    monkeypatch.setattr(agents, "_PING_EVERY_S", 0.1)
    with Agent("jobs", "jobs", instructions={"echo": lambda arguments: Said("heard")}):
        wait_until(listeners, 3, "a listener")
        before = listeners()
        assert valkey.pid is not None
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            time.sleep(0.4)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        wait_until(lambda: listeners() - before, 3, "a new connection")
        wait_until(lambda: instruct(cache, "jobs", "echo", {}, timeout_s=0.2), 3, "an answer")


def test_a_process_that_is_told_to_restart_answers_and_is_asked_to_end(cache: "redis.Redis") -> None:
    child = os.fork()
    if child == 0:
        ended = threading.Event()
        # SIGTERM ends a process that has not asked for it.
        Agent("replay", "source").start()
        ended.wait(10)
        os._exit(7)
    wait_until(lambda: components(cache), 3, "the report of the child")
    (answer,) = instruct(cache, "replay", "restart", {})
    assert (answer.ok, answer.before) == (True, child)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == 15


def test_a_pool_s_processes_follow_the_level_of_the_one_that_has_forked_them(cache: "redis.Redis") -> None:
    before = logs.current_log_level()
    go, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.read(go[0], 1)
        levels.follow()
        os.write(done[1], logs.current_log_level().encode())
        os._exit(0)
    try:
        with Agent("jobs", "jobs"):
            wait_until(lambda: components(cache), 3, "a report")
            (answer,) = instruct(cache, "jobs", "log_level", {"level": "error"})
            assert (answer.before, answer.after) == (before, "ERROR")
            wait_until(lambda: components(cache)[0].log_level == "ERROR", 1, "the level in the report")
        os.write(go[1], b"!")
        assert os.read(done[0], 100) == b"ERROR"
    finally:
        levels.set_level(before)
        os.waitpid(child, 0)


def test_a_cache_that_goes_and_comes_back_finds_everybody_within_a_second(
    worker: Agent, cache: "redis.Redis", valkey: EmbeddedValkey
) -> None:
    valkey.kill()
    time.sleep(0.5)
    valkey.start()
    back = time.monotonic()
    wait_until(lambda: components(cache), 1.5, "the report to the cache that is back")
    wait_until(lambda: instruct(cache, "feed7", "echo", {}, timeout_s=0.2), 1.5, "an answer")
    assert time.monotonic() - back < 2


def test_a_process_whose_event_loop_hangs_is_missed_until_it_turns_again(
    cache: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "_HANGS_AFTER_S", 0.5)
    loop = asyncio.new_event_loop()
    turning = threading.Thread(target=loop.run_forever)
    turning.start()
    hanging = threading.Event()
    try:
        with Agent("web", "web", pulse=pulse.LoopPulse(loop)) as agent:
            wait_until(lambda: components(cache), 3, "a report")
            loop.call_soon_threadsafe(hanging.wait, 10)
            time.sleep(0.6)
            agent.report_now()
            time.sleep(0.2)
            last = components(cache)[0].at
            agent.report_now()
            time.sleep(0.3)
            assert components(cache)[0].at == last
            hanging.set()
            wait_until(lambda: components(cache)[0].at > last, 2, "a report again")
    finally:
        loop.call_soon_threadsafe(loop.stop)
        turning.join()
        loop.close()
