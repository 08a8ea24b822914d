"""Reference data: asked for anew from the vendor."""

from secrets import token_hex
from typing import Any, Final

import redis
from kombu.exceptions import OperationalError
from pydantic import Field

from control.operations.operation import (
    Asked,
    CannotBeDone,
    Choice,
    Choices,
    Operation,
    Outcome,
    Parameters,
    done,
    unanswered,
)
from processors.reference import Kind, reference_state
from processors.store import Store, answers_key

_ALL: Final = ""


class WhichKind(Parameters):
    """A kind of reference data, or all."""

    kind: str | None = Field(None, title="Kind", description="Empty: all.", max_length=100, examples=["previous_day"])


def _reload(asked: Asked[WhichKind]) -> Outcome:
    from processors.jobs import reload_reference

    state = reference_state(asked.store)
    if state is None:
        raise CannotBeDone("No reference data is known yet: it is loaded when a feed of stocks has begun.")
    kind = asked.parameters.kind or _ALL
    if kind and kind not in state.kinds:
        raise CannotBeDone(f"There is no reference data called {kind}; there are {', '.join(state.kinds)}.")
    kinds = [kind] if kind else list(state.kinds)
    before = {name: _told(state.kinds[name]) for name in kinds}
    call = token_hex(8)
    try:
        reload_reference.apply_async((kinds, call), expires=asked.left_s, retry=False)
    except (OperationalError, redis.RedisError):
        raise CannotBeDone("The broker cannot be reached; try again when it is back.") from None
    begun = _next_word(asked, call)
    if begun:
        _next_word(asked, call)
    state = reference_state(asked.store)
    loaded = {name: state.kinds[name] for name in kinds if name in state.kinds} if state is not None else {}
    after = {name: _told(one) for name, one in loaded.items()}
    if not begun:
        return unanswered("No jobs worker has taken it within its time: does one run, and is it busy?", before, after)
    words = "; ".join(f"{name.replace('_', ' ')}: {_words(one)}" for name, one in loaded.items())
    return done(f"{words}.", before, after)


def _next_word(asked: Asked[WhichKind], call: str) -> bool:
    """Wait for the job's next word, that it has begun and that it has ended; whether it came."""
    return asked.store.redis.blpop([answers_key(call)], timeout=max(0.01, asked.left_s)) is not None


def _told(kind: Kind) -> dict[str, Any]:
    return {"at": kind.at, "symbols": kind.symbols, "whole": kind.whole, "problem": kind.problem}


def _words(kind: Kind) -> str:
    if kind.problem:
        return kind.problem.removesuffix(".")
    return f"loaded, {kind.symbols:,}" if kind.whole else "is being loaded"


def _choices(store: Store) -> Choices:
    state = reference_state(store)
    kinds = state.kinds if state is not None else {}
    return {"kind": [Choice(_ALL, "All kinds"), *(Choice(name, name.replace("_", " ")) for name in kinds)]}


OPERATIONS: Final = (
    Operation(
        "reference.reload",
        "Load anew",
        "control.reload_reference",
        "A job asks the vendor for it again. Until the new data has come the old stands, but for the average volume, "
        "whose days come one by one, a call each: relative volumes of that time are of fewer days. All kinds are some "
        "hundred calls of the vendor's limit.",
        WhichKind,
        _reload,
        target=lambda parameters: parameters.kind or "all",
        choices=_choices,
    ),
)
