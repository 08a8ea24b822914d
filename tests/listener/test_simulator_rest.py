"""The simulator's REST endpoints through Massive's official client, and against its own stream."""

import asyncio
import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from massive.exceptions import BadResponse

from listener.simulator.market import SimulatedMarket
from tests.listener.market_server import market_at, read_until, rest_client, serving, stream_client

YESTERDAY, TODAY = "2026-11-19", "2026-11-20"
Answer = TypeVar("Answer")


async def ask(market: SimulatedMarket, question: Callable[[Any], Answer]) -> Answer:
    """The official client's answer from a server over `market`."""
    async with serving(market) as address:
        return await asyncio.to_thread(question, rest_client(address))


def busiest(market: SimulatedMarket, place: int = 0) -> str:
    return market.universe.tickers[int(market.universe.rank.argsort()[place])]


async def test_snapshot_of_all_tickers_parses_and_is_coherent() -> None:
    market = market_at("11:00")
    rows = await ask(market, lambda client: client.get_snapshot_all("stocks"))
    assert [row.ticker for row in rows] == market.universe.tickers
    for row in rows:
        assert row.prev_day.low <= row.prev_day.close <= row.prev_day.high
        assert row.prev_day.volume > 0
        assert row.last_quote.bid_price < row.last_quote.ask_price
        assert row.last_trade.price > 0
        if row.day.volume and row.day.high:
            assert row.day.low <= row.day.open <= row.day.high
            assert row.todays_change == pytest.approx(row.day.close - row.prev_day.close, abs=1e-4)
    assert sum(row.day.open > 0 for row in rows) > 250


async def test_snapshot_of_one_ticker_and_of_a_list() -> None:
    market = market_at("11:00")
    first, second = market.universe.tickers[3], market.universe.tickers[9]
    row = await ask(market, lambda client: client.get_snapshot_ticker("stocks", first))
    assert row.ticker == first
    rows = await ask(market, lambda client: client.get_snapshot_all("stocks", tickers=[second, "NOSUCH", first]))
    assert [row.ticker for row in rows] == [second, first]


async def test_day_of_the_snapshot_is_zero_until_the_open() -> None:
    rows = await ask(market_at("09:25"), lambda client: client.get_snapshot_all("stocks"))
    assert {row.day.volume for row in rows} == {0}
    assert any(row.min.accumulated_volume > 0 for row in rows)


async def test_snapshot_keeps_up_with_the_stream() -> None:
    market = market_at("10:30", speed=30)
    newest: dict[str, dict[str, Any]] = {}

    def enough(text: str) -> bool:
        for event in json.loads(text):
            if event["ev"] == "A":
                newest[event["sym"]] = event
        return len(newest) > 100

    async with serving(market) as address:
        await read_until(stream_client(address, "A.*"), enough)
        rows = await asyncio.to_thread(rest_client(address).get_snapshot_all, "stocks")
    by_ticker = {row.ticker: row for row in rows}
    for symbol, bar in newest.items():
        day = by_ticker[symbol].day
        assert day.volume >= bar["av"]
        assert day.high >= bar["h"]
        assert day.low <= bar["l"]
        assert bar.get("op") in (None, day.open)


async def test_minute_bars_before_the_start_add_up_to_the_day_so_far() -> None:
    market = market_at("11:07", symbols=60, rate=1_000)
    begins = market.now
    for ticker in market.universe.tickers:
        row = market.reference.snapshot(ticker)
        minutes = market.reference.minutes(ticker, dt.date(2026, 11, 20), adjusted=True)
        assert row is not None
        assert int(minutes.volume.sum()) == row["day"]["v"]
        regular = minutes.between(market.tape.day.open, begins)
        assert int(regular.high.max()) / 10_000 == row["day"]["h"]
        assert int(regular.low.min()) / 10_000 == row["day"]["l"]
        assert (minutes.low <= minutes.open).all()
        assert (minutes.close <= minutes.high).all()
        assert (minutes.start[1:] > minutes.start[:-1]).all()


