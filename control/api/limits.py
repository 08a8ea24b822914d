"""How often one caller may call: so many calls a window of time, counted for all web processes together."""

import logging
import math
from typing import Final, NamedTuple

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja.errors import Throttled

from control.counting import made

log = logging.getLogger(__name__)

_MINUTE_S: Final = 60


class Limit(NamedTuple):
    """So many calls a window.

    Attributes:
        name: In keys and headers.
        calls: At most; 0: what `API_CALLS_A_MINUTE` says.
        window_s: Seconds from a caller's first call on.
    """

    name: str
    calls: int = 0
    window_s: int = _MINUTE_S

    @property
    def most(self) -> int:
        """Calls a window."""
        return self.calls or int(settings.API_CALLS_A_MINUTE)


class Count(NamedTuple):
    """Where a caller stands.

    Attributes:
        limit: Which limit.
        left: Calls that are left in this window.
        resets_s: Seconds until the next one.
    """

    limit: Limit
    left: int
    resets_s: int


# Of a token, or of a login, whatever it calls.
CALLS: Final = Limit("calls")
# What costs more than reading.
VALIDATIONS: Final = Limit("validations", 300)
PREVIEWS: Final = Limit("previews", 60)
BACKTESTS: Final = Limit("backtests", 30, 3_600)
MARKET_DATA: Final = Limit("market_data", 300)
BACKFILLS: Final = Limit("backfills", 30)
NOTIFICATION_TESTS: Final = Limit("notification_tests", 10)
NEW_TOKENS: Final = Limit("new_tokens", 30, 3_600)


def count(request: HttpRequest, limit: Limit, caller: str) -> None:
    """Count a call. While the cache is away nobody is held up.

    Args:
        request: The call; its answer will say how many are left.
        limit: The limit that it falls under.
        caller: Whose calls are counted together, such as `token:7`.

    Raises:
        Throttled: It is one too many.
    """
    try:
        calls, resets_ms = made(f"tw:rate:{limit.name}:{caller}", limit.window_s)
    except redis.RedisError as error:
        log.warning("cache unreachable: calls of the API are not counted: %s", error)
        return
    resets_s = max(1, math.ceil(resets_ms / 1_000))
    counts: list[Count] = request.__dict__.setdefault("api_counts", [])
    counts.append(Count(limit, max(0, limit.most - calls), resets_s))
    if calls > limit.most:
        raise Throttled(resets_s)


def count_user(request: HttpRequest, limit: Limit) -> None:
    """Count a call of an endpoint that has a limit of its own for each user.

    Raises:
        Throttled: It is one too many.
    """
    count(request, limit, f"user:{request.auth.pk}")  # type: ignore[attr-defined]  # set by ninja


def put_headers(request: HttpRequest, response: HttpResponse) -> None:
    """Say in an answer how many calls are left (draft-ietf-httpapi-ratelimit-headers-10)."""
    counts: list[Count] = getattr(request, "api_counts", [])
    if counts:
        response["RateLimit-Policy"] = ", ".join(
            f'"{one.limit.name}";q={one.limit.most};w={one.limit.window_s}' for one in counts
        )
        response["RateLimit"] = ", ".join(f'"{one.limit.name}";r={one.left};t={one.resets_s}' for one in counts)
