"""The vendor's table of trade conditions.

Source: Massive's `/v3/reference/conditions`, `update_rules.consolidated`.
"""

from typing import Final

import msgspec

from processors.merging.conditions import UpdateRule
from processors.reference.vendor import Vendor

_PATH: Final = "/v3/reference/conditions"
_QUERY: Final = {"asset_class": "stocks", "data_type": "trade", "limit": "1000"}


class _Rules(msgspec.Struct, frozen=True):
    updates_high_low: bool = True
    updates_open_close: bool = True
    updates_volume: bool = True


class _UpdateRules(msgspec.Struct, frozen=True):
    consolidated: _Rules


class _Condition(msgspec.Struct, frozen=True):
    id: int
    # A list of all conditions has quotes' and others', whose ids may be the same.
    update_rules: _UpdateRules
    data_types: tuple[str, ...] = ("trade",)


def load_rules(vendor: Vendor) -> dict[int, UpdateRule]:
    """Update rules by condition id; empty when the vendor has none.

    Raises:
        VendorError: There is no usable answer.
    """
    return {
        row.id: UpdateRule(*msgspec.structs.astuple(row.update_rules.consolidated))
        for row in vendor.page(_PATH, _QUERY).rows(_Condition)
        if "trade" in row.data_types
    }
