"""Which components are there: those that say so, and of the others whether their process has ended."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from control.system.state import PartState
from processors.components.report import Component

# Everyone reports once a second.
SILENT_MS: Final = 2_200
# A component that came in another's place began not much earlier than that one was last heard.
_OVERLAP_MS: Final = 1_500
_HERE: Final = socket.gethostname()

State = Literal["running", "silent", "gone"]


class Seen(msgspec.Struct, frozen=True):
    """A component, and whether it is there.

    Attributes:
        said: Its last word.
        state: `running`; `silent`: it exists, or might, and says nothing; `gone`: its process has ended.
    """

    said: Component
    state: State


def look(expected: list[Component], parts: dict[str, PartState] | None, since: int = 0) -> list[Seen]:
    """Who is there, and who is missed; cheap enough for several times a second.

    Args:
        expected: The last word of everyone who has not said goodbye.
        parts: What `up` keeps on this host, by name; None where it does not run.
        since: Epoch milliseconds. Who was last heard of before is not missed: the system, or its cache, has just
            started.

    Returns:
        By kind and name; one that another has taken the place of, or that `up` wants no more, is left out.
    """
    seen = [Seen(said, _state(said, parts)) for said in expected]
    newcomers = [one for one in seen if one.state == "running"]
    there = list(newcomers)
    for one in seen:
        unwanted = parts is not None and one.said.host == _HERE and one.said.name not in parts | {"up": None}
        if one.state == "running" or unwanted or one.said.heard_at < since:
            continue
        if one.said.host == _HERE and parts is not None and one.said.name in parts:
            # `up` knows its successor, also when the clock was put back in between.
            current = parts[one.said.name].pid
            if any((new.said.host, new.said.pid) == (_HERE, current) for new in there):
                continue
        if not _replaced(one.said, newcomers):
            there.append(one)
    return sorted(there, key=lambda one: (one.said.kind, len(one.said.name), one.said.name, one.said.pid))


def clocks_ahead_ms(expected: list[Component]) -> dict[str, int]:
    """By how much each host's clock is ahead of the cache's; behind, where negative."""
    return {said.host: said.at - said.heard_at for said in expected if said.heard_at}


def _state(said: Component, parts: dict[str, PartState] | None) -> State:
    if said.host == _HERE:
        part = parts.get(said.name) if parts is not None else None
        if (part is not None and part.pid != said.pid) or not _lives(said.pid):
            return "gone"
    return "running" if said.silent_ms <= SILENT_MS else "silent"


def _replaced(missed: Component, newcomers: list[Seen]) -> bool:
    """Whether a newcomer stands for one that is missed; each stands for one alone."""
    for newcomer in newcomers:
        same = (newcomer.said.kind, newcomer.said.name) == (missed.kind, missed.name)
        if same and newcomer.said.since >= missed.at - _OVERLAP_MS:
            newcomers.remove(newcomer)
            return True
    return False


def _lives(pid: int) -> bool:
    """Whether a process of this host runs; one that only waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    return True
