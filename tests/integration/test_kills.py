"""Parts killed at 20,000 events a second: the flow is back, nothing is applied twice, every event is accounted for."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import pytest
import redis

from processors import parts
from project.embedded import EmbeddedValkey, PrivateRabbitMQ
from tests.integration.pipeline import Pipeline, assert_balanced
from tests.services import Part, wait_until

_RATE = 20_000
# Longer than all of these tests; it ends with them.
_FEED_S = 600
# How long the flow takes to come back is for a shared machine's other work to say, too: one of so many kills counts.
_BACK_WITHIN_S = 5.0
_KILLS = 3
_BACK_AT_ALL_S = 60.0
# A supervisor's first pause before a restart.
_PAUSE_S = 0.5
_STARTED_S = 60.0
_ENDED_S = 20.0
_SETTLED_S = 30.0
_STILL_S = 3.0
# Beyond a message's time to live and the ten seconds after which it is called lost.
_LATER_S = 30.0


class System:
    """Feed, listener, worker and cache over a broker; each is killed, and comes back as a supervisor would do it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._cache_folder = folder / "cache"
        self.cache = stack.enter_context(EmbeddedValkey(folder=self._cache_folder))
        self.broker = stack.enter_context(PrivateRabbitMQ())
        self.pipeline = Pipeline(stack, folder, self.cache, self.broker.url)
        self._starts = 0
        self._lost = 0
        # One worker, so that nothing flows without it.
        self.start_worker()
        self.pipeline.bench_feed(_RATE, _FEED_S)
        self.start_listener()
        self.worker.wait_for(" ready.", _STARTED_S)
        self.wait_for_flow()

    def start_worker(self) -> None:
        self._starts += 1
        self.worker = self.pipeline.worker(self._starts)

    def start_listener(self) -> None:
        self._starts += 1
        self.listener = self.pipeline.start(f"listen{self._starts}", "manage.py", "listen")

    def go_on(self) -> None:
        """Let the flow go on that the test before has ended."""
        if self.listener.process.poll() is not None:
            self.start_listener()
            self.wait_for_flow()

    def kill_worker(self) -> None:
        _kill(self.worker)
        self.start_worker()
        self.worker.wait_for(" ready.", _STARTED_S)

    def kill_listener(self) -> None:
        _kill(self.listener)
        self.start_listener()
        # The dead one's lease holds for three seconds of its own; whoever stands by says so first.
        wait_until(lambda: self.listener.output, _STARTED_S, "the listener's first line")

    def kill_broker(self) -> None:
        self.broker.kill()
        sleep(_PAUSE_S)
        self.broker.start()

    def kill_cache_and_its_last_second(self) -> None:
        """As a power cut would: what was not written out for good, once a second, is gone."""
        (file,) = (self._cache_folder / "appendonlydir").glob("*.incr.aof")
        written = file.stat().st_size
        sleep(1.0)
        self.cache.kill()
        os.truncate(file, written)
        sleep(_PAUSE_S)
        self.cache.start()

    def wait_for_flow(self) -> None:
        """Wait until as much is processed as the feed sends in a second."""
        before: int | None = None

        def flows() -> bool:
            nonlocal before
            try:
                processed = sum(terms["processed"] for terms in self.pipeline.accounts().values())
            except redis.RedisError:
                return False
            before = processed if before is None else before
            return processed >= before + _RATE

        wait_until(flows, _BACK_AT_ALL_S, "the flow's return", every=0.05)

    def assert_flow_is_back_after(self, kill: Callable[[], None]) -> None:
        """Kill a part and bring it back while the feed goes on; five seconds later the flow is back."""
        took: list[float] = []
        while not took or (min(took) > _BACK_WITHIN_S and len(took) < _KILLS):
            kill()
            back = monotonic()
            self.wait_for_flow()
            took.append(monotonic() - back)
        assert min(took) <= _BACK_WITHIN_S, took
        # The accounts balance at any time, and something is on its way always.
        assert_balanced({"feeds": self.pipeline.accounts()})

    def end(self) -> int:
        """Stop the listener and wait for the last event's end: all balances. How many events were lost since the last.

        Trades are counted by the rows of the table as well: were a batch applied twice, there would be more of them.
        """
        assert self.listener.end(seconds=_ENDED_S) == 0
        wait_until(self._is_settled, _SETTLED_S, "the last event's end")
        feeds = self.pipeline.accounts(_LATER_S)
        assert_balanced({"feeds": feeds})
        assert all(min(terms.values()) >= 0 and terms["in_flight"] == 0 for terms in feeds.values()), feeds
        assert feeds["trades"]["processed"] == self._trades_in_the_table()
        sums = {term: sum(terms[term] for terms in feeds.values()) for term in feeds["trades"]}
        assert sums["failed"] == 0
        assert sums["processed"] > _RATE
        lost, self._lost = sums["lost"] - self._lost, sums["lost"]
        return lost

    def _is_settled(self) -> bool:
        """Whether nothing is in flight, or nothing has moved for longer than a worker ever pauses."""
        before = self.pipeline.accounts()
        if all(terms["in_flight"] == 0 for terms in before.values()):
            return True
        settled = self.pipeline.settled()
        sleep(_STILL_S)
        return self.pipeline.settled() == settled

    def _trades_in_the_table(self) -> int:
        column = parts.TRADE_COLUMNS.index("trades")
        rows = self.pipeline.store.redis.hvals(parts.TRADES)
        return sum(int(parts.figures(row)[column]) for row in rows)


def _kill(part: Part) -> None:
    part.process.send_signal(signal.SIGKILL)
    part.process.wait(5)
    sleep(_PAUSE_S)


@pytest.fixture(scope="module")
def _system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with ExitStack() as stack:
        system = System(stack, tmp_path_factory.mktemp("kills"))
        yield system
        system.pipeline.stop()


@pytest.fixture
def system(_system: System) -> System:
    """One for all tests: a start takes as long as a test."""
    _system.go_on()
    return _system


def test_a_killed_worker_loses_nothing(system: System) -> None:
    system.assert_flow_is_back_after(system.kill_worker)
    assert system.end() == 0


def test_a_worker_that_is_asked_to_end_finishes_what_it_holds(system: System) -> None:
    first = system.worker
    system.start_worker()
    system.worker.wait_for(" ready.", _STARTED_S)
    assert first.end(seconds=_ENDED_S) == 0
    system.wait_for_flow()
    assert system.end() == 0


def test_a_killed_listener_is_followed_by_another(system: System) -> None:
    system.assert_flow_is_back_after(system.kill_listener)
    # What the dead one had in its hands was counted as published and may never have been sent.
    assert system.end() < _RATE


def test_a_killed_broker_costs_no_more_than_it_held(system: System) -> None:
    system.assert_flow_is_back_after(system.kill_broker)
    system.end()


def test_a_killed_cache_forgets_effects_marks_and_accounts_together(system: System) -> None:
    system.assert_flow_is_back_after(system.kill_cache_and_its_last_second)
    assert system.end() > 0
