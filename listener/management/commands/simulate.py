"""`manage.py simulate`: a server that speaks Massive's protocols over a simulated market."""

import asyncio
from os import EX_CONFIG
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from listener.simulator.market import SimulatedMarket
from listener.simulator.options import BadOption, number, starting_instant, whole_number
from listener.simulator.serving import CannotListen, serve, served_key
from listener.simulator.trading_days import new_york_time
from listener.simulator.universe import MAX_SYMBOLS
from processors.components.agent import Agent


class Command(BaseCommand):
    help = "Serve a simulated market over Massive's WebSocket and REST protocols."
    # Not the pages' and the API's: loading these takes longer than all the rest of the start.
    requires_system_checks = ["tapewatch"]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to bind (127.0.0.1)")
        parser.add_argument("--port", default="8765", help="port to bind, 0 for a free one (8765)")
        parser.add_argument("--symbols", default="8000", help="number of symbols (8000)")
        parser.add_argument("--seed", default="7", help="the same seed gives the same market (7)")
        parser.add_argument("--start", help="New York time 'YYYY-MM-DD HH:MM' (09:25 of the last trading day)")
        parser.add_argument("--speed", default="1", help="multiple of real time (1)")
        parser.add_argument("--rate", default="2000", help="events a second in the middle of the day (2000)")
        parser.add_argument("--api-key", help="the key that is let in (MASSIVE_API_KEY, else 'simulator')")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            port = whole_number("--port", options["port"], 0, 65_535)
            symbols = whole_number("--symbols", options["symbols"], 1, MAX_SYMBOLS)
            seed = whole_number("--seed", options["seed"], 0, 2**63 - 1)
            speed = number("--speed", options["speed"], 0.001, 100_000)
            rate = number("--rate", options["rate"], 1, 1_000_000)
            start = starting_instant(options["start"], timezone.now())
        except BadOption as error:
            raise CommandError(str(error), returncode=EX_CONFIG) from None
        market = SimulatedMarket(seed, symbols, start, rate, speed)
        shown = {"kind": "simulator", "seed": seed, "symbols": symbols, "rate": rate, "speed": speed}

        def announce(address: str) -> None:
            clock = new_york_time(start).strftime("%Y-%m-%d %H:%M New York")
            self.stdout.write(
                f"simulator listening on {address}, market time {clock}, {symbols:,} symbols, seed {seed}"
            )
            self.stdout.flush()

        try:
            with Agent("simulate", "source", lambda: shown):
                asyncio.run(serve(market, served_key(options["api_key"]), options["host"], port, announce))
        except CannotListen as error:
            raise CommandError(str(error)) from None
