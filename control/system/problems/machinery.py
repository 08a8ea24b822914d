"""What is wrong with what the way needs: broker, database, engine, cache, sockets, data, clocks."""

from collections.abc import Iterator
from typing import Final

from control.system.problems.finding import Signs, problem
from control.system.standing import Found
from control.system.state import SystemState

_FULL: Final = 0.8
_VERY_FULL: Final = 0.95
_SLOW_CACHE_MS: Final = 50.0
_LATE_TICK_MS: Final = 250.0
_FEW_TICKS: Final = 2.0
_BEHIND_MS: Final = 3_000
_CLOCK_MS: Final = 2_000
_STALE_REFERENCE_S: Final = 36 * 3_600
_DISK_SHARE: Final = 0.05
_LEAST_DISK: Final = 2 * 2**30
_NO_DISK: Final = 600 * 2**20


def services(state: SystemState) -> Iterator[Found]:
    if not state.broker.ok:
        yield problem(
            "broker",
            "error",
            "broker",
            f"The broker ({state.broker.kind}) does not answer: {state.broker.problem}. Events collect in the "
            "listener's buffer, and no job is begun.",
            "Start it, or look at its log; is CELERY_BROKER_URL right? Everyone connects again by himself.",
            "The broker answers again",
            after_ms=0,
            until_ms=1_500,
        )
    if not state.database.ok:
        locked = "locked" in state.database.problem
        yield problem(
            "database",
            "error",
            "database",
            f"The database ({state.database.kind}) "
            + ("is locked" if locked else "does not answer")
            + f": {state.database.problem}. Settings, alerts and logins cannot be saved; events go on.",
            "Which process holds a transaction open? A migration or a backup may."
            if locked
            else "Start it, or look at its log; is DATABASE_URL right? Everyone connects again by himself.",
            "The database answers again",
            after_ms=1_000,
            until_ms=2_000,
        )


def engine(state: SystemState) -> Iterator[Found]:
    engine = state.engine
    there = any(worker.kind == "scans" and worker.state == "running" for worker in state.workers)
    beats = any(one.kind == "beat" and one.state == "running" for one in state.components)
    if there and beats and engine.ticks_per_s < _FEW_TICKS:
        yield problem(
            "engine:late",
            "error" if engine.ticks_per_s == 0 else "warning",
            "engine",
            f"The engine ticks {engine.ticks_per_s:.1f} times a second instead of 4: boards and alerts are late.",
            "Does a scanner take long? Does the log of scans say something? Else restart scans.",
            "The engine ticks as it should",
            after_ms=6_000,
        )
    p99 = engine.tick_ms.p99
    if p99 is not None and p99 > _LATE_TICK_MS:
        yield problem(
            "engine:slow",
            "warning",
            "engine",
            f"One tick in a hundred takes {p99:,.0f} ms or more; every {_LATE_TICK_MS:.0f} ms one is due.",
            "Switch off, or simplify, the scanners that take longest.",
            "The engine's ticks are in time",
            after_ms=5_000,
        )
    failing = {slug: one.failing for slug, one in engine.scanners.items() if one.failing}
    if failing:
        slug, why = next(iter(failing.items()))
        more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        yield problem(
            "engine:failing",
            "error",
            "engine",
            f"The scanner {slug}{more} does not run: {why}",
            "Mend its expression in the admin, or switch it off.",
            "Every scanner runs",
        )
    slow = sorted(slug for slug, one in engine.scanners.items() if one.slow)
    if slow:
        yield problem(
            "engine:slow scanners",
            "warning",
            "engine",
            f"The engine gives these scanners fewer turns, because they take long: {', '.join(slow)}.",
            "Simplify their expressions, or let them look less often.",
            "No scanner is slow",
        )


