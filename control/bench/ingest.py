"""`bench ingest`: how many events a second go from the feed into the cache, how fast, and at what cost."""

from collections import Counter
from time import monotonic, sleep
from typing import Final, TypedDict

import psutil
from django.conf import settings

from control.bench.feed_server import Finished, Measuring
from control.bench.latency import Seen, latency
from control.bench.measuring import Meter, ProcessCost
from control.bench.parts import PartEnded
from control.bench.percentiles import Latency
from control.bench.stream import PROBED, QUOTE
from control.bench.system import Feed, Load, System
from processors.accounts import SETTLED_TERMS, accounts, imbalance

# The share of the asked rate that the feed server must reach, or what was measured was the feed server.
_PACE: Final = 0.99
# What is processed while sending, against what is sent: less means a growing backlog that a longer run would lose.
_KEEPS_UP: Final = 0.97
_START_S: Final = 60.0
_READ_S: Final = 5.0
# Beyond its time to live, an event that is settled nowhere is lost (design rule 5).
_LOST_AFTER_S: Final = 10.0
_OBSERVED_S: Final = 1.0
_SAMPLE_S: Final = 0.25
_POLL_S: Final = 0.05


class Outcome(TypedDict):
    """One run. Events unless said otherwise; `bench ingest --json` prints it, with parameters and machine.

    Attributes:
        rate: Events a second that were asked for.
        seconds: Of measuring.
        sent: By the feed server, warm-up included, as are all that follow but the rates.
        received: By the listener.
        unread: Sent to a connection that did not read them.
        expired: By whom they were found too old: `broker`, `worker`, or `age`, at the merge.
        duplicates: Delivered a second time, and not applied.
        balanced: Whether both equations of the accounts hold in every feed.
        imbalance: By feed, what is missing in either, where something is.
        events_per_second: Processed while measuring.
        sent_per_second: Sent while measuring.
        kept_pace: Whether the feed server sent what was asked for; otherwise the system was not put to the test.
        latest_frame_ms: By how much the latest frame missed its time.
        latency_ms: From feed to cache, while measuring.
        latency_ms_by_type: The same by the probes' event type.
        socket_latency_ms: From feed to a client's socket; None without one.
        socket_latency_ms_by_type: The same by event type.
        probes_missing: Probes of trades and bars that were sent and not seen; of quotes some are conflated away.
        nothing_lost: Whether every event was processed, once.
        keeps_up: Whether it also could have gone on like this.
        processes: What each cost while measuring.
        others_cpu_percent: What everything else on the machine used meanwhile, of one core.
    """

    rate: int
    seconds: float
    sent: int
    received: int
    unread: int
    malformed: int
    processed: int
    dropped: int
    expired: dict[str, int]
    overflowed: int
    failed: int
    lost: int
    in_flight: int
    duplicates: int
    balanced: bool
    imbalance: dict[str, tuple[int, int]]
    events_per_second: int
    sent_per_second: int
    kept_pace: bool
    latest_frame_ms: float
    latency_ms: Latency
    latency_ms_by_type: dict[str, Latency]
    socket_latency_ms: Latency | None
    socket_latency_ms_by_type: dict[str, Latency]
    probes_missing: int
    nothing_lost: bool
    keeps_up: bool
    processes: dict[str, ProcessCost]
    others_cpu_percent: float


def losses(outcome: Outcome) -> dict[str, int]:
    """Events that were sent and not processed, by what became of them, in words."""
    return {
        "unread": outcome["unread"],
        "malformed": outcome["malformed"],
        "dropped": outcome["dropped"],
        **{f"expired ({where})": events for where, events in outcome["expired"].items()},
        "overflowed": outcome["overflowed"],
        "failed": outcome["failed"],
        "lost": outcome["lost"],
        "in flight": outcome["in_flight"],
    }


def run(system: System, load: Load) -> Outcome:
    """Send a load through the system and account for it.

    Raises:
        PartEnded: A process ended meanwhile.
        ServiceUnavailable: A process does not start.
    """
    try:
        with system.fed(load) as feed:
            return _measured(system, load, feed)
    except psutil.NoSuchProcess:
        system.check()
        raise PartEnded("A process ended during the run.") from None