async def test_bars_of_a_past_day_agree_in_every_span_and_with_the_grouped_day() -> None:
    market = market_at("10:00")
    ticker = busiest(market)

    def question(client: Any) -> Any:
        spans = {
            span: client.get_aggs(ticker, 1, span, YESTERDAY, YESTERDAY, limit=50_000)
            for span in ("second", "minute", "hour", "day")
        }
        grouped = {row.ticker: row for row in client.get_grouped_daily_aggs(YESTERDAY)}
        return spans, grouped[ticker], client.get_snapshot_ticker("stocks", ticker).prev_day

    spans, grouped, previous = await ask(market, question)
    assert len(spans["second"]) > len(spans["minute"]) > 300 > len(spans["hour"]) > len(spans["day"]) == 1
    for bars in spans.values():
        assert sum(bar.volume for bar in bars) == grouped.volume == previous.volume
    assert [bar.open for bar in spans["day"]] == [grouped.open] == [previous.open]
    assert spans["day"][0].close == grouped.close == previous.close
    assert max(bar.high for bar in spans["minute"]) == max(bar.high for bar in spans["second"])


async def test_ranges_are_cut_by_limit_paged_and_sorted() -> None:
    market = market_at("10:00")
    ticker = busiest(market)

    def question(client: Any) -> Any:
        whole = client.get_aggs(ticker, 5, "minute", "2026-11-16", YESTERDAY, limit=50_000)
        paged = list(client.list_aggs(ticker, 5, "minute", "2026-11-16", YESTERDAY, limit=100))
        backwards = list(client.list_aggs(ticker, 5, "minute", "2026-11-16", YESTERDAY, limit=100, sort="desc"))
        days = client.get_aggs(ticker, 1, "day", "2026-09-01", TODAY)
        return whole, paged, backwards, days

    whole, paged, backwards, days = await ask(market, question)
    times = [bar.timestamp for bar in whole]
    assert times == sorted(set(times))
    assert all(at % 300_000 == 0 for at in times)
    assert [bar.timestamp for bar in paged] == times
    assert [bar.timestamp for bar in backwards] == times[::-1]
    assert 55 <= len(days) <= 60


