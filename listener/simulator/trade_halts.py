"""The simulated market's list of trade halts, as Nasdaq Trader publishes it: halts of names listed elsewhere."""

from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree

from listener.simulator.luld import Pause
from listener.simulator.trading_days import new_york_time
from listener.simulator.universe import LISTINGS, UNIT, Universe

_NAMESPACE: Final = "http://www.nasdaqtrader.com/"
ElementTree.register_namespace("ndaq", _NAMESPACE)


# What Nasdaq Trader calls the exchanges, by the index of a listing.
_MARKETS: Final = [
    {"XNAS": "NASDAQ", "XNYS": "NYSE", "ARCX": "NYSE Arca", "BATS": "Cboe BZX", "XASE": "NYSE American"}[mic]
    for mic, *_ in LISTINGS
]


def halts_document(universe: Universe, pauses: Iterable[Pause]) -> bytes:
    """The list as RSS, the newest halt first."""
    root = ElementTree.Element("rss", version="2.0")
    channel = ElementTree.SubElement(root, "channel")
    ElementTree.SubElement(channel, "title").text = "Trade halts of the simulated market"
    for pause in sorted(pauses, key=lambda pause: pause.at, reverse=True):
        item = ElementTree.SubElement(channel, "item")
        ElementTree.SubElement(item, "title").text = universe.tickers[pause.symbol]
        halted = new_york_time(pause.at)
        resumed = new_york_time(pause.resumed_at) if pause.resumed_at is not None else None
        for name, value in (
            ("HaltDate", f"{halted:%m/%d/%Y}"),
            ("HaltTime", f"{halted:%H:%M:%S}.{pause.at % 1_000:03d}"),
            ("IssueSymbol", universe.tickers[pause.symbol]),
            ("IssueName", universe.names[pause.symbol]),
            ("Market", _MARKETS[universe.listing[pause.symbol]]),
            ("ReasonCode", "LUDP"),
            ("PauseThresholdPrice", f"{pause.price / UNIT:.4f}"),
            ("ResumptionDate", f"{resumed:%m/%d/%Y}" if resumed else ""),
            ("ResumptionQuoteTime", f"{resumed:%H:%M:%S}" if resumed else ""),
            ("ResumptionTradeTime", f"{resumed:%H:%M:%S}" if resumed else ""),
        ):
            ElementTree.SubElement(item, f"{{{_NAMESPACE}}}{name}").text = value
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
