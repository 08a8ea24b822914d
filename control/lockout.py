"""Lockout: who guesses passwords has to wait. Counted in the cache, so that all web processes know.

Three counts: of one account from one address, which stops who guesses; of one address, which stops who tries one
password with many accounts; and of one account from everywhere, which stops who has many addresses, and comes late,
since it locks the owner out, too; what is refused by the others does not count there, or one address would do it. The
owner still comes in by passkey, and an administrator can lift it.
"""

import logging
import math
from hashlib import sha256
from typing import Final, NamedTuple

import redis

from control.counting import made
from processors.store import LOCKOUT, default_store
from widgets.visitors.origins import household

log = logging.getLogger(__name__)


class _Limit(NamedTuple):
    failures: int
    within_s: int


_OF_ACCOUNT_AND_ADDRESS: Final = _Limit(5, 300)
_OF_ADDRESS: Final = _Limit(30, 300)
_OF_ACCOUNT: Final = _Limit(100, 3_600)


class Attempt:
    """One try to log in. It counts as failed until `succeeded` says otherwise, so that many at once gain nothing.

    Args:
        login: The account's name or mail address, as it was typed; whether there is such a one makes no difference.
        address: The client's.
    """

    def __init__(self, login: str, address: str) -> None:
        account = _digest(login.strip().casefold())
        self._address = household(address)
        self._account_key = f"{LOCKOUT}account:{account}"
        self._addresses_key = f"{LOCKOUT}addresses:{account}"
        # As they are asked: who is refused by one is not counted by the next, and leaves no more keys behind.
        self._limits = {
            f"{LOCKOUT}address:{self._address}": _OF_ADDRESS,
            _both_key(account, self._address): _OF_ACCOUNT_AND_ADDRESS,
            self._account_key: _OF_ACCOUNT,
        }

    def wait_s(self) -> int:
        """Count it; how long to wait before another is listened to, in seconds. 0: this one is.

        While the cache is away nothing is counted: whoever runs the system gets in to mend it.
        """
        try:
            for key, limit in self._limits.items():
                if left_ms := self._count(key, limit):
                    return math.ceil(left_ms / 1_000)
                if limit is _OF_ADDRESS:
                    self._note_address()
        except redis.RedisError as error:
            log.warning("cache unreachable: failed logins are not counted: %s", error)
        return 0

    def succeeded(self) -> None:
        """Forget the failures of this account at this address; of the other counts, take this one back."""
        address, both, account = self._limits
        try:
            with default_store().redis.pipeline() as pipe:
                pipe.delete(both)
                # A count that has run out meanwhile would come back, to stay for good.
                for key in (address, account):
                    pipe.eval("if redis.call('exists', KEYS[1]) == 1 then redis.call('decr', KEYS[1]) end", 1, key)
                pipe.execute()
        except redis.RedisError as error:
            log.warning("cache unreachable: a login is not uncounted: %s", error)

    def _note_address(self) -> None:
        """Note whence the account is tried, for `lift`."""
        with default_store().redis.pipeline() as pipe:
            pipe.sadd(self._addresses_key, self._address)
            pipe.expire(self._addresses_key, _OF_ACCOUNT.within_s)
            pipe.execute()

    def _count(self, key: str, limit: _Limit) -> int:
        """Count once more; the milliseconds for which the limit is passed."""
        failures, left_ms = made(key, limit.within_s)
        return left_ms if failures > limit.failures else 0


def lift(*logins: str) -> None:
    """Let an account be tried again, under each of its names, from wherever it was tried.

    Raises:
        RedisError: The cache is away.
    """
    cache = default_store().redis
    for login in logins:
        account = _digest(login.strip().casefold())
        addresses_key = f"{LOCKOUT}addresses:{account}"
        addresses = [address.decode() for address in cache.smembers(addresses_key)]
        of_addresses = [key for each in addresses for key in (_both_key(account, each), f"{LOCKOUT}address:{each}")]
        cache.delete(addresses_key, f"{LOCKOUT}account:{account}", *of_addresses)


def in_words(seconds: int) -> str:
    """How long to wait, such as `4 minutes`."""
    if seconds <= 90:
        return f"{seconds} second{'s' if seconds != 1 else ''}"
    return f"{math.ceil(seconds / 60)} minutes"


def _both_key(account: str, address: str) -> str:
    return f"{LOCKOUT}both:{account}:{address}"


def _digest(account: str) -> str:
    # People type passwords where names belong: what they typed is not kept.
    return sha256(account.encode()).hexdigest()[:32]
