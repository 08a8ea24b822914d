"""What is wrong with an event's way: the listener, the accounts, the queues and their workers."""

from collections.abc import Iterator
from typing import Final

from django.conf import settings

from control.system.problems.finding import Signs, problem
from control.system.standing import Found
from control.system.state import QueueState, SystemState
from project import queues

_OLD_MS: Final = 2_000
# Of a message's life of five seconds.
_VERY_OLD_MS: Final = 4_000
_GROWN: Final = 50
_MANY_JOBS: Final = 200
_MANY_DEAD: Final = 1_000
# Of the events of a minute; what is less is worth a warning.
_BAD_SHARE: Final = 0.01
_VERY_FULL: Final = 0.95
# A batch expires after five seconds.
_LATE_MS: Final = 1_000.0
_BUSY_PCT: Final = 90.0
_CONNECTING_MS: Final = 10_000


def listener(state: SystemState, signs: Signs) -> Iterator[Found]:
    listener = state.listener
    known = [one for one in state.components if one.kind == "listener"]
    well = "The listener reads the feed again"
    lasting = signs.now - listener.since
    if listener.state == "gone":
        # A component that is missed has been told of, with more to say about it.
        if not known:
            advice = "Start it: `manage.py up` runs it, so does `manage.py listen`, or `docker compose up -d listener`."
            yield problem("listener", "error", "listener", "No listener runs: no event comes in.", advice, well)
    elif listener.state == "stopped":
        advice = "Start it when you want events again (Start)."
        yield problem("listener", "warning", "listener", f"The listener is stopped. {listener.reason}", advice, well)
    elif listener.state == "refused":
        advice = (
            "It does not try again by itself: correct the key, feed or subscriptions, then reconnect it (Reconnect)."
        )
        yield problem("listener", "error", "listener", f"The feed refuses us: {listener.reason}", advice, well)
    elif listener.state == "backing off":
        advice = "It tries again by itself. If it goes on: is the feed's address right, is the network up?"
        yield problem("listener", "error", "listener", f"The feed is cut off: {listener.reason}", advice, well)
    elif listener.state in {"connecting", "authenticating"} and lasting > _CONNECTING_MS:
        advice = "It goes on trying. Is the feed's address right, and does its server answer?"
        text = f"The listener has been {listener.state} for {lasting / 1_000:.0f} s. {listener.reason}"
        yield problem("listener", "error", "listener", text, advice, well)
    follows, wanted = listener.settings_revision, listener.wanted_revision
    if None not in {follows, wanted} and follows != wanted and listener.state != "gone":
        yield problem(
            "listener:settings",
            "warning",
            "listener",
            "The listener does not follow the feed's settings as they are saved.",
            "Does it reach the database? Its own reason says more; restart it if it does not catch up.",
            "The listener follows the settings",
            after_ms=5_000,
        )
    if (full := listener.buffered_bytes / listener.buffer_bytes) > 0.5:
        yield problem(
            "listener:buffer",
            "error" if full > _VERY_FULL else "warning",
            "listener",
            f"The listener's buffer is {full:.0%} full: what does not fit is dropped, the oldest first.",
            "The broker takes batches too slowly, or not at all: look at it first, then at the workers' queues.",
            "The listener's buffer has room again",
            after_ms=1_000,
        )


def accounts(state: SystemState) -> Iterator[Found]:
    feeds = state.feeds.items()
    if unbalanced := {feed: terms.unbalanced for feed, terms in feeds if terms.unbalanced}:
        yield problem(
            "accounts:unbalanced",
            "error",
            "accounts",
            f"{_events(unbalanced)} {_are(unbalanced)} not accounted for.",
            "This is a mistake in the software, or the cache lost its last second: `manage.py stats --check` says "
            "which equation fails. Report it if it stays.",
            "Every event is accounted for",
            after_ms=4_000,
        )
    if wasted := {feed: terms.lost_per_min for feed, terms in feeds if terms.lost_per_min > 0}:
        shares = {feed: lost / max(60 * state.feeds[feed].in_per_s, lost) for feed, lost in wasted.items()}
        yield problem(
            "accounts:wasted",
            "error" if max(shares.values()) > _BAD_SHARE else "warning",
            "accounts",
            f"{_events(wasted, shares)} {_are(wasted, 'was', 'were')} dropped, expired, overflowed, failed or got lost "
            "within the last minute.",
            "The accounts say where. Expired: add feed workers. Dropped: look at the broker. Overflowed: a queue was "
            "full, or purged. Failed: read the workers' log. Lost: a process or the broker was killed.",
            "No event has been lost for a minute",
            after_ms=0,
        )
    if malformed := {feed: terms.malformed_per_min for feed, terms in feeds if terms.malformed_per_min > 0}:
        yield problem(
            "accounts:malformed",
            "warning",
            "accounts",
            f"{_events(malformed)} could not be read within the last minute.",
            "`manage.py stats` shows a sample of each reason: the vendor may have changed its format.",
            "Every event can be read",
            after_ms=0,
        )


def _events(counts: dict[str, int], shares: dict[str, float] | None = None) -> str:
    """So many events of each feed, in a sentence however many feeds they are."""
    whole = sum(counts.values())
    words = f"{whole:,} event{'' if whole == 1 else 's'}"
    said = {feed: f" ({share:.1%})" for feed, share in (shares or {}).items()}
    if len(counts) == 1:
        feed = next(iter(counts))
        return f"{words} of {feed}{said.get(feed, '')}"
    most_first = sorted(counts, key=lambda feed: -counts[feed])
    return f"{words}, {', '.join(f'{counts[feed]:,} of {feed}' + said.get(feed, '') for feed in most_first)},"


