"""The registry of sockets, and what processes say to each other about theirs."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest
import redis
import redis.asyncio as redis_async
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from processors.store import WDS_PROCESSES, wds_process_key
from project.embedded import EmbeddedValkey
from tests.widgets.seating import new_seat, seated
from widgets.visitors.limits import TooMany
from widgets.visitors.presence import Presence, processes
from widgets.visitors.sockets import Sockets


def _refused(enter: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(TooMany) as refused:
        enter()
    return refused.value.code, refused.value.reason


_STEPS = st.tuples(st.sampled_from(["enter", "sign in", "leave"]), st.integers(0, 5), st.integers(0, 2))


@given(st.lists(_STEPS, max_size=80))
def test_the_counts_are_those_of_the_open_sockets_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    sockets, seats = Sockets(), {number: new_seat(f"10.0.0.{number % 3}") for number in range(6)}
    seated: set[int] = set()
    for step, number, user in steps:
        seat = seats[number]
        if step == "enter" and number not in seated:
            seat.user_id = None
            sockets.enter(seat)
            seated.add(number)
        elif step == "sign in" and number in seated:
            sockets.sign_in(seat, user, "")
        elif step == "leave":
            sockets.leave(seat)
            seated.discard(number)
        open_now = [seats[number] for number in seated]
        assert set(sockets) == set(open_now)
        assert dict(sockets.addresses) == Counter(seat.address for seat in open_now)
        assert dict(sockets.users) == Counter(seat.user_id for seat in open_now if seat.user_id is not None)


def test_limits_count_what_other_processes_have(settings: Settings) -> None:
    settings.WDS_SOCKETS_PER_USER, settings.WDS_SOCKETS_PER_ADDRESS = 3, 4
    sockets = Sockets()
    sockets.elsewhere({7: 2}, {"10.0.0.1": 2})
    seated(sockets, user=7)
    late = seated(sockets)
    assert _refused(lambda: sockets.sign_in(late, 7, "user7")) == (4429, "too many sockets of this user")
    assert late.user_id is None
    sockets.sign_in(late, 8, "user8")
    assert _refused(lambda: sockets.enter(new_seat())) == (4429, "too many sockets of this address")
    sockets.elsewhere({}, {})
    seated(sockets, user=7)


def test_a_process_holds_what_the_system_lets_it(settings: Settings) -> None:
    settings.WDS_SOCKETS = 3
    sockets = Sockets()
    sockets.fit(2)
    seat = seated(sockets, "10.0.0.1")
    seated(sockets, "10.0.0.2")
    assert _refused(lambda: sockets.enter(new_seat("10.0.0.3"))) == (1013, "the process is full")
    sockets.leave(seat)
    seated(sockets, "10.0.0.3")


def _said(url: str, *said: Presence) -> None:
    """Let each of them speak, in order."""

    async def speak() -> None:
        async with redis_async.Redis.from_url(url) as cache:
            for presence in said:
                await presence.say(cache)

    asyncio.run(speak())


def test_processes_hear_of_each_others_sockets(valkey: EmbeddedValkey, settings: Settings) -> None:
    settings.WDS_SOCKETS_PER_USER = 2
    here, there = Sockets(), Sockets()
    first, second = Presence(here, "one"), Presence(there, "two")
    for _ in range(2):
        seated(here, "2001:db8::1", user=7)
    _said(valkey.url, first, second)
    assert _refused(lambda: seated(there, user=7)) == (4429, "too many sockets of this user")
    _said(valkey.url, second, first)
    with redis.Redis.from_url(valkey.url) as cache:
        one, two = processes(cache)
        assert (one.name, one.sockets, one.authorised, one.users) == ("one", 2, 2, {7: 2})
        assert one.addresses == {"2001:db8::/64": 2}
        assert (two.name, two.sockets, two.authorised) == ("two", 1, 0)
        assert abs(one.at - time.time() * 1_000) < 5_000
        # One that is gone without a word is gone from every count, and all that it said goes by itself.
        assert 0 < cache.ttl(wds_process_key("one")) <= 5
        assert 0 < cache.ttl(WDS_PROCESSES) <= 60
        assert {bytes(key) for key in cache.scan_iter("tw:wds*")} == {b"tw:wds", b"tw:wds:one", b"tw:wds:two"}
        cache.delete(wds_process_key("one"))
        _said(valkey.url, second)
        assert [process.name for process in processes(cache)] == ["two"]
        for _ in range(2):
            seated(there, user=7)


def test_the_names_of_processes_long_gone_are_forgotten(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as cache:
        cache.zadd(WDS_PROCESSES, {"old": time.time() - 120, "stalled": time.time() - 10})
        _said(valkey.url, Presence(Sockets(), "new"))
        assert cache.zrange(WDS_PROCESSES, 0, -1) == [b"stalled", b"new"]


def test_a_report_tells_who_is_behind_and_what_went_out() -> None:
    sockets = Sockets()
    presence = Presence(sockets, "one")
    gone = seated(sockets, "10.0.0.9", sent=40, sent_bytes=400, dropped=4)
    quick = seated(sockets, "10.0.0.1", "status", "quote:A", sent=60, sent_bytes=600, user=7)
    slow = seated(
        sockets, "10.0.0.2", "status", user=8, behind_s=2.5, waiting=9, waiting_bytes=900, dropped=1, conflated=3
    )
    sockets.leave(gone)
    report = presence.report()
    assert [connection.id for connection in report.connections] == [slow.id, quick.id]
    assert (report.behind_ms, report.sockets, report.subscriptions) == (2_500, 2, 3)
    assert report.feeds == {"status": 2, "quote:A": 1}
    # What was sent to a socket that has left counts on.
    assert (report.sent, report.dropped, report.conflated) == (100, 5, 3)
    assert report.deliveries_per_s > 0
    worst, best = report.connections
    assert (worst.username, worst.address, worst.waiting, worst.waiting_bytes) == ("user8", "10.0.0.2", 9, 900)
    assert (best.feeds, best.subscriptions, best.sent) == (["status", "quote:A"], 2, 60)
    assert presence.report().deliveries_per_s == 0


def test_a_report_stays_small_whatever_there_is() -> None:
    sockets = Sockets()
    for number in range(1_500):
        seated(sockets, f"10.0.{number % 200}.1", *(f"quote:S{number + step}" for step in range(30)), user=number)
    report = Presence(sockets, "one").report()
    assert (report.sockets, report.subscriptions) == (1_500, 45_000)
    assert (len(report.connections), len(report.feeds)) == (500, 100)
    assert {len(connection.feeds) for connection in report.connections} == {20}
    assert {connection.subscriptions for connection in report.connections} == {30}


def test_without_a_cache_each_process_counts_its_own(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.WDS_SOCKETS_PER_USER = 1
    sockets = Sockets()
    sockets.elsewhere({7: 1}, {})
    presence = Presence(sockets, "one")

    async def start_and_end() -> None:
        presence.start()
        presence.start()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                seated(sockets, user=7)
                break
            except TooMany:
                await asyncio.sleep(0.02)
        await presence.leave()

    asyncio.run(start_and_end())
    assert sockets.users == {7: 1}


def test_a_process_that_ends_in_peace_leaves_nothing(valkey: EmbeddedValkey, settings: Settings) -> None:
    settings.REDIS_URL = valkey.url
    presence = Presence(Sockets(), "one")

    async def start_and_end(cache: "redis.Redis") -> None:
        presence.start()
        while not cache.exists(wds_process_key("one")):
            await asyncio.sleep(0.02)
        await presence.leave()

    with redis.Redis.from_url(valkey.url) as cache:
        asyncio.run(start_and_end(cache))
        assert cache.keys("tw:wds*") == []
