"""What a client may take of `/ws`, and what it is told when it takes more: close codes, reasons, a bucket of requests.

How many sockets there are is counted in `sockets.py`; the numbers are the settings `WDS_*`.
"""

import logging
import resource
import time
from collections.abc import Callable
from typing import Final

from django.conf import settings

log = logging.getLogger(__name__)

# Close codes; what a client should do about each stands in docs/wds.md.
TOO_LARGE: Final = 1009
BROKEN: Final = 1011
RESTART: Final = 1012
FULL: Final = 1013
NOT_AUTHORISED: Final = 4401
TOO_MANY: Final = 4429

NOT_IN_TIME: Final = "not authorised in time"
PROCESS_FULL: Final = "the process is full"
REQUESTS: Final = "too many requests"
SUBSCRIPTIONS: Final = "too many subscriptions"
SOCKETS_OF_USER: Final = "too many sockets of this user"
SOCKETS_OF_ADDRESS: Final = "too many sockets of this address"

# Files that are no sockets of clients: listening sockets, cache, database, logs, and requests for pages.
_OTHER_FILES: Final = 256


class TooMany(Exception):
    """A limit is reached; the socket is to be closed.

    Attributes:
        code: The close code.
        reason: What the client is told.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Bucket:
    """A token bucket: so many a second in the long run, and a burst at once.

    Args:
        rate: Tokens that come back a second.
        burst: How many it holds; it begins full.
        clock: Seconds that never go back.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def requests_bucket() -> Bucket:
    """The bucket of one socket's requests, as the settings say."""
    return Bucket(settings.WDS_REQUESTS_PER_SECOND, settings.WDS_REQUESTS_BURST)


def raise_open_files() -> int:
    """Let this process open as many files as `WDS_SOCKETS` needs, as far as the system allows.

    Most systems begin with 1,024 and allow far more to who asks.

    Returns:
        How many sockets it can hold: `WDS_SOCKETS`, or less where the system's limit stands in the way.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted: int = settings.WDS_SOCKETS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return int(settings.WDS_SOCKETS)
    log.warning(
        "WDS_SOCKETS is %d, but the system lets a process open %d files (ulimit -Hn): raise that, or lower WDS_SOCKETS",
        settings.WDS_SOCKETS,
        soft,
    )
    return max(1, soft - _OTHER_FILES)
