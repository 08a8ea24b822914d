"""The day filled up from REST: after a late start, a gap or a lost cache a table is as if it had missed nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from listener.simulator.market import SimulatedMarket
from listener.simulator.server import FeedServer
from listener.simulator.subscriptions import Subscription
from listener.simulator.wire import encode
from processors import parts
from processors.bars import NamedBar, bars_of, minute_bars, named, read_days
from processors.reference import Kind, ReferenceState
from processors.reference.state import put_reference
from processors.seeding import rest_bars
from processors.seeding import seed as seeding
from processors.seeding.backfill import backfill
from processors.seeding.coverage import Gap, coverage, write_gaps
from processors.seeding.seed import rest_key, seed
from processors.sessions import session_at
from processors.store import Source, Store
from processors.symbols.rows import moment_of, row_of
from processors.symbols.table import SymbolTable
from tests.listener.market_server import KEY, market_at
from tests.processors.feeding import at, batch, batches_of, begin, feed_in, trade

MINUTE = 60_000
Frames = list[tuple[int, bytes]]
# What a row that missed something must know all the same.
_FIELDS = (
    *("price", "official_open_price", "day_open", "day_high", "day_low"),
    *(f"{session}_{side}" for session in ("pre", "regular", "post") for side in ("high", "low")),
    *("hod_count", "lod_count", "hod_at", "lod_at"),
)


def play(market: SimulatedMarket, minutes: float, *channels: str) -> Frames:
    """What a market sends in so many minutes, with the times of sending; it is some seconds further then.

    REST tells of a print when its second's bar is made.
    """
    wanted = Subscription()
    for channel in channels:
        wanted.add(channel)
    end, frames = market.now + int(minutes * MINUTE), []
    while market.now < end and (step := market.advance(end)) is not None:
        if events := list(market.events(step, wanted)):
            frames.append((market.now, encode(events)))
    while market.advance(end + 3_000) is not None:
        continue
    return frames


def see(source: Source, frames: Frames, gaps: Sequence[Gap] = ()) -> None:
    """Feed in what a source did not miss."""
    seen = [frame for sent, frame in frames if not any(gap.start <= sent < gap.end for gap in gaps)]
    feed_in(*batches_of(seen, 2_000, source.id))


@asynccontextmanager
async def rest(market: SimulatedMarket) -> AsyncIterator[str]:
    async with FeedServer(market, KEY) as server:
        yield f"http://{server.address}"


async def seed_whole(store: Store, base: str) -> None:
    for _ in range(10):
        if await asyncio.to_thread(seed, store, base, KEY) == 0:
            return
    raise AssertionError("it was never filled up")


def rows(store: Store) -> dict[str, dict[str, Any]]:
    source, table = store.source(), SymbolTable()
    assert source is not None
    table.put_changes(store, store.changes_since(0))
    return {row["symbol"]: row for row in table.rows(moment_of(store, source)).to_dicts()}


def bars(store: Store) -> dict[str, list[NamedBar]]:
    """Minute bars that have a price; those from trades may have none."""
    days = read_days(store, store.redis.hkeys(parts.SEEDED) + store.redis.hkeys(parts.SECOND_BARS))
    found = {symbol.decode(): named(minute_bars(by_kind)) for symbol, by_kind in days.items()}
    return {symbol: [bar for bar in of_one if bar["open"] is not None] for symbol, of_one in found.items()}


def assert_same(store: Store, market: SimulatedMarket, whole: Any, whole_bars: Any) -> None:
    filled, filled_bars = rows(store), bars(store)
    assert filled.keys() == whole.keys()
    for symbol, row in whole.items():
        assert filled[symbol]["complete"], symbol
        # The last bar does not know of odd lots after it; the snapshot does.
        traded = int(market.tape.figures.volume[market.universe.index[symbol]])
        own, known = row["accumulated_volume"], filled[symbol]["accumulated_volume"]
        assert own <= known <= traded, symbol
        assert {name: filled[symbol][name] for name in _FIELDS} == {name: row[name] for name in _FIELDS}, symbol

    def priced(bar: NamedBar) -> list[float | None]:
        return [bar["start_timestamp"], bar["open"], bar["high"], bar["low"], bar["close"]]

    for symbol, expected in whole_bars.items():
        found = filled_bars[symbol]
        assert [priced(bar) for bar in found] == [priced(bar) for bar in expected]
        # Odd lots that are no second's only prints make no second bar, but count in the minute's.
        minutes = market.reference.minutes(symbol, market.tape.day.date, True)
        told = dict(zip(minutes.start.tolist(), minutes.volume.tolist(), strict=True))
        assert all(
            own["volume"] <= bar["volume"] <= told[bar["start_timestamp"]]
            for own, bar in zip(expected, found, strict=True)
        )


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's minutes are whole when they end."""
    monkeypatch.setattr(seeding, "_SETTLING_MS", 0)


