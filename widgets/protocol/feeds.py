"""Every documented feed: its name, and the type of what it brings."""

from dataclasses import dataclass
from typing import Any, Final, NotRequired, TypedDict

from control.system.state import SystemState
from processors.bars import NamedBar
from processors.fields.row import BoardRow, ChangedRow, Row
from processors.merging.raw import Article
from processors.scanning.alerts import Alert
from processors.scanning.status import Status
from processors.wire import Agg, FairMarketValue, Halt, Imbalance, Luld, Quote, Trade, Value

# Of another market, or of no known type: as the vendor sent it.
RawEvent = dict[str, Any]
_SYMBOL: Final = r"[A-Za-z0-9][A-Za-z0-9.:/_-]*"


class BoardDelta(TypedDict):
    """What changed on a board, in the order to apply it.

    A row's rank is its place.

    Attributes:
        base: The `seq` of the message that it builds on.
        remove: Symbols whose rows go.
        upsert: Of each changed row its symbol and the fields that are to be put into it; a symbol that has no row, or
            whose row went just now, gets a new one behind the others.
        order: All symbols, best first, where that is another order than before.
    """

    base: int
    remove: list[str]
    upsert: list[ChangedRow]
    order: NotRequired[list[str]]


@dataclass(frozen=True, slots=True)
class Feed:
    """A family of feeds.

    Attributes:
        name: What it brings, as a type's name.
        address: The feeds' names, with placeholders in braces.
        names: A regular expression of those names.
        example: One of them.
        meaning: What it is, for programmers.
        update: The type of a message.
        snapshot: The type of the current value, which `get` answers too.
        delta: The type of what changed, for feeds that can be had so.
    """

    name: str
    address: str
    names: str
    example: str
    meaning: str
    update: Any
    snapshot: Any
    delta: Any = None


def _of_stocks(kind: str, event: type, meaning: str) -> Feed:
    names = rf"stocks:{kind}:{_SYMBOL}"
    return Feed(event.__name__, f"stocks:{kind}:{{symbol}}", names, f"stocks:{kind}:ZZAB", meaning, event, event)


FEEDS: Final = (
    Feed(
        "Board",
        "scanners:{slug}",
        r"scanners:[a-z0-9_:]+",
        "scanners:top_gainers",
        "A scanner's board, best row first, when it changes and every five seconds.",
        list[BoardRow],
        list[BoardRow],
        BoardDelta,
    ),
    Feed(
        "TopTenLists",
        "top_10_lists",
        "top_10_lists",
        "top_10_lists",
        "The first ten rows of each main board, by slug.",
        dict[str, list[BoardRow]],
        dict[str, list[BoardRow]],
    ),
    Feed("QuoteRow", "quote:{symbol}", rf"quote:{_SYMBOL}", "quote:ZZAB", "A symbol's row, when it changes.", Row, Row),
    Feed(
        "Alert",
        "alerts, alerts:{rule}, alerts:user:{id}",
        r"alerts(:[a-z0-9_:]+)?",
        "alerts",
        "Alerts of everyone's rules, of one rule, of one user's own rules and price levels. The current value is the "
        "list of the last ones, newest first.",
        Alert,
        list[Alert],
    ),
    Feed(
        "Bar",
        "bars:{1s|1m|5m}:{symbol}",
        rf"bars:(1s|1m|5m):{_SYMBOL}",
        "bars:1s:ZZAB",
        "A symbol's bars; one that changes comes again, with the same start. The current value is those of the last "
        "half hour (1s) or of the trading day, oldest first.",
        NamedBar,
        list[NamedBar],
    ),
    Feed(
        "Article",
        "news:latest, news:{symbol}",
        rf"news:{_SYMBOL}",
        "news:latest",
        "News. The current value is the list of the last articles, newest first.",
        Article,
        list[Article],
    ),
    Feed(
        "Status",
        "status",
        "status",
        "status",
        "Market clock, session and how the feed does, each second.",
        Status,
        Status,
    ),
    Feed(
        "SystemState",
        "status:components",
        "status:components",
        "status:components",
        "How every component of the system does and what is wrong, each second, for operators.",
        SystemState,
        SystemState,
    ),
    _of_stocks("agg", Agg, "Second and minute bars as the vendor sends them."),
    _of_stocks("trades", Trade, "Prints."),
    _of_stocks("quotes", Quote, "Best bids and offers."),
    _of_stocks("luld", Luld, "Price bands, halts and resumptions."),
    _of_stocks("halt", Halt, "Halts on any exchange."),
    _of_stocks("fmv", FairMarketValue, "Fair market values."),
    _of_stocks("value", Value, "Values of indices and funds."),
    _of_stocks("noi", Imbalance, "Auctions that are out of balance."),
    Feed(
        "OtherMarket",
        "{market}:{kind}:{symbol}",
        rf"(options|indices|crypto|forex|futures):(agg|value|fmv|trades|quotes|book|luld|halt|noi):{_SYMBOL}",
        "crypto:trades:BTC-USD",
        "Events of other markets, as the vendor sends them.",
        RawEvent,
        RawEvent,
    ),
    Feed(
        "UnknownEvent",
        "unknown",
        r"unknown(:\d+)?",
        "unknown",
        "Events of no known type, for operators; `get` reads each under `unknown:{ns}`.",
        RawEvent,
        RawEvent,
    ),
)
