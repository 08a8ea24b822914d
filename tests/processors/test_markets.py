"""Events outside the symbol table: every market's, under their documented names, whatever order they come in."""

import itertools
import random
from collections.abc import Iterable, Iterator
from time import time_ns
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from listener.events import Batch
from processors.merging import raw as merge_raw
from processors.merging.raw import RAW_KEY, parts_by_way
from processors.snapshots import snapshot
from processors.store import INTEREST, Store
from processors.symbols.rows import row_of
from project.embedded import EmbeddedValkey
from tests.markets import OTHER_MARKETS, STOCK_EXTRAS, Documented
from tests.processors.feeding import Event, at, bar, batch, begin, feed_in, soon, terms
from tests.processors.test_malformed import samples

OPEN = at("2024-03-11 09:30:00.000")
CRYPTO = "live:crypto:real-time"


def live(market: str) -> str:
    return f"live:{market}:real-time"


def now_seq() -> int:
    return time_ns() // 1_000


def got(store: Store, key: str) -> Any:
    raw = snapshot(store, key)
    return None if raw is None else msgspec.json.decode(raw)


def given_batch(events: Iterable[Event | bytes], market: str = "crypto", **more: Any) -> Batch:
    return batch(events, **{"source": live(market), "seq": now_seq(), **more})


def xt(pair: str, t: Any, **more: Any) -> Event:
    return {"ev": "XT", "pair": pair, "p": 1.0, "s": 0.5, "t": t, **more}


@pytest.mark.parametrize("documented", OTHER_MARKETS, ids=str)
def test_a_documented_event_is_kept_as_it_came_under_its_name(store: Store, documented: Documented) -> None:
    begin(store, live(documented.market))
    text = msgspec.json.encode(documented.event)
    feed_in((documented.feed, given_batch([text], documented.market)))
    assert terms(store, documented.feed, live(documented.market)) == {"processed": 1}
    assert snapshot(store, documented.key) == text
    source = store.source()
    assert source is not None
    assert source.newest in {documented.event.get(name) for name in ("t", "s")} | {
        documented.event.get("e", 1) - 1,
        documented.event.get("t", 0) // 1_000_000,
    }


@pytest.mark.parametrize(("documented", "long"), STOCK_EXTRAS, ids=[str(extra) for extra, _ in STOCK_EXTRAS])
@pytest.mark.parametrize("among_others", [False, True])
def test_stocks_events_outside_the_table_have_long_names(
    store: Store, documented: Documented, long: Event, among_others: bool
) -> None:
    begin(store)
    band = {"ev": "LULD", "T": "ABC", "h": 6.0, "l": 4.0, "t": OPEN * 1_000_000, "q": 1}
    neighbour = bar("ABC", OPEN, 5, 6, 4, 5) if documented.feed == "aggregate" else band
    events = [neighbour, documented.event, neighbour] if among_others else [documented.event]
    mixed = batch(events, seq=now_seq())
    feed_in((documented.feed, mixed), (documented.feed, mixed))
    assert got(store, documented.key) == long
    assert row_of(store, documented.key.split(":")[2]) is None
    assert (row_of(store, "ABC") is not None) == (among_others and documented.feed == "aggregate")
    assert terms(store, documented.feed) == {"processed": len(events), "duplicate": len(events)}


def test_a_batch_of_one_way_stays_as_it_is() -> None:
    bars, values = batch([bar("A", OPEN, 1, 1, 1, 1), b"[]"]), batch([{"ev": "FMV", "sym": "A"}])
    assert parts_by_way(bars, frozenset({"A", "AM"})) == (bars, None)
    assert parts_by_way(values, frozenset({"A", "AM"})) == (None, values)


def test_a_half_applied_batch_of_both_ways_is_finished_when_it_comes_again(store: Store) -> None:
    begin(store)
    fair = STOCK_EXTRAS[0][0]
    whole = batch([bar("ABC", OPEN, 5, 6, 4, 5), fair.event], seq=now_seq())
    bars, _ = parts_by_way(whole, frozenset({"A", "AM"}))
    assert bars is not None
    feed_in(("aggregate", bars), ("aggregate", whole))
    assert got(store, fair.key) is not None
    assert terms(store, "aggregate") == {"processed": 2, "duplicate": 1}


@pytest.mark.parametrize("symbol", ["BTC USD", "BTC*", "", "-BTC", "B" * 41, "BTC\n", "É", "{X}", None])
def test_what_is_no_symbol_is_malformed_and_its_neighbours_go_on(store: Store, symbol: str | None) -> None:
    begin(store, CRYPTO)
    feed_in(("trades", given_batch([xt("BTC-USD", OPEN), {**xt("", OPEN), "pair": symbol}, xt("ETH-USD", OPEN)])))
    assert terms(store, "trades", CRYPTO) == {"processed": 2, "failed": 1}
    (sample,) = samples(store)
    assert sample["feed"] == "trades"
    assert "is no symbol" in sample["reason"]


