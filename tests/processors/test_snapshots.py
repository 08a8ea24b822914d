"""What `get` answers, for every documented key."""

import json
from time import time_ns
from typing import Any

import msgspec
import pytest

from processors.snapshots import snapshot
from processors.store import Store
from tests.processors.feeding import Event, at, bar, batch, begin, feed_in, quote, soon, trade

OPEN = at("2024-03-11 09:30:00.000")
TRADE: Event = trade(
    "ABC", OPEN, 4.05, 300, x=4, i="991", z=3, c=[12, 37], q=88, trfi=202, trft=OPEN + 1, ds="300.0", pt=1
)
QUOTE: Event = quote("ABC", OPEN, 4.04, 4.06, bx=11, ax=12, c=1, i=[604], q=88, z=3)
LULD: Event = {"ev": "LULD", "T": "ABC", "h": 4.46, "l": 3.65, "i": [16], "z": 3, "t": 1772548200126004113, "q": 5120}
BAR: Event = bar(
    "ABC", OPEN, 4.02, 4.06, 4.01, 4.05, 4200, av=1_873_450, op=3.12, vw=4.0312, a=3.7741, z=61, dv="4200.0"
)
KINDS = [("agg", "aggregate", BAR, 300), ("trades", "trades", TRADE, 3_600), ("quotes", "quotes", QUOTE, 3_600)]
KINDS += [("luld", "halts", LULD, 86_400)]


def now_seq() -> int:
    """A receipt number of this moment: they count microseconds, and what is old by them is not answered any more."""
    return time_ns() // 1_000


def got(store: Store, key: str, limit: int | None = None) -> Any:
    raw = snapshot(store, key, limit)
    return None if raw is None else json.loads(raw)


@pytest.fixture
def begun(store: Store) -> Store:
    begin(store)
    return store


def test_a_bar_has_the_long_names(begun: Store) -> None:
    feed_in(("aggregate", batch([BAR], seq=now_seq())))
    assert got(begun, "stocks:agg:ABC") == {
        "event_type": "A",
        "symbol": "ABC",
        "volume": 4200,
        "accumulated_volume": 1_873_450,
        "official_open_price": 3.12,
        "vwap": 4.0312,
        "open": 4.02,
        "close": 4.05,
        "high": 4.06,
        "low": 4.01,
        "aggregate_vwap": 3.7741,
        "average_size": 61,
        "start_timestamp": OPEN,
        "end_timestamp": OPEN + 1_000,
        "otc": None,
    }


def test_a_trade_has_the_long_names(begun: Store) -> None:
    feed_in(("trades", batch([TRADE], seq=now_seq())))
    assert got(begun, "stocks:trades:ABC") == {
        "event_type": "T",
        "symbol": "ABC",
        "exchange": 4,
        "id": "991",
        "tape": 3,
        "price": 4.05,
        "size": 300,
        "conditions": [12, 37],
        "timestamp": OPEN,
        "sequence_number": 88,
        "trf_id": 202,
        "trf_timestamp": OPEN + 1,
    }


def test_a_quote_has_the_long_names(begun: Store) -> None:
    feed_in(("quotes", batch([QUOTE], seq=now_seq())))
    assert got(begun, "stocks:quotes:ABC") == {
        "event_type": "Q",
        "symbol": "ABC",
        "bid_exchange_id": 11,
        "bid_price": 4.04,
        "bid_size": 3,
        "ask_exchange_id": 12,
        "ask_price": 4.06,
        "ask_size": 4,
        "condition": 1,
        "indicators": [604],
        "timestamp": OPEN,
        "sequence_number": 88,
        "tape": 3,
    }


def test_a_price_band_has_the_long_names_and_all_its_nanoseconds(begun: Store) -> None:
    feed_in(("halts", batch([LULD], seq=now_seq())))
    assert got(begun, "stocks:luld:ABC") == {
        "event_type": "LULD",
        "symbol": "ABC",
        "high_price": 4.46,
        "low_price": 3.65,
        "indicators": [16],
        "tape": 3,
        "timestamp": 1772548200126004113,
        "sequence_number": 5120,
    }


@pytest.mark.parametrize(("kind", "feed", "event", "life_s"), KINDS)
def test_an_event_is_answered_for_its_time_to_live(
    begun: Store, kind: str, feed: str, event: Event, life_s: int
) -> None:
    key = f"stocks:{kind}:ABC"
    now = now_seq()
    assert got(begun, key) is None
    feed_in((feed, batch([event], seq=now - (life_s + 2) * 1_000_000)))
    assert got(begun, key) is None
    feed_in((feed, batch([event], seq=now - (life_s - 60) * 1_000_000)))
    assert got(begun, key) is not None


def test_the_newest_by_event_time_is_answered_whatever_came_last(begun: Store) -> None:
    later, earlier = trade("ABC", OPEN + 1, 2.0, q=1), trade("ABC", OPEN, 1.0, q=9)
    feed_in(("trades", batch([later], seq=now_seq())), ("trades", batch([earlier], seq=now_seq() + 1)))
    assert got(begun, "stocks:trades:ABC")["price"] == 2


