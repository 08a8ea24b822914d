"""Both equations of the accounts, every term counted where it happens."""

from time import time
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from listener.batching import BatchLimits, Buffer
from listener.dispatch import ListenerAccounts
from processors.accounts import SETTLED_TERMS, accounts, imbalance
from processors.dead_letters import DeadLetterStep
from processors.store import Source, Store
from processors.tasks import FEED_TASKS, count_disposed, count_expired
from project import queues
from tests.processors.accounting import OPEN, SOURCE, TTL_MS, Letter, buffer, frame, headers, intended, now_ms, terms
from tests.processors.feeding import begin


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


def test_in_a_lossless_run_nothing_is_lost_however_long_it_takes(store: Store) -> None:
    store.declare_source(Source(SOURCE, "recording", OPEN, 0.0, lossless=True))
    of = buffer()
    of.add(frame(7), now_ms())
    (batch,) = intended(store, of)
    assert terms(store, time() + 10_000) == {"received": 7, "published": 7, "in_flight": 7}
    FEED_TASKS["trades"](batch)
    assert terms(store, time() + 10_000) == {"received": 7, "published": 7, "processed": 7}


def test_a_new_source_has_accounts_of_its_own(store: Store) -> None:
    begin(store)
    of = buffer()
    of.add(frame(4), now_ms())
    intended(store, of)
    begin(store, "simulator:2")
    assert accounts(store, "simulator:2", TTL_MS)["trades"]["received"] == 0
    assert terms(store)["received"] == 4


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
