"""What the listener is to do: the control plane's settings over the environment's."""

from dataclasses import dataclass, field, replace
from typing import Final

from django.conf import settings
from django.db import close_old_connections

from control.models import FeedSettings
from control.selectors import feed_settings
from listener.address import HOSTS, FeedAddress
from project.env import parse_subscriptions

OFF: Final = "Switched off in the feed settings."
# What is read of a market when neither the settings nor the environment name anything. Quotes of all options are more
# than Massive gives on one connection.
_USUAL: Final[dict[str, tuple[str, ...]]] = {
    "stocks": ("A.*", "T.*", "Q.*", "LULD.*"),
    "options": ("A.*", "T.*"),
    "indices": ("A.*", "V.*"),
    "crypto": ("XAS.*", "XT.*", "XQ.*"),
    "forex": ("CAS.*", "C.*"),
    "futures": ("A.*", "T.*", "Q.*"),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """Attributes:
    enabled: Whether to connect at all.
    address: Where to, and for what.
    record: Whether to record; it makes no difference to the connection.
    revision: Of the settings that want this.
    """

    enabled: bool
    address: FeedAddress
    record: bool = field(compare=False)
    revision: int = field(default=0, compare=False)

    def same_connection(self, other: "Wish") -> bool:
        """Whether only the subscriptions differ, which a live connection can change."""
        subscriptions = self.address.subscriptions
        return self == replace(other, address=replace(other.address, subscriptions=subscriptions))


def read_wish(fixed_feed: str | None) -> Wish:
    """What is wanted now, by the settings as they are saved.

    Args:
        fixed_feed: The feed given on the command line, which no setting changes.

    Raises:
        django.db.DatabaseError: The settings cannot be read.
        ValueError: They were stored in a form that cannot be used.
    """
    close_old_connections()
    return wish_of(feed_settings(), fixed_feed)


def wish_of(row: FeedSettings, fixed_feed: str | None) -> Wish:
    """What settings want; an empty one follows the environment."""
    feed = fixed_feed or row.feed or settings.MASSIVE_FEED
    vendor = feed in HOSTS
    market = row.market or settings.MASSIVE_MARKET
    # The environment's are meant for its own market.
    usual = (settings.MASSIVE_SUBSCRIPTIONS if market == settings.MASSIVE_MARKET else ()) or _USUAL[market]
    return Wish(
        enabled=row.enabled,
        address=FeedAddress(
            feed=feed,
            market=market,
            subscriptions=tuple(parse_subscriptions(row.subscriptions) or usual),
            # Nobody's key goes to the vendor in the clear because a server of our own is spoken to without TLS.
            secure=vendor or settings.MASSIVE_SECURE,
            # The vendor's key goes to the vendor, or where the environment sends it: never where a setting points.
            key=((vendor or feed == settings.MASSIVE_FEED) and settings.MASSIVE_API_KEY) or settings.SIMULATOR_KEY,
            always=row.always,
        ),
        record=row.record,
        revision=row.revision,
    )