async def test_a_late_start_ends_with_the_table_of_one_that_saw_the_whole_day(store: Store) -> None:
    market = market_at("04:00", symbols=100, rate=300.0)
    frames = play(market, 4, "A.*", "T.*")
    symbols = market.universe.tickers
    start = at("2026-11-20 04:00:00.000")
    see(begin(store, "simulator:whole", clock=start), frames)
    whole, whole_bars = rows(store), bars(store)
    assert len(whole) > 20
    assert all(row["complete"] for row in whole.values())
    late = start + 140_000
    source = begin(store, "simulator:late", clock=late)
    see(source, frames, [Gap(0, late)])
    assert not any(row["complete"] for row in rows(store).values())
    async with rest(market) as base:
        await seed_whole(store, base)
    assert_same(store, market, whole, whole_bars)
    # Who did not trade is known to be complete before the first print.
    assert coverage(store, source, session_at(late)[0])[1] == set(symbols)


async def test_a_gap_over_the_open_is_filled_up_and_only_those_who_traded_in_it_are_asked_for(store: Store) -> None:
    market = market_at("09:29", symbols=30, rate=300.0)
    day, _ = session_at(market.now)
    assert day is not None
    gap = Gap(day.open - 20_000, day.open + 70_000)
    frames = play(market, 3.5, "A.*")
    see(begin(store, "simulator:whole", clock=day.start), frames)
    whole, whole_bars = rows(store), bars(store)
    assert any(row["official_open_price"] for row in whole.values())
    source = begin(store, "simulator:gap", clock=day.start)
    see(source, frames, [gap])
    assert all(row["complete"] for row in rows(store).values())
    write_gaps(store, source.id, [gap])
    assert not any(row["complete"] for row in rows(store).values())
    async with rest(market) as base:
        await seed_whole(store, base)
    assert_same(store, market, whole, whole_bars)


async def test_a_lost_cache_is_filled_up_from_the_days_start(store: Store) -> None:
    market = market_at("04:00", symbols=40, rate=600.0)
    frames = play(market, 3, "A.*", "T.*")
    start = at("2026-11-20 04:00:00.000")
    see(begin(store, "simulator:whole", clock=start), frames)
    whole, whole_bars = rows(store), bars(store)
    async with rest(market) as base:
        source = begin(store, "simulator:again", clock=start)
        lost = [Gap(0, start + 50_000)]
        write_gaps(store, source.id, lost)
        see(source, frames, lost)
        await seed_whole(store, base)
        assert_same(store, market, whole, whole_bars)
        # Everything goes, with what was filled up.
        store.redis.flushall()
        source, lost = begin(store, "simulator:again", clock=start), [Gap(0, start + 110_000)]
        write_gaps(store, source.id, lost)
        see(source, frames, lost)
        assert coverage(store, source, session_at(start)[0]) == (False, frozenset())
        await seed_whole(store, base)
        assert_same(store, market, whole, whole_bars)


