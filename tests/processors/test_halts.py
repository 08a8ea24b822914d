"""Bands, halts and resumptions, from the stream and from the list of halts, whatever order they come in."""

import itertools
import math
from time import time_ns
from typing import Any

import msgspec
import pytest
import redis

from processors import parts
from processors.snapshots import snapshot
from processors.store import Store
from processors.symbols.halts import LULD_PAUSE, Halt, halt_figures, halts_coverage, reason_text
from processors.symbols.rows import row_of
from project.embedded import EmbeddedValkey
from tests.processors.feeding import Event, at, batch, begin, feed_in, quote, soon, terms, trade

OPEN = at("2024-03-11 09:30:00")
MINUTE = 60_000


def luld(t: int, upper: float = 0.0, lower: float = 0.0, code: int = 21, q: int = 1, symbol: str = "ABC") -> Event:
    """A band event; its time in milliseconds."""
    return {"ev": "LULD", "T": symbol, "h": upper, "l": lower, "i": [code], "z": 3, "t": t * 1_000_000, "q": q}


def listed(t: int, reason: str = "T1", symbol: str = "ABC", **more: Any) -> Event:
    return {"ev": "HALT", "sym": symbol, "t": t, "reason": reason, "market": "NYSE", **more}


def row(store: Store, symbol: str = "ABC") -> dict[str, Any]:
    """What is known, without what is not."""
    kept = store.read_parts([symbol.encode()])
    found = halt_figures(*(kept[key][0] for key in (parts.BANDS, parts.HALT, parts.RESUME)))
    return {
        name: value
        for name, value in msgspec.structs.asdict(found).items()
        if value is not None and not (isinstance(value, float) and math.isnan(value))
    }


def test_bands_halt_and_resumption_are_kept_apart_in_any_order(store: Store) -> None:
    story = [
        luld(OPEN, 11.0, 9.0, code=15, q=1),
        luld(OPEN + MINUTE, 11.5, 9.5, q=2),
        luld(OPEN + 2 * MINUTE, code=17, q=3),
        luld(OPEN + 7 * MINUTE, 12.0, 10.0, code=18, q=4),
        luld(OPEN + 9 * MINUTE, code=17, q=5),
    ]
    for number, order in enumerate(itertools.permutations(story)):
        begin(store, f"simulator:{number}")
        # The middle one comes alone, the others before and after it in batches of two.
        for some in (order[:2], order[2:3], order[3:]):
            feed_in(("halts", batch(some, source=f"simulator:{number}")))
        assert row(store) == {
            "upper": 12.0,
            "lower": 10.0,
            "bands_at": OPEN + 7 * MINUTE,
            "halted_at": OPEN + 9 * MINUTE,
            "resumed_at": OPEN + 7 * MINUTE,
            "reason": LULD_PAUSE,
        }


def test_a_listed_halt_is_taken_up_and_ended_by_the_time_that_is_given_for_it(store: Store) -> None:
    begin(store)
    halted, resumes = OPEN + MINUTE, OPEN + 16 * MINUTE
    first, known = listed(halted), listed(halted, resume_at=resumes, resume_quote_at=resumes - 5 * MINUTE)
    feed_in(("halts", batch([first], seq=1)))
    assert row(store) == {"halted_at": halted, "reason": "News pending"}
    feed_in(("halts", batch([known], seq=2)))
    told = {"halted_at": halted, "reason": "News pending", "resumed_at": resumes, "resume_at": resumes}
    assert row(store) == told
    # What was received earlier and comes late changes nothing.
    feed_in(("halts", batch([first], seq=1)))
    assert row(store) == told
    # The time is corrected, to an earlier one.
    feed_in(("halts", batch([listed(halted, resume_at=resumes - MINUTE)], seq=3)))
    assert row(store)["resumed_at"] == resumes - MINUTE
    # The next halt is not over because the last one is.
    feed_in(("halts", batch([listed(resumes + MINUTE, "LUDP")], seq=4)))
    assert row(store) == {
        "halted_at": resumes + MINUTE,
        "reason": LULD_PAUSE,
        "resumed_at": resumes - MINUTE,
    }


