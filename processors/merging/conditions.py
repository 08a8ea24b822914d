"""Which trades count: the consolidated update rules of the US tapes, by Massive's condition ids.

Source: Massive's `/v3/reference/conditions`, `update_rules.consolidated`, which restate the CTA and UTP plans' tables
of sale conditions. The table is built in, so that a trade can be judged before reference data is loaded; what the
vendor says of a condition then goes before it. A condition that neither knows updates everything, as a regular sale.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from processors.store import Store

# Update rules as the vendor gave them last: JSON, id → [high and low, open and close, volume].
CONDITIONS: Final = "tw:conditions"
_REFRESH_S: Final = 60.0


class UpdateRule(NamedTuple):
    """What a trade with a condition may update in the consolidated figures."""

    updates_high_low: bool
    updates_open_close: bool
    updates_volume: bool


REGULAR = UpdateRule(True, True, True)
_VOLUME_ONLY = UpdateRule(False, False, True)
_NO_LAST = UpdateRule(True, False, True)
_NOTHING = UpdateRule(False, False, False)

UPDATE_RULES: dict[int, UpdateRule] = {
    2: _VOLUME_ONLY,  # average price
    5: _NO_LAST,  # bunched, sold
    7: _VOLUME_ONLY,  # cash sale
    10: _NO_LAST,  # derivatively priced
    12: _VOLUME_ONLY,  # Form T, extended hours
    13: _VOLUME_ONLY,  # extended hours, sold out of sequence
    15: _NOTHING,  # market centre official close
    16: _NOTHING,  # market centre official open
    20: _VOLUME_ONLY,  # next day
    21: _VOLUME_ONLY,  # price variation
    22: _NO_LAST,  # prior reference price
    29: _VOLUME_ONLY,  # seller's option
    32: _NO_LAST,  # sold, out of sequence
    33: _NO_LAST,  # sold, stopped stock, out of sequence
    37: _VOLUME_ONLY,  # odd lot
    38: UpdateRule(True, True, False),  # corrected consolidated close
    52: _VOLUME_ONLY,  # contingent
    53: _VOLUME_ONLY,  # qualified contingent
}


def update_rule(conditions: Iterable[int], rules: Mapping[int, UpdateRule] = UPDATE_RULES) -> UpdateRule:
    """The rule of a trade: it updates a figure only if each of its conditions lets it.

    Args:
        conditions: Massive's condition ids of one trade; none means a regular sale.
        rules: Update rules by condition id.
    """
    high_low = open_close = volume = True
    for condition in conditions:
        rule = rules.get(condition)
        if rule is not None:
            high_low = high_low and rule.updates_high_low
            open_close = open_close and rule.updates_open_close
            volume = volume and rule.updates_volume
    return UpdateRule(high_low, open_close, volume)


class _Loaded:
    """The rules that this process goes by, and when it last looked for newer ones."""

    def __init__(self) -> None:
        self.raw: bytes | None = None
        self.rules: Mapping[int, UpdateRule] = UPDATE_RULES
        self.looked = -_REFRESH_S


_loaded: Final = _Loaded()


@lru_cache(maxsize=4_096)
def rule_of(conditions: tuple[int, ...]) -> UpdateRule:
    """The rule of a trade by the vendor's table, as far as this process has read it (`refresh_rules`)."""
    return update_rule(conditions, _loaded.rules)


def refresh_rules(store: "Store") -> None:
    """Read the vendor's table, unless it was looked for within the last minute. Called once a batch.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    now = monotonic()
    if now - _loaded.looked < _REFRESH_S:
        return
    raw = store.redis.get(CONDITIONS)
    _loaded.looked = now
    if raw == _loaded.raw:
        return
    _loaded.raw = raw
    _loaded.rules = UPDATE_RULES | (msgspec.json.decode(raw, type=dict[int, UpdateRule]) if raw else {})
    rule_of.cache_clear()


def keep_rules(store: "Store", rules: Mapping[int, UpdateRule]) -> None:
    """Keep the vendor's table for every process.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    store.redis.set(CONDITIONS, msgspec.json.encode(rules))