class Vendor:
    """A market's REST behind a door that can be shut.

    Attributes:
        answers: How many calls of minute bars are answered; the others are refused with `status`.
        asked: The symbols whose minute bars were asked for.
        printed: When each symbol's last print was, epoch milliseconds.
    """

    def __init__(self, symbols: int) -> None:
        self.answers, self.status = 10**9, 500
        self.asked: list[str] = []
        self.until: dict[str, int] = {}
        self.symbols = [f"S{number:03}" for number in range(symbols)]
        self.at = at("2024-03-11 12:00:00.000")
        self.printed = dict.fromkeys(self.symbols, self.at + 30_000)
        self.bar = {"t": self.at, "o": 5.0, "h": 7.0, "l": 4.0, "c": 6.0, "v": 900, "vw": 5.5, "n": 9}

    async def snapshot(self, request: web.Request) -> web.Response:
        rows = [
            {"ticker": symbol, "lastTrade": {"t": at * 1_000_000}, "min": {"av": 1_000}}
            for symbol, at in self.printed.items()
        ]
        return web.json_response({"tickers": rows})

    async def minutes(self, request: web.Request) -> web.Response:
        symbol = request.match_info["symbol"]
        self.asked.append(symbol)
        self.until[symbol] = int(request.path.rpartition("/")[2]) + 1
        if len(self.asked) > self.answers:
            return web.Response(status=self.status, headers={"Retry-After": "1"})
        return web.json_response({"results": [self.bar]})