def cache(state: SystemState, signs: Signs) -> Iterator[Found]:
    cache = state.cache
    share = cache.used_bytes / cache.max_bytes if cache.max_bytes else 0.0
    if share > _FULL:
        yield problem(
            "cache:full",
            "error" if share > _VERY_FULL else "warning",
            "cache",
            f"The cache uses {share:.0%} of the memory that it may: when that is full, nothing can be written.",
            "Give it more (maxmemory), or clear what is not needed (Clear).",
            "The cache has room again",
        )
    if signs.evicted:
        yield problem(
            "cache:evicted",
            "error",
            "cache",
            f"The cache threw away {signs.evicted:,.0f} keys within the last minute: rows and accounts may be missing.",
            "Set maxmemory-policy to noeviction, and give it more memory.",
            "The cache keeps its keys",
            after_ms=0,
        )
    if cache.aof not in {"ok", "off"}:
        yield problem(
            "cache:aof",
            "error",
            "cache",
            f"The cache cannot write its file ({cache.aof}): a restart would lose what came since.",
            "Is its disk full or read-only? Its log says more.",
            "The cache writes its file again",
        )
    if cache.answer_ms > _SLOW_CACHE_MS:
        yield problem(
            "cache:slow",
            "warning",
            "cache",
            f"The cache takes {cache.answer_ms:,.0f} ms to answer.",
            "Is its host overloaded, or does somebody run a long command? `redis-cli slowlog get` says.",
            "The cache answers quickly again",
            after_ms=3_000,
        )


def web(state: SystemState, signs: Signs) -> Iterator[Found]:
    if signs.web_dropped:
        yield problem(
            "web:dropped",
            "warning",
            "web",
            f"{signs.web_dropped:,.0f} messages to browsers went lost within the last minute: clients "
            "do not read them.",
            "`Who is connected` shows which; boards follow whole once they read again.",
            "No message to a browser has been lost for a minute",
            after_ms=0,
        )
    if state.wds.behind_ms > _BEHIND_MS:
        worst = state.wds.slowest[0] if state.wds.slowest else None
        whose = f" ({worst.username or 'not yet authorised'}, {worst.address})" if worst is not None else ""
        yield problem(
            "web:behind",
            "warning",
            "web",
            f"The slowest client{whose} is {state.wds.behind_ms / 1_000:.1f} s behind.",
            "Its line or its computer is too slow for what it asked for; the others do not notice.",
            "No client is far behind",
        )


def data(state: SystemState) -> Iterator[Found]:
    reference = state.reference
    wrong = {name: kind.problem for name, kind in reference.kinds.items() if kind.problem}
    if wrong:
        yield problem(
            "reference",
            "warning",
            "reference",
            "Reference data is not whole: " + "; ".join(f"{name}: {why}" for name, why in wrong.items()) + ".",
            "It is asked for again by itself; if the vendor refuses, look at the plan's limits. Reload it to ask now.",
            "Reference data is whole",
            after_ms=60_000,
        )
    if reference.age_s is not None and reference.age_s > _STALE_REFERENCE_S and state.source.kind == "live":
        yield problem(
            "reference:stale",
            "warning",
            "reference",
            f"Reference data is {reference.age_s / 3_600:.0f} hours old.",
            "Reload it; is the `jobs` worker running?",
            "Reference data is fresh",
        )
    recordings = state.recordings
    if recordings.now is not None and recordings.now.problem:
        yield problem(
            "recording",
            "error",
            "recordings",
            f"Recording has stopped: {recordings.now.problem}.",
            "Make room or mend the disk, then switch recording off and on again.",
            "Recording goes on",
        )
    free, disk = recordings.free_bytes, recordings.disk_bytes
    if free is not None and disk and (free < _NO_DISK or (free < _LEAST_DISK and free < _DISK_SHARE * disk)):
        yield problem(
            "disk",
            "error" if free < _NO_DISK else "warning",
            "recordings",
            f"The disk of the recordings has only {free / 2**20:,.0f} MB left.",
            "Remove old recordings, or lower RECORDINGS_MAX_GB; below 512 MB recording stops by itself.",
            "The disk has room again",
            after_ms=0,
        )


def clocks(signs: Signs) -> Iterator[Found]:
    for host, ahead in signs.clocks_ahead_ms.items():
        if abs(ahead) > _CLOCK_MS:
            yield problem(
                f"clock:{host}",
                "warning",
                "clocks",
                f"The clock of {host} is {abs(ahead) / 1_000:.1f} s {'ahead of' if ahead > 0 else 'behind'} the cache's"
                ": batches expire too early or too late.",
                "Let both hosts follow the same time server (NTP).",
                f"The clock of {host} is right",
                after_ms=5_000,
            )
