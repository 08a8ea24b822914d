"""What the vendor knows of a symbol, asked for by the server and kept in the cache: no key reaches a browser, and a
hundred browsers that look at a symbol cost one call.

What was had once is shown, as stale, while nothing newer can be had.
"""

import logging
from collections.abc import Mapping
from secrets import token_hex
from time import monotonic, sleep, time
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec
from django.conf import settings

from control.counting import made
from processors.reference.vendor import NotEntitledError, TooManyCallsError, Vendor, VendorError
from processors.seeding.rest_bars import is_here
from processors.store import Source, Store

log = logging.getLogger(__name__)

_HOUR_S: Final = 3_600
_DAY_S: Final = 24 * _HOUR_S
# Somebody waits for it.
_CALL_S: Final = 8.0
_LEASE_MS: Final = 15_000
_LOOK_EVERY_S: Final = 0.05
# What was had is kept, to be shown while nothing newer can be had: at most so long, and no more than so many times as
# it is as good as new. News are large, and of yesterday none.
_KEPT_S: Final = 7 * _DAY_S
_KEPT_LIVES: Final = 60
# Before it is asked for again: that failed; what the key may not have, or the vendor does not know.
_FAILED_AGAIN_S: Final = 5.0
_REFUSED_AGAIN_S: Final = 600.0
_MINUTE_S: Final = 60


class Kind(NamedTuple):
    """A kind of data of a symbol.

    Attributes:
        name: In cache keys.
        path: Of the call; `{symbol}` is the ticker.
        query: Of the call; the ticker is added where the path has none.
        life_s: How long an answer is as good as new, seconds.
    """

    name: str
    path: str
    query: Mapping[str, str]
    life_s: float


DETAILS: Final = Kind("details", "/v3/reference/tickers/{symbol}", {}, _DAY_S)
NEWS: Final = Kind("news", "/v2/reference/news", {"order": "desc", "sort": "published_utc", "limit": "50"}, 60)
SHORT_INTEREST: Final = Kind(
    "short_interest", "/stocks/v1/short-interest", {"sort": "settlement_date.desc", "limit": "50"}, 6 * _HOUR_S
)
SHORT_VOLUME: Final = Kind("short_volume", "/stocks/v1/short-volume", {"sort": "date.desc", "limit": "100"}, _HOUR_S)
SPLITS: Final = Kind("splits", "/stocks/v1/splits", {"sort": "execution_date.desc", "limit": "100"}, 6 * _HOUR_S)
DIVIDENDS: Final = Kind(
    "dividends", "/stocks/v1/dividends", {"sort": "ex_dividend_date.desc", "limit": "100"}, 6 * _HOUR_S
)


class Answer(msgspec.Struct, frozen=True):
    """What is known.

    Attributes:
        results: Massive's own: an object of `DETAILS`, else a list of them; None where the vendor knows nothing.
        fetched_at: When, epoch seconds; 0: never.
        problem: Why nothing newer can be had; empty: it is as good as new.
        again_at: Before, the vendor is not asked for it again, epoch seconds.
    """

    results: Any = None
    fetched_at: float = 0.0
    problem: str = ""
    again_at: float = 0.0

    def is_settled(self, kind: Kind, now: float) -> bool:
        """Whether the vendor need not, or must not, be asked now."""
        return now < self.again_at if self.problem else now < self.fetched_at + kind.life_s


class NotToBeHad(Exception):
    """There is nothing to show. Its text says why.

    Args:
        problem: Why.
        wait_s: Seconds until it may be asked for again.
    """

    def __init__(self, problem: str, wait_s: float) -> None:
        self.wait_s = max(1.0, wait_s)
        super().__init__(problem)


_decode: Final = msgspec.json.Decoder(Answer).decode


