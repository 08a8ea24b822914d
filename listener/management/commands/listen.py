"""`manage.py listen`: read the feed and send its events to the queues, until it is told to stop."""

import asyncio
import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from listener.agent import listener_agent
from listener.service import Listener
from project.celery import app
from project.env import names_a_feed


class Command(BaseCommand):
    help = "Read Massive's stream (the simulator's when there is no key) and send its events to the queues."
    # Not the pages' and the API's: loading these takes longer than all the rest of the start.
    requires_system_checks = ["tapewatch"]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--feed", help="real-time, delayed or host:port, whatever the settings say (as they say, else MASSIVE_FEED)"
        )
        parser.add_argument(
            "--lossless", action="store_true", help="drop and expire nothing; wait for the workers instead"
        )
        parser.add_argument(
            "--record",
            nargs="?",
            metavar="DIR",
            const=str(settings.RECORDINGS_DIR),
            help="write what the feed sends to files in DIR (TAPEWATCH_RECORDINGS), until the settings switch it off",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        feed: str | None = options["feed"]
        if feed is not None and not names_a_feed(feed):
            raise CommandError(f"--feed {feed}: use real-time, delayed, or an address such as 127.0.0.1:8765.")
        record = Path(options["record"]).resolve() if options["record"] is not None else None
        if record is not None and record.exists() and not record.is_dir():
            raise CommandError(f"--record {record}: it is a file. Give a folder for the recordings.")
        asyncio.run(self._run(Listener(app, feed, options["lossless"], record)))

    async def _run(self, listener: Listener) -> None:
        task = asyncio.create_task(listener.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        with listener_agent(listener, loop):
            try:
                await task
            except asyncio.CancelledError:
                self.stdout.write("listener stopped")
