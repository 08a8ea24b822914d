"""An example of everything that crosses `/ws`, for the description of the protocol and its readers."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from control.system.example import EXAMPLE as SYSTEM
from control.system.example import parts_of
from processors.bars import NamedBar
from processors.fields import FIELDS
from processors.fields.row import NOT_ON_BOARDS, BoardRow, ChangedRow, Row
from processors.merging.raw import Article
from processors.scanning.alerts import Alert, alert_id
from processors.scanning.status import FeedState, HaltsState, ScansState, Status
from processors.wire import Agg, FairMarketValue, Halt, Imbalance, Luld, Quote, Trade, Value
from widgets.protocol import messages, requests
from widgets.protocol.feeds import BoardDelta, RawEvent

# Tuesday, 3 March 2026, 09:30:01 in New York.
_AT: Final = 1_772_548_201_000
_KNOWN: Final = {
    "symbol": "ZZAB",
    "name": "Zebra Abacus Inc.",
    "trading_day": "2026-03-03",
    "session": "regular",
    "complete": True,
    "clock": _AT,
    "price": 4.05,
    "price_at": _AT - 1,
    "accumulated_volume": 1_873_450,
    "prev_day_close": 3.1,
    "change": 0.95,
    "pct_change": 30.64516129032258,
    "halted": False,
}
_ROW: Final[Row] = {field.name: _KNOWN.get(field.name) for field in FIELDS}
_BOARD_ROW: Final[BoardRow] = {name: value for name, value in _ROW.items() if name not in NOT_ON_BOARDS} | {"rank": 1}
_CHANGED: Final[ChangedRow] = {"symbol": "ZZAB", "price": 4.06, "price_at": _AT + 999}
_STATUS: Final = Status(
    at=_AT + 40,
    market_clock=_AT,
    session="regular",
    next_bell_at=1_772_571_600_000,
    trading_day="2026-03-03",
    source="live:stocks:1772530000",
    kind="live",
    speed=1.0,
    newest_event_at=_AT,
    delay_ms=40,
    feed=FeedState(state="streaming", since=1_772_530_000_000, reason=""),
    scans=ScansState(tick_ms=31, failing={}, slow=[]),
    halts=HaltsState(covers="All halts."),
)
_FEED: Final = "scanners:top_gainers"

# By type.
EXAMPLES: Final[dict[Any, Any]] = {
    requests.Auth: requests.Auth("a token"),
    requests.Subscribe: requests.Subscribe(_FEED, envelope=True, snapshot=True, delta=True, max_rate=2.0),
    requests.Unsubscribe: requests.Unsubscribe(_FEED),
    requests.Get: requests.Get("news:latest", 10),
    requests.Ping: requests.Ping(),
    messages.Authorized: messages.Authorized(),
    messages.InvalidKey: messages.InvalidKey(),
    messages.Unauthorized: messages.Unauthorized(),
    messages.Subscribed: messages.Subscribed(_FEED),
    messages.Unsubscribed: messages.Unsubscribed(_FEED),
    messages.Forbidden: messages.Forbidden("unknown"),
    messages.Error: messages.Error("Not understood: send one JSON object a message."),
    messages.InvalidAction: messages.InvalidAction(),
    messages.Pong: messages.Pong(_AT),
    messages.Interrupted: messages.Interrupted("The cache cannot be reached at the moment."),
    messages.Resumed: messages.Resumed(),
    messages.Reconnect: messages.Reconnect(1_500),
    messages.Cached: messages.Cached("news:latest", msgspec.Raw(b"null")),
    messages.Envelope: messages.Envelope("status", 1, "snapshot", _STATUS),
    Row: _ROW,
    BoardRow: _BOARD_ROW,
    ChangedRow: _CHANGED,
    BoardDelta: BoardDelta(base=7, upsert=[_CHANGED], remove=["ZZAC"], order=["ZZAB", "ZZAA"]),
    Alert: Alert(
        id=alert_id("small_cap_hod_momo", "ZZAB", "new_high", _AT),
        rule="small_cap_hod_momo",
        kind="new_high",
        symbol="ZZAB",
        at=_AT,
        price=4.05,
        note="above the pre-market high 4.01",
        row=_ROW,
        name="Zebra Abacus Inc.",
    ),
    NamedBar: NamedBar(
        start_timestamp=_AT - 1_000,
        end_timestamp=_AT,
        open=4.02,
        high=4.06,
        low=4.01,
        close=4.05,
        volume=4_200.0,
        vwap=4.0312,
        trades=None,
    ),
    Article: Article("a1b2", datetime(2026, 3, 3, 14, 0, tzinfo=UTC), "Zebra Abacus counts on growth", ["ZZAB"]),
    Status: _STATUS,
    FeedState: _STATUS["feed"],
    ScansState: _STATUS["scans"],
    HaltsState: _STATUS["halts"],
    Agg: Agg("A", "ZZAB", 4200, 1873450, 3.12, 4.0312, 4.02, 4.05, 4.06, 4.01, 3.7741, 61, _AT - 1_000, _AT, None),
    Trade: Trade("T", "ZZAB", 4, "991", 3, 4.05, 300, [12, 37], _AT, 88_123, 202, _AT - 4),
    Quote: Quote("Q", "ZZAB", 11, 4.04, 5, 12, 4.06, 9, 1, [604], _AT, 88_124, 3),
    Luld: Luld("LULD", "ZZAB", 4.46, 3.65, [16], 3, _AT * 1_000_000, 5_120),
    Halt: Halt("HALT", "ZZAB", "LUDP", "NASDAQ", 4.46, _AT + 300_000, None, _AT),
    FairMarketValue: FairMarketValue("FMV", "ZZAB", 4.05, _AT),
    Value: Value("V", "I:NDX", 15_000.5, _AT),
    Imbalance: Imbalance("NOI", "ZZAB", _AT, 930, "O", 4_023, 10, 480, 40_000, 4.03),
    dict[str, list[BoardRow]]: {"top_gainers": [_BOARD_ROW]},
    **{type(part): part for part in parts_of(SYSTEM)},
    RawEvent: {"ev": "XT", "pair": "BTC-USD", "p": 61_023.5, "s": 0.02, "t": _AT, "x": 1},
}


def example(kind: Any) -> Any:
    """The example of a type, or of a list of it, as it crosses the socket."""
    value = EXAMPLES[kind] if kind in EXAMPLES else [EXAMPLES[kind.__args__[0]]]
    return msgspec.json.decode(msgspec.json.encode(value))
