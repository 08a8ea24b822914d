"""When the pool of a `jobs` worker grows and shrinks by itself."""

from typing import Any

import pytest

from processors.components import pool
from processors.components.pool import PatientAutoscaler


class _Pool:
    """As much of Celery's as the autoscaler asks for."""

    def __init__(self, processes: int) -> None:
        self.num_processes = processes
        self.idle = processes

    def grow(self, count: int) -> None:
        self.num_processes += count

    def shrink(self, count: int) -> None:
        let_go = min(count, self.idle)
        self.num_processes -= let_go
        if let_go < count:
            raise ValueError("Can't shrink pool. All processes busy!")

    def maintain_pool(self) -> None:
        pass


class _Scaler(PatientAutoscaler):
    work = 0

    @property
    def qty(self) -> int:
        return self.work


class _Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(pool, "monotonic", lambda: self.now)
        self.pool = _Pool(2)
        scaled: Any = _Scaler
        self.scaler = scaled(self.pool, 4, 2)

    def after(self, seconds: float, work: int) -> int:
        """The processes there are when so much work has come within some time; it is looked at every half second."""
        self.scaler.work = work
        self.pool.idle = max(0, self.pool.num_processes - work)
        for _ in range(round(2 * seconds)):
            self.now += 0.5
            self.scaler.maybe_scale()
        return self.pool.num_processes


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> _Scene:
    return _Scene(monkeypatch)


def test_a_burst_is_no_reason_for_another_process_and_work_that_waits_is(scene: _Scene) -> None:
    assert scene.after(1.5, work=9) == 2
    assert scene.after(1, work=1) == 2
    assert scene.after(1.5, work=3) == 2
    assert scene.after(1, work=3) == 3
    assert scene.after(5, work=9) == 4
    assert scene.after(600, work=9) == 4


def test_processes_that_are_long_spare_go_down_to_the_least(scene: _Scene) -> None:
    assert scene.after(5, work=9) == 4
    assert scene.after(29, work=1) == 4
    # All were busy once more.
    assert scene.after(0.5, work=4) == 4
    assert scene.after(29, work=1) == 4
    assert scene.after(2, work=1) == 2
    assert scene.after(600, work=0) == 2


def test_a_smaller_range_is_come_to_as_soon_as_tasks_end(scene: _Scene) -> None:
    assert scene.after(5, work=9) == 4
    scene.scaler.max_concurrency = scene.scaler.min_concurrency = 1
    assert scene.after(10, work=4) == 4
    assert scene.after(0.5, work=2) == 2
    assert scene.after(0.5, work=0) == 1
