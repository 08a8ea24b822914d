"""An event's way: the source, the listener, the accounts, the queues."""

from collections import Counter
from typing import Any, Final

from django.conf import settings

from control.system.assembling.counters import Counters
from control.system.assembling.reports import mapping, total
from control.system.liveness import Seen
from control.system.probing import Depth, Recorded
from control.system.reading import Facts
from control.system.state import (
    FeedAccounts,
    ListenerState,
    QueueState,
    SourceState,
)
from processors.accounts import SETTLED_TERMS, imbalance
from processors.scanning.status import status_message
from project import queues

# An event that ended so was of no use to anybody.
WASTED: Final = ("dropped", "expired_broker", "expired_worker", "expired_age", "overflowed", "failed", "lost")


def source_state(facts: Facts) -> SourceState:
    """The source, as the status that everybody sees says it."""
    source = facts.source
    status = status_message(source, None, facts.now)
    return SourceState(
        id=status["source"],
        kind=status["kind"],
        speed=status["speed"],
        lossless=source.lossless if source is not None else False,
        since=source.since if source is not None else 0,
        session=status["session"],
        market_clock=status["market_clock"],
        newest_event_at=status["newest_event_at"],
        delay_ms=status["delay_ms"],
    )


def feed_accounts(facts: Facts, counters: Counters, now_s: float) -> dict[str, FeedAccounts]:
    """The accounts with their rates."""
    found = {}
    for feed, terms in facts.accounts.items():
        wasted = sum(max(terms[term], 0) for term in WASTED)
        found[feed] = FeedAccounts(
            **terms,
            unbalanced=sum(map(abs, imbalance(terms))),
            in_per_s=counters.rate(f"{feed} in", terms["received"], now_s),
            out_per_s=counters.rate(f"{feed} out", terms["processed"], now_s),
            lost_per_min=round(counters.of_minute(f"{feed} wasted", wasted, now_s)),
            malformed_per_min=round(counters.of_minute(f"{feed} malformed", terms["malformed"], now_s)),
        )
    return found


def listener_state(facts: Facts, recorded: Recorded | None, counters: Counters, now_s: float) -> ListenerState:
    """The listener's report, and how much it brings."""
    report, terms = facts.listener, facts.accounts.values()
    return ListenerState(
        state=str(report.get("state", "gone")),
        since=int(report.get("since", 0)),
        reason=str(report.get("reason", "No listener reports.")),
        feed=str(report.get("feed", "")),
        market=str(report.get("market", "")),
        subscriptions=_words(report.get("subscriptions")),
        buffered_bytes=int(report.get("buffered_bytes", 0)),
        buffer_bytes=settings.LISTENER_BUFFER_MB * 1024 * 1024,
        settings_revision=report.get("settings_revision"),
        wanted_revision=recorded.revision if recorded is not None else None,
        in_per_s=counters.rate("received", sum(one["received"] for one in terms), now_s),
        published_per_s=counters.rate("published", sum(one["published"] for one in terms), now_s),
    )


def _words(said: Any) -> list[str]:
    """Subscriptions, told as a list or as a comma list."""
    if isinstance(said, str):
        return [word.strip() for word in said.split(",") if word.strip()]
    return [str(word) for word in said or ()]


def _waiting_since(name: str, depth: int, newest_taken: int | None, counters: Counters, facts: Facts) -> int | None:
    """Since when a queue's oldest batch waits at most, where the broker does not say it; None: nothing is known."""
    empty_at = counters.empty_at(name, depth, facts.now)
    # It came after the one that was taken last, and after the queue was empty.
    known = [at for at in (newest_taken, empty_at) if at is not None]
    if not depth or not known:
        return None
    if name in queues.FEEDS and not (facts.source is not None and facts.source.lossless):
        # The broker removes what is older.
        known.append(facts.now - settings.MESSAGE_TTL_MS)
    return max(known)


def queue_states(
    facts: Facts, seen: list[Seen], depths: dict[str, Depth | None] | None, counters: Counters, now_s: float
) -> list[QueueState]:
    """The queues; without the broker, what is known all the same."""
    takers = Counter(queue for one in seen if one.state == "running" for queue in one.said.queues)
    newest_taken = Counter[str]()
    for one in seen:
        for feed, at in mapping(one.said.figures, "last_received_at").items():
            newest_taken[feed] = max(newest_taken[feed], int(at))
    found = []
    for name in (*queues.FEEDS, queues.LOSSLESS, queues.SCANS, queues.JOBS, queues.DEAD_LETTERS):
        depth = depths.get(name) if depths is not None else None
        if name == queues.DEAD_LETTERS and depth is None:
            # A Redis broker has none.
            continue
        into = out = None
        if name in facts.accounts:
            terms = facts.accounts[name]
            into = counters.rate(f"{name} queued", terms["published"], now_s)
            out = counters.rate(f"{name} taken", sum(terms[term] for term in SETTLED_TERMS), now_s)
        elif name == queues.SCANS:
            out = counters.rate("scans taken", total(seen, "scans", "ticks"), now_s)
        waiting_since = depth.oldest_received_at if depth is not None else None
        if depth is not None and waiting_since is None:
            waiting_since = _waiting_since(name, depth.messages, newest_taken.get(name), counters, facts)
        found.append(
            QueueState(
                name=name,
                depth=depth.messages if depth is not None else None,
                oldest_ms=max(0, facts.now - waiting_since) if waiting_since else None,
                in_per_s=into,
                out_per_s=out,
                consumers=takers[name] if depth is None or depth.consumers is None else depth.consumers,
            )
        )
    return found
