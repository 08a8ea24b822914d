"""The accounts of a cache that was lost, of seconds long past, and of listeners that died."""

from time import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from listener import ledger
from listener.dispatch import ListenerAccounts
from listener.events import Batch
from processors.store import Store, listener_accounts_key, published_key, settled_key
from processors.tasks import FEED_TASKS, count_disposed
from tests.processors.accounting import SOURCE, TTL_MS, aged, buffer, frame, headers, now_ms, tell, terms
from tests.processors.feeding import begin


def test_a_cache_that_lost_what_it_was_told_last_is_told_again(store: Store) -> None:
    begin(store)
    of = buffer()
    written = ListenerAccounts(store, of, "run")
    of.add(frame(4), now_ms())
    tell(written, of)
    keys = store.redis.keys("tw:*")
    kept = [(key, store.redis.dump(key)) for key in keys]
    of.add(frame(3), now_ms())
    (lost,) = tell(written, of)
    FEED_TASKS["trades"](lost)
    assert terms(store) == {"received": 7, "published": 7, "processed": 3, "in_flight": 4}
    # As after a power cut: effect, mark and settlement of the last batch are gone together.
    store.redis.flushall()
    for key, value in kept:
        store.redis.restore(key, 0, value)
    tell(written, of)
    assert terms(store) == {"received": 7, "published": 7, "in_flight": 7}
    assert terms(store, time() + 60) == {"received": 7, "published": 7, "lost": 7}


def test_a_cache_that_comes_back_empty_has_lost_what_went_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store)
    of = aged(300)
    written = ListenerAccounts(store, of, "run")
    of.add(frame(10), now_ms() - 300_000)
    (batch,) = tell(written, of)
    count_disposed(headers(batch), "expired_worker")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_TOLD_AGAIN_S", -1.0)
        written.fold(TTL_MS)
    store.redis.flushall()
    begin(store)
    for _ in range(2):
        tell(written, of)
        assert terms(store) == {"received": 10, "published": 10, "lost": 10}
        written.fold(TTL_MS)


def test_a_write_that_was_applied_although_it_failed_changes_nothing(store: Store) -> None:
    begin(store)
    of = buffer()
    written = ListenerAccounts(store, of, "run")
    of.add(frame(4), now_ms())
    tell(written, of)
    # What the listener does not know about: its write again.
    (run,) = {name.decode().partition(":")[0] for name in store.redis.hkeys(published_key(SOURCE))}
    store.redis.hincrby(listener_accounts_key(SOURCE), f"{run}:all:writes", 1)
    of.add(frame(2), now_ms())
    tell(written, of)
    tell(written, of)
    assert terms(store) == {"received": 6, "published": 6, "in_flight": 6}


def test_what_is_long_past_is_folded_and_the_sums_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_TOLD_AGAIN_S", -1.0)
    begin(store)
    of = aged(300)
    written = ListenerAccounts(store, of, "run")
    for second in range(20):
        of.add(frame(10, first=second * 10), now_ms() - 300_000 + second * 1_000)
    batches = tell(written, of)
    assert len(batches) == 20
    for batch in batches[:15]:
        count_disposed(headers(batch), "expired_worker")
    before = {"received": 200, "published": 200, "expired_worker": 150, "lost": 50}
    assert terms(store) == before
    written.fold(TTL_MS)
    assert terms(store) == before
    assert store.redis.hgetall(published_key(SOURCE)) == {b"folded:trades:0": b"50"}
    assert store.redis.hlen(settled_key(SOURCE)) == 0
    # What was called lost and is settled after all comes out of the fold again.
    for batch in batches[15:]:
        count_disposed(headers(batch), "expired_worker")
    after = {"received": 200, "published": 200, "expired_worker": 200}
    assert terms(store) == after
    written.fold(TTL_MS)
    tell(written, of)
    assert terms(store) == after
    assert store.redis.hlen(published_key(SOURCE)) == store.redis.hlen(settled_key(SOURCE)) == 0


