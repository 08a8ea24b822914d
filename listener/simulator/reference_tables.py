"""Massive's exchange ids and sale conditions, as far as the simulator prints them."""

from typing import Any, Final

from processors.merging.conditions import UPDATE_RULES, UpdateRule

# (id, type, name, MIC, operating MIC, participant id)
_EXCHANGES: Final = (
    (1, "exchange", "NYSE American, LLC", "XASE", "XNYS", "A"),
    (4, "TRF", "FINRA NYSE TRF", "FINN", "FINR", "D"),
    (7, "exchange", "Cboe EDGA", "EDGA", "XCBO", "J"),
    (8, "exchange", "Cboe EDGX", "EDGX", "XCBO", "K"),
    (10, "exchange", "New York Stock Exchange", "XNYS", "XNYS", "N"),
    (11, "exchange", "NYSE Arca, Inc.", "ARCX", "XNYS", "P"),
    (12, "exchange", "Nasdaq", "XNAS", "XNAS", "T"),
    (15, "exchange", "Investors' Exchange", "IEXG", "IEXG", "V"),
    (19, "exchange", "Cboe BZX", "BATS", "XCBO", "Z"),
    (21, "exchange", "Members Exchange", "MEMX", "MEMX", "U"),
    (202, "TRF", "FINRA Nasdaq TRF Carteret", "FINY", "FINR", None),
)
EXCHANGE_ROWS: Final[list[dict[str, Any]]] = [
    {
        "id": number,
        "type": kind,
        "asset_class": "stocks",
        "locale": "us",
        "name": name,
        "mic": mic,
        "operating_mic": operating,
        **({"participant_id": participant} if participant else {}),
    }
    for number, kind, name, mic, operating, participant in _EXCHANGES
]

_NAMES: Final = {
    0: "Regular Sale",
    2: "Average Price Trade",
    5: "Bunched Sold Trade",
    7: "Cash Sale",
    8: "Closing Prints",
    9: "Cross Trade",
    10: "Derivatively Priced",
    12: "Form T/Extended Hours",
    13: "Extended Hours (Sold Out Of Sequence)",
    14: "Intermarket Sweep",
    15: "Market Center Official Close",
    16: "Market Center Official Open",
    17: "Market Center Opening Trade",
    18: "Market Center Reopening Trade",
    19: "Market Center Closing Trade",
    20: "Next Day",
    21: "Price Variation Trade",
    22: "Prior Reference Price",
    25: "Opening Prints",
    28: "Re-Opening Prints",
    29: "Seller",
    30: "Sold Last",
    32: "Sold (Out Of Sequence)",
    33: "Sold (Out of Sequence) and Stopped Stock",
    37: "Odd Lot Trade",
    38: "Corrected Consolidated Close (per listing market)",
    41: "Trade Thru Exempt",
    52: "Contingent Trade",
    53: "Qualified Contingent Trade",
}


def _row(number: int) -> dict[str, Any]:
    rule = UPDATE_RULES.get(number, UpdateRule(True, True, True))._asdict()
    return {
        "id": number,
        "type": "sale_condition",
        "name": _NAMES.get(number, f"Condition {number}"),
        "asset_class": "stocks",
        "data_types": ["trade"],
        "sip_mapping": {"CTA": "@", "UTP": "@"},
        "update_rules": {"consolidated": rule, "market_center": rule},
    }


CONDITION_ROWS: Final[list[dict[str, Any]]] = [_row(number) for number in sorted(_NAMES.keys() | UPDATE_RULES.keys())]
