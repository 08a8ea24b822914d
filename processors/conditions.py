"""Which trades count: the consolidated update rules of the US tapes, by Massive's condition ids.

Source: Massive's `/v3/reference/conditions`, `update_rules.consolidated`, which restate the CTA and UTP plans' tables
of sale conditions. The table is built in, so that a trade can be judged before reference data is loaded. A condition
that is not listed here updates everything, as a regular sale does.
"""

from collections.abc import Iterable
from typing import NamedTuple


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


def update_rule(conditions: Iterable[int], rules: dict[int, UpdateRule] = UPDATE_RULES) -> UpdateRule:
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
