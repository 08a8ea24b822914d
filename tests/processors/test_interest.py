"""Who listens: asked of Redis often enough, and not so often that listeners slow the feed."""

import time
from collections.abc import Iterator

import pytest
import redis

from processors.interest import PATTERNS, Interest
from project.embedded import EmbeddedValkey


@pytest.fixture
def cache(valkey: EmbeddedValkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey.url) as client:
        yield client


def test_what_somebody_listens_to_is_wanted(cache: "redis.Redis") -> None:
    interest = Interest(cache)
    with cache.pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe("quote:AAPL")
        cache.zadd(PATTERNS, {"bars:1m:*": time.time() + 5, "news:*": time.time() - 1})
        interest.told(1)
        interest.refresh()
        assert interest.wanted("quote:AAPL")
        assert not interest.wanted("quote:MSFT")
        assert interest.wanted("bars:1m:X")
        assert [interest.any_of(prefix) for prefix in ("quote:", "bars:", "bars:1m:A", "news:")] == [True] * 3 + [False]
        listener.unsubscribe("quote:AAPL")
        # Confirmed.
        while listener.subscribed:
            listener.get_message(timeout=1)
        interest.told(2)
        interest.refresh()
        assert not interest.any_of("quote:")


def test_who_listens_to_very_much_to_and_fro_does_not_slow_the_feed(cache: "redis.Redis") -> None:
    interest = Interest(cache)
    with cache.pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(*(f"quote:S{number}" for number in range(40_000)))
        began = time.monotonic()
        for counter in range(200):
            interest.told(counter)
            interest.refresh()
            assert interest.any_of("quote:")
            assert not interest.any_of("stocks:trades:")
        took = time.monotonic() - began
        asked = cache.info("commandstats")["cmdstat_pubsub|channels"]
        assert asked["calls"] <= 2 + took * 10
        assert interest.wanted("quote:S39999")
