"""`manage.py replay FILE`: a server that speaks Massive's protocols over a recording."""

import asyncio
from os import EX_CONFIG, EX_TEMPFAIL
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from listener.recording import RecordingError
from listener.simulator.options import BadOption, number, whole_number
from listener.simulator.recorded import RecordedMarket
from listener.simulator.serving import CannotListen, serve, served_key
from processors.components.agent import Agent


class Command(BaseCommand):
    help = "Serve a recording over Massive's WebSocket and REST protocols."
    # Not the pages' and the API's: loading these takes longer than all the rest of the start.
    requires_system_checks = ["tapewatch"]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the recording: NDJSON, plain, .gz or .zst")
        parser.add_argument("--speed", default="1", help="multiple of real time; 0 is as fast as the client reads (1)")
        parser.add_argument("--host", default="127.0.0.1", help="address to bind (127.0.0.1)")
        parser.add_argument("--port", default="8765", help="port to bind, 0 for a free one (8765)")
        parser.add_argument("--api-key", help="the key that is let in (MASSIVE_API_KEY, else 'simulator')")
        parser.add_argument("--once", action="store_true", help="stop when the recording has been played")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"])
        once = bool(options["once"])

        def say(sentence: str) -> None:
            self.stdout.write(sentence)
            self.stdout.flush()

        try:
            port = whole_number("--port", options["port"], 0, 65_535)
            speed = number("--speed", options["speed"], 0, 1_000_000)
            market = RecordedMarket(path, speed, once, say)

            def announce(address: str) -> None:
                pace = f"speed {speed:g}" if speed else "as fast as the client reads"
                say(f"replay listening on {address}, {path.name}, {pace}")

            shown = {"kind": "recording", "file": path.name, "speed": speed}
            with Agent("replay", "source", lambda: shown) as agent:
                asyncio.run(
                    serve(market, served_key(options["api_key"]), options["host"], port, announce, stay=not once)
                )
            if agent.restart_asked:
                # Any other good end says that there is nothing more to play.
                raise SystemExit(EX_TEMPFAIL)
        except BadOption as error:
            raise CommandError(str(error), returncode=EX_CONFIG) from None
        except RecordingError as error:
            # A supervisor does not start again what another file alone can mend.
            raise CommandError(str(error), returncode=1 if once else EX_CONFIG) from None
        except CannotListen as error:
            raise CommandError(str(error)) from None