def market_data(store: Store, base: str, key: str, kind: Kind, symbol: str) -> Answer:
    """What the vendor knows of a symbol, from the cache if it is there.

    Args:
        store: The cache.
        base: Where REST calls go.
        key: The key that they take there.
        kind: What to know.
        symbol: A stock's ticker.

    Raises:
        NotToBeHad: Nothing is known, and cannot be had now.
        redis.RedisError: The cache cannot be reached.
    """
    cache_key = f"{_world(store.source(), base)}:symbol:{kind.name}:{symbol}"
    lease, token = f"{cache_key}:asking", token_hex(8)
    deadline = monotonic() + _CALL_S + 1.0
    while not (answer := _kept(store, cache_key)).is_settled(kind, time()):
        if store.hold_lease(lease, token, _LEASE_MS):
            try:
                # Somebody may have had it since it was looked for.
                answer = _kept(store, cache_key)
                if not answer.is_settled(kind, time()):
                    answer = _asked(base, key, kind, symbol, answer)
                    store.redis.set(cache_key, msgspec.json.encode(answer), ex=_kept_s(answer, kind))
            finally:
                store.release_lease(lease, token)
            break
        # Somebody else asks.
        if answer.fetched_at:
            return msgspec.structs.replace(answer, problem="it is being asked for")
        if monotonic() > deadline:
            raise NotToBeHad("the vendor takes too long", _FAILED_AGAIN_S)
        sleep(_LOOK_EVERY_S)
    if answer.problem and not answer.fetched_at:
        raise NotToBeHad(answer.problem, answer.again_at - time())
    return answer


def _kept(store: Store, cache_key: str) -> Answer:
    raw = store.redis.get(cache_key)
    return _decode(raw) if raw else Answer()


def _kept_s(answer: Answer, kind: Kind) -> int:
    """How long it stays in the cache: what says nothing only while nobody need ask again, or whoever asks for tickers
    that are none would fill it."""
    if answer.results:
        return round(min(_KEPT_S, _KEPT_LIVES * kind.life_s))
    return max(1, round(answer.again_at - time() if answer.problem else kind.life_s))


def _world(source: Source | None, base: str) -> str:
    """Whose data it is: the real market's stands for every live source, another world's goes with that."""
    return f"tw:rest:{urlsplit(base).netloc}" if source is None or source.kind == "live" else f"tw:rest:{source.id}"


def _asked(base: str, key: str, kind: Kind, symbol: str, before: Answer) -> Answer:
    """The vendor's answer, or the one before with why there is no newer."""
    now = time()
    try:
        _wait_for_turn(base)
        with Vendor(base, key, _CALL_S) as vendor:
            path = kind.path.format(symbol=quote(symbol, safe=""))
            query = dict(kind.query) if "{" in kind.path else {**kind.query, "ticker": symbol}
            results = msgspec.json.decode(vendor.page(path, query).results)
    except TooManyCallsError as error:
        return _failed(before, str(error), now + error.wait_s)
    except NotEntitledError as error:
        return _failed(before, f"the key is not entitled to it ({error})", now + _REFUSED_AGAIN_S)
    except VendorError as error:
        if error.status == 404:
            return Answer(None, now)
        log.warning("%s of %s cannot be had from %s: %s", kind.name, symbol, base, error)
        return _failed(before, str(error), now + _FAILED_AGAIN_S)
    except msgspec.DecodeError:
        return _failed(before, "its answer cannot be read", now + _FAILED_AGAIN_S)
    return Answer(results, now)


def _failed(before: Answer, problem: str, again_at: float) -> Answer:
    return msgspec.structs.replace(before, problem=problem, again_at=again_at)


def _wait_for_turn(base: str) -> None:
    """Leave half of what the key's plan bears to reference data and bars.

    Raises:
        TooManyCallsError: It is used up for this minute.
    """
    if is_here(base):
        return
    calls, resets_ms = made(f"tw:rest:calls:{urlsplit(base).netloc}", _MINUTE_S)
    if calls > max(1, settings.MASSIVE_REST_CALLS_A_MINUTE // 2):
        raise TooManyCallsError("the calls of this minute are used up (MASSIVE_REST_CALLS_A_MINUTE)", resets_ms / 1_000)
