"""`manage.py listen`: read the feed and send its events to the queues, until it is told to stop."""

import asyncio
import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from listener.service import Listener
from project.celery import app
from project.env import names_a_feed


class Command(BaseCommand):
    help = "Read Massive's stream (the simulator's when there is no key) and send its events to the queues."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--feed", help="real-time, delayed or host:port, whatever the settings say (as they say, else MASSIVE_FEED)"
        )
        parser.add_argument(
            "--lossless", action="store_true", help="drop and expire nothing; wait for the workers instead"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        feed: str | None = options["feed"]
        if feed is not None and not names_a_feed(feed):
            raise CommandError(f"--feed {feed}: use real-time, delayed, or an address such as 127.0.0.1:8765.")
        asyncio.run(self._run(feed, options["lossless"]))

    async def _run(self, feed: str | None, lossless: bool) -> None:
        task = asyncio.create_task(Listener(app, feed, lossless).run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            self.stdout.write("listener stopped")
