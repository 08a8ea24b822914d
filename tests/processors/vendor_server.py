"""A server with Massive's reference endpoints, whose data and misbehaviour a test decides."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from aiohttp import web

Row = dict[str, Any]
GROUPED = "/v2/aggs/grouped/locale/us/market/stocks"
FLOAT, RATIOS, SPLITS = "/stocks/vX/float", "/stocks/financials/v1/ratios", "/stocks/v1/splits"
TICKERS, CONDITIONS = "/v3/reference/tickers", "/v3/reference/conditions"


class VendorServer:
    """What is served, and what was asked.

    Attributes:
        tables: Rows by path.
        daily: The bars of a date; `adjusted` as it was asked.
        page: Rows a page.
        failures: Status and headers instead of an answer, by the beginning of a path; status 0 never answers.
        calls_left: After so many calls it answers 429.
        asked: Path and query of each call.
        keys: The keys that came.
    """

    def __init__(self) -> None:
        self.url = self.address = ""
        self.tables: dict[str, list[Row]] = {path: [] for path in (FLOAT, RATIOS, SPLITS, TICKERS, CONDITIONS)}
        self.daily: Callable[[date, bool], list[Row]] = lambda day, adjusted: [bar("ABC", float(day.day))]
        self.page = 1_000
        self.failures: dict[str, tuple[int, dict[str, str]]] = {}
        self.calls_left = 1_000
        self.asked: list[str] = []
        self.keys: set[str] = set()

    def dates(self) -> list[str]:
        """The days that were asked for, in order."""
        return [path.partition("?")[0].rpartition("/")[2] for path in self.asked if path.startswith(GROUPED)]

    def count(self, path: str) -> int:
        """How many calls began with a path."""
        return sum(asked.startswith(path) for asked in self.asked)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.keys.add(request.headers["Authorization"].removeprefix("Bearer "))
        self.calls_left -= 1
        if self.calls_left < 0:
            return web.json_response(
                {"error": "exceeded the maximum requests"}, status=429, headers={"Retry-After": "60"}
            )
        for path, (status, headers) in self.failures.items():
            if request.path.startswith(path):
                if not status:
                    return await self._trickle(request)
                return web.json_response({"error": "because"}, status=status, headers=headers)
        if request.path.startswith(GROUPED):
            day = date.fromisoformat(request.path.rpartition("/")[2])
            return web.json_response({"results": self.daily(day, request.query["adjusted"] == "true")})
        if request.path not in self.tables:
            symbol = request.path.rpartition("/")[2]
            found = [row for row in self.tables[TICKERS + "/"] if row["ticker"] == symbol]
            return web.json_response({"results": found[0]}) if found else web.json_response({}, status=404)
        rows = self.tables[request.path]
        if "ticker.any_of" in request.query:
            rows = [row for row in self.tables[request.path + "/"] if row["ticker"] in request.query["ticker.any_of"]]
        first = int(request.query.get("cursor", "0"))
        answer: Row = {"results": rows[first : first + self.page]}
        if first + self.page < len(rows):
            answer["next_url"] = f"http://elsewhere.test{request.path}?cursor={first + self.page}&apiKey=leaked"
        return web.json_response(answer)

    async def _trickle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)


def bar(symbol: str, close: float, volume: float = 1_000.0) -> Row:
    """A daily bar."""
    return {"T": symbol, "o": close, "h": close, "l": close, "c": close, "v": volume, "vw": close, "t": 1}


@contextmanager
def serving_vendor() -> Iterator[VendorServer]:
    """Serve from a thread of its own: those who ask block theirs."""
    vendor, ready = VendorServer(), threading.Event()
    # What is told on demand alone.
    vendor.tables |= {path + "/": [] for path in (FLOAT, RATIOS, TICKERS)}
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", vendor.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        vendor.address = f"127.0.0.1:{runner.addresses[0][1]}"
        vendor.url = f"http://{vendor.address}"
        ready.set()
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(5)
    try:
        yield vendor
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
