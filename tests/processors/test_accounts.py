"""Both equations of the accounts, every term counted where it happens."""

from datetime import UTC, datetime
from time import time
from typing import Any, cast

import msgspec
import pytest
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from listener import ledger
from listener.batching import BatchLimits, Buffer
from listener.dispatch import ListenerAccounts, Publisher
from listener.events import Batch
from listener.sorting import Malformed, SortedFrame
from processors.accounts import SETTLED_TERMS, accounts, imbalance
from processors.dead_letters import DeadLetterStep
from processors.redis_broker import PREFIX, broker_client, depth, trim
from processors.store import Source, Store, listener_accounts_key, published_key, settled_key
from processors.tasks import FEED_TASKS, count_disposed, count_expired
from project import queues
from project.celery import app
from tests.processors.feeding import at, begin, trade
from tests.services import wait_until

SOURCE = "simulator:1"
OPEN = at("2024-03-11 09:30:00.000")
TTL_MS = 5_000


def now_ms() -> int:
    return int(time() * 1_000)


def buffer() -> Buffer:
    made = Buffer(BatchLimits(10, 20, 1_000_000, TTL_MS), now_ms() * 1_000)
    made.begin_source(SOURCE)
    return made


def frame(count: int, malformed: int = 0, first: int = 0) -> SortedFrame:
    events = [msgspec.Raw(msgspec.json.encode(trade("ABC", OPEN + first + n, 5.0, 1))) for n in range(count)]
    return SortedFrame({"trades": events} if events else {}, [Malformed("trades", "bad", "")] * malformed)


def terms(store: Store, now: float | None = None) -> dict[str, int]:
    """The terms of the trades feed that are not zero."""
    found = accounts(store, SOURCE, TTL_MS, now)["trades"]
    assert imbalance(found) == (0, 0)
    return {name: value for name, value in found.items() if value}


def headers(batch: Batch) -> dict[str, Any]:
    return {
        queues.HEADER_EVENTS: len(batch.events),
        queues.HEADER_SOURCE: batch.source,
        queues.HEADER_FEED: "trades",
        queues.HEADER_BATCH: batch.id,
        queues.HEADER_RECEIVED: batch.received_at,
    }


class Letter:
    """What a dead-letter consumer sees of a message."""

    def __init__(self, of: dict[str, Any]) -> None:
        self.headers = of
        self.acknowledged = False

    def ack(self) -> None:
        self.acknowledged = True


def intended(store: Store, of: Buffer, run: str = "run") -> list[Batch]:
    """Everything that waits, counted as published."""
    written = ListenerAccounts(store, of, run)
    batches = [batch for _, batch in written.count(of.take(0))]
    written.write()
    return batches


def test_without_any_event_everything_is_zero(store: Store) -> None:
    assert terms(store) == {}
    assert set(accounts(store, "", TTL_MS)) == set(queues.FEEDS)


def test_what_is_published_is_in_flight_and_lost_ten_seconds_after_its_time_to_live(store: Store) -> None:
    begin(store)
    of = buffer()
    received_at = now_ms() // 1_000 * 1_000
    of.add(frame(7, malformed=2), received_at)
    (batch,) = intended(store, of)
    published = {"received": 9, "malformed": 2, "published": 7}
    assert terms(store) == {**published, "in_flight": 7}
    second = received_at / 1_000
    assert terms(store, second + 15.0) == {**published, "in_flight": 7}
    assert terms(store, second + 15.1) == {**published, "lost": 7}
    # What was taken for lost and comes after all is in its place.
    FEED_TASKS["trades"](batch)
    assert terms(store, second + 15.1) == {**published, "processed": 7}


def test_what_waits_is_buffered_and_what_did_not_fit_dropped(store: Store) -> None:
    begin(store)
    of = Buffer(BatchLimits(10, 20, 2_500, TTL_MS), 1)
    of.begin_source(SOURCE)
    of.add(frame(30), now_ms())
    written = ListenerAccounts(store, of, "run")
    written.count()
    written.write()
    found = terms(store)
    assert found["received"] == 30
    assert found["buffered"] + found["dropped"] == 30
    assert found["dropped"] > 0


