"""Every event type of every market finds its feed: the client's own map says which there are."""

import json

import pytest
from massive.websocket.models import MARKET_EVENT_MAP
from massive.websocket.models.common import Market

from listener.events import FEED_OF, Head, market_of
from listener.sorting import sort_frame
from project.queues import FEEDS
from tests.markets import OTHER_MARKETS, STOCK_EXTRAS, Documented

_EXTRAS = [documented for documented, _ in STOCK_EXTRAS]
_IN_THE_TABLE = {("stocks", event_type) for event_type in ("A", "AM", "T", "Q", "LULD")}


def test_every_type_of_the_clients_map_has_a_feed() -> None:
    types = {event_type for types in MARKET_EVENT_MAP.values() for event_type in types}
    assert types <= FEED_OF.keys()
    assert set(FEED_OF.values()) == set(FEEDS) - {"news", "unknown"}


def test_the_documented_events_are_those_of_the_clients_map() -> None:
    documented = {(event.market, event.event["ev"]) for event in (*OTHER_MARKETS, *_EXTRAS)} | _IN_THE_TABLE
    # The exchanges of the futures market have a path of their own and the events of the whole.
    markets = [market for market in Market if "/" not in market.value]
    assert documented == {(market.value, kind) for market in markets for kind in MARKET_EVENT_MAP[market]}


@pytest.mark.parametrize("documented", [*OTHER_MARKETS, *_EXTRAS], ids=str)
def test_a_documented_event_is_sorted_into_its_feed_as_it_came(documented: Documented) -> None:
    text = json.dumps(documented.event).encode()
    result = sort_frame(b"[" + text + b"]")
    assert {feed: [bytes(raw) for raw in raws] for feed, raws in result.events.items()} == {documented.feed: [text]}
    assert not result.malformed


@pytest.mark.parametrize("documented", [*OTHER_MARKETS, *_EXTRAS], ids=str)
def test_its_symbol_is_found_wherever_the_type_has_it(documented: Documented) -> None:
    names = {"ev", "sym", "T", "pair", "p"}
    head = Head(**{name: value for name, value in documented.event.items() if name in names})
    assert documented.key.split(":", 2)[2] == head.symbol


@pytest.mark.parametrize("documented", [*OTHER_MARKETS, *_EXTRAS], ids=str)
def test_without_its_symbol_it_is_malformed(documented: Documented) -> None:
    field = next(name for name, value in documented.event.items() if value == documented.key.split(":", 2)[2])
    event = {name: value for name, value in documented.event.items() if name != field}
    result = sort_frame(json.dumps([event]))
    assert not result.events
    assert [(bad.feed, bad.sample) for bad in result.malformed] == [(documented.feed, json.dumps(event))]


@pytest.mark.parametrize("event", [{"ev": "WXYZ", "sym": "ABC"}, {"ev": "WXYZ"}, {"ev": ""}])
def test_what_no_market_knows_is_unknown(event: dict[str, str]) -> None:
    result = sort_frame(json.dumps([event]))
    assert list(result.events) == ["unknown"]
    assert not result.malformed


def test_a_source_says_its_market() -> None:
    assert market_of("live:crypto:real-time") == "crypto"
    assert market_of("live:stocks:127.0.0.1:9000") == "stocks"
    assert market_of("simulator:1:2024") == market_of("recording:crypto:x") == "stocks"
