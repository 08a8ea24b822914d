"""Articles as they are kept: each once, newest first, whatever order and how often they come."""

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.merging import raw as merge_raw
from processors.snapshots import snapshot
from processors.store import NEWS_RECENT, Store
from project.embedded import EmbeddedValkey
from tests.processors.feeding import Event, batch, begin, feed_in, terms
from tests.processors.test_malformed import samples


def article(name: str, minute: int = 0, *symbols: str, **more: Any) -> Event:
    return {"id": name, "title": name, "published_utc": f"2024-03-11T12:{minute:02d}:00Z", "tickers": symbols, **more}


def listed(store: Store, key: str) -> list[str]:
    raw = snapshot(store, key)
    return [] if raw is None else [found["id"] for found in msgspec.json.decode(raw)]


def test_an_article_goes_out_once_on_each_of_its_channels(store: Store, valkey: EmbeddedValkey) -> None:
    begin(store)
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as pubsub:
        pubsub.psubscribe("news:*")
        assert pubsub.get_message(timeout=5.0)["type"] == "psubscribe"
        found = article("n1", 0, "ABC", "BRK.B", "ABC", "X:BTCUSD", "latest", "no symbol")
        feed_in(("news", batch([found, found])), ("news", batch([found])))
        heard = []
        while (message := pubsub.get_message(timeout=0.1)) is not None:
            heard.append(message["channel"].decode())
            assert msgspec.json.decode(message["data"])["id"] == "n1"
    assert heard == ["news:latest", "news:ABC", "news:BRK.B", "news:X:BTCUSD"]
    assert terms(store, "news") == {"processed": 3}


@pytest.mark.parametrize(
    "broken",
    [
        article("n", published_utc="2024-03-11T12:00:00"),  # no zone: no moment
        article("n", published_utc="yesterday"),
        article(""),
        article("x" * 201),
        article("n", description="x" * 70_000),
        {"id": "n", "published_utc": "2024-03-11T12:00:00Z", "title": None},
        b"5",
    ],
)
def test_an_article_that_cannot_be_used_costs_itself_alone(store: Store, broken: Any) -> None:
    begin(store)
    feed_in(("news", batch([article("first"), broken, article("last", 1)])))
    assert listed(store, "news:latest") == ["last", "first"]
    assert terms(store, "news") == {"processed": 2, "failed": 1}
    assert samples(store)[0]["feed"] == "news"


def test_what_is_no_utf8_is_kept_without_what_nobody_can_read(store: Store) -> None:
    begin(store)
    raw = msgspec.json.encode(article("n1", author="?")).replace(b"?", b"\xff")
    feed_in(("news", batch([raw, article("n2", 1)])))
    assert listed(store, "news:latest") == ["n2", "n1"]


@pytest.fixture(scope="module")
def sources() -> Iterator[str]:
    return (f"simulator:{number}" for number in itertools.count())


@given(minutes=st.lists(st.integers(0, 59), min_size=1, max_size=30), size=st.integers(1, 5), data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_newest_so_many_are_listed_in_any_order_of_arrival(
    store: Store,
    sources: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
    minutes: list[int],
    size: int,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(merge_raw, "_NEWS_CAP", 10)
    source = next(sources)
    begin(store, source)
    articles = [article(f"n{number:02d}", minute, "ABC") for number, minute in enumerate(minutes)]
    pairs = [("news", batch(articles[start : start + size], source)) for start in range(0, len(articles), size)]
    feed_in(*data.draw(st.permutations([*pairs, *pairs])))
    newest = sorted(articles, key=lambda found: (found["published_utc"], found["id"]), reverse=True)[:10]
    assert listed(store, "news:latest") == listed(store, "news:ABC") == [found["id"] for found in newest]


HOUR_MS = 3_600_000
NOON_MS = 1_710_158_400_000  # 2024-03-11 12:00 UTC


def recent(store: Store) -> dict[bytes, float]:
    return dict(store.redis.zrange(NEWS_RECENT, 0, -1, withscores=True))


def test_rows_learn_of_an_article_once_by_each_symbol_of_it(store: Store) -> None:
    begin(store)
    version = store.changes_since(0).version
    feed_in(("news", batch([article("n1", 5, "ABC", "BRK.B", "no symbol"), article("n2", 6)])))
    assert recent(store) == {b"ABC|n1": NOON_MS + 300_000, b"BRK.B|n1": NOON_MS + 300_000}
    changes = store.changes_since(version)
    assert changes.news == {b"ABC", b"BRK.B"}
    feed_in(("news", batch([article("n1", 5, "ABC", "BRK.B")])))
    assert not store.changes_since(changes.version).news


def test_articles_are_remembered_for_a_day_in_any_order(store: Store) -> None:
    times = {"now": "11T12:00:00", "a day": "10T12:00:00", "the edge": "10T11:00:00", "too old": "10T10:59:59"}
    articles = [article(name, 0, "ABC", published_utc=f"2024-03-{time}Z") for name, time in times.items()]
    kept = {b"ABC|now": NOON_MS, b"ABC|a day": NOON_MS - 24 * HOUR_MS, b"ABC|the edge": NOON_MS - 25 * HOUR_MS}
    for number, order in enumerate(itertools.permutations(articles)):
        begin(store, f"simulator:{number}")
        for found in order:
            feed_in(("news", batch([found], source=f"simulator:{number}")))
        assert recent(store) == kept


def test_an_article_of_the_future_pushes_none_of_the_present_out_of_the_count(store: Store) -> None:
    source = "live:stocks:real-time"
    begin(store, source)
    now = article("now", 0, "ABC", published_utc="2026-11-20T12:00:00Z")
    misdated = article("misdated", 0, "ABC", published_utc="2099-01-01T00:00:00Z")
    feed_in(("news", batch([now, misdated], source=source)))
    assert list(recent(store)) == [b"ABC|now"]
    assert listed(store, "news:ABC") == ["misdated", "now"]


def test_a_new_source_has_no_news(store: Store) -> None:
    begin(store)
    feed_in(("news", batch([article("n1", 5, "ABC")])))
    begin(store, "simulator:2")
    assert not recent(store)