@pytest.mark.parametrize(
    "event",
    [
        *[xt("BTC-USD", t) for t in (None, 0, -1, "noon", 10**40)],
        *[xt("BTC-USD", OPEN, q=q) for q in (-1, 2**53)],
        {"ev": "XA", "pair": "BTC-USD", "s": 0.5},
        {"ev": "NEW", "pair": "BTC-USD", "t": OPEN},
        {"ev": "XT", "pair": ["BTC-USD"], "t": OPEN},
        b"[]",
        b'{"ev":"XT","pair":"\xff","t":1}',
    ],
)
def test_what_cannot_be_ordered_or_read_is_malformed(store: Store, event: Any) -> None:
    begin(store, CRYPTO)
    feed_in(("trades", given_batch([event, xt("ETH-USD", OPEN)])))
    assert terms(store, "trades", CRYPTO) == {"processed": 1, "failed": 1}
    assert len(samples(store)) == 1


def test_an_event_over_a_minute_ahead_of_its_receipt_is_malformed(store: Store) -> None:
    begin(store, CRYPTO)
    received = soon()
    events = [xt("BTC-USD", received + ahead) for ahead in (60_000, 60_001)]
    feed_in(("trades", given_batch(events, received_at=received)))
    assert terms(store, "trades", CRYPTO) == {"processed": 1, "failed": 1}


def test_a_type_of_another_market_is_no_event_of_stocks(store: Store) -> None:
    begin(store)
    feed_in(("aggregate", batch([{"ev": "XA", "pair": "BTC-USD", "s": OPEN}, bar("ABC", OPEN, 5, 6, 4, 5)])))
    assert terms(store, "aggregate") == {"processed": 1, "failed": 1}
    assert samples(store)[0]["reason"] == "XA is no event of stocks"


def _bar(kind: str, start: int, **more: Any) -> Event:
    return {"ev": kind, "pair": "BTC-USD", "s": start, "c": start - OPEN, **more}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (xt("BTC-USD", OPEN), xt("BTC-USD", OPEN + 1)),
        (xt("BTC-USD", OPEN * 1_000_000 + 5), xt("BTC-USD", OPEN * 1_000_000 + 6)),  # nanoseconds
        (xt("BTC-USD", OPEN * 1_000 + 5), xt("BTC-USD", OPEN * 1_000 + 6)),  # microseconds
        (xt("BTC-USD", OPEN, q=1), xt("BTC-USD", OPEN, q=2)),
        (xt("BTC-USD", OPEN, i="first"), xt("BTC-USD", OPEN, i="second")),  # receipt alone tells
        (_bar("XAS", OPEN, e=OPEN + 1_000), _bar("XAS", OPEN + 1_000, e=OPEN + 2_000)),
        (_bar("XAS", OPEN, e=OPEN + 1_000, c="wrong"), _bar("XAS", OPEN, e=OPEN + 1_000, c="corrected")),
        (_bar("CA", OPEN), _bar("CA", OPEN + 60_000)),
        # A minute counts as of its end.
        (_bar("XAS", OPEN + 30_000, e=OPEN + 31_000), _bar("XA", OPEN, e=OPEN + 60_000)),
    ],
)
def test_the_newest_by_event_time_stays_whatever_came_last(store: Store, older: Event, newer: Event) -> None:
    begin(store, CRYPTO)
    seq = now_seq()
    feed = "trades" if older["ev"] == "XT" else "aggregate"
    key = f"crypto:{'trades' if feed == 'trades' else 'agg'}:BTC-USD"
    feed_in((feed, given_batch([newer], seq=seq + 1)), (feed, given_batch([older], seq=seq)))
    assert got(store, key) == newer


@pytest.fixture(scope="module")
def sources() -> Iterator[str]:
    return (f"live:crypto:{number}" for number in itertools.count())


