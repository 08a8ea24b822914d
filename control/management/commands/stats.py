"""`manage.py stats [--json] [--check]`: where every event is; buffers, queues, the newest event's age, and samples."""

import json
from argparse import ArgumentParser
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

from control.selectors import Stats, system_stats
from processors.accounts import TERMS, contradictions, imbalance
from processors.store import Store


class Command(BaseCommand):
    help = "Show the accounts of every event by feed, the depths of buffer and queues, and the newest event's age."
    # Not the pages' and the API's: loading these takes longer than all the rest of the start.
    requires_system_checks = ["tapewatch"]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one line of JSON")
        parser.add_argument("--check", action="store_true", help="fail when an event is not accounted for")

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
        problems = contradictions(stats["feeds"])
        if options["check"] and problems:
            raise CommandError("The accounts do not balance:\n" + "\n".join(problems))

    def _show(self, stats: Stats) -> None:
        feeds = stats["feeds"]
        self.stdout.write(f"source     {stats['source'] or 'none yet'}")
        age = stats["newest_event_age_ms"]
        self.stdout.write(f"newest     {'no event yet' if age is None else f'{age / 1_000:,.1f} s behind the clock'}")
        self.stdout.write(f"listener   {stats['components']['listener']}")
        self.stdout.write(f"workers    {stats['components']['feed workers']}")
        self.stdout.write(f"web        {stats['components']['web']}")
        for process in stats["web"]:
            self.stdout.write(
                f"           {process['name']}: {process['sockets']:,} sockets, "
                f"{process['subscriptions']:,} subscriptions, "
                f"{process['deliveries_per_s']:,.0f} messages and {process['bytes_per_s'] / 1e6:,.1f} MB a second, "
                f"{process['dropped']:,} dropped, {process['behind_ms']:,} ms behind"
            )
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
        self._show_samples(stats)

    def _show_samples(self, stats: Stats) -> None:
        if stats["unknown"]:
            self.stdout.write("\nEvents of unknown types, the newest of each:")
        for unknown in stats["unknown"]:
            self.stdout.write(f"  {unknown['type'] or '(none)'}: {unknown['kept']:,} kept, newest {unknown['key']}")
            self.stdout.write(f"    {_line(unknown['sample'])}")
        if stats["malformed"]:
            self.stdout.write("\nEvents that could not be used, the newest of each reason:")
        for bad in stats["malformed"]:
            self.stdout.write(f"  {bad['feed']}: {_line(bad['reason'])}")
            self.stdout.write(f"    {_line(bad['sample'])}")


def _line(text: str) -> str:
    """What a stranger sent, fit for a terminal: one line, nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else "�" for char in text[:200])