async def test_bars_of_the_run_are_those_of_the_stream() -> None:
    market = market_at("10:30", speed=60)
    ticker = busiest(market)
    sent: dict[tuple[str, int], tuple[float, ...]] = {}

    def enough(text: str) -> bool:
        for event in json.loads(text):
            if event["ev"] in ("A", "AM") and event["sym"] == ticker:
                sent[event["ev"], event["s"]] = (event["o"], event["h"], event["l"], event["c"], event["v"])
        return sum(kind == "AM" for kind, _ in sent) >= 2

    async with serving(market) as address:
        begins = market.now
        await read_until(stream_client(address, f"A.{ticker}", f"AM.{ticker}"), enough)
        client = rest_client(address)
        for kind, span in (("A", "second"), ("AM", "minute")):
            bars = await asyncio.to_thread(client.get_aggs, ticker, 1, span, begins, begins + 600_000, limit=50_000)
            served = {bar.timestamp: (bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars}
            expected = {start: bar for (known, start), bar in sent.items() if known == kind}
            assert expected
            late = sum(served[start] != bar for start, bar in expected.items())
            assert late <= 1  # corrected after the client left


async def test_grouped_days_reach_back_sixty_trading_days_and_skip_holidays() -> None:
    market = market_at("10:00", symbols=40)
    days = [day.date.isoformat() for day in market.calendar.before(dt.date(2026, 11, 20), 60)]

    def question(client: Any) -> Any:
        closed = ("2026-11-14", "2026-09-07", TODAY)
        return [len(client.get_grouped_daily_aggs(day)) for day in days], [
            client.get_grouped_daily_aggs(day) for day in closed
        ]

    known, closed = await ask(market, question)
    assert known == [40] * 60
    assert closed == [[], [], []]


async def test_average_volume_is_the_mean_of_the_last_thirty_days() -> None:
    market = market_at("10:00", symbols=40)
    ticker = busiest(market, 5)

    def question(client: Any) -> Any:
        days = client.get_aggs(ticker, 1, "day", "2026-09-01", YESTERDAY)
        return days, next(iter(client.list_financials_ratios(ticker=ticker)))

    days, ratios = await ask(market, question)
    assert ratios.average_volume == sum(bar.volume for bar in days[-30:]) // 30
    assert ratios.price == days[-1].close


async def test_reference_endpoints_parse_with_real_values() -> None:
    market = market_at("10:00", symbols=200)
    ticker = market.universe.tickers[0]

    def question(client: Any) -> Any:
        return (
            client.get_ticker_details(ticker),
            list(client.list_stocks_floats(limit=50)),
            list(client.list_financials_ratios(limit=50)),
            client.get_exchanges(),
            list(client.list_conditions(limit=10)),
            list(client.list_stocks_splits()),
            client.get_market_status(),
            client.get_market_holidays(),
        )

    details, floats, ratios, exchanges, conditions, splits, status, holidays = await ask(market, question)
    assert details.ticker == ticker
    assert details.name
    assert details.primary_exchange in {"XNYS", "XNAS", "ARCX", "BATS", "XASE"}
    assert details.market_cap > 0
    assert details.share_class_shares_outstanding > 0
    assert 150 < len(floats) < 200  # unknown for a few
    assert all(0 < row.free_float_percent <= 100 for row in floats)
    assert sorted(row.ticker for row in ratios) == sorted(market.universe.tickers)
    assert all(row.market_cap > 0 for row in ratios)
    assert {exchange.id: exchange.mic for exchange in exchanges}[12] == "XNAS"
    rules = {condition.id: condition.update_rules.consolidated for condition in conditions}
    assert not rules[37].updates_high_low
    assert rules[37].updates_volume
    assert max(split.execution_date for split in splits) == TODAY
    assert status.market == "open"
    assert status.server_time.startswith("2026-11-20T10:00")
    assert ("2026-11-26", "closed") in {(row.date, row.status) for row in holidays}
    assert ("2026-11-27", "early-close") in {(row.date, row.status) for row in holidays}


async def test_all_tickers_are_listed_by_page() -> None:
    market = market_at("10:00", symbols=200)
    rows = await ask(market, lambda client: list(client.list_tickers(market="stocks", limit=90)))
    assert [row.ticker for row in rows] == sorted(market.universe.tickers)
    first = market.reference.details(rows[0].ticker)
    assert first is not None
    assert (rows[0].name, rows[0].primary_exchange) == (first["name"], first["primary_exchange"])


async def test_a_split_effective_today_is_in_adjusted_bars_and_not_in_what_was_known_before() -> None:
    market = market_at("10:00", symbols=200)
    split = next(row for row in market.reference.splits() if row["execution_date"] == TODAY)
    ticker, ratio = split["ticker"], split["split_to"] / split["split_from"]

    def question(client: Any) -> Any:
        return (
            [
                next(row for row in client.get_grouped_daily_aggs(YESTERDAY, adjusted=adjusted) if row.ticker == ticker)
                for adjusted in (True, False)
            ],
            [
                client.get_aggs(ticker, 1, span, YESTERDAY, TODAY, adjusted=adjusted, limit=50_000)
                for span in ("day", "minute")
                for adjusted in (True, False)
            ],
            client.get_snapshot_ticker("stocks", ticker),
            next(iter(client.list_financials_ratios(ticker=ticker))),
        )

    (after, before), (days, raw_days, minutes, raw_minutes), snapshot, ratios = await ask(market, question)
    assert after.close == pytest.approx(before.close / ratio)
    assert after.volume == pytest.approx(before.volume * ratio, abs=1)
    assert (days[0].close, raw_days[0].close) == (after.close, before.close)
    # Today's have been printed in today's shares.
    assert days[1].close == raw_days[1].close
    assert minutes[-1].close == raw_minutes[-1].close
    assert sum(bar.volume for bar in raw_minutes[:50]) == pytest.approx(
        sum(bar.volume for bar in minutes[:50]) / ratio, rel=0.01
    )
    # The previous day is told in its own shares.
    assert snapshot.prev_day.close == pytest.approx(before.close)
    assert snapshot.todays_change == pytest.approx(snapshot.day.close - before.close, abs=1e-3)
    assert ratios.price == pytest.approx(before.close)


def test_a_split_changes_the_price_of_a_running_market_overnight() -> None:
    market = market_at("10:00", symbols=100)
    close = market.tape.close_before
    tomorrow = market.calendar.next(market.tape.day.date).date
    split = market.reference.split_plan.rows(tomorrow, tomorrow)[0]
    after = market.reference.after_splits(close, tomorrow)
    assert [market.universe.tickers[index] for index in (after != close).nonzero()[0]] == [split["ticker"]]
    index = market.universe.index[split["ticker"]]
    assert after[index] == pytest.approx(close[index] * split["split_from"] / split["split_to"], abs=100)


@pytest.mark.parametrize(
    ("start", "market", "early", "late"),
    [
        ("03:00", "closed", False, False),
        ("08:00", "extended-hours", True, False),
        ("12:00", "open", False, False),
        ("17:00", "extended-hours", False, True),
        ("21:00", "closed", False, False),
    ],
)
async def test_market_status_follows_the_markets_clock(start: str, market: str, early: bool, late: bool) -> None:
    status = await ask(market_at(start, symbols=5), lambda client: client.get_market_status())
    assert (status.market, status.early_hours, status.after_hours) == (market, early, late)


async def test_news_is_filtered_paged_ordered_and_never_from_the_future() -> None:
    market = market_at("10:00", symbols=2_000)
    gapper = market.universe.tickers[market.tape.plan.stories[0].symbol]

    def question(client: Any) -> Any:
        return (
            list(client.list_ticker_news(limit=20)),
            list(client.list_ticker_news(ticker=gapper)),
            list(client.list_ticker_news(published_utc_gte="2026-11-20T00:00:00Z", order="asc", limit=1_000)),
        )

    paged, of_one, today = await ask(market, question)
    times = [article.published_utc for article in paged]
    assert len(paged) > 100
    assert times == sorted(times, reverse=True)
    assert times[0] <= "2026-11-20T15:00:30Z"
    assert len({article.id for article in paged}) == len(paged)
    assert of_one
    assert all(gapper in article.tickers for article in of_one)
    assert of_one[0].insights[0].ticker == gapper
    assert [article.published_utc for article in today] == sorted(article.published_utc for article in today)
    assert 0 < len(today) < len(paged)


@pytest.mark.parametrize("key", ["wrong", ""])
async def test_rest_without_the_key_is_refused(key: str) -> None:
    async with serving(market_at("10:00", symbols=5)) as address:
        client = rest_client(address, key)
        with pytest.raises(BadResponse, match="API Key"):
            await asyncio.to_thread(client.get_market_status)


async def test_key_in_the_query_is_let_in() -> None:
    async with serving(market_at("10:00", symbols=5)) as address:
        url = f"http://{address}/v1/marketstatus/now?apiKey=simulator"
        response = await asyncio.to_thread(urllib.request.urlopen, url, timeout=5)
        assert response.status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v3/reference/tickers/NOSUCH", 404),
        ("/v2/snapshot/locale/us/markets/stocks/tickers/NOSUCH", 404),
        ("/v9/nothing", 404),
        ("/v2/aggs/grouped/locale/us/market/stocks/yesterday", 400),
        ("/v2/aggs/ticker/X/range/1/fortnight/2026-11-19/2026-11-20", 400),
        ("/v2/aggs/ticker/X/range/0/minute/2026-11-19/2026-11-20", 400),
        ("/v2/aggs/ticker/X/range/1/minute/2026-11-20/2026-11-19", 400),
        ("/v2/reference/news?limit=many", 400),
    ],
)
async def test_what_cannot_be_answered_is_said_in_json(path: str, status: int) -> None:
    async with serving(market_at("10:00", symbols=5)) as address:
        joint = "&" if "?" in path else "?"
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(urllib.request.urlopen, f"http://{address}{path}{joint}apiKey=simulator", timeout=5)
        assert refused.value.code == status
        assert json.load(refused.value)["error"]