def test_a_resumption_that_is_withdrawn_is_none(store: Store) -> None:
    begin(store)
    feed_in(("halts", batch([listed(OPEN, resume_at=OPEN + 5 * MINUTE)])))
    assert row(store)["resume_at"] == OPEN + 5 * MINUTE
    feed_in(("halts", batch([listed(OPEN)], received_at=soon() + 1_000)))
    assert row(store) == {"halted_at": OPEN, "reason": "News pending"}
    # An earlier halt's stands.
    feed_in(
        ("halts", batch([listed(OPEN - 9 * MINUTE, symbol="DEF", resume_at=OPEN - MINUTE), listed(OPEN, symbol="DEF")]))
    )
    assert row(store, "DEF") == {"halted_at": OPEN, "reason": "News pending", "resumed_at": OPEN - MINUTE}


def test_stream_and_list_tell_one_pause_together(store: Store) -> None:
    """A Nasdaq-listed name's pause is told by both; the list may round its times."""
    paused, reopened = OPEN + MINUTE + 126, OPEN + 6 * MINUTE + 140
    story = [
        luld(paused, code=17, q=1),
        listed(paused - 126, "LUDP", resume_at=reopened - 140),
        luld(reopened, 12.0, 10.0, code=18, q=2),
    ]
    for number, order in enumerate(itertools.permutations(story)):
        begin(store, f"simulator:{number}")
        for event in order:
            feed_in(("halts", batch([event], source=f"simulator:{number}")))
        known = row(store)
        assert (known["halted_at"], known["resumed_at"], known["reason"]) == (paused, reopened, LULD_PAUSE)


def test_bands_of_a_halt_are_no_bands(store: Store) -> None:
    begin(store)
    feed_in(("halts", batch([luld(OPEN, 11.0, 9.0), luld(OPEN + 1, 0, 0, q=2), luld(OPEN + 2, 5.0, 4.0, 17, q=3)])))
    assert row(store) == {"upper": 11.0, "lower": 9.0, "bands_at": OPEN, "halted_at": OPEN + 2, "reason": LULD_PAUSE}


