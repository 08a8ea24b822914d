"""What people change, and what is kept of what happened."""

from control.models.audit import AuditEntry
from control.models.feed import MOST_FEED_WORKERS, FeedSettings
from control.models.history import Alert, Backtest
from control.models.notifications import NotificationDelivery, NotificationTarget
from control.models.rights import FeedGrant
from control.models.scanners import PriceLevel, Scanner
from control.models.tokens import ApiToken
from control.models.workspace import Layout, Watchlist

__all__ = [
    "MOST_FEED_WORKERS",
    "Alert",
    "ApiToken",
    "AuditEntry",
    "Backtest",
    "FeedGrant",
    "FeedSettings",
    "Layout",
    "NotificationDelivery",
    "NotificationTarget",
    "PriceLevel",
    "Scanner",
    "Watchlist",
]
