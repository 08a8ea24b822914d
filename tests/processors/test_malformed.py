"""What cannot be used costs itself alone: it is counted, sampled for the operator, and its neighbours go on."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.events import event_ms
from processors import parts
from processors.merging.trades import merge_trades
from processors.sessions import DayLookup
from processors.store import SAMPLES, SOURCE, Store
from tests.processors.feeding import NOBODY, Event, at, bar, batch, begin, feed_in, quote, soon, terms, trade

OPEN = at("2024-03-11 09:30:00.000")


def samples(store: Store) -> list[dict[str, str]]:
    return [msgspec.json.decode(raw) for raw in store.redis.lrange(SAMPLES, 0, -1)]


_GOOD = {
    "trades": trade("GOOD", OPEN, 5.0),
    "aggregate": bar("GOOD", OPEN, 5, 6, 4, 5),
    "quotes": quote("GOOD", OPEN, 4, 5),
}
_LULD: Event = {"ev": "LULD", "T": "GOOD", "h": 6.0, "l": 4.0, "t": OPEN * 1_000_000, "q": 1, "i": [16]}
_BROKEN: list[tuple[str, Any]] = [
    *[("trades", trade(symbol, OPEN, 5.0)) for symbol in ("", " ", "A B", "A*", "a\nb", "x" * 41, "é", "-A", "A{B}")],
    ("trades", b"[]"),
    ("trades", b'{"ev":"T"}'),
    ("trades", b'{"ev":"T","sym":"ABC","t":"noon","p":1}'),
    ("trades", b'{"ev":"T","sym":"ABC","t":%d,"p":1e999}' % OPEN),
    ("trades", b'{"ev":"T","sym":"ABC","t":%d,"p":1,"c":["x"]}' % OPEN),
    *[("trades", trade("ABC", OPEN, price)) for price in (0, -1, 1e300)],
    *[("trades", trade("ABC", OPEN, 5.0, size)) for size in (-1, 1e13, 1e300)],
    ("trades", trade("ABC", OPEN, 1e7, 1e12)),
    *[("trades", trade("ABC", time, 5.0)) for time in (0, -5, 10**30, 99_999_999_999)],
    *[("trades", trade("ABC", OPEN, 5.0, q=sequence)) for sequence in (-1, 2**53, 2**70)],
    ("aggregate", bar("ABC", OPEN, 5, 4, 6, 5)),
    ("aggregate", bar("ABC", OPEN, 0, 6, 4, 5)),
    ("aggregate", bar("ABC", OPEN, 5, 6, 4, 5, e=OPEN)),
    ("aggregate", bar("ABC", -OPEN, 5, 6, 4, 5)),
    ("aggregate", bar("ABC", OPEN, 5, 6, 4, 5, e=10**25)),
    ("aggregate", bar("ABC", OPEN, 5, 6, 4, 5, v=-1)),
    ("aggregate", bar("ABC", OPEN, 5, 6, 4, 5, av=1e300)),
    ("aggregate", bar("ABC", OPEN, 5, 6, 4, 5, op=-1.0)),
    ("quotes", quote("ABC", OPEN, -1.0, 5.0)),
    ("quotes", quote("ABC", OPEN, 1.0, 1e300)),
    ("quotes", {**quote("ABC", OPEN, 1.0, 2.0), "bs": 1e300}),
    ("quotes", quote("ABC", 0, 1.0, 2.0)),
    ("halts", {**_LULD, "T": "A B"}),
    ("halts", {**_LULD, "t": 10**40}),
    ("halts", {**_LULD, "q": 2**60}),
    ("halts", {"ev": "LULD", "sym": "ABC", "t": OPEN}),
    ("news", {"id": "n", "title": "no time"}),
]


@pytest.mark.parametrize(("feed", "broken"), _BROKEN)
def test_a_broken_event_is_counted_and_sampled_and_its_neighbours_go_on(store: Store, feed: str, broken: Any) -> None:
    article = {"id": "good", "title": "x", "published_utc": "2024-03-11T12:00:00Z", "tickers": []}
    good = {**_GOOD, "halts": _LULD, "news": article}[feed]
    begin(store)
    feed_in((feed, batch([good, broken, good])))
    assert terms(store, feed) == {"processed": 2, "failed": 1}
    (sample,) = samples(store)
    assert sample["feed"] == feed
    assert sample["reason"]
    assert store.redis.hget(SOURCE, "newest") in (str(OPEN).encode(), str(OPEN + 999).encode(), b"0")


def test_samples_are_few_and_short(store: Store) -> None:
    begin(store)
    feed_in(("trades", batch([trade("A B", OPEN, 5.0, i="x" * 5_000) for _ in range(300)])))
    assert terms(store, "trades") == {"failed": 300}
    assert len(samples(store)) == 100
    assert max(len(sample["sample"]) for sample in samples(store)) == 500


def test_a_live_event_over_a_minute_ahead_of_its_receipt_is_malformed(store: Store) -> None:
    live = "live:stocks:real-time"
    received = soon()
    begin(store, live)
    events = [trade("ABC", received + ahead, 5.0) for ahead in (0, 60_000, 60_001)]
    late_bar = bar("ABC", received + 30_000, 5, 6, 4, 5, e=received + 90_000)
    feed_in(
        ("trades", batch(events, source=live, received_at=received)),
        ("quotes", batch([quote("ABC", received + 60_001, 4, 5)], source=live, received_at=received)),
        ("aggregate", batch([late_bar], source=live, received_at=received)),
    )
    assert terms(store, "trades", live) == {"processed": 2, "failed": 1}
    assert terms(store, "quotes", live) == {"failed": 1}
    assert terms(store, "aggregate", live) == {"failed": 1}
    source = store.source()
    assert source is not None
    assert source.newest == received + 60_000


@given(st.integers(0, 10**12), st.sampled_from((1, 1_000, 1_000_000)))
@settings(deadline=None)
def test_times_are_milliseconds_whatever_their_unit(ms: int, finer: int) -> None:
    ms += 1_000_000_000_000
    assert event_ms(ms * finer + (finer - 1)) == ms


def test_a_merge_never_holds_infinity() -> None:
    prepared = merge_trades(batch([trade("ABC", OPEN, 99_999_999.0, 1_000)]), NOBODY, DayLookup())
    assert not np.isinf(parts.figures(prepared.figures)).any()
    assert not prepared.failed