def test_what_is_asked_for_is_the_newest_event_of_each_type(store: Store, valkey: EmbeddedValkey) -> None:
    begin(store)
    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as pubsub:
        pubsub.psubscribe("stocks:*")
        assert pubsub.get_message(timeout=5.0)["type"] == "psubscribe"
        feed_in(("halts", batch([listed(1)])))  # any merge tells that interest changed
        store.interest.refresh()
        story = [luld(OPEN, 11.0, 9.0), listed(OPEN, "T1"), luld(OPEN + 1, code=17, q=2), listed(OPEN, "T2")]
        feed_in(("halts", batch(story, seq=time_ns() // 1_000)))
    for channel, shown in (
        ("stocks:luld:ABC", {"event_type": "LULD", "high_price": 0.0, "indicators": [17]}),
        ("stocks:halt:ABC", {"event_type": "HALT", "symbol": "ABC", "reason": "T2", "timestamp": OPEN}),
    ):
        raw = snapshot(store, channel)
        assert raw is not None
        assert shown.items() <= msgspec.json.decode(raw).items()


def test_a_halt_without_symbol_or_time_costs_itself_alone(store: Store) -> None:
    begin(store)
    broken: list[Event] = [
        {"ev": "HALT", "t": OPEN},
        {"ev": "HALT", "sym": "A B", "t": OPEN},
        {"ev": "HALT", "sym": "ABC"},
    ]
    feed_in(("halts", batch([listed(OPEN, symbol="ZZA"), *broken, luld(OPEN, 2.0, 1.0, symbol="ZZB")])))
    assert terms(store, "halts") == {"processed": 2, "failed": 3}
    assert row(store, "ZZA")
    assert row(store, "ZZB")


def test_the_list_does_not_move_the_markets_clock(store: Store) -> None:
    """A delayed feed is a quarter of an hour behind it."""
    begin(store)
    feed_in(("halts", batch([luld(OPEN, 11.0, 9.0)])), ("halts", batch([listed(OPEN + 15 * MINUTE)])))
    source = store.source()
    assert source is not None
    assert source.newest == OPEN


@pytest.mark.parametrize(
    ("code", "words"),
    [
        *(("LUDP", LULD_PAUSE), ("M", LULD_PAUSE), ("T12", "Information requested")),
        *(("MWC2", "Market-wide breaker, level 2"), ("X9", "Halt X9"), ("", "Halt")),
    ],
)
def test_reasons_are_told_in_words(code: str, words: str) -> None:
    assert reason_text(code) == words


def test_a_row_is_halted_until_the_markets_clock_says_otherwise(store: Store) -> None:
    """A pause lasts five minutes, then five more at a time; an announced resumption is none before its time."""
    begin(store)
    halted = OPEN + MINUTE

    def at_clock(moment: int, *events: Event) -> dict[str, Any]:
        feed_in(("halts", batch(events, seq=moment)), ("quotes", batch([quote("ZZZ", moment, 1.0, 2.0)])))
        found = row_of(store, "ABC")
        assert found is not None
        return found

    feed_in(("trades", batch([trade("ABC", OPEN, 10.0)])))
    told = at_clock(OPEN + 1, luld(OPEN, 11.0, 9.5))
    assert (told["luld_upper"], told["luld_lower"], told["luld_distance_pct"]) == (11.0, 9.5, 5.0)
    assert (told["halted"], told["halt_reason"], told["resume_expected_at"]) == (False, None, None)
    told = at_clock(halted, luld(halted, code=17, q=2))
    assert (told["halted"], told["halt_reason"], told["halted_at"]) == (True, LULD_PAUSE, halted)
    for later, expected in ((0, 5), (299_999, 5), (300_001, 10), (14 * MINUTE, 15)):
        assert at_clock(halted + later)["resume_expected_at"] == halted + expected * MINUTE
    resumes = halted + 20 * MINUTE
    told = at_clock(resumes - 1, listed(halted, "LUDP", resume_at=resumes))
    assert (told["halted"], told["resumed_at"], told["resume_expected_at"]) == (True, None, resumes)
    told = at_clock(resumes)
    assert (told["halted"], told["resumed_at"], told["resume_expected_at"]) == (False, resumes, None)


def test_an_earlier_days_bands_are_not_todays(store: Store) -> None:
    begin(store)
    tomorrow = OPEN + 24 * 60 * MINUTE
    feed_in(("halts", batch([luld(OPEN, 11.0, 9.5)])), ("trades", batch([trade("ABC", tomorrow, 10.0)])))
    found = row_of(store, "ABC")
    assert found is not None
    assert (found["luld_upper"], found["luld_lower"], found["luld_distance_pct"]) == (None, None, None)
    feed_in(("halts", batch([luld(tomorrow, 11.0, 9.5, q=2)], seq=9)))
    found = row_of(store, "ABC")
    assert found is not None
    assert (found["luld_upper"], found["luld_lower"], found["luld_distance_pct"]) == (11.0, 9.5, 5.0)


def test_nothing_is_known_of_a_symbol_without_events() -> None:
    assert halt_figures(None, None, None).reason is None
    assert all(math.isnan(value) for value in msgspec.structs.astuple(Halt()) if value is not None)


LULD = {"subscriptions": ["A.*", "LULD.*"]}
ON = {"state": "on", "name": "Nasdaq Trader", "problem": ""}


@pytest.mark.parametrize(
    ("report", "covered"),
    [
        ({**LULD, "trade_halts": ON}, "Nasdaq-listed names by LULD events; NYSE-listed names from Nasdaq Trader."),
        ({"subscriptions": ["A.*"], "trade_halts": ON}, "All names from Nasdaq Trader, by the minute."),
        (
            {**LULD, "trade_halts": {**ON, "problem": "503 Away"}},
            "Nasdaq-listed names by LULD events; NYSE-listed names are missing: the list of halts cannot be loaded"
            " (503 Away).",
        ),
        (
            {**LULD, "trade_halts": {"state": "off", "name": "", "problem": ""}},
            "Nasdaq-listed names by LULD events; NYSE-listed names are missing: the list of halts is off.",
        ),
        ({"subscriptions": ["A.*"]}, "No halts: no LULD events are subscribed to, and the list of halts is off."),
        ({**LULD, "trade_halts": {"state": "recorded"}}, "What the recording holds."),
        ({}, "No listener is running."),
    ],
)
def test_the_board_can_say_what_it_covers(report: dict[str, Any], covered: str) -> None:
    assert halts_coverage(report) == covered
