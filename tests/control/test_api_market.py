"""Quotes and bars as snapshots over the API; and what is missing of a day, loaded when somebody looks."""

from typing import Any

import msgspec
import pytest

from processors.fields import FIELDS
from processors.store import Store, default_store
from project.queues import JOBS
from tests.control.api_callers import NOW, Api
from tests.processors.feeding import batch, begin, feed_in, trade
from tests.rights import new_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

MINUTE = 60_000


def test_quotes_are_the_rows_of_the_symbols_that_were_asked_for(trader: Api, market: Store) -> None:
    status, found = trader("GET", "/quotes?symbols=TOP, LOW,NONE,TOP")
    assert (status, found["market_clock"], list(found["quotes"])) == (200, NOW, ["TOP", "LOW", "NONE"])
    assert found["quotes"]["NONE"] is None
    assert found["quotes"]["TOP"].keys() == {field.name for field in FIELDS}
    assert [found["quotes"][symbol]["price"] for symbol in ("TOP", "LOW")] == [50.0, 2.0]
    few = trader("GET", "/quotes?symbols=MID&fields=symbol,price,bid")[1]["quotes"]["MID"]
    assert few == {"symbol": "MID", "price": 10.0, "bid": None}
    assert trader("GET", "/quotes/TOP")[1] == found["quotes"]["TOP"]
    assert trader("GET", "/quotes/NONE")[0] == 404


def test_a_quiet_symbol_keeps_its_row_beside_those_of_a_newer_day(trader: Api, market: Store) -> None:
    later = NOW + 24 * 60 * MINUTE
    feed_in(("trades", batch([trade("NEW", later, 3.0)])))
    found = trader("GET", "/quotes?symbols=NEW,TOP")[1]["quotes"]
    assert (found["NEW"]["price"], found["TOP"]["price"]) == (3.0, 50.0)
    assert found["NEW"]["trading_day"] > found["TOP"]["trading_day"]


def test_without_a_market_there_are_no_quotes(trader: Api) -> None:
    assert trader("GET", "/quotes?symbols=A") == (200, {"market_clock": None, "quotes": {"A": None}})


def test_what_is_wrong_with_a_search_for_quotes_is_said(trader: Api) -> None:
    many = ",".join(f"S{number}" for number in range(201))
    for query in (
        "",
        "?symbols=",
        "?symbols=,",
        "?symbols=A B",
        "?symbols=A&symbols=B",
        "?symbols=A&fields=prise",
        f"?symbols={many}",
    ):
        assert trader("GET", f"/quotes{query}")[0] == 422, query
    assert trader("GET", "/quotes/A B")[0] == 422


def test_quotes_and_bars_are_for_who_may_read_each() -> None:
    narrow = Api(new_user("narrow", "quote:TOP", "bars:1m:*"))
    assert narrow("GET", "/quotes?symbols=TOP")[0] == 200
    status, problem = narrow("GET", "/quotes?symbols=TOP,LOW")
    assert (status, "quote:LOW" in problem["detail"]) == (403, True)
    assert narrow("GET", "/quotes/LOW")[0] == 403
    assert [narrow("GET", f"/bars/{length}/TOP")[0] for length in ("1s", "1m", "5m")] == [403, 200, 403]


def _waiting_jobs() -> list[str]:
    """The symbols whose bars wait to be loaded."""
    store = default_store()
    headers = [msgspec.json.decode(message)["headers"] for message in store.redis.lrange(f"broker:{JOBS}", 0, -1)]
    store.redis.delete(f"broker:{JOBS}")
    assert {header["task"].rpartition(".")[2] for header in headers} <= {"backfill_bars"}
    return [header["argsrepr"].strip("(',)") for header in reversed(headers)]


@pytest.fixture
def late_market(market: Store) -> Store:
    """A table of one symbol, whose source began at ten: of the hours before it knows nothing."""
    begin(market, "simulator:late", clock=NOW)
    feed_in(("trades", batch([trade("TOP", NOW + 500, 50.0)], source="simulator:late")))
    return market


def test_bars_are_those_of_the_day_and_of_the_span(trader: Api, market: Store) -> None:
    start = NOW // MINUTE * MINUTE
    feed_in(("trades", batch([trade("TOP", start + minute * MINUTE + 500, 50.0 + minute, 10) for minute in range(8)])))

    def bars(path: str) -> list[dict[str, Any]]:
        status, found = trader("GET", path)
        assert (status, found["symbol"]) == (200, "TOP")
        return list(found["bars"])

    whole = bars("/bars/1m/TOP")
    assert [bar["start_timestamp"] for bar in whole] == [start + minute * MINUTE for minute in range(8)]
    assert [bar["close"] for bar in whole] == [50.0 + minute for minute in range(8)]
    assert bars(f"/bars/1m/TOP?from={start + MINUTE}&to={start + 3 * MINUTE}") == whole[1:3]
    assert bars("/bars/1m/TOP?limit=2") == whole[-2:]
    assert [bar["open"] for bar in bars("/bars/5m/TOP")] == [50.0, 55.0]
    assert len(bars("/bars/1s/TOP")) == 8
    for query in ("from=x", "to=-1", "limit=0", f"from={2**60}"):
        assert trader("GET", f"/bars/1m/TOP?{query}")[0] == 422, query
    for path in ("/bars/2m/TOP", "/bars/1m/A B"):
        assert trader("GET", path)[0] == 422


@pytest.mark.usefixtures("late_market")
def test_what_is_missing_of_a_day_is_asked_for_once_when_somebody_looks(trader: Api, other: Api) -> None:
    found = trader("GET", "/bars/1m/TOP")[1]
    assert (found["backfilling"], len(found["bars"])) == (True, 1)
    assert other("GET", "/bars/5m/TOP")[1]["backfilling"] is True
    assert trader("GET", "/bars/1s/LOW")[1]["backfilling"] is False
    assert _waiting_jobs() == ["TOP"]
    # A symbol that the feed does not bring is asked for, too.
    assert trader("GET", "/bars/1m/QUIET")[1]["backfilling"] is True
    assert _waiting_jobs() == ["QUIET"]
    # After a while it is there, or cannot be had.
    for key in default_store().redis.scan_iter("tw:rest:backfill:*"):
        default_store().redis.expire(key, 200)
    assert trader("GET", "/bars/1m/TOP")[1]["backfilling"] is False
    assert _waiting_jobs() == []


def test_a_day_that_was_seen_whole_lacks_nothing(trader: Api, market: Store) -> None:
    assert trader("GET", "/bars/1m/TOP")[1]["backfilling"] is False
    assert _waiting_jobs() == []


@pytest.mark.usefixtures("late_market")
def test_nobody_has_all_symbols_loaded(trader: Api) -> None:
    asked = [trader("GET", f"/bars/1m/Q{number}")[1]["backfilling"] for number in range(32)]
    assert asked == [True] * 30 + [False] * 2
    assert len(_waiting_jobs()) == 30
