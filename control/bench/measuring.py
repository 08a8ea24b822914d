"""What the parts cost: CPU time and memory by process, what else the machine did meanwhile, and what machine it is."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any, TypedDict

import psutil

_MB = 1024 * 1024


class ProcessCost(TypedDict):
    """One process while it was measured.

    Attributes:
        cpu_seconds: User and system time, of children that ended too (a cache rewriting its file).
        cpu_percent: Of one core.
        cpu_share: Of what all the parts used together.
        max_rss_mb: The greatest resident memory seen.
    """

    cpu_seconds: float
    cpu_percent: float
    cpu_share: float
    max_rss_mb: float


class Meter:
    """Measures processes from its making on.

    Args:
        pids: By the part's name.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._rss = dict.fromkeys(pids, 0)
        self._cpu = {name: _cpu(process) for name, process in self._processes.items()}
        self._machine = _machine_cpu()
        self._began = monotonic()

    def sample(self) -> None:
        """Look at the memory.

        Raises:
            psutil.NoSuchProcess: One has ended.
        """
        for name, process in self._processes.items():
            self._rss[name] = max(self._rss[name], process.memory_info().rss)

    def costs(self) -> tuple[float, dict[str, ProcessCost], float]:
        """Seconds measured, costs by part, and what everything else on the machine used, in percent of one core.

        Raises:
            psutil.NoSuchProcess: One has ended.
        """
        self.sample()
        used = {name: _cpu(process) - self._cpu[name] for name, process in self._processes.items()}
        seconds = monotonic() - self._began
        total = sum(used.values())
        costs = {
            name: ProcessCost(
                cpu_seconds=round(cpu, 2),
                cpu_percent=round(cpu / seconds * 100, 1),
                cpu_share=round(cpu / total, 3) if total else 0.0,
                max_rss_mb=round(self._rss[name] / _MB, 1),
            )
            for name, cpu in used.items()
        }
        others = max(0.0, _machine_cpu() - self._machine - total)
        return seconds, costs, round(others / seconds * 100, 1)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _machine_cpu() -> float:
    times: Any = psutil.cpu_times()
    return float(times.user + times.nice + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0))


def machine() -> dict[str, Any]:
    """The machine and what the system is written in."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // _MB,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("celery", "kombu", "msgspec", "redis")},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
