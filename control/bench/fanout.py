"""`bench fanout`: how many messages a second a web server delivers to its sockets, how fast, and at what cost."""

from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final, TypedDict

from control.bench import fanout_publisher as publisher
from control.bench.fanout_clients import Heard
from control.bench.fanout_messages import FEED, HEALTHY, SETTLING, STALLED, WARM_UP
from control.bench.fanout_scene import READY_S, Scene
from control.bench.measuring import ProcessCost
from control.bench.percentiles import Latency

_WARM_UP_S: Final = 2.0
# Until those who do not read have filled the kernel's buffers.
_SETTLING_S: Final = 3.0
# For what waits in the server when the last message is published.
_DRAIN_S: Final = 10.0


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        clients: Who read.
        size: Of a message, bytes.
        rate: Messages a second; each goes to every client.
        stalled: Clients that stop reading before the second part.
        seconds: Of each part.
        web: Web processes.
    """

    clients: int
    size: int
    rate: float
    stalled: int
    seconds: float
    web: int


class Figures(TypedDict):
    """One part of a run.

    Attributes:
        attempted_per_second: Deliveries to those who always read.
        delivered_per_second: Those that came, up to the last of them.
        lost: Messages that were published and did not come, over all of them.
        clients_with_losses: How many there are.
        most_lost: By one client.
        latency_ms: From publishing to reading.
        processes: What each cost.
        others_cpu_percent: What everything else on the machine used meanwhile, of one core.
    """

    attempted_per_second: int
    delivered_per_second: int
    lost: int
    clients_with_losses: int
    most_lost: int
    latency_ms: Latency
    processes: dict[str, ProcessCost]
    others_cpu_percent: float


class Outcome(TypedDict):
    """A run; `bench fanout --json` prints it, with parameters and machine.

    Attributes:
        healthy: While everybody reads.
        with_stalled: While some do not; None without such.
        web_mb: Memory of the web processes: before anybody came, when all had subscribed, at the end of each part.
        kb_a_client: What each client added before anything was published.
        cut_off: Sockets of those who always read that the server ended.
        latest_message_ms: By how much the publisher's latest message missed its time.
    """

    healthy: Figures
    with_stalled: Figures | None
    web_mb: dict[str, float]
    kb_a_client: float
    cut_off: int
    latest_message_ms: float


def run(asked: Asked, folder: Path, interrupted: Event) -> Outcome:
    """Send everything and see what comes.

    Raises:
        PartEnded: A process ended meanwhile.
        ServiceUnavailable: A process does not start.
    """
    phases = [(WARM_UP, min(_WARM_UP_S, asked.seconds)), (HEALTHY, asked.seconds)]
    if asked.stalled:
        phases += [(SETTLING, min(_SETTLING_S, asked.seconds)), (STALLED, asked.seconds)]
    length = sum(seconds for _, seconds in phases) + _DRAIN_S
    with Scene(folder, interrupted, asked.web, asked.clients + asked.stalled) as scene:
        crowd = scene.come("clients", asked.clients, [FEED], length + READY_S)
        if asked.stalled:
            scene.come("stalled clients", asked.stalled, [FEED], length + READY_S, stall=True)
        added = scene.remember("subscribed") - scene.web_mb["before"]
        stream = publisher.Stream(scene.cache.url, asked.size, asked.rate, phases)
        said = publisher.Began | publisher.Sent
        source = scene.start("publisher", "control.bench.fanout_publisher", stream, said)
        healthy_at = scene.began(source, HEALTHY)
        healthy = scene.costs(asked.seconds)
        scene.remember("healthy")
        if asked.stalled:
            stalled_at = scene.began(source, STALLED)
            stalled = scene.costs(asked.seconds)
            scene.remember("with_stalled")
        sent = scene.wait_for(source, publisher.Sent, length)
        heard = scene.wait_for(crowd, Heard, length)
    return Outcome(
        healthy=_figures(asked, HEALTHY, healthy_at, sent, heard, *healthy),
        with_stalled=_figures(asked, STALLED, stalled_at, sent, heard, *stalled) if asked.stalled else None,
        web_mb=scene.web_mb,
        kb_a_client=round(added * 1024 / (asked.clients + asked.stalled), 1),
        cut_off=heard.closed,
        latest_message_ms=round(sent.latest_ms, 1),
    )


def _figures(
    asked: Asked,
    phase: int,
    began: int,
    sent: publisher.Sent,
    heard: Heard,
    costs: dict[str, ProcessCost],
    others: float,
) -> Figures:
    came = heard.phases[phase]
    lost = [sent.messages[phase] - messages for messages in came.by_client]
    # A server that falls behind delivers after the phase's end, too.
    took = max(asked.seconds, (came.last_at - began) / 1e6)
    return Figures(
        attempted_per_second=round(asked.rate * asked.clients),
        delivered_per_second=round(sum(came.by_client) / took),
        lost=sum(lost),
        clients_with_losses=sum(number > 0 for number in lost),
        most_lost=max(lost),
        latency_ms=came.latency_ms,
        processes=costs,
        others_cpu_percent=others,
    )
