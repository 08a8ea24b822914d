"""Symbols as the API takes them: one, or a list with commas."""

from typing import Annotated, Any, Final

from django.http import HttpRequest
from ninja import Path
from ninja.errors import AuthorizationError, HttpError

from control.api.auth import refusal, user_of
from control.feed_patterns import allows
from control.models import FeedGrant
from control.models.scanners import TICKER

# A stock's, as it stands in an address: no market's prefix, no slash; nor "..", which would lead elsewhere in the
# vendor's addresses, too.
Symbol = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-]{0,31}$", description="A ticker such as AAPL or BRK.A.")
]
MOST_SYMBOLS: Final = 200


def symbols_in(text: str) -> list[str]:
    """The symbols of a comma list, each once.

    Raises:
        HttpError: 422: one of them is none, or there are too many.
    """
    symbols = list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
    if not symbols or len(symbols) > MOST_SYMBOLS:
        raise HttpError(422, f"Name 1 to {MOST_SYMBOLS} symbols, with commas between them.")
    for symbol in symbols:
        if not TICKER.match(symbol):
            raise HttpError(422, f"{symbol!r} is no ticker: use such as AAPL or BRK.A.")
    return symbols


def check_may_read_each(request: HttpRequest, *feeds: str) -> None:
    """Refuse a caller who may not read every one of some feeds.

    Raises:
        AuthorizationError: It names the first.
    """
    user: Any = user_of(request)
    patterns = FeedGrant.objects.patterns_of([user.pk])[user.pk]
    for feed in feeds:
        if not allows(patterns, feed):
            raise AuthorizationError(message=refusal(feed))
