"""What people change, and what is kept of what happened."""

from control.models.feed import MOST_FEED_WORKERS, FeedSettings
from control.models.history import Alert, Backtest
from control.models.rights import FeedGrant
from control.models.scanners import PriceLevel, Scanner
from control.models.tokens import ApiToken

__all__ = ["MOST_FEED_WORKERS", "Alert", "ApiToken", "Backtest", "FeedGrant", "FeedSettings", "PriceLevel", "Scanner"]
