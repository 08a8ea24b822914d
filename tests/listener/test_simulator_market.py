"""The simulated market itself: determinism, exact bars, quotes, sessions, halts, days."""

import datetime as dt
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from listener.simulator.book import Book
from listener.simulator.luld import CHANGE, HALT, REOPEN, Bands
from listener.simulator.market import SimulatedMarket
from listener.simulator.options import BadOption, starting_instant
from listener.simulator.subscriptions import Subscription
from listener.simulator.trading_days import NEW_YORK, TradingCalendar, new_york_ms
from listener.simulator.wire import encode
from processors.merging.conditions import update_rule
from tests.listener.market_server import market_at

Event = dict[str, Any]
DAY = dt.date(2026, 11, 20)


def everything() -> Subscription:
    subscription = Subscription()
    subscription.add("*")
    return subscription


def frames(market: SimulatedMarket, seconds: float, stride: int = 100) -> Iterator[bytes]:
    """The encoded steps of the next `seconds` of market time, generated in turns of `stride` ms."""
    wanted, end = everything(), market.now + int(seconds * 1_000)
    for until in itertools.chain(range(market.now + stride, end, stride), [end]):
        while (step := market.advance(until)) is not None:
            yield encode(list(market.events(step, wanted)))


def events(market: SimulatedMarket, seconds: float) -> Iterator[Event]:
    for frame in frames(market, seconds):
        yield from json.loads(frame)


def test_same_seed_gives_the_same_bytes_whatever_the_speed() -> None:
    slow = b"".join(frames(market_at("09:29"), 70))
    fast = b"".join(frames(market_at("09:29", speed=500), 70, stride=7_300))
    assert len(slow) > 100_000
    assert slow == fast


def test_other_seeds_rates_and_starts_give_other_markets() -> None:
    streams = [
        b"".join(frames(market, 3))
        for market in (market_at("10:30"), market_at("10:30", seed=8), market_at("10:30", rate=200), market_at("10:31"))
    ]
    assert len(set(streams)) == len(streams)


class PlainBars:
    """The rule of `bars`, applied in plain Python to the stream itself."""

    def __init__(self, market: SimulatedMarket) -> None:
        figures, tickers = market.tape.figures, market.universe.tickers
        self._before = {
            ticker: (int(volume), int(turnover))
            for ticker, volume, turnover in zip(tickers, figures.volume, figures.turnover, strict=True)
        }
        self._trades: dict[str, list[tuple[int, int, int, tuple[bool, bool, bool]]]] = defaultdict(list)
        self.official: dict[str, float] = {}

    def add(self, trade: Event) -> None:
        rule = update_rule(condition for condition in trade["c"] if condition != 12)
        self._trades[trade["sym"]].append((trade["t"], round(trade["p"] * 10_000), trade["s"], rule))
        if trade["c"] == [16]:
            self.official[trade["sym"]] = trade["p"]

    def bar(self, symbol: str, start: int, end: int) -> Event:
        inside = sorted((row for row in self._trades[symbol] if start <= row[0] < end), key=lambda row: row[0])
        volumes = [(price, size) for _, price, size, rule in inside if rule[2]]
        ranged = [price for _, price, _, rule in inside if rule[0] or rule[1]]
        priced = [price for _, price, _, rule in inside if rule[1]]
        day = [(price, size) for at, price, size, rule in self._trades[symbol] if at < end and rule[2]]
        volume = sum(size for _, size in volumes)
        day_volume = self._before[symbol][0] + sum(size for _, size in day)
        day_turnover = self._before[symbol][1] + sum(price * size for price, size in day)
        return {
            "v": volume,
            "av": day_volume,
            "vw": pytest.approx(sum(price * size for price, size in volumes) / volume / 10_000, abs=6e-5),
            "a": pytest.approx(day_turnover / day_volume / 10_000, abs=6e-5),
            "o": priced[0] / 10_000,
            "c": priced[-1] / 10_000,
            "h": max(ranged) / 10_000,
            "l": min(ranged) / 10_000,
            "z": volume // len(volumes),
        }

    def has_bar(self, symbol: str, start: int, end: int) -> bool:
        return any(start <= at < end and rule[1] for at, _, _, rule in self._trades[symbol])

    def symbols(self) -> list[str]:
        return list(self._trades)


def test_bars_are_the_exact_aggregation_of_the_trades_across_the_open() -> None:
    market = market_at("09:28", symbols=120, rate=200)
    begins = market.now
    plain = PlainBars(market)
    sent: dict[tuple[str, str, int], Event] = {}
    again = 0
    for event in events(market, 215):
        if event["ev"] == "T":
            plain.add(event)
        elif event["ev"] in ("A", "AM"):
            expected = plain.bar(event["sym"], event["s"], event["e"])
            assert {name: event[name] for name in expected} == expected
            assert event.get("op") in (None, plain.official.get(event["sym"]))
            key = (event["ev"], event["sym"], event["s"])
            again += key in sent
            sent[key] = event
    assert Counter(kind for kind, _, _ in sent)["AM"] > 50
    assert again > 0  # late prints had bars sent again
    for symbol in plain.symbols():
        for start in range(begins, begins + 210_000, 1_000):
            assert plain.has_bar(symbol, start, start + 1_000) == (("A", symbol, start) in sent)


