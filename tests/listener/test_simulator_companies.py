"""What the simulator's REST tells of companies: shares sold short and dividends, through Massive's official client."""

import asyncio
import datetime as dt
from typing import Any

from tests.listener.market_server import market_at, rest_client, serving

TODAY = "2026-11-20"


async def test_short_sales_and_dividends_are_told_newest_first_and_as_of_today() -> None:
    market = market_at("10:00", symbols=40)

    def question(client: Any) -> Any:
        of_each = {
            ticker: (
                list(client.list_short_interest(ticker=ticker, sort="settlement_date.desc", limit=50)),
                list(client.list_short_volume(ticker=ticker, sort="date.desc", limit=100)),
                list(client.list_stocks_dividends(ticker=ticker, sort="ex_dividend_date.desc", limit=50)),
            )
            for ticker in market.universe.tickers
        }
        of_all = list(client.list_short_interest(limit=100))
        return of_each, of_all, list(client.list_short_interest(ticker="NOSUCH"))

    async with serving(market) as address:
        of_each, of_all, of_none = await asyncio.to_thread(question, rest_client(address))
    assert of_none == []
    assert {row.ticker for row in of_all} == set(market.universe.tickers)
    paying = 0
    for at, (interest, volume, dividends) in enumerate(of_each.values()):
        settled = [row.settlement_date for row in interest]
        assert len(settled) == 12
        assert settled == sorted(settled, reverse=True)
        assert settled[0] < TODAY
        assert all(0 < row.short_interest < market.universe.free_float[at] for row in interest)
        days = [row.date for row in volume]
        assert len(days) == 60
        assert days == sorted(days, reverse=True)
        assert days[0] == "2026-11-19"
        assert all(row.short_volume == row.exempt_volume + row.non_exempt_volume for row in volume)
        assert all(row.short_volume <= row.total_volume for row in volume)
        paying += bool(dividends)
        if dividends:
            dates = [dt.date.fromisoformat(row.ex_dividend_date) for row in dividends]
            assert dates == sorted(dates, reverse=True)
            # One is declared already.
            assert dates[0] >= dt.date.fromisoformat(TODAY) > dates[1]
            assert all(row.cash_amount > 0 for row in dividends)
    assert 5 < paying < 35


async def test_figures_do_not_change_while_a_day_goes_on() -> None:
    morning, noon = market_at("10:00", symbols=10), market_at("12:00", symbols=10)
    for ticker in morning.universe.tickers:
        assert morning.reference.dividends(ticker) == noon.reference.dividends(ticker)
        assert morning.reference.short_interest(ticker) == noon.reference.short_interest(ticker)