def test_every_term_of_the_second_equation_is_counted_where_it_happens(store: Store) -> None:
    begin(store)
    of = buffer()
    for _ in range(7):
        of.add(frame(10), now_ms())
    merged, expired_at_broker, expired_at_worker, overflowed, failing, too_old, lost = intended(store, of)

    FEED_TASKS["trades"](merged)
    count_disposed(headers(expired_at_broker), "expired_broker")
    request = type("Request", (), {"headers": headers(expired_at_worker)})()
    count_expired(request=request, expired=True)
    count_disposed(headers(overflowed), "overflowed")
    broken = msgspec.structs.replace(failing, events=[msgspec.Raw(b'{"ev":"T"}'), *failing.events[1:]])
    FEED_TASKS["trades"](broken)
    # Received 6 s ago. Its second of receipt is not the one that the listener wrote down: sums are all that counts.
    old = msgspec.structs.replace(too_old, received_at=too_old.received_at - 6_000)
    FEED_TASKS["trades"](old)
    assert terms(store, time() + 60) == {
        "received": 70,
        "published": 70,
        "processed": 19,
        "failed": 1,
        "expired_broker": 10,
        "expired_worker": 10,
        "overflowed": 10,
        "expired_age": 10,
        "lost": len(lost.events),
    }


def test_a_task_that_was_revoked_for_another_reason_is_not_counted_as_expired(store: Store) -> None:
    begin(store)
    of = buffer()
    of.add(frame(1), now_ms())
    (batch,) = intended(store, of)
    count_expired(request=type("Request", (), {"headers": headers(batch)})(), expired=False)
    count_expired(request=type("Request", (), {"headers": None})(), expired=True)
    assert terms(store)["in_flight"] == 1


def test_a_batch_that_is_disposed_of_twice_is_counted_once(store: Store) -> None:
    begin(store)
    of = buffer()
    of.add(frame(3), now_ms())
    (batch,) = intended(store, of)
    count_disposed(headers(batch), "expired_broker")
    count_disposed(headers(batch), "expired_worker")
    FEED_TASKS["trades"](batch)
    assert terms(store) == {"received": 3, "published": 3, "expired_broker": 3, "duplicate": 6}


@pytest.mark.parametrize(
    ("deaths", "term"),
    [([{"reason": "expired"}], "expired_broker"), ([{"reason": "maxlen"}], "overflowed"), (None, "failed")],
)
def test_a_dead_letter_is_counted_by_its_reason_and_acknowledged(store: Store, deaths: Any, term: str) -> None:
    begin(store)
    of = buffer()
    of.add(frame(3), now_ms())
    (batch,) = intended(store, of)
    letter = Letter({**headers(batch), "x-death": deaths})
    DeadLetterStep.on_message(DeadLetterStep.__new__(DeadLetterStep), cast(Any, letter))
    assert terms(store) == {"received": 3, "published": 3, term: 3}
    assert letter.acknowledged


def test_several_runs_of_the_listener_add_up(store: Store) -> None:
    begin(store)
    for run in ("1-1-a", "2-2-b"):
        of = buffer()
        of.add(frame(4), now_ms())
        intended(store, of, run)
    assert terms(store) == {"received": 8, "published": 8, "in_flight": 8}


def tell(written: ListenerAccounts, of: Buffer) -> list[Batch]:
    """A round, counted and written."""
    batches = [batch for _, batch in written.count(of.take(0))]
    written.write()
    return batches


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


def aged(seconds: int) -> Buffer:
    """A buffer whose clock is behind by so much."""
    made = Buffer(BatchLimits(10, 20, 1_000_000, TTL_MS), 1, lambda: now_ms() - seconds * 1_000)
    made.begin_source(SOURCE)
    return made


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