def test_bars_come_a_second_or_two_after_their_end() -> None:
    market = market_at("10:30")
    wanted = everything()
    delays: Counter[tuple[str, bool]] = Counter()
    while (step := market.advance(2**60)) is not None and market.now < new_york_ms(DAY, 10, 32):
        for event in market.events(step, wanted):
            row = json.loads(encode(event))
            if row["ev"] in ("A", "AM"):
                delay = step.start - row["e"]
                delays[row["ev"], delay <= 2_000] += 1
                assert 1_000 <= delay <= 62_000
    assert delays["A", True] > 1_000
    assert delays["AM", True] > 100
    assert 0 < delays["A", False] < 0.01 * delays["A", True]  # sent again, corrected


def test_trades_print_inside_the_quote_and_sequence_numbers_grow() -> None:
    quotes: dict[str, Event] = {}
    newest: dict[str, int] = {}
    inside = outside = 0
    identities: set[str] = set()
    for event in events(market_at("10:30"), 60):
        if event["ev"] == "Q":
            assert event["bp"] < event["ap"]
            quotes[event["sym"]] = event
        if event["ev"] in ("T", "Q"):
            assert event["q"] > newest.get(event["sym"], 0)
            newest[event["sym"]] = event["q"]
        if event["ev"] == "T":
            assert event["i"] not in identities
            identities.add(event["i"])
            assert event["s"] > 0
            assert (37 in event["c"]) == (event["s"] < 100)
            if (quote := quotes.get(event["sym"])) is not None and 32 not in event["c"]:
                fits = quote["bp"] <= event["p"] <= quote["ap"]
                inside, outside = inside + fits, outside + (not fits)
    assert inside > 1_000
    assert inside > 50 * outside


def test_day_has_a_u_shape_with_thin_ends_and_silence_around_it() -> None:
    business = {
        start: sum(1 for event in events(market_at(start, symbols=800, rate=400), 10) if event["ev"] in ("T", "Q"))
        for start in ("05:00", "09:20", "09:32", "12:45", "15:55", "19:00")
    }
    assert business["05:00"] < business["09:20"] < business["12:45"] < business["15:55"] < business["09:32"]
    assert business["19:00"] < business["12:45"] / 10
    assert 2_800 < business["12:45"] < 5_200
    assert not list(events(market_at("03:58"), 100))
    assert not list(events(market_at("20:01"), 100))


def test_prints_outside_regular_hours_carry_form_t_and_auctions_their_own_conditions() -> None:
    before, after = new_york_ms(DAY, 9, 30), new_york_ms(DAY, 16)
    kinds: Counter[int] = Counter()
    for event in itertools.chain(events(market_at("09:29"), 100), events(market_at("15:59"), 100)):
        if event["ev"] != "T":
            continue
        kinds.update(event["c"])
        auction = {15, 16, 17, 19} & set(event["c"])
        if not auction:
            assert (12 in event["c"]) == (not before <= event["t"] < after)
    assert kinds[17] == kinds[16] > 10
    assert kinds[19] == kinds[15] > 10


def test_volume_of_the_day_goes_up_only() -> None:
    accumulated: dict[str, int] = {}
    behind = 0
    for event in events(market_at("09:45"), 60):
        if event["ev"] == "A":
            behind += event["av"] < accumulated.get(event["sym"], 0)
            accumulated[event["sym"]] = max(event["av"], accumulated.get(event["sym"], 0))
    assert behind < 10  # bars sent again


def test_halted_symbols_do_not_trade_until_they_reopen() -> None:
    for seed in itertools.chain([6], range(1, 40)):
        market = market_at("09:40", seed=seed, symbols=400)
        ends = market.now + 13 * 60_000
        halted: dict[int, int] = {}
        reopened: list[int] = []
        while (step := market.advance(ends)) is not None:
            for change, _ in step.bands:
                if change.upper == 0:
                    halted[change.symbol] = step.start
                elif change.symbol in halted and change.indicator in (REOPEN, CHANGE):
                    assert step.start - halted.pop(change.symbol) == 300_000
                    reopened.append(change.symbol)
            assert not set(step.prints.symbol.tolist()) & halted.keys()
            assert not set(step.quotes.symbol.tolist()) & halted.keys()
        if reopened:
            return
    pytest.fail("no symbol of 40 markets was halted")


