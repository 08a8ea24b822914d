"""The cache: what can be made again, or is only a record, is removed by the beginning of its keys."""

from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from pydantic import Field

from control.operations.operation import Asked, Choice, Choices, Operation, Outcome, Parameters, done, unanswered
from processors.reference.tables import FLOAT, RATIOS, SPLITS, TICKERS
from processors.store import Store

_AT_ONCE: Final = 1_000
# What is kept of the real market's reference data: not that the vendor asked to wait, nor how often he was asked.
_TABLES: Final = tuple(table.name for table in (SPLITS, FLOAT, RATIOS, TICKERS))
_REFERENCE: Final = (*_TABLES, *(f"{name}:coming" for name in _TABLES), "kinds", "asked", "daily:*", "bad:*")


@dataclass(frozen=True, slots=True)
class Clearable:
    """What may be cleared. Everything else is the table, its accounts, leases, logins: the system itself.

    Attributes:
        patterns: The keys, as SCAN takes them.
        what: What it is, and what comes of clearing it.
    """

    patterns: tuple[str, ...]
    what: str


CLEARABLE: Final = {
    "scanners:": Clearable(
        ("scanners:*", "top_10_lists"), "Boards: the engine puts each back with its next change, at the latest in 5 s."
    ),
    "alerts:": Clearable(
        ("alerts", "alerts:*"), "The lists of the last alerts on pages: gone; the history in the database stays."
    ),
    "news:": Clearable(
        ("news:*", "tw:raw:article:*"), "News on pages: gone, but for what the vendor has published since."
    ),
    "unknown:": Clearable(("unknown:*", "tw:raw:unknown"), "Samples of events of unknown types: gone."),
    "samples:": Clearable(("tw:samples",), "Samples of malformed events: gone."),
    "profile:": Clearable(("tw:profile:*",), "The volume profile: put back from the database within a minute."),
    "market_data:": Clearable(
        ("tw:rest:*:symbol:*",), "Answers of the vendor by symbol: asked for again when somebody wants them."
    ),
    "reference:": Clearable(
        (*(f"tw:rest:*:{name}" for name in _REFERENCE), "tw:reference:cache:*"),
        "The vendor's reference data as it was loaded: all of it is asked for again, some hundred calls. What rows "
        "show of it stands meanwhile.",
    ),
}


class Prefix(Parameters):
    """The beginning of keys."""

    prefix: str = Field(
        title="Prefix", description=f"One of {', '.join(CLEARABLE)}.", max_length=100, examples=["unknown:"]
    )


def _clear(asked: Asked[Prefix]) -> Outcome:
    patterns = CLEARABLE[asked.parameters.prefix].patterns
    removed, whole = 0, True
    for pattern in patterns:
        keys, cleared = _unlink(asked, pattern)
        removed, whole = removed + keys, whole and cleared
    before, after = {"prefix": asked.parameters.prefix}, {"removed": removed}
    if not whole:
        return unanswered(f"{removed:,} keys are removed; there are more than time allows: clear again.", before, after)
    return done(f"{removed:,} keys are removed.", before, after)


def _unlink(asked: Asked[Prefix], pattern: str) -> tuple[int, bool]:
    """Remove keys step by step, so that nobody waits for it; how many, and whether those were all."""
    client: Any = asked.store.redis
    cursor, removed = 0, 0
    while True:
        cursor, keys = client.scan(cursor, match=pattern, count=_AT_ONCE)
        if keys:
            removed += int(client.unlink(*keys))
        if not cursor:
            return removed, True
        if not asked.left_s:
            return removed, False


def _check(parameters: Prefix) -> None:
    if parameters.prefix not in CLEARABLE:
        raise ValidationError({"prefix": f"Only these can be cleared: {', '.join(CLEARABLE)}."})


def _choices(store: Store) -> Choices:
    return {"prefix": [Choice(prefix, f"{prefix} {known.what}") for prefix, known in CLEARABLE.items()]}


OPERATIONS: Final = (
    Operation(
        "cache.clear",
        "Clear a part",
        "control.clear_cache",
        "Keys with this beginning are removed for everyone, step by step, while the rest goes on. The symbol table, "
        "the accounts, logins and the broker's messages cannot be cleared here.",
        Prefix,
        _clear,
        danger=True,
        target=lambda parameters: parameters.prefix,
        check=_check,
        choices=_choices,
    ),
)
