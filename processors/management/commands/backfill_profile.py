"""`manage.py backfill_profile`: the volume that is usual at a time of the day, from the vendor's bars of past days."""

from argparse import ArgumentTypeError
from typing import Any

import msgspec
import redis
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from listener.wishes import read_wish
from processors.reference import market_date, rest_url
from processors.reference.vendor import VendorError
from processors.seeding.seed import most_active
from processors.seeding.volume_history import MEAN_DAYS, backfill_profile
from processors.sessions import previous_trading_day
from processors.store import LISTENER_STATE, default_store


def _count(most: int) -> Any:
    def parse(text: str) -> int:
        if not text.isdigit() or not 1 <= int(text) <= most:
            raise ArgumentTypeError(f"{text!r} is no whole number from 1 to {most:,}")
        return int(text)

    return parse


class Command(BaseCommand):
    help = "Load the minute bars of the last days over REST, one call a symbol, for relative_volume_tod."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbols", nargs="*", help="which symbols (the most active ones)")
        parser.add_argument("--most-active", type=_count(20_000), default=500, help="how many without names (500)")
        parser.add_argument("--days", type=_count(30), default=MEAN_DAYS, help=f"how many days back ({MEAN_DAYS})")

    def handle(self, *args: Any, **options: Any) -> None:
        store = default_store()
        try:
            source = store.source()
            report = store.redis.get(LISTENER_STATE)
            # Where the listener reads: a feed of our own may have had to take another port.
            address = read_wish(msgspec.json.decode(report)["feed"] if report else None).address
        except redis.RedisError as error:
            raise CommandError(
                f"The cache cannot be reached ({error}). Start the system with `manage.py up`."
            ) from None
        except (DatabaseError, ValueError) as error:
            raise CommandError(f"The feed's settings cannot be read ({error}). Run `manage.py migrate`.") from None
        if source is None:
            raise CommandError("No feed has been read yet, so there is no day to look back from. Start it first.")
        base = rest_url(address.feed)
        last = previous_trading_day(market_date(source.market_clock))
        try:
            symbols = options["symbols"] or most_active(base, address.key, options["most_active"])
        except VendorError as error:
            raise CommandError(f"{base} does not tell the most active symbols ({error}). Name some.") from None
        kept, stopped = backfill_profile(source.kind, base, address.key, symbols, last, options["days"])
        for day, count in sorted(kept.items()):
            self.stdout.write(f"{day}: {count:,} symbols")
        if stopped is not None:
            raise CommandError(f"It ended before its time: {base} says {stopped}. Run it again later.")
        if not kept:
            raise CommandError(f"{base} has no minute bars of these days.")