@asynccontextmanager
async def vendor_of(symbols: int) -> AsyncIterator[tuple[Vendor, str]]:
    vendor, app = Vendor(symbols), web.Application()
    app.router.add_get("/v2/snapshot/locale/us/markets/stocks/tickers", vendor.snapshot)
    app.router.add_get("/v2/aggs/ticker/{symbol}/range/{rest:.*}", vendor.minutes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield vendor, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def late(store: Store, vendor: Vendor) -> Source:
    """A source that began a minute after the vendor's bar, and whose clock has gone on since."""
    source = begin(store, clock=vendor.at + MINUTE)
    feed_in(("trades", batch([trade(symbol, vendor.at + 2 * MINUTE, 5.0) for symbol in vendor.symbols], source.id)))
    return source


@pytest.mark.parametrize("status", [500, 429, 403])
async def test_when_rest_fails_half_way_the_rest_is_complete_later(store: Store, status: int) -> None:
    async with vendor_of(40) as (vendor, base):
        source = late(store, vendor)
        day, _ = session_at(vendor.at)
        vendor.answers, vendor.status = 25, status
        left = await asyncio.to_thread(seed, store, base, KEY)
        done = coverage(store, source, day)[1]
        assert left == 15
        assert len(done) == 25
        assert {symbol: row["complete"] for symbol, row in rows(store).items()} == {
            symbol: symbol in done for symbol in vendor.symbols
        }
        # It is left alone for as long as it asked for.
        asked = len(vendor.asked)
        assert await asyncio.to_thread(seed, store, base, KEY) is None
        assert len(vendor.asked) == asked
        store.redis.delete(rest_key(source.id))
        vendor.answers = 10**9
        await seed_whole(store, base)
        assert coverage(store, source, day)[1] == set(vendor.symbols)
        # What was filled up is not asked for again.
        assert sorted(vendor.asked[:25] + vendor.asked[asked:]) == vendor.symbols
        row = row_of(store, "S000")
        assert row is not None
        assert (row["complete"], row["regular_high"], row["regular_low"], row["accumulated_volume"]) == (
            *(True, 7.0, 4.0),
            1_000,
        )


async def test_while_the_vendor_counts_calls_reference_data_comes_first(store: Store) -> None:
    async with vendor_of(3) as (vendor, base):
        source = late(store, vendor)
        limited = ReferenceState(source.id, 20240312, 0, 0.0, {"previous_day": Kind()}, waits_until=1.0)
        put_reference(store, limited, {})
        assert await asyncio.to_thread(seed, store, base, KEY) is None
        assert vendor.asked == []
        put_reference(store, msgspec.structs.replace(limited, kinds={"previous_day": Kind(problem="404 none")}), {})
        await seed_whole(store, base)


async def test_a_slow_pace_is_kept_from_one_run_to_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with vendor_of(3) as (vendor, base):
        source = late(store, vendor)
        # As of a vendor that is not on this machine, and lets five calls a minute through.
        monkeypatch.setattr(rest_bars, "seconds_apart", lambda _: 12.0)
        monkeypatch.setattr(seeding, "seconds_apart", lambda _: 12.0)
        assert await asyncio.to_thread(seed, store, base, KEY) == 2
        assert await asyncio.to_thread(seed, store, base, KEY) is None
        assert len(vendor.asked) == 1
        assert 11_000 < store.redis.pttl(rest_key(source.id)) <= 12_000


async def test_nothing_is_asked_for_while_the_gap_is_open_and_a_minute_only_when_it_is_over(store: Store) -> None:
    async with vendor_of(3) as (vendor, base):
        source = begin(store, clock=vendor.at + 70_000)
        day, _ = session_at(vendor.at)
        vendor.printed["S000"] = vendor.at + 75_000
        feed_in(("trades", batch([trade("S000", vendor.at + 75_000, 5.0)], source.id)))
        assert await asyncio.to_thread(seed, store, base, KEY) == 1
        assert sorted(vendor.asked) == ["S001", "S002"]
        # The minute that the source began in is asked for when it is over.
        assert vendor.until == dict.fromkeys(("S001", "S002"), vendor.at + MINUTE)
        assert coverage(store, source, day)[1] == {"S001", "S002"}
        row = row_of(store, "S000")
        assert row is not None
        assert (row["accumulated_volume"], row["complete"]) == (1_000, False)
        feed_in(("trades", batch([trade("S000", vendor.at + 2 * MINUTE, 5.0)], source.id)))
        await seed_whole(store, base)
        assert vendor.asked[2:] == ["S000"]
        assert vendor.until["S000"] == vendor.at + 2 * MINUTE
        feed_in(("trades", batch([trade("S000", vendor.at + 5 * MINUTE, 5.0)], source.id)))
        write_gaps(store, source.id, [Gap(vendor.at + 200_000)])
        assert await asyncio.to_thread(seed, store, base, KEY) is None
        # Only one of them traded in the gap.
        write_gaps(store, source.id, [Gap(vendor.at + 200_000, vendor.at + 235_000)])
        vendor.printed["S001"] = vendor.at + 210_000
        await seed_whole(store, base)
        assert vendor.asked[3:] == ["S001"]
        assert coverage(store, source, day)[1] == set(vendor.symbols)


async def test_recordings_and_other_markets_are_not_filled_up(store: Store) -> None:
    async with vendor_of(3) as (vendor, base):
        for name in ("rec:some", "live:crypto:real-time"):
            source = begin(store, name, clock=vendor.at, kind="recording" if name.startswith("rec") else "live")
            feed_in(("trades", batch([trade("S000", vendor.at + 5 * MINUTE, 5.0)], source.id)))
            assert await asyncio.to_thread(seed, store, base, KEY) is None


async def test_the_chart_of_a_symbol_that_the_feed_does_not_bring_is_loaded_on_request(store: Store) -> None:
    async with vendor_of(3) as (vendor, base):
        day, _ = session_at(vendor.at)
        assert day is not None
        source = begin(store, clock=day.start)
        feed_in(("trades", batch([trade("S000", vendor.at + 5 * MINUTE, 5.0)], source.id)))
        assert await asyncio.to_thread(backfill, store, base, KEY, "S000") == 0
        assert await asyncio.to_thread(backfill, store, base, KEY, "S001") == 1
        (bar,) = bars_of(store, "S001", "1m")
        assert (bar["start_timestamp"], bar["high"], bar["volume"], bar["trades"]) == (vendor.at, 7.0, 900, 9)
        assert vendor.asked == ["S001"]