def _are(counts: dict[str, int], one: str = "is", several: str = "are") -> str:
    return one if sum(counts.values()) == 1 else several


def queue_depths(state: SystemState, signs: Signs) -> Iterator[Found]:
    """Queues that nobody takes from, or that are not emptied in time."""
    if not state.broker.ok:
        return
    needed = [queue for queue in state.queues if queue.name not in {queues.DEAD_LETTERS, queues.LOSSLESS}]
    left = [queue for queue in needed if queue.depth is not None and queue.consumers == 0]
    if left:
        names, waiting = ", ".join(queue.name for queue in left), sum(queue.depth or 0 for queue in left)
        yield problem(
            "queues:consumers",
            "error",
            "queues",
            f"No worker takes from {'these queues' if len(left) > 1 else 'the queue'}: {names}; {waiting:,} messages "
            "wait there.",
            "Start one: see what is missing among the workers, or whether a queue was cancelled.",
            "Every queue has a worker again",
            after_ms=2_500,
            until_ms=2_000,
        )
    yield from _late(state, signs)
    for queue in state.queues:
        name, depth = queue.name, queue.depth or 0
        if name == queues.JOBS and depth > _MANY_JOBS:
            yield problem(
                "queue:jobs:many",
                "warning",
                "queues",
                f"{depth:,} jobs wait.",
                "Grow the pool of `jobs`, or see which job takes long.",
                "The jobs' queue is short again",
            )
        if name == queues.DEAD_LETTERS and depth > _MANY_DEAD:
            yield problem(
                "queue:dead_letters",
                "warning",
                "queues",
                f"{depth:,} dead batches wait to be counted.",
                "Feed workers count them: is one running?",
                "The dead batches are counted",
            )


def _late(state: SystemState, signs: Signs) -> Iterator[Found]:
    """Feeds' queues in which batches grow old, or more and more: one problem, however many they are."""
    if state.source.lossless:
        return
    waiting = [queue for queue in state.queues if queue.name in queues.FEEDS and queue.depth]
    old = [queue for queue in waiting if (queue.oldest_ms or 0) > _OLD_MS]
    grown = {queue.name: signs.depth_grown.get(queue.name, 0) for queue in waiting if queue not in old}
    growing = [
        f"{queue.name} ({queue.depth:,} batches wait, {grown[queue.name]:,.0f} more than some seconds ago)"
        for queue in waiting
        if grown.get(queue.name, 0) > _GROWN and (queue.depth or 0) > _GROWN
    ]
    sentences = [_too_old(old)] if old else []
    if growing:
        sentences.append(f"Growing: {', '.join(growing)}.")
    if sentences:
        yield problem(
            "queues:late",
            "error" if any((queue.oldest_ms or 0) > _VERY_OLD_MS for queue in old) else "warning",
            "queues",
            " ".join(sentences),
            "Add feed workers if all are busy; else look at the workers' log and the cache's answer time.",
            "No batch waits too long any more",
        )


def _too_old(late: list[QueueState]) -> str:
    ages = {queue.name: queue.oldest_ms or 0 for queue in late}
    said = ", ".join(f"{name} for {age / 1_000:.1f} s" for name, age in ages.items())
    life_ms = settings.MESSAGE_TTL_MS
    # A Redis broker keeps what is too old until a worker takes it.
    expire = "expire" if max(ages.values()) <= life_ms else "expire instead of being merged"
    waiting = sum(queue.depth or 0 for queue in late)
    return f"The oldest batch waits in {said}; {waiting:,} wait, and {expire} after {life_ms / 1_000:g} s."


def latency(state: SystemState) -> Iterator[Found]:
    """An event's way that takes too long."""
    whole = state.latency.get("frame_to_socket")
    if whole is None or whole.p99 is None or whole.p99 <= _LATE_MS:
        return
    stages = {name: said.p99 for name, said in state.latency.items() if name != "frame_to_socket" and said.p99}
    slowest = max(stages, key=lambda name: stages[name], default="")
    yield problem(
        "latency",
        "warning",
        "latency",
        f"One batch in a hundred takes {whole.p99 / 1_000:.1f} s from the feed to the browsers"
        + (f", most of it {slowest.replace('_', ' ')}." if slowest else "."),
        "Frame to queue: look at the broker. Queue to merge: add feed workers. Merge to socket: add web processes.",
        "Events are quick again",
        after_ms=5_000,
    )


def workers(state: SystemState) -> Iterator[Found]:
    crew = [worker for worker in state.workers if worker.kind == "feed worker" and worker.state == "running"]
    if crew and min(worker.busy_pct for worker in crew) > _BUSY_PCT:
        yield problem(
            "workers:busy",
            "warning",
            "workers",
            f"{'The feed worker is' if len(crew) == 1 else f'All {len(crew)} feed workers are'} busy for more than "
            f"{_BUSY_PCT:.0f} % of the time.",
            "Add feed workers, if this host has a free core.",
            "The feed workers have time again",
            after_ms=5_000,
        )
    up = state.supervisor
    if up is not None and up.feed_workers_wanted is not None and up.feed_workers_running is not None:
        wanted, running = up.feed_workers_wanted, up.feed_workers_running
        if running < wanted:
            yield problem(
                "workers:count",
                "warning",
                "workers",
                f"{running} of {wanted} feed workers run.",
                "`up` starts the others; if it does not, its lines say why.",
                "All feed workers run",
                after_ms=10_000,
            )