def test_minute_bars_stand_in_for_second_bars_that_are_missing_or_old(begun: Store) -> None:
    feed_in(("aggregate", batch([bar("ABC", OPEN, 1, 1, 1, 1, ev="AM")], seq=now_seq())))
    assert got(begun, "stocks:agg:ABC")["event_type"] == "AM"
    feed_in(("aggregate", batch([bar("ABC", OPEN, 2, 2, 2, 2)], seq=now_seq() - 400_000_000)))
    assert got(begun, "stocks:agg:ABC")["event_type"] == "AM"
    feed_in(("aggregate", batch([bar("ABC", OPEN, 2, 2, 2, 2)], seq=now_seq())))
    assert got(begun, "stocks:agg:ABC")["event_type"] == "A"


def test_values_come_as_they_were_sent(begun: Store) -> None:
    raw = b'{"ev":"T","sym":"ABC","t":%d,"p":4.10,"s":1e2,"i":"\\u00e9","x":1e400}' % OPEN
    feed_in(("trades", batch([raw], seq=now_seq())))
    answer = snapshot(begun, "stocks:trades:ABC")
    assert answer is not None
    assert b'"price":4.10,"size":1e2' in answer
    assert b'"exchange":1e400' in answer


def test_other_markets_events_come_as_they_are(store: Store) -> None:
    live = "live:crypto:real-time"
    begin(store, live)
    event = {"ev": "XT", "pair": "BTC-USD", "p": 60_000.5, "t": OPEN}
    feed_in(("trades", batch([event], source=live, seq=now_seq(), received_at=soon())))
    assert got(store, "crypto:trades:BTC-USD") == event
    assert got(store, "stocks:trades:BTC-USD") is None
    feed_in(("trades", batch([{**event, "pair": "OLD"}], source=live, seq=now_seq() - 3_700_000_000)))
    assert got(store, "crypto:trades:OLD") is None


def test_unknown_events_come_as_they_are_and_only_the_newest_are_kept(begun: Store) -> None:
    first = now_seq()
    events = [{"ev": "NEW", "sym": "ABC", "n": number} for number in range(1_200)]
    feed_in(("unknown", batch(events[:700], seq=first)), ("unknown", batch(events[700:], seq=first + 700)))
    names = {key.decode() for key in begun.redis.scan_iter("unknown:*", count=5_000)}
    assert len(names) == 1_000
    newest = f"unknown:{(first + 1_199) * 1_000}"
    assert got(begun, newest) == events[-1]
    assert got(begun, f"unknown:{first * 1_000}") is None
    assert 0 < begun.redis.ttl(newest) <= 86_400


def article(number: int, *symbols: str) -> Event:
    published = f"2024-03-11T12:00:{number:02d}Z"
    return {"id": f"n{number}", "title": f"News {number}", "published_utc": published, "tickers": list(symbols)}


def test_news_is_a_list_newest_first_each_article_once(begun: Store) -> None:
    articles = [article(2, "ABC"), article(1, "ABC", "XYZ"), article(3, "XYZ", "no symbol")]
    feed_in(("news", batch(articles)), ("news", batch([article(2, "ABC")])))
    assert got(begun, "news:latest") == [articles[2], articles[0], articles[1]]
    assert got(begun, "news:ABC") == [articles[0], articles[1]]
    assert got(begun, "news:XYZ", 1) == [articles[2]]
    assert got(begun, "news:latest", 2) == [articles[2], articles[0]]
    assert got(begun, "news:latest", 0) is None
    assert got(begun, "news:NONE") is None
    assert got(begun, "news:article:n1") is None
    assert begun.redis.ttl("news:latest") <= 2 * 86_400 < begun.redis.ttl("news:ABC") <= 7 * 86_400


def test_a_row_is_answered_as_a_quote(begun: Store) -> None:
    assert got(begun, "quote:ABC") is None
    feed_in(("trades", batch([TRADE | {"c": []}], seq=now_seq())))
    row = got(begun, "quote:ABC")
    assert (row["symbol"], row["price"], row["trading_day"]) == ("ABC", 4.05, "2024-03-11")
    assert got(begun, "quote:") is None
    assert got(begun, "quote:A B") is None


def test_a_board_is_a_list_best_first(begun: Store) -> None:
    rows = [{"symbol": symbol, "rank": rank} for rank, symbol in enumerate("ABC", 1)]
    begun.redis.set("scanners:top_trades:1m", msgspec.json.encode(rows))
    assert got(begun, "scanners:top_trades:1m") == rows
    assert got(begun, "scanners:top_trades:1m", 2) == rows[:2]
    assert got(begun, "scanners:top_trades:1m", 0) == []
    assert got(begun, "scanners:nothing") is None


def test_the_status_is_answered_and_no_limit_changes_it(begun: Store) -> None:
    begun.redis.set("status", b'{"session":"pre"}')
    assert got(begun, "status") == got(begun, "status", 1) == {"session": "pre"}


@pytest.mark.parametrize(
    "key",
    [
        *(
            "",
            "tw:source",
            "tw:table:trades",
            "tw:samples",
            "broker:trades",
            "scanners:",
            "scanners:UP",
            "unknown",
            "unknown:x",
        ),
        *("stocks:trades:", "stocks:other:ABC", "moon:trades:ABC", "news:", "news:a b", "status:other", "*", "\x00"),
        *("stocks:trades:ABC\n", "alerts:*", "django.sessions", "tw:raw:article:n1"),
    ],
)
def test_what_is_not_documented_is_nothing(begun: Store, key: str) -> None:
    for name in ("tw:samples", "broker:trades", "tw:raw:article:n1"):
        begun.redis.set(name, "secret")
    assert snapshot(begun, key) is None
    assert snapshot(begun, key, 5) is None