def _measured(system: System, load: Load, feed: Feed) -> Outcome:
    measuring = feed.wait_for(Measuring, _START_S + load.warm_up)
    meter = Meter(system.pids())
    began, processed = monotonic(), _processed(system, feed.source)
    ends = began + load.seconds
    while (remaining := ends - monotonic()) > 0:
        sleep(min(_SAMPLE_S, remaining))
        meter.sample()
        system.check()
    elapsed = monotonic() - began
    processed = _processed(system, feed.source) - processed
    seconds, costs, others = meter.costs()
    finished = feed.wait_for(Finished, _START_S)
    _settle(system, feed.source, finished.sent)
    by_feed = accounts(system.store, feed.source, settings.MESSAGE_TTL_MS)
    wrong = {name: imbalance(terms) for name, terms in by_feed.items() if any(imbalance(terms))}
    total = Counter[str]()
    for terms in by_feed.values():
        total.update(terms)
    missing = _probes_missing(system, feed, finished)
    seen = system.probes.between(measuring.at, finished.at)
    at_socket = [] if system.socket_probes is None else system.socket_probes.between(measuring.at, finished.at)
    rate = processed / elapsed
    return Outcome(
        rate=load.rate,
        seconds=round(seconds, 2),
        sent=finished.sent,
        received=total["received"],
        unread=finished.sent + finished.unsent - total["received"],
        malformed=total["malformed"],
        processed=total["processed"],
        dropped=total["dropped"],
        expired={term.removeprefix("expired_"): total[term] for term in SETTLED_TERMS if term.startswith("expired_")},
        overflowed=total["overflowed"],
        failed=total["failed"],
        lost=total["lost"],
        in_flight=total["in_flight"],
        duplicates=total["duplicate"],
        balanced=not wrong,
        imbalance=wrong,
        events_per_second=round(rate),
        sent_per_second=round(finished.rate),
        kept_pace=finished.rate >= _PACE * load.rate,
        latest_frame_ms=round(finished.latest_ms, 1),
        latency_ms=latency(seen),
        latency_ms_by_type=_by_type(seen, load),
        socket_latency_ms=latency(at_socket) if system.socket_probes is not None else None,
        socket_latency_ms_by_type=_by_type(at_socket, load) if system.socket_probes is not None else {},
        probes_missing=missing,
        nothing_lost=total["processed"] == finished.sent and not finished.unsent and not wrong,
        keeps_up=rate >= _KEEPS_UP * finished.rate,
        processes=costs,
        others_cpu_percent=others,
    )


def _by_type(seen: list[Seen], load: Load) -> dict[str, Latency]:
    return {kind: latency(probe for probe in seen if probe.kind == kind) for kind in PROBED[load.feeds]}


def _processed(system: System, source: str) -> int:
    return sum(terms["processed"] for terms in accounts(system.store, source, settings.MESSAGE_TTL_MS).values())


def _probes_missing(system: System, feed: Feed, finished: Finished) -> int:
    """Probes of which each is published and that were not seen; the observer may be a moment behind the accounts."""
    deadline = monotonic() + _OBSERVED_S
    while True:
        seen = Counter(probe.kind for probe in system.probes.between(feed.began, finished.at))
        missing = sum(sent - seen[kind] for kind, sent in finished.probes.items() if kind != QUOTE)
        if not missing or monotonic() > deadline:
            return missing
        sleep(_POLL_S)


def _settle(system: System, source: str, sent: int) -> None:
    """Wait until every event is settled, or is lost."""
    start = monotonic()
    while (waited := monotonic() - start) < settings.MESSAGE_TTL_MS / 1_000 + _LOST_AFTER_S + 2:
        system.check()
        terms = accounts(system.store, source, settings.MESSAGE_TTL_MS).values()
        received = sum(feed["received"] for feed in terms)
        open_ = sum(feed["buffered"] + feed["in_flight"] for feed in terms)
        if not open_ and (received >= sent or waited > _READ_S):
            return
        sleep(_POLL_S)
