"""`bench fanout --board`: what one board costs that many clients see, whole or as deltas."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final, TypedDict

from control.bench.fanout_board_publisher import SLUG, Ticked, Ticking
from control.bench.fanout_clients import Heard
from control.bench.fanout_messages import FEED, HEALTHY, WARM_UP
from control.bench.fanout_publisher import Began
from control.bench.fanout_scene import READY_S, Scene
from control.bench.measuring import ProcessCost
from control.bench.percentiles import Latency

# The first tick brings the whole board, and who wants deltas is known after it.
_WARM_UP_S: Final = 3.0
_DRAIN_S: Final = 15.0


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        rows: Of the board.
        clients: Who see it.
        rate: Ticks a second.
        seconds: Of ticking.
        web: Web processes.
        delta: Whether the clients want deltas, or whole boards.
    """

    rows: int
    clients: int
    rate: float
    seconds: float
    web: int
    delta: bool


class Outcome(TypedDict):
    """A run; `bench fanout --board N --json` prints it, with parameters and machine.

    Attributes:
        messages: That the clients got of the board, by type: `snapshot`, `update`, `delta`.
        bytes_a_message: The mean, by type.
        board_bytes: The mean of the whole board as it was published.
        mb_per_second: What the changes were, for all clients together; snapshots are for the beginning.
        whole_mb_per_second: What they would have been as whole boards.
        saved: The share of bytes that is less than those.
        complete: Messages, as a share of ticks and clients; less than 1 is what was conflated.
        rebuilt: Whether the board that a client has put together is the one in the cache.
        latency_ms: Of a small message that is published right behind each board.
        web_mb: Memory of the web processes before anybody came, with subscriptions, and at the end.
        processes: What each cost.
        others_cpu_percent: What everything else on the machine used meanwhile, of one core.
        cut_off: Sockets that the server ended.
    """

    messages: dict[str, int]
    bytes_a_message: dict[str, int]
    board_bytes: int
    mb_per_second: float
    whole_mb_per_second: float
    saved: float
    complete: float
    rebuilt: bool
    latency_ms: Latency
    web_mb: dict[str, float]
    processes: dict[str, ProcessCost]
    others_cpu_percent: float
    cut_off: int


def run(asked: Asked, folder: Path, interrupted: Event) -> Outcome:
    """Let a board tick before its clients.

    Raises:
        PartEnded: A process ended meanwhile.
        ServiceUnavailable: A process does not start.
    """
    phases = [(WARM_UP, min(_WARM_UP_S, 1 + asked.seconds)), (HEALTHY, asked.seconds)]
    ticking_s = sum(seconds for _, seconds in phases)
    options = {"envelope": True, "snapshot": True, "delta": asked.delta}
    with Scene(folder, interrupted, asked.web, asked.clients) as scene:
        feeds = [f"scanners:{SLUG}", FEED]
        crowd = scene.come("clients", asked.clients, feeds, ticking_s + READY_S, options=options)
        scene.remember("subscribed")
        ticking = Ticking(scene.cache.url, asked.rows, asked.rate, phases)
        source = scene.start("publisher", "control.bench.fanout_board_publisher", ticking, Began | Ticked)
        scene.began(source, HEALTHY)
        costs, others = scene.costs(asked.seconds)
        scene.remember("end")
        ticked = scene.wait_for(source, Ticked, _DRAIN_S)
        heard = scene.wait_for(crowd, Heard, _DRAIN_S)
    # Everybody's first is how the board stood before.
    arrived = sum(messages for messages, _ in heard.boards.values()) - asked.clients
    changes = [counted for kind, counted in heard.boards.items() if kind != "snapshot"]
    # Where a delta would not be shorter, as with very small boards, changes come whole.
    bytes_a_change = _mean_bytes(changes) if changes else ticked.board_bytes
    mb_a_byte = asked.rate * asked.clients / 1e6
    return Outcome(
        messages={kind: messages for kind, (messages, _) in heard.boards.items()},
        bytes_a_message={kind: round(_mean_bytes([counted])) for kind, counted in heard.boards.items()},
        board_bytes=ticked.board_bytes,
        mb_per_second=round(bytes_a_change * mb_a_byte, 2),
        whole_mb_per_second=round(ticked.board_bytes * mb_a_byte, 2),
        saved=round(1 - bytes_a_change / ticked.board_bytes, 3),
        complete=round(arrived / ticked.ticks / asked.clients, 3),
        rebuilt=heard.witness == ticked.digest,
        latency_ms=heard.phases[HEALTHY].latency_ms,
        web_mb=scene.web_mb,
        processes=costs,
        others_cpu_percent=others,
        cut_off=heard.closed,
    )


def _mean_bytes(counted: Sequence[tuple[int, int]]) -> float:
    """Of messages and their bytes."""
    return sum(size for _, size in counted) / sum(messages for messages, _ in counted)
