"""Market data by symbol: asked for by the server, kept, typed; no key gets out, and no browser waits for a vendor that
has nothing to say."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import Any

import msgspec
import pytest
from pytest_django import Settings

from control.market_data import DETAILS, market_data
from processors.store import Store, default_store
from project.embedded import EmbeddedValkey
from tests.control.api_callers import Api
from tests.processors.feeding import begin
from tests.processors.vendor_server import TICKERS, VendorServer, serving_vendor
from tests.rights import new_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

KEY = "a-key-that-stays-here"
NEWS, DIVIDENDS = "/v2/reference/news", "/stocks/v1/dividends"
SHORT_INTEREST, SHORT_VOLUME, SPLITS = "/stocks/v1/short-interest", "/stocks/v1/short-volume", "/stocks/v1/splits"
ARTICLE = {"id": "1", "title": "Up", "published_utc": "2026-03-02T14:31:00Z", "tickers": ["ABC"], "amp_url": "x"}


@pytest.fixture
def vendor(settings: Settings) -> Iterator[VendorServer]:
    with serving_vendor() as server:
        settings.MASSIVE_FEED, settings.MASSIVE_API_KEY = server.address, KEY
        server.tables[TICKERS + "/"] = [
            {
                "ticker": "ABC",
                "name": "Abc Inc.",
                "market_cap": 5e9,
                "branding": {"icon_url": "https://x.test/?apiKey="},
            }
        ]
        server.tables |= {path: [] for path in (NEWS, DIVIDENDS, SHORT_INTEREST, SHORT_VOLUME, SPLITS)}
        yield server


def _age(by_s: float, **changes: Any) -> None:
    """Make what is kept so many seconds older."""
    store = default_store()
    for key in store.redis.scan_iter("tw:rest:*:symbol:*"):
        kept = msgspec.json.decode(store.redis.get(key))
        kept |= {"fetched_at": kept["fetched_at"] and kept["fetched_at"] - by_s, "again_at": kept["again_at"] - by_s}
        store.redis.set(key, msgspec.json.encode(kept | changes))


def test_a_company_is_asked_for_once_and_told_without_what_is_the_vendors_own(
    trader: Api, other: Api, vendor: VendorServer
) -> None:
    for caller in (trader, other, trader):
        answer = caller.ask("GET", "/market_data/ABC")
        found = msgspec.json.decode(answer.content)
        assert (answer.status_code, found["symbol"], found["stale"]) == (200, "ABC", False)
        assert (found["details"]["name"], found["details"]["market_cap"]) == ("Abc Inc.", 5e9)
        assert "branding" not in found["details"]
        assert KEY not in answer.content.decode() + str(answer.headers)
    assert vendor.asked == ["/v3/reference/tickers/ABC"]
    assert vendor.keys == {KEY}
    assert all(KEY.encode() not in default_store().redis.dump(key) for key in default_store().redis.keys("tw:rest:*"))


def test_every_kind_is_told_newest_first_and_what_cannot_be_read_is_passed_over(
    trader: Api, vendor: VendorServer
) -> None:
    vendor.tables[NEWS] = [ARTICLE, {"id": 7}, {}, {**ARTICLE, "id": "2"}]
    vendor.tables[SHORT_INTEREST] = [{"settlement_date": "2026-02-13", "short_interest": 5, "ticker": "ABC"}]
    vendor.tables[SHORT_VOLUME] = [{"date": "2026-02-27", "total_volume": 10, "short_volume": 4}]
    vendor.tables[SPLITS] = [{"execution_date": "2026-01-02", "split_from": 1, "split_to": 4}]
    vendor.tables[DIVIDENDS] = [{"ex_dividend_date": "2026-02-09", "cash_amount": 0.26, "frequency": 4}]
    found = {
        kind: trader("GET", f"/market_data/ABC/{kind}")[1][kind]
        for kind in ("news", "short_interest", "short_volume", "splits", "dividends")
    }
    assert [article["id"] for article in found["news"]] == ["1", "2"]
    assert found["short_interest"][0]["short_interest"] == 5
    assert found["short_volume"][0]["short_volume"] == 4
    assert found["splits"][0]["split_to"] == 4
    assert found["dividends"][0]["cash_amount"] == 0.26
    assert trader("GET", "/market_data/ABC/news?limit=1")[1]["news"] == found["news"][:1]
    assert len(vendor.asked) == 5
    assert all("ticker=ABC" in path for path in vendor.asked)
    # News are as good as new for a minute, the others for hours.
    _age(90)
    for kind in found:
        trader("GET", f"/market_data/ABC/{kind}")
    assert [path.partition("?")[0] for path in vendor.asked[5:]] == [NEWS]


def test_what_the_vendor_does_not_know_is_remembered_too(trader: Api, vendor: VendorServer) -> None:
    for _ in range(3):
        assert trader("GET", "/market_data/NONE")[0] == 404
    assert len(vendor.asked) == 1
    for symbol in ("A B", "X:BTC", "a" * 33, ".", "..", "../news"):
        assert trader("GET", f"/market_data/{symbol}")[0] == 422
    assert trader("GET", "/market_data/ABC/nothing")[0] == 404
    assert len(vendor.asked) == 1


def test_what_says_nothing_does_not_stay_in_the_cache(trader: Api, vendor: VendorServer) -> None:
    day = 86_400
    vendor.tables[NEWS] = [ARTICLE]
    vendor.failures[SHORT_VOLUME] = (500, {})
    for path, key, longest in (
        ("ABC", "details:ABC", 7 * day),
        ("NONE", "details:NONE", day),
        ("ABC/splits", "splits:ABC", day / 4),
        ("ABC/news", "news:ABC", day / 24),
        ("ABC/short_volume", "short_volume:ABC", 5),
    ):
        trader("GET", f"/market_data/{path}")
        (kept,) = default_store().redis.scan_iter(f"tw:rest:*:symbol:{key}")
        assert longest - 10 < default_store().redis.ttl(kept) <= longest


def test_what_was_known_is_shown_as_stale_while_nothing_newer_can_be_had(trader: Api, vendor: VendorServer) -> None:
    fetched = trader("GET", "/market_data/ABC")[1]["fetched_at"]
    vendor.failures["/"] = (500, {})
    _age(2 * 86_400)
    for _ in range(3):
        status, found = trader("GET", "/market_data/ABC")
        assert (status, found["stale"], found["details"]["name"]) == (200, True, "Abc Inc.")
        assert found["fetched_at"] < fetched
    assert len(vendor.asked) == 2
    vendor.failures.clear()
    _age(0, again_at=time())
    assert trader("GET", "/market_data/ABC")[1]["stale"] is False


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"), [(403, {}, 600), (429, {"Retry-After": "30"}, 30), (500, {}, 5)]
)
def test_what_cannot_be_had_is_said_with_when_to_ask_again(
    trader: Api, vendor: VendorServer, status: int, headers: dict[str, str], wait_s: int
) -> None:
    vendor.failures["/"] = (status, headers)
    for _ in range(3):
        answer = trader.ask("GET", "/market_data/ABC")
        assert answer.status_code == 503
        assert wait_s - 2 <= int(answer["Retry-After"]) <= wait_s
        assert KEY not in answer.content.decode()
    assert len(vendor.asked) == 1


def test_many_who_look_at_a_symbol_cost_one_call(vendor: VendorServer) -> None:
    store = Store()
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(market_data, store, vendor.url, KEY, DETAILS, "ABC") for _ in range(64)]
        assert {one.result(10).results["name"] for one in asked} == {"Abc Inc."}
    assert len(vendor.asked) == 1


def test_another_worlds_companies_are_its_own(trader: Api, vendor: VendorServer, valkey: EmbeddedValkey) -> None:
    trader("GET", "/market_data/ABC")
    begin(default_store(), "simulator:2")
    trader("GET", "/market_data/ABC")
    assert len(vendor.asked) == 2


def test_half_of_the_plans_calls_are_left_to_others(trader: Api, vendor: VendorServer, settings: Settings) -> None:
    settings.MASSIVE_REST_CALLS_A_MINUTE = 4
    settings.MASSIVE_REST_URL = vendor.url.replace("127.0.0.1", "127.0.0.2")
    answers = [trader.ask("GET", f"/market_data/S{number}") for number in range(3)]
    # The third is not even tried.
    assert "calls of this minute are used up" in answers[2].content.decode()
    assert 1 <= int(answers[2]["Retry-After"]) <= 60


def test_a_symbol_is_told_to_who_may_read_it() -> None:
    narrow = Api(new_user("narrow", "quote:ABC", "scanners:*"))
    assert narrow("GET", "/market_data/XYZ")[0] == 403
    assert narrow("GET", "/market_data/ABC/news")[0] == 403
    for kind in ("short_interest", "short_volume", "splits", "dividends"):
        assert narrow("GET", f"/market_data/XYZ/{kind}")[0] == 403
