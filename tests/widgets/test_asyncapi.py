"""The description of the protocol: whole, the same as the page in docs, served, and true of the real server."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import time_ns
from typing import Any

import pytest
from django.test import Client
from websockets.sync.client import ClientConnection

from control.models import Scanner
from processors.store import Store, default_store
from project.embedded import EmbeddedValkey
from project.settings import BASE_DIR
from tests.markets import OTHER_MARKETS, STOCK_EXTRAS
from tests.processors.engines import OPEN, engine_of, scanner
from tests.processors.feeding import Event, bar, batch, begin, feed_in, quote, trade
from tests.services import wait_until
from tests.widgets.described import check, check_heard, described
from tests.widgets.serving import Talk, Web, new_token
from widgets.protocol import checked_feed
from widgets.protocol.asyncapi import as_json
from widgets.protocol.feeds import FEEDS


def test_the_page_in_docs_is_the_description() -> None:
    page = Path(BASE_DIR) / "docs" / "asyncapi.json"
    assert page.read_bytes() == as_json(), "run `python manage.py asyncapi > docs/asyncapi.json`"


def test_it_is_served_to_whoever_may_call_the_api(client: Client, transactional_db: None) -> None:
    address = "/api/v1/wds/asyncapi.json"
    assert client.get(address).status_code == 401
    answer = client.get(address, headers={"Authorization": f"Bearer {new_token('visitor')}"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/vnd.aai.asyncapi+json")
    assert answer.content == as_json()


def test_every_schema_and_message_has_examples_that_are_valid() -> None:
    components = described()["components"]
    with_examples = set()
    for name, message in components["messages"].items():
        assert message["examples"], name
        for example in message["examples"]:
            check(name, example["payload"])
        with_examples.add(message["payload"].get("$ref", "").rpartition("/")[2])
    for name, schema in components["schemas"].items():
        examples = schema.get("examples", ())
        assert examples or name in with_examples, name
        for example in examples:
            check(name, example)


def test_every_reference_leads_somewhere() -> None:
    waiting: list[Any] = [described()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            if isinstance(reference := value.get("$ref"), str):
                found: Any = described()
                for step in reference.removeprefix("#/").split("/"):
                    found = found[step]


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_documented_feed_has_a_name_that_can_be_subscribed_to(feed: Any) -> None:
    assert checked_feed(feed.example) == feed.example
    matching = [other.name for other in FEEDS if re.fullmatch(other.names, feed.example)]
    assert matching == [feed.name]


class _Checked(Talk):
    """A client that holds everything it hears against the description.

    Attributes:
        bare: Whose messages come without an envelope, if any do.
        heard: How many messages of each name, and in envelopes of each type.
    """

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__(socket)
        self.bare = ""
        self.heard: Counter[str] = Counter()

    def hear(self, seconds: float = 5.0) -> Any:
        message = super().hear(seconds)
        self.heard[check_heard(message, self.bare)] += 1
        if isinstance(message, dict) and "seq" in message:
            self.heard[message["type"]] += 1
        return message

    def ask(self, **message: Any) -> Any:
        """Say it and return the answer, whatever the feeds bring before it."""
        self.say(**message)
        while not (isinstance(answer := self.hear(), dict) and answer.keys() & {"status", "cache"}):
            pass
        return answer

    def hear_until(self, name: str) -> None:
        """Hear until there was one of that name or type."""
        while not self.heard[name]:
            self.hear()


def _market(store: Store) -> Iterator[str]:
    """A market of stocks that moves, step by step."""
    begin(store, clock=OPEN)
    Scanner.objects.all().delete()
    scanner("top_gainers")
    scanner("halts", alert_on="halt")
    engine = engine_of(store)
    halt = {"ev": "HALT", "sym": "ABC", "reason": "LUDP", "market": "NYSE", "pause_price": 4.46}
    luld = {"ev": "LULD", "T": "ABC", "h": 4.46, "l": 3.65, "i": [16], "z": 3, "t": OPEN * 1_000_000, "q": 5120}
    article = {
        "id": "a1",
        "title": "ABC",
        "published_utc": "2024-03-11T12:00:00Z",
        "tickers": ["ABC"],
        "publisher": {"name": "wire"},
    }
    for second, price in enumerate((4.0, 4.05, 4.1)):
        t = OPEN + 1_000 * second
        events: list[tuple[str, list[Event]]] = [
            ("unknown", [{"ev": "NEW", "x": second}]),
            ("trades", [trade(name, t, price, i="991", x=4, z=3, c=[12], q=second) for name in ("ABC", "ABD", "ABE")]),
            ("aggregate", [bar("ABC", t, price, price, price, price, vw=price, a=price, z=61)]),
            ("quotes", [quote("ABC", t, price, price + 0.01, bx=11, ax=12, c=1, i=[604], q=second, z=3)]),
            ("halts", [luld, halt | {"t": t}]),
            ("news", [article | {"id": f"a{second}"}]),
            *((documented.feed, [documented.event]) for documented, _ in STOCK_EXTRAS),
        ]
        for feed, given in events:
            feed_in((feed, batch(given, seq=time_ns() // 1_000)))
        assert engine.tick()
        yield f"second {second}"


def _another_market(store: Store) -> str:
    """An event of crypto; its feed."""
    documented = next(one for one in OTHER_MARKETS if one.key == "crypto:trades:BTC-USD")
    source = "live:crypto:real-time"
    begin(store, source)
    feed_in(("unknown", batch([{"ev": "NEW"}], source=source)))
    feed_in((documented.feed, batch([documented.event], source=source, seq=time_ns() // 1_000)))
    return documented.key


# Of every family of feeds, one in which something happens in these markets.
_LIVELY = {
    "Board": "scanners:top_gainers",
    "TopTenLists": "top_10_lists",
    "QuoteRow": "quote:ABC",
    "Alert": "alerts",
    "Bar": "bars:1s:ABC",
    "Article": "news:latest",
    "Status": "status",
    "SystemState": "status:components",
    "Agg": "stocks:agg:ABC",
    "Trade": "stocks:trades:ABC",
    "Quote": "stocks:quotes:ABC",
    "Luld": "stocks:luld:ABC",
    "Halt": "stocks:halt:ABC",
    "FairMarketValue": "stocks:fmv:AAPL",
    "Value": "stocks:value:AAPL",
    "Imbalance": "stocks:noi:NTEST.Q",
    "OtherMarket": "crypto:trades:BTC-USD",
    "UnknownEvent": "unknown",
}


def test_every_message_of_every_feed_is_as_described(web: Web) -> None:
    assert _LIVELY.keys() == {feed.name for feed in FEEDS}
    store, token = default_store(), new_token("operator", staff=True)
    options = {"envelope": True, "snapshot": True}
    with ExitStack() as stack:
        enveloped, deltas = (stack.enter_context(_Checked.authorised(web, token)) for _ in range(2))
        bare = {name: stack.enter_context(_Checked.authorised(web, token)) for name in _LIVELY}
        for name, feed in _LIVELY.items():
            bare[name].bare = feed
            bare[name].subscribe(feed)
            enveloped.subscribe(feed, **options)
        deltas.subscribe("scanners:*", **options, delta=True)
        for _ in _market(store):
            for talk in (enveloped, deltas):
                assert talk.ask(action="get", cache="status")["data"] is not None
        # Put together once a second, by a thread of its own.
        wait_until(lambda: store.redis.exists("status:components"), 30, "the system's state")
        asked = [feed for name, feed in _LIVELY.items() if name != "OtherMarket"]
        found = {feed: enveloped.ask(action="get", cache=feed, limit=2)["data"] for feed in asked}
        feed = _another_market(store)
        found[feed] = enveloped.ask(action="get", cache=feed)["data"]
        # What stood when somebody came is sent first.
        for feed in ("scanners:*", "alerts"):
            enveloped.subscribe(feed, **options)
        for name, talk in bare.items():
            talk.hear_until(name)
            enveloped.hear_until(f"Enveloped{name}")
        deltas.hear_until("delta")
    assert [feed for feed, data in found.items() if data is None] == ["unknown"]


def test_every_answer_is_as_described(web: Web) -> None:
    with _Checked.to(web) as stranger:
        assert stranger.ask(action="auth", api_key="wrong") == {"status": "invalid key"}
    with _Checked.to(web) as hasty:
        assert hasty.ask(action="get", cache="status") == {"status": "unauthorized"}
    with _Checked.authorised(web, new_token("visitor")) as talk:
        for request in (
            {"action": "ping"},
            {"action": "dance"},
            {"action": 5},
            {"action": "subscribe", "feed": "unknown"},
            {"action": "get", "cache": "unknown:1"},
            {"action": "subscribe", "feed": "status", "delta": True},
            {"action": "subscribe", "feed": "status", "max_rate": 0},
            {"action": "subscribe", "feed": "a b"},
            {"action": "unsubscribe", "feed": "status"},
            {"action": "get", "cache": "status", "limit": 1},
        ):
            talk.ask(**request)
        assert talk.heard == {
            "Authorized": 1,
            "Pong": 1,
            "InvalidAction": 1,
            "Forbidden": 2,
            "Error": 4,
            "Unsubscribed": 1,
            "Cached": 1,
        }


def test_what_is_said_unasked_is_as_described(web: Web, valkey: EmbeddedValkey) -> None:
    # The last test here: the server ends in it.
    with _Checked.authorised(web, new_token("visitor")) as talk:
        talk.subscribe("status", envelope=True, snapshot=True)
        valkey.kill()
        try:
            assert talk.hear()["status"] == "interrupted"
        finally:
            valkey.start()
        assert talk.hear(10) == {"status": "resumed"}
        assert (talk.hear()["seq"], talk.heard["snapshot"]) == (2, 2)
        web.part.process.terminate()
        assert talk.hear()["status"] == "reconnect"
        assert talk.close_code() == 1012