@pytest.mark.parametrize(("listing", "halt", "reopen"), [(0, HALT, REOPEN), (1, CHANGE, CHANGE)])
def test_price_that_stays_at_its_band_is_halted_and_reopens(listing: int, halt: int, reopen: int) -> None:
    market = market_at("10:30")
    universe, day = market.universe, market.tape.day
    book = Book(universe, universe.price.astype(np.float64), market.now)
    bands = Bands(universe, book, day, market.now)
    symbol = np.flatnonzero(universe.listing == listing)[:1]
    prices = universe.price[symbol].astype(np.float64)
    rng = np.random.default_rng(1)
    upper = int(book.upper[symbol[0]])
    book.reprice(symbol, prices * 1.9, market.now)
    assert book.inner_ask[symbol[0]] == upper  # nothing is quoted through the band
    said: list[tuple[int, int, int]] = []
    for second in range(1, 400):
        book.reprice(symbol, prices * (1.9 if second < 30 else 1.0), market.now)
        changes, reopening = bands.each_second(market.now + second * 1_000, rng)
        said += [
            (second, row.upper, row.indicator) for row in changes if row.symbol == symbol[0] and row.indicator != 22
        ]
        if symbol[0] in reopening:
            break
    halts = [row for row in said if row[1] == 0]
    assert [row[2] for row in halts] == [halt]
    assert said[-1][2] == reopen
    assert said[-1][0] - halts[0][0] == 300
    assert said[-1][1] > 0
    # The list of halts has what the stream does not tell.
    halted_at, resumed_at = (market.now + second * 1_000 for second in (halts[0][0], said[-1][0]))
    listed = [(pause.at, pause.resumed_at) for pause in bands.pauses if pause.symbol == symbol[0]]
    assert listed == ([] if halt == HALT else [(halted_at, resumed_at)])


def test_starting_at_midday_is_quick_and_the_day_so_far_believable() -> None:
    began = time.process_time()
    market = market_at("13:00", symbols=8_000, rate=2_000)
    assert time.process_time() - began < 2.0
    figures, reference = market.tape.figures, market.reference
    assert (figures.volume > 0).mean() > 0.9
    traded = figures.high[1] > 0
    assert (figures.low[1][traded] <= figures.close[1][traded]).all()
    assert (figures.close[1][traded] <= figures.high[1][traded]).all()
    assert (figures.official_open > 0).mean() > 0.3
    gaps = np.abs(figures.last[market.tape.plan.gappers] / market.tape.close_before[market.tape.plan.gappers] - 1)
    assert np.median(gaps) > 0.08
    active = [float(reference.ratios_row(ticker)["average_volume"]) for ticker in reference.tickers()]  # type: ignore[index]
    assert 0.3 < np.median(figures.volume / np.array(active)) < 0.9


def test_days_roll_over_and_the_old_day_becomes_the_previous_one() -> None:
    market = market_at("19:59", symbols=50, rate=100)
    ticker = market.universe.tickers[int(market.universe.rank.argmin())]
    while market.advance(new_york_ms(DAY, 21)) is not None:
        pass
    old = market.reference.snapshot(ticker)
    assert old is not None
    monday = dt.date(2026, 11, 23)
    assert market.now == new_york_ms(DAY, 21)
    while market.advance(new_york_ms(monday, 4, 1)) is not None:
        pass
    assert market.tape.day.date == monday
    new = market.reference.snapshot(ticker)
    assert new is not None
    assert new["prevDay"]["v"] == old["day"]["v"]
    assert new["prevDay"]["h"] == old["day"]["h"]
    assert new["day"]["v"] == 0
    row = next(row for row in market.reference.grouped(DAY, adjusted=True) if row["T"] == ticker)
    assert row["v"] == old["day"]["v"]


def test_default_start_is_before_the_open_of_the_last_trading_day_that_has_begun() -> None:
    def start(text: str) -> dt.datetime:
        now = dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
        return dt.datetime.fromtimestamp(starting_instant(None, now) / 1_000, NEW_YORK)

    assert start("2026-11-22 12:00").isoformat() == "2026-11-20T09:25:00-05:00"  # a Sunday
    assert start("2026-11-20 09:24").date() == dt.date(2026, 11, 19)
    assert start("2026-11-20 09:26").date() == dt.date(2026, 11, 20)
    assert start("2026-11-27 06:00").date() == dt.date(2026, 11, 25)  # after Thanksgiving


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-11-20", "2026-13-40 09:25", "2026-11-21 09:25", "1812-11-20 09:25"]
)
def test_unusable_starts_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadOption, match="--start"):
        starting_instant(text, dt.datetime.now(dt.UTC))


def test_early_closes_end_the_day_early() -> None:
    day = TradingCalendar(DAY).day(dt.date(2026, 11, 27))
    assert day is not None
    assert day.close == new_york_ms(day.date, 13)
    assert day.end == new_york_ms(day.date, 17)
    market = SimulatedMarket(7, 100, new_york_ms(day.date, 12, 59), 100.0)
    closing = [event for event in events(market, 80) if event["ev"] == "T" and 19 in event["c"]]
    assert {event["t"] // 60_000 * 60_000 for event in closing} == {day.close}
