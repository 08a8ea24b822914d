"""The symbol table computed a second time: plain Python over a recording, sharing no code with the system.

Slow and obvious on purpose. It keeps every event of a symbol and looks at all of them at the end.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

_NEW_YORK = ZoneInfo("America/New_York")
_VOLUME_ONLY = {2, 7, 12, 13, 20, 21, 29, 37, 52, 53}
_NO_LAST = {5, 10, 22, 32, 33}
_NOTHING = {15, 16}
_NO_VOLUME = {15, 16, 38}


def frames(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The frames of a gzipped recording."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if "frame" in (content := json.loads(line)):
                yield content["frame"]


def _day(at: float) -> str:
    return _minute(int(at // 60_000))[0]


def _session(at: float) -> str | None:
    """The session of a time on an ordinary weekday; None outside 04:00 to 20:00."""
    return _minute(int(at // 60_000))[1]


@lru_cache(maxsize=10_000)
def _minute(minute: int) -> tuple[str, str | None]:
    moment = datetime.fromtimestamp(minute * 60, _NEW_YORK)
    return moment.date().isoformat(), _session_of(moment)


def _session_of(moment: datetime) -> str | None:
    if moment.weekday() > 4:
        return None
    hour = moment.hour + moment.minute / 60
    if 4 <= hour < 9.5:
        return "pre"
    if 9.5 <= hour < 16:
        return "regular"
    return "post" if 16 <= hour < 20 else None


def _may(trade: dict[str, Any], what: str) -> bool:
    blocked = {"last": _VOLUME_ONLY | _NO_LAST | _NOTHING, "extremes": _VOLUME_ONLY | _NOTHING, "volume": _NO_VOLUME}
    return not set(trade.get("c") or ()) & blocked[what]


def table(events: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows by symbol, each of the newest trading day that the symbol has, from events in the order of their receipt."""
    by_symbol: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for number, event in enumerate(events):
        at = event["s"] if event["ev"] in ("A", "AM") else event["t"]
        if event["ev"] == "Q" or _session(at):
            by_symbol[event["sym"]][event["ev"]].append({**event, "#": number, "at": at})
    return {symbol: _row(kinds) for symbol, kinds in by_symbol.items() if kinds.keys() & {"T", "A", "AM"}}


def _row(kinds: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    newest_day = max(_day(event["at"]) for kind in ("T", "A", "AM") for event in kinds[kind])
    trades, seconds, minutes = ([e for e in kinds[kind] if _day(e["at"]) == newest_day] for kind in ("T", "A", "AM"))
    row: dict[str, Any] = {"trading_day": newest_day}
    # A bar of the same start replaces the earlier.
    by_second = {bar["s"]: bar for bar in seconds}
    by_minute = {bar["s"]: bar for bar in minutes}
    bars = [*by_second.values(), *by_minute.values()]
    ranks = {"T": 2, "A": 1, "AM": 0}
    # (event time, trade before second bar before minute bar, sequence number, receipt) → price
    prints = [t for t in trades if _may(t, "last")]
    prices = [((e["t"], ranks["T"], e.get("q", 0), e["#"]), e["p"]) for e in prints]
    prices += [((b["e"] - 1, ranks[b["ev"]], 0, b["#"]), b["c"]) for b in bars]
    row["price_at"], row["price"] = (max(prices)[0][0], max(prices)[1]) if prices else (None, None)

    def first(session: str | None) -> Any:
        firsts = [((e["t"], 0, e.get("q", 0), e["#"]), e["p"]) for e in prints if session in (None, _session(e["t"]))]
        firsts += [
            ((b["s"], 2 - ranks[b["ev"]], 0, b["#"]), b["o"]) for b in bars if session in (None, _session(b["s"]))
        ]
        return min(firsts)[1] if firsts else None

    row["day_open"] = first(None)
    for session in ("pre", "regular", "post"):
        seen = [t["p"] for t in trades if _may(t, "extremes") and _session(t["t"]) == session]
        highs = seen + [b["h"] for b in bars if _session(b["s"]) == session]
        lows = seen + [b["l"] for b in bars if _session(b["s"]) == session]
        row[f"{session}_high"], row[f"{session}_low"] = max(highs, default=None), min(lows, default=None)
    sessions = ("pre", "regular", "post")
    row["day_high"] = max((row[f"{s}_high"] for s in sessions if row[f"{s}_high"] is not None), default=None)
    row["day_low"] = min((row[f"{s}_low"] for s in sessions if row[f"{s}_low"] is not None), default=None)
    # The greatest that any bar gave, replaced or not: the day's volume never goes down.
    given = [[b["av"] for b in kind if b.get("av") is not None] for kind in (seconds, minutes)]
    traded = sum(int(t["s"]) for t in trades if _may(t, "volume")) if trades else None
    row["accumulated_volume"] = max(given[0] or given[1], default=traded)
    opens = [[((b["s"], b["#"]), b["op"]) for b in kind if b.get("op")] for kind in (seconds, minutes)]
    row["official_open_price"] = max(opens[0] or opens[1])[1] if opens[0] or opens[1] else None
    opened_at = row["official_open_price"] or first("regular") or row["day_open"]
    row["change_since_open"] = row["price"] - opened_at if row["price"] is not None and opened_at is not None else None
    if bars:
        last = max((by_second or by_minute).values(), key=lambda b: b["s"])
        names = {"volume": "v", "vwap": "vw", "aggregate_vwap": "a", "open": "o", "high": "h", "low": "l", "close": "c"}
        row |= {name: last.get(short) for name, short in names.items()}
        row |= {"average_size": last.get("z"), "start_timestamp": last["s"], "end_timestamp": last["e"]}
    if kinds["Q"]:
        newest = max(kinds["Q"], key=lambda q: (q["t"], q.get("q", 0), q["#"]))
        row |= {"bid": newest.get("bp") or None, "ask": newest.get("ap") or None}
        row |= {"bid_size": newest.get("bs"), "ask_size": newest.get("as")}
    return row