def test_what_is_published_of_a_second_that_is_folded_already_is_added_to_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_TOLD_AGAIN_S", -1.0)
    begin(store)
    of = aged(300)
    written = ListenerAccounts(store, of, "run")
    received_at = now_ms() - 300_000
    for events, folds in ((4, False), (3, True), (2, False), (1, True)):
        of.add(frame(events), received_at)
        tell(written, of)
        if folds:
            written.fold(TTL_MS)
    assert terms(store) == {"received": 10, "published": 10, "lost": 10}
    # A fold that never came about, because the cache was away, does not matter either.
    of.add(frame(5), received_at)
    tell(written, of)
    (known,) = written._ledgers
    known.forget(int(time()) - 100)
    of.add(frame(6), received_at)
    tell(written, of)
    assert terms(store) == {"received": 21, "published": 21, "lost": 21}


def test_nothing_is_folded_that_the_listener_may_tell_again(store: Store) -> None:
    begin(store)
    of = aged(300)
    written = ListenerAccounts(store, of, "run")
    of.add(frame(10), now_ms() - 300_000)
    tell(written, of)
    kept = store.redis.hgetall(published_key(SOURCE))
    written.fold(TTL_MS)
    assert store.redis.hgetall(published_key(SOURCE)) == kept != {}


def test_what_a_dead_listener_had_in_its_buffer_was_dropped(store: Store) -> None:
    begin(store)
    dead = buffer()
    dead.add(frame(6), now_ms())
    last_words = ListenerAccounts(store, dead, "1-1-a")
    tell(last_words, buffer())
    last_words.count()
    last_words.write()
    assert terms(store) == {"received": 6, "buffered": 6}
    of = buffer()
    of.add(frame(4), now_ms())
    written = ListenerAccounts(store, of, "2-2-b")
    tell(written, of)
    written.fold(TTL_MS)
    assert terms(store) == {"received": 10, "dropped": 6, "published": 4, "in_flight": 4}
    # It lives after all.
    last_words.write()
    assert terms(store) == {"received": 10, "buffered": 6, "published": 4, "in_flight": 4}


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 9), st.integers(0, 40)),
        st.tuples(st.just("settle"), st.integers(0, 9)),
        st.tuples(st.just("work"), st.integers(0, 9)),
        st.tuples(st.sampled_from(("save", "power cut", "emptied", "fold", "restart"))),
    ),
    max_size=25,
)


@given(_steps)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_equations_hold_whenever_the_cache_loses_its_last_second_or_everything(
    store: Store, steps: list[Any]
) -> None:
    store.redis.flushall()
    begin(store)
    of = aged(100)
    written = ListenerAccounts(store, of, "run")
    tell(written, of)
    published: list[Batch] = []
    of_this_run: set[str] = set()
    saved: list[tuple[bytes, bytes]] = []

    def save() -> None:
        saved[:] = [(key, store.redis.dump(key)) for key in store.redis.keys("*")]

    save()
    for step in steps:
        match step:
            case ("publish", int(events), int(second)):
                of.add(frame(events), now_ms() - 100_000 + second * 1_000)
                taken = tell(written, of)
                published += taken
                of_this_run |= {batch.id for batch in taken}
            case ("settle", int(number)) if published:
                count_disposed(headers(published[number % len(published)]), "expired_broker")
            case ("work", int(number)) if published:
                FEED_TASKS["trades"](published[number % len(published)])
            case ("save",):
                save()
            case ("power cut",):
                store.redis.flushall()
                for key, value in saved:
                    store.redis.restore(key, 0, value)
                tell(written, of)
            case ("emptied",):
                # What earlier runs published is unknown to it for good, and so are their batches.
                store.redis.flushall()
                begin(store)
                tell(written, of)
                save()
                published = [batch for batch in published if batch.id in of_this_run]
            case ("fold",):
                # Its time comes when what is folded has long been on disk.
                save()
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(ledger, "_TOLD_AGAIN_S", -1.0)
                    written.fold(TTL_MS)
            case ("restart",):
                save()
                of = aged(100)
                written = ListenerAccounts(store, of, "run")
                tell(written, of)
                of_this_run.clear()
        found = terms(store)
        assert found.get("published", 0) == sum(len(batch.events) for batch in published)
        assert min(found.values(), default=0) >= 0
