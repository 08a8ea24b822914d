"""The lease: one holder at a time, and a holder that was away knows it."""

import asyncio
from time import monotonic

import pytest
import redis

from listener.lease import Lease
from project.embedded import EmbeddedValkey
from tests.services import wait_until

KEY = "tw:lease:test"


def test_it_has_one_holder_until_that_gives_it_back(valkey: EmbeddedValkey) -> None:
    first, second = Lease(KEY, 3), Lease(KEY, 3)
    assert first.renew()
    assert not second.renew()
    assert (first.held, second.held) == (True, False)
    first.release()
    assert not first.held
    assert second.renew()
    # What still runs in a thread when its holder ends takes nothing back.
    second.release()
    assert not second.renew()


def test_by_the_holders_own_clock_it_ends_no_later_than_in_the_cache(valkey: EmbeddedValkey) -> None:
    lease = Lease(KEY, 0.2)
    assert lease.renew()
    assert lease.held
    with redis.Redis.from_url(valkey.url) as client:
        wait_until(lambda: not client.exists(KEY), 2)
    assert not lease.held
    assert lease.renew()


async def test_a_process_that_was_stopped_past_it_does_not_hold_it(valkey: EmbeddedValkey) -> None:
    lease, other = Lease(KEY, 0.2), Lease(KEY, 3)
    assert lease.renew()
    await asyncio.sleep(0.3)
    assert other.renew()
    assert not lease.held
    assert not lease.renew()


def test_a_cache_that_is_away_takes_it_from_nobody(valkey: EmbeddedValkey) -> None:
    lease, stopped = Lease(KEY, 0.5), Lease("tw:lease:other", 0.1)
    assert lease.renew()
    assert stopped.renew()
    valkey.kill()
    began = monotonic()
    while monotonic() - began < 1.0:
        with pytest.raises(redis.RedisError):
            lease.renew()
        assert lease.held
    # One that had run out by then is not held again because of it.
    with pytest.raises(redis.RedisError):
        stopped.renew()
    assert not stopped.held
    valkey.start()
    assert lease.renew()
