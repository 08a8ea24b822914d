"""`manage.py listen`: read the feed and send its events to the queues, until it is told to stop."""

import asyncio
import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from listener.feed import FeedAddress, FeedRefused
from listener.service import Listener
from project.celery import app


class Command(BaseCommand):
    help = "Read Massive's stream (the simulator's when there is no key) and send its events to the queues."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--feed", default=settings.MASSIVE_FEED, help="real-time, delayed or host:port")
        parser.add_argument(
            "--lossless", action="store_true", help="drop and expire nothing; wait for the workers instead"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        address = FeedAddress(
            feed=options["feed"],
            market=settings.MASSIVE_MARKET,
            subscriptions=tuple(settings.MASSIVE_SUBSCRIPTIONS),
            secure=settings.MASSIVE_SECURE,
            key=settings.MASSIVE_API_KEY or settings.SIMULATOR_KEY,
        )
        try:
            asyncio.run(self._run(Listener(app, address, lossless=options["lossless"])))
        except FeedRefused as error:
            # EX_CONFIG: a supervisor does not start again what configuration alone can mend.
            raise CommandError(f"{error} Set MASSIVE_API_KEY to a key that it accepts.", returncode=78) from None

    async def _run(self, listener: Listener) -> None:
        task = asyncio.create_task(listener.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            self.stdout.write("listener stopped")