_EVENTS = st.lists(
    st.builds(
        lambda kind, pair, ms, below, q: {**kind, "pair": pair, "t": (OPEN + ms) * 1_000_000 + below, "q": q},
        st.sampled_from([{"ev": "XQ", "x": 1}, {"ev": "XQ", "x": 2}, {"ev": "XL2", "b": [], "a": []}]),
        st.sampled_from(["BTC-USD", "ETH-USD"]),
        st.integers(0, 2),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=20,
)


@given(events=_EVENTS, size=st.integers(1, 6), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_order_and_redelivery_keeps_the_same_events(
    store: Store, sources: Iterator[str], events: list[Event], size: int, data: st.DataObject
) -> None:
    source, seq = next(sources), now_seq()
    begin(store, source)
    pairs = [
        ("quotes", batch(events[start : start + size], source=source, seq=seq + start))
        for start in range(0, len(events), size)
    ]
    repeated = [pair for pair in pairs if data.draw(st.booleans())]
    feed_in(*data.draw(st.permutations([*pairs, *repeated])))
    expected: dict[str, tuple[Any, Event]] = {}
    for number, event in enumerate(events):
        key = f"crypto:{'book' if event['ev'] == 'XL2' else 'quotes'}:{event['pair']}"
        order = (event["t"], event["q"], number)
        if key not in expected or order > expected[key][0]:
            expected[key] = (order, event)
    assert {key: got(store, key) for key in expected} == {key: event for key, (_, event) in expected.items()}
    assert store.redis.hlen(RAW_KEY.format(market="crypto")) == len(expected)
    assert terms(store, "quotes", source)["processed"] == len(events)


@pytest.mark.parametrize(
    ("feed", "kind", "life_s"),
    [("aggregate", "agg", 300), ("aggregate", "fmv", 3_600), ("trades", "trades", 3_600), ("quotes", "book", 3_600)],
)
def test_an_event_is_answered_for_its_time_to_live(store: Store, feed: str, kind: str, life_s: int) -> None:
    found = next(entry for entry in OTHER_MARKETS if entry.key.startswith(f"crypto:{kind}:"))
    for age_s, answered in ((life_s + 5, False), (life_s - 60, True)):
        begin(store, f"live:crypto:{age_s}")
        feed_in((feed, batch([found.event], source=f"live:crypto:{age_s}", seq=now_seq() - age_s * 1_000_000)))
        assert (got(store, found.key) is not None) == answered


def test_messages_go_out_where_somebody_listens_prints_all_quotes_the_newest_of_a_batch(
    store: Store, valkey: EmbeddedValkey
) -> None:
    begin(store, CRYPTO)
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as pubsub:
        channels = [f"crypto:{kind}:BTC-USD" for kind in ("trades", "quotes", "book", "fmv", "value", "agg")]
        pubsub.subscribe(*channels)
        for _ in channels:
            assert pubsub.get_message(timeout=5.0)["type"] == "subscribe"
        store.redis.incr(INTEREST)
        feed_in(("trades", given_batch([xt("OTHER", OPEN)])))  # any merge tells that interest changed
        of_each = {
            "trades": [{"ev": "XT"}],
            "quotes": [{"ev": "XQ"}, {"ev": "XL2"}],
            "aggregate": [{"ev": "FMV"}, {"ev": "LV"}, {"ev": "XAS"}],
        }
        for feed, kinds in of_each.items():
            events = [
                {**kind, "pair": pair, "t": OPEN + n, "s": OPEN + n}
                for kind in kinds
                for n in (1, 3, 2)
                for pair in ("BTC-USD", "ETH-USD")
            ]
            feed_in((feed, given_batch(events)))
        heard: dict[str, list[int]] = {}
        while (message := pubsub.get_message(timeout=0.1)) is not None:
            value = msgspec.json.decode(message["data"])
            heard.setdefault(message["channel"].decode().split(":")[1], []).append(value["t"] - OPEN)
    assert heard == {"trades": [1, 3, 2], "quotes": [3], "book": [3], "fmv": [3], "value": [1, 3, 2], "agg": [1, 3, 2]}


@given(starts=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=12), shuffle=st.randoms())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_unknown_events_each_is_kept_up_to_the_newest_so_many_in_any_order(
    store: Store,
    sources: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
    starts: list[tuple[int, int]],
    shuffle: random.Random,
) -> None:
    """Receipt numbers may meet, as those of two listeners do when one takes over from the other."""
    monkeypatch.setattr(merge_raw, "_UNKNOWN_CAP", 10)
    source, first = next(sources), now_seq()
    begin(store, source)
    batches = [
        batch([{"ev": "NEW", "n": start + n, "batch": name} for n in range(length)], source, first + start)
        for name, (start, length) in enumerate(starts)
    ]
    expected = sorted((start + n for start, length in starts for n in range(length)), reverse=True)[:10]
    shuffle.shuffle(batches)
    feed_in(*[("unknown", part) for part in (*batches, batches[0])])
    kept = {key.decode(): got(store, key.decode()) for key in store.redis.scan_iter("unknown:*", count=5_000)}
    assert sorted((event["n"] for event in kept.values()), reverse=True) == expected
    assert len({(event["n"], event["batch"]) for event in kept.values()}) == len(expected)
    assert all(int(name.removeprefix("unknown:")) // 1_000 - first == event["n"] for name, event in kept.items())
    assert store.redis.zcard(merge_raw.UNKNOWN_KEYS) == len(kept)
    assert terms(store, "unknown", source)["processed"] == sum(length for _, length in starts)


def test_a_flood_of_unknown_events_leaves_the_newest_thousand(store: Store) -> None:
    begin(store)
    first = now_seq()
    events = [{"ev": "NEW", "n": n} for n in range(1_500)]
    later, earlier = batch(events[300:], seq=first + 300), batch(events[:300], seq=first)
    feed_in(("unknown", later), ("unknown", earlier))
    kept = {got(store, key.decode())["n"] for key in store.redis.scan_iter("unknown:*", count=5_000)}
    assert kept == set(range(500, 1_500))


def test_an_enormous_unknown_event_is_counted_and_sampled_and_not_kept(store: Store) -> None:
    begin(store)
    feed_in(("unknown", batch([{"ev": "NEW", "x": "y" * 100_000}, {"ev": "NEW"}])))
    assert terms(store, "unknown") == {"processed": 1, "failed": 1}
    assert "100,0" in samples(store)[0]["reason"]
    assert len(list(store.redis.scan_iter("unknown:*"))) == 1
