"""`bench fanout --idle`: what it costs to hold sockets on which nothing happens."""

from pathlib import Path
from threading import Event
from typing import Final, TypedDict

from control.bench.fanout_clients import Heard, Ready
from control.bench.fanout_scene import Scene
from control.bench.measuring import ProcessCost

# Of a symbol each, as a chart or a watchlist has it.
_FEED: Final = "quote:IDLE{}"


class Outcome(TypedDict):
    """A run; `bench fanout --idle N --json` prints it, with parameters and machine.

    Attributes:
        sockets: How many were authorised and had one subscription each.
        sockets_per_second: How fast they came in.
        web_mb: Memory of the web processes before anybody came, when all were there, and some seconds later.
        kb_a_socket: What each added by then; the kernel's own buffers are not in it.
        cut_off: Sockets that the server ended.
        processes: What each cost while nothing happened.
        others_cpu_percent: What everything else on the machine used meanwhile, of one core.
    """

    sockets: int
    sockets_per_second: int
    web_mb: dict[str, float]
    kb_a_socket: float
    cut_off: int
    processes: dict[str, ProcessCost]
    others_cpu_percent: float


def run(sockets: int, seconds: float, processes: int, folder: Path, interrupted: Event) -> Outcome:
    """Let them in and wait.

    Raises:
        PartEnded: A process ended meanwhile.
        ServiceUnavailable: A process does not start.
    """
    with Scene(folder, interrupted, processes, sockets) as scene:
        crowd = scene.come("clients", sockets, [_FEED], seconds)
        scene.remember("subscribed")
        costs, others = scene.costs(seconds)
        added = scene.remember("idle") - scene.web_mb["before"]
        heard = scene.wait_for(crowd, Heard, seconds)
        took = scene.wait_for(crowd, Ready, 0).seconds
    return Outcome(
        sockets=sockets,
        sockets_per_second=round(sockets / took),
        web_mb=scene.web_mb,
        kb_a_socket=round(added * 1024 / sockets, 1),
        cut_off=heard.closed,
        processes=costs,
        others_cpu_percent=others,
    )