def test_in_a_lossless_run_nothing_is_lost_however_long_it_takes(store: Store) -> None:
    store.declare_source(Source(SOURCE, "recording", OPEN, 0.0, lossless=True))
    of = buffer()
    of.add(frame(7), now_ms())
    (batch,) = intended(store, of)
    assert terms(store, time() + 10_000) == {"received": 7, "published": 7, "in_flight": 7}
    FEED_TASKS["trades"](batch)
    assert terms(store, time() + 10_000) == {"received": 7, "published": 7, "processed": 7}


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


def test_a_new_source_has_accounts_of_its_own(store: Store) -> None:
    begin(store)
    of = buffer()
    of.add(frame(4), now_ms())
    intended(store, of)
    begin(store, "simulator:2")
    assert accounts(store, "simulator:2", TTL_MS)["trades"]["received"] == 0
    assert terms(store)["received"] == 4


def test_a_full_queue_of_a_redis_broker_is_cut_at_its_oldest_end_and_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.BROKER_IS_REDIS
    monkeypatch.setattr(queues, "MAX_BATCHES", 3)
    begin(store)
    of = buffer()
    for second in range(5):
        of.add(frame(10, first=second * 10), now_ms())
    publisher = Publisher(app, of, ListenerAccounts(store, of, "run"), BatchLimits(10, 20, 1_000_000, TTL_MS))
    publisher.start()
    client = broker_client()
    try:
        wait_until(lambda: terms(store).get("published") == 50, what="publishing")
        wait_until(lambda: depth(client, "trades") in (3, 4, 5), what="the batches' arrival")
    finally:
        publisher.stop(2.0)
    trim(store)
    assert depth(client, "trades") == 3
    found = terms(store)
    assert (found["overflowed"], found["in_flight"]) == (20, 30)
    # The newest three are left, the oldest of them next for a worker (at the right).
    messages = [msgspec.json.decode(raw) for raw in client.lrange(PREFIX + "trades", 0, -1)]
    received = [message["headers"][queues.HEADER_EVENTS] for message in messages]
    assert received == [10, 10, 10]
    expires = {datetime.fromisoformat(message["headers"]["expires"]).astimezone(UTC) for message in messages}
    assert all(0 < expiry.timestamp() - time() < TTL_MS / 1_000 for expiry in expires)


def test_short_queues_of_a_redis_broker_are_left_alone(store: Store) -> None:
    broker_client().lpush(PREFIX + "trades", b'{"headers":{}}')
    assert trim(store) == 0
    assert depth(broker_client(), "trades") == 1


_outcomes = st.lists(st.sampled_from(("merge", "merge twice", "nothing", *SETTLED_TERMS[1:5])), max_size=8)


@given(_outcomes, st.integers(0, 3), st.integers(1, 9))
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_equations_hold_whatever_becomes_of_the_batches(
    store: Store, outcomes: list[str], malformed: int, size: int
) -> None:
    store.redis.flushall()
    begin(store)
    of = buffer()
    for _ in outcomes:
        of.add(frame(size, malformed), now_ms() - 25)
    batches = intended(store, of)
    counted = dict.fromkeys(SETTLED_TERMS, 0)
    open_events = 0
    for batch, outcome in zip(batches, outcomes, strict=False):
        events = len(batch.events)
        if outcome.startswith("merge"):
            FEED_TASKS["trades"](batch)
            counted["processed"] += events
        elif outcome == "nothing":
            open_events += events
        else:
            count_disposed(headers(batch), outcome)
            counted[outcome] += events
        if outcome == "merge twice":
            FEED_TASKS["trades"](batch)
    found = accounts(store, SOURCE, TTL_MS)["trades"]
    assert imbalance(found) == (0, 0)
    rest = sum(len(batch.events) for batch in batches[len(outcomes) :])
    assert {name: found[name] for name in counted} == counted
    assert found["in_flight"] == open_events + rest
