"""The list of trade halts: a server like Nasdaq Trader's in all its moods, and the simulator's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
import pytest
from aiohttp import web

from control.models import FeedSettings
from listener import polling, service
from listener.address import FeedAddress, SourceInfo
from listener.beside import BesideStream
from listener.events import TradeHalt
from listener.polling import Refused
from listener.simulator.luld import Pause
from listener.simulator.server import FeedServer
from listener.trade_halts import TradeHalts, read_halts
from processors import store as keys
from processors.accounts import accounts, contradictions
from processors.store import Store
from processors.symbols.halts import halts_coverage
from project.celery import app
from project.embedded import EmbeddedValkey
from tests.listener.market_server import KEY, market_at, serving

TODAY = date(2026, 11, 20)
EVERY_S = 0.02


def at(clock: str, day: str = "2026-11-20") -> int:
    when = datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=ZoneInfo("America/New_York"))
    return round(when.timestamp() * 1_000)


def item(symbol: str = "ABC", clock: str = "10:31:07", day: str = "11/20/2026", **more: str) -> str:
    """An entry as the list has it; what is not known is an empty element."""
    values = {
        "HaltDate": day,
        "HaltTime": clock,
        "IssueSymbol": symbol,
        "IssueName": "Abc &amp; Sons",
        "Market": "NYSE",
    }
    values |= {"ReasonCode": "LUDP", "PauseThresholdPrice": "", "ResumptionDate": "", "ResumptionQuoteTime": ""}
    values |= {"ResumptionTradeTime": "", **more}
    return f"<item><title>{symbol}</title>{''.join(f'<ndaq:{n}>{v}</ndaq:{n}>' for n, v in values.items())}</item>"


def rss(*items: str) -> bytes:
    head = '<?xml version="1.0" encoding="utf-8"?>\r\n<rss version="2.0" xmlns:ndaq="http://www.nasdaqtrader.com/">'
    return f"{head}<channel><title>NASDAQTrader.com</title>{''.join(items)}</channel></rss>".encode()


class ListServer:
    """Serves a list; with a version it tells an unchanged one from a new one."""

    def __init__(self) -> None:
        self.document = rss()
        self.version = ""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = self.unchanged = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.status != 200:
            return web.Response(status=self.status, headers=self.headers)
        if self.version and request.headers.get("If-None-Match") == self.version:
            self.unchanged += 1
            return web.Response(status=304)
        return web.Response(body=self.document, headers={"ETag": self.version} if self.version else {})


@pytest.fixture
async def server() -> AsyncIterator[ListServer]:
    stub = ListServer()
    app = web.Application()
    app.router.add_get("/rss.aspx", stub.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    stub.url = f"http://{host}:{port}/rss.aspx?feed=tradehalts"
    yield stub
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_AFTER_REFUSAL_S", EVERY_S)


async def _collect(
    url: str,
    until: Callable[[list[dict[str, Any]], TradeHalts], Awaitable[bool]],
    today: Callable[[], date] = lambda: TODAY,
) -> list[dict[str, Any]]:
    """Poll until a condition on the events that were passed on holds."""
    events: list[dict[str, Any]] = []

    async def keep(raws: list[msgspec.Raw]) -> None:
        events.extend(msgspec.json.decode(raw) for raw in raws)

    source = TradeHalts(url, today, keep, EVERY_S)
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(10):
            while not await until(events, source):
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
    return events


def test_an_entry_is_an_event_in_the_times_of_new_york() -> None:
    found = read_halts(
        rss(
            item("BRK.B", "15:51:09.073", Market="NYSE", PauseThresholdPrice="1,012.5"),
            item("ABC", "07:32:12 .540", ReasonCode="T1", ResumptionDate="11/20/2026", ResumptionTradeTime="08:00:00"),
            item("DEF", "10:00:00", ResumptionDate="11/23/2026", ResumptionQuoteTime="08:55:00"),
        )
    )
    assert found == [
        TradeHalt("BRK.B", at("15:51:09.073"), "LUDP", pause_price=1_012.5, market="NYSE"),
        TradeHalt("ABC", at("07:32:12.540"), "T1", resume_at=at("08:00:00"), market="NYSE"),
        TradeHalt("DEF", at("10:00:00"), "LUDP", resume_quote_at=at("08:55:00", "2026-11-23"), market="NYSE"),
    ]
    assert msgspec.json.decode(msgspec.json.encode(found[1])) == {
        "ev": "HALT", "sym": "ABC", "t": at("07:32:12.540"), "reason": "T1", "resume_quote_at": None,
        "resume_at": at("08:00:00"), "pause_price": None, "market": "NYSE",
    }  # fmt: skip


def test_a_time_without_its_leading_zero_is_one() -> None:
    halts = read_halts(rss(item(clock="9:31:07", day="11/2/2026", ResumptionTradeTime="9:36:07")))
    assert [(halt.t, halt.resume_at) for halt in halts] == [
        (at("09:31:07", "2026-11-02"), at("09:36:07", "2026-11-02"))
    ]


@pytest.mark.parametrize(
    ("day", "offset"), [("03/09/2026", 4), ("03/06/2026", 5), ("11/02/2026", 5), ("10/30/2026", 4)]
)
def test_the_clocks_change_is_in_the_times(day: str, offset: int) -> None:
    (found,) = read_halts(rss(item(clock="09:30:00", day=day)))
    month, number, year = map(int, day.split("/"))
    assert found.t == datetime(year, month, number, 9 + offset, 30, tzinfo=ZoneInfo("UTC")).timestamp() * 1_000


@pytest.mark.parametrize(
    "entry",
    [
        *(item(""), item(clock=""), item(clock="25:00:00"), item(day="20.11.2026"), item(day=""), item(clock="soon")),
        "<item/>",
        "<item>text</item>",
    ],
)
def test_an_entry_without_symbol_or_time_is_passed_over(entry: str) -> None:
    assert [halt.sym for halt in read_halts(rss(entry, item("ZZA")))] == ["ZZA"]


BOMB = b'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa">]><rss><channel><item>&a;</item></channel></rss>'
FILE = b'<!DOCTYPE rss [<!ENTITY f SYSTEM "file:///etc/hostname">]><rss><channel><item>&f;</item></channel></rss>'
BAD_DOCUMENTS = (
    b"",
    b"<html>",
    b"<html><body/></html>",
    b"\xff\xfe",
    b"<rss/>",
    b"null",
    rss(item())[:-20],
    BOMB,
    FILE,
)


@pytest.mark.parametrize("document", BAD_DOCUMENTS)
def test_what_is_no_list_is_refused(document: bytes) -> None:
    with pytest.raises(Refused, match="no list of halts"):
        read_halts(document)


async def test_each_halt_comes_once_and_again_when_its_resumption_is_known(server: ListServer) -> None:
    yesterday = item("OLD", day="11/19/2026")
    server.document = rss(item("LATER", "10:40:00"), item("ABC"), yesterday)

    async def rounds(events: list[dict[str, Any]], source: TradeHalts) -> bool:
        if server.asked == 3:
            server.document = rss(item("ABC", ResumptionDate="11/20/2026", ResumptionTradeTime="10:36:07"), yesterday)
        return server.asked > 6

    events = await _collect(server.url, rounds)
    assert [(event["sym"], event["resume_at"]) for event in events] == [
        ("ABC", None),
        ("LATER", None),
        ("ABC", at("10:36:07")),
    ]


async def test_the_day_before_is_forgotten_at_midnight(server: ListServer) -> None:
    server.document, server.version = rss(item("ABC"), item("DEF", day="11/23/2026")), '"1"'
    days = [TODAY]

    async def rounds(events: list[dict[str, Any]], source: TradeHalts) -> bool:
        if server.unchanged >= 2:
            days[0] = date(2026, 11, 23)
        return len(events) == 2

    assert [event["sym"] for event in await _collect(server.url, rounds, lambda: days[0])] == ["ABC", "DEF"]


async def test_an_unchanged_list_is_not_sent_again(server: ListServer) -> None:
    server.document, server.version = rss(item("ABC")), '"1"'

    async def rounds(events: list[dict[str, Any]], source: TradeHalts) -> bool:
        if server.unchanged == 3:
            server.document, server.version = rss(item("ABC"), item("DEF")), '"2"'
        return len(events) == 2

    assert [event["sym"] for event in await _collect(server.url, rounds)] == ["ABC", "DEF"]
    assert server.unchanged >= 3


async def test_what_was_not_taken_is_asked_for_again(server: ListServer) -> None:
    server.document, server.version = rss(item("ABC")), '"1"'
    taken: list[int] = []

    async def stumble(events: list[msgspec.Raw]) -> None:
        taken.append(len(events))
        if len(taken) == 1:
            raise KeyError("a mistake")

    task = asyncio.create_task(TradeHalts(server.url, lambda: TODAY, stumble, EVERY_S).run())
    async with asyncio.timeout(10):
        while len(taken) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    assert taken == [1, 1]


@pytest.mark.parametrize(
    ("document", "status", "problem"),
    [
        *((document, 200, "its answer is no list of halts") for document in (b"", b"<html>", BOMB)),
        (b"x" * 17_000_000, 200, "its answer is longer than 16,777,216 bytes"),
        (rss(), 503, "503 Service Unavailable"),
        (rss(), 429, "429 Too Many Requests"),
    ],
)
async def test_a_failure_is_told_and_outlived(server: ListServer, document: bytes, status: int, problem: str) -> None:
    server.document, server.status = document, status
    told: list[str] = []

    async def rounds(events: list[dict[str, Any]], source: TradeHalts) -> bool:
        if source.problem:
            told.append(source.problem)
            server.document, server.status = rss(item("ABC")), 200
        return bool(events)

    assert len(await _collect(server.url, rounds)) == 1
    assert told[0].startswith(problem)


async def test_the_simulator_lists_the_halts_that_its_stream_does_not_tell() -> None:
    market = market_at("10:30")
    universe, bands = market.universe, market.tape.bands
    nyse, nasdaq = (int((universe.listing == listing).argmax()) for listing in (1, 0))
    bands.pauses += [
        Pause(nyse, at("10:31:07"), 123_400.0, None),
        Pause(nyse, at("10:02:00"), 110_000.0, at("10:07:00")),
    ]
    async with FeedServer(market, KEY) as server:
        url = f"http://{server.address}{market.source().trade_halts}"

        async def both(events: list[dict[str, Any]], source: TradeHalts) -> bool:
            return len(events) == 2

        events = await _collect(url, both)
        async with aiohttp.ClientSession() as session, session.get(url) as first:
            headers = {"If-None-Match": first.headers["ETag"]}
            async with session.get(url, headers=headers) as second:
                assert second.status == 304
    ticker = universe.tickers[nyse]
    assert [(event["sym"], event["t"], event["resume_at"], event["pause_price"]) for event in events] == [
        (ticker, at("10:02:00"), at("10:07:00"), 11.0),
        (ticker, at("10:31:07"), None, 12.34),
    ]
    assert universe.tickers[nasdaq] not in {event["sym"] for event in events}


async def _ignore(feed: str, events: list[msgspec.Raw]) -> None:
    """Takes events and does nothing with them."""


@pytest.mark.parametrize(
    ("feed", "kind", "path", "setting", "report"),
    [
        ("real-time", "live", "", "", ("on", "Nasdaq Trader")),
        ("real-time", "live", "", "off", ("off", "")),
        ("127.0.0.1:1", "live", "", "", ("off", "")),
        ("127.0.0.1:1", "live", "", "http://127.0.0.1:2/list", ("on", "127.0.0.1")),
        ("127.0.0.1:1", "simulator", "/tapewatch/trade-halts", "", ("on", "the simulator's list of halts")),
        ("127.0.0.1:1", "simulator", "", "", ("off", "")),
        ("127.0.0.1:1", "simulator", "@elsewhere.example/", "", ("off", "")),
        ("127.0.0.1:1", "recording", "", "http://127.0.0.1:2/list", ("recorded", "")),
    ],
)
async def test_each_sort_of_source_has_its_list_or_none(
    settings: Any, feed: str, kind: str, path: str, setting: str, report: tuple[str, str]
) -> None:
    settings.TRADE_HALTS_URL = setting
    beside = BesideStream(_ignore)
    info = SourceInfo("a source", kind, at("10:30:00"), 1.0, lossless=False, trade_halts=path)
    beside.begin(info, FeedAddress(feed, "stocks", ("A.*",), secure=False, key="hush"))
    said = beside.halts_report()
    await asyncio.gather(*beside.stop(), return_exceptions=True)
    assert (said["state"], said["name"]) == report


@pytest.mark.django_db(transaction=True)
async def test_halts_go_through_the_listeners_accounts_and_into_its_report(
    monkeypatch: pytest.MonkeyPatch, valkey: EmbeddedValkey
) -> None:
    monkeypatch.setattr(service, "_REPORT_EVERY_S", 0.1)
    store, market = Store(), market_at("10:30")
    nyse = int((market.universe.listing == 1).argmax())
    market.tape.bands.pauses.append(Pause(nyse, at("10:02:00"), 110_000.0, at("10:07:00")))
    # Of the stream it asks for nothing that comes, so that what halts there are come from the list.
    wanted = {"feed": "", "subscriptions": "LULD.NONE"}

    def report() -> dict[str, Any]:
        return dict(msgspec.json.decode(store.redis.get(keys.LISTENER_STATE) or b"{}"))

    def halts() -> dict[str, dict[str, int]]:
        source = store.source()
        return accounts(store, source.id if source else "", 60_000)

    async with serving(market) as address:
        await FeedSettings.objects.aupdate_or_create(defaults={**wanted, "feed": address})
        task = asyncio.create_task(service.Listener(app, None, lossless=False).run())
        try:
            async with asyncio.timeout(15):
                while not (await asyncio.to_thread(halts))["halts"]["published"]:
                    await asyncio.sleep(0.02)
                while (said := await asyncio.to_thread(report)).get("trade_halts", {}).get("state") != "on":
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    found = halts()
    assert found["halts"]["received"] == found["halts"]["published"] == found["halts"]["in_flight"] == 1
    assert not contradictions(found)
    listed = "the simulator's list of halts"
    assert halts_coverage(said) == f"Nasdaq-listed names by LULD events; NYSE-listed names from {listed}."
