"""`manage.py stats [--json]`: where every event is, by feed; buffers, queues, and the age of the newest event."""

import json
from argparse import ArgumentParser
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

from control.selectors import Stats, system_stats
from processors.accounts import TERMS, imbalance
from processors.store import Store


class Command(BaseCommand):
    help = "Show the accounts of every event by feed, the depths of buffer and queues, and the newest event's age."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            stats = system_stats(Store())
        except redis.RedisError as error:
            raise CommandError(
                f"The cache cannot be reached ({error}). Is it running, and is REDIS_URL right?"
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps(stats))
        else:
            self._show(stats)

    def _show(self, stats: Stats) -> None:
        feeds = stats["feeds"]
        self.stdout.write(f"source     {stats['source'] or 'none yet'}")
        age = stats["newest_event_age_ms"]
        self.stdout.write(f"newest     {'no event yet' if age is None else f'{age / 1_000:,.1f} s behind the clock'}")
        self.stdout.write(f"listener   {stats['components']['listener']}")
        self.stdout.write("")
        self.stdout.write(f"{'':16}" + "".join(f"{feed:>14}" for feed in feeds))
        for term in TERMS:
            self.stdout.write(f"{term:16}" + "".join(f"{terms[term]:>14,}" for terms in feeds.values()))
        self.stdout.write(f"{'queue depth':16}" + "".join(f"{stats['queues'].get(feed) or 0:>14,}" for feed in feeds))
        wrong = {feed: imbalance(terms) for feed, terms in feeds.items() if any(imbalance(terms))}
        self.stdout.write("")
        self.stdout.write(
            f"NOT ACCOUNTED FOR: {wrong}" if wrong else "Every event is accounted for in both equations, in every feed."
        )
