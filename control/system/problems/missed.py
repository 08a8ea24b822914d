"""Components that are missed or do not answer, in words: what stands still without them, and what to do."""

from collections.abc import Iterator
from typing import Final

from control.system.standing import Found
from control.system.state import ComponentState, PartState, SystemState

_WITHOUT: Final = {
    "listener": "No event comes in.",
    "feed worker": "Batches wait for the others, or expire.",
    "scans": "Boards and alerts stand still.",
    "jobs": "Reference data, notifications, backtests and the alert history wait.",
    "beat": "Nothing makes the engine tick: boards, alerts and jobs stand still.",
    "web": "Its browsers connect to another web process, or wait for it.",
    "up": "What dies from now on is not started again.",
    "source": "The feed is silent.",
}
# What `up` says of a part that was to end by itself, and has.
FINISHED: Final = "finished"
_LESS: Final = frozenset({"web", "jobs"})
_START: Final = {
    "listener": "`manage.py listen`, or `docker compose up -d listener`",
    "feed worker": "`docker compose up -d worker`",
    "scans": "`docker compose up -d scans`",
    "jobs": "`docker compose up -d jobs`",
    "beat": "`docker compose up -d beat`",
    "web": "`docker compose up -d web`",
    "up": "`manage.py up`",
    "source": "`manage.py simulate`, or `manage.py replay FILE`",
}


def missed(state: SystemState) -> Iterator[Found]:
    """A problem for each component that should be there and is not."""
    parts = state.supervisor.parts if state.supervisor is not None else {}
    host = state.supervisor.host if state.supervisor is not None else ""
    told = set()
    for component in state.components:
        part = parts.get(component.name) if component.host == host else None
        if component.state == "running":
            if part is not None:
                told.add(component.name)
            continue
        told.add(component.name)
        if part is None or not _is_over(part):
            yield _found(component, part, state)
    for name, part in parts.items():
        # One that never came so far as to say something.
        if name not in told and part.state in {"waiting", "down"} and not _is_over(part):
            ended = part.last_ending or "has ended"
            yield _problem(name, "error", f"{name} {ended}.", _advice_of_part(name, part, state.at))


def _is_over(part: PartState) -> bool:
    """Whether it has ended as it should: a recording that was replayed to its end, a worker that is too many."""
    return part.state == "ending" or (part.state == "down" and part.last_ending == FINISHED)


def _found(component: ComponentState, part: PartState | None, state: SystemState) -> Found:
    name = component.name if part is not None else f"{component.name} on {component.host}"
    without = _WITHOUT.get(component.kind, "")
    others = sum(one.kind == component.kind and one.state == "running" for one in state.components)
    severity = "warning" if others and component.kind in _LESS else "error"
    if component.kind == "feed worker" and others:
        severity = "warning"
        without = f"{'The other one takes' if others == 1 else f'The other {others} take'} its batches."
    ago = component.silent_ms / 1_000
    if component.state == "silent":
        text = f"{name} has said nothing for {ago:.0f} s: it hangs, or its host is cut off. {without}"
        advice = f"Look at its last log lines; {_restart(component, part)}"
    else:
        how = part.last_ending if part is not None and part.last_ending else "has ended without saying so"
        text = f"{name} (process {component.pid}) {how}. {without}"
        advice = _advice_of_part(component.name, part, state.at) if part is not None else _start(component)
    return _problem(component.name, severity, text, advice, component)


def _problem(name: str, severity: str, text: str, advice: str, component: ComponentState | None = None) -> Found:
    where = f"{name}@{component.host}" if component is not None else name
    return Found(
        id=f"component:{where}",
        severity="error" if severity == "error" else "warning",
        component=name,
        text=text.strip(),
        advice=advice,
        well=f"{name} is back",
        after_ms=0,
        until_ms=900,
    )


def _restart(component: ComponentState, part: PartState | None) -> str:
    if part is not None:
        return (
            f"if it stays so, restart it here (Restart {component.name}), which kills it after some seconds, or "
            f"`kill -9 {component.pid}`: `up` starts it anew."
        )
    return f"if it stays so, end process {component.pid} on {component.host} and start it again: {_command(component)}."


def _start(component: ComponentState) -> str:
    return f"Read its last log lines, and start it again on {component.host}: {_command(component)}."


def _command(component: ComponentState) -> str:
    return _START.get(component.kind, "as it was started before")


def _advice_of_part(name: str, part: PartState, now: int) -> str:
    if part.state == "down":
        return (
            f"It refuses its configuration, and stays down: mend what its last lines in `up`'s terminal say, then "
            f"restart it (Restart {name})."
        )
    if part.state == "waiting" and part.next_start_at is not None:
        wait = max(0.0, (part.next_start_at - now) / 1_000)
        again = f" (restart {part.restarts + 1})" if part.restarts > 1 else ""
        return f"Wait: `up` starts it again in {wait:.1f} s{again}. If it goes on ending, its lines in `up` say why."
    if part.state in {"starting", "running"}:
        return "Wait: `up` has started it again, it reports within seconds. If it goes on ending, its lines say why."
    return f"Restart it here (Restart {name})."
