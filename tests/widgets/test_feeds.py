"""Feeds through the real server: what is published in Redis reaches those who asked for it, once and in order."""

import json
import socket
import threading
import time
from typing import Any

import pytest
import redis

from processors.scanning.board_messages import Boards
from processors.store import BOARDS, INTEREST, PATTERNS, Interest
from project.embedded import EmbeddedValkey
from tests.services import wait_until
from tests.widgets.serving import Talk, Web, new_login, new_token
from widgets.readings import BoardCopy

_BOARDS = ("top_volume", "top_gainers", "top_gappers")


def _publish(cache: "redis.Redis", feed: str, data: Any, keep: bool = False) -> None:
    """As the engine does it: the key and the channel have the same name and content."""
    payload = json.dumps(data)
    if keep:
        cache.set(feed, payload)
    cache.publish(feed, payload)


def _rows(*symbols: str) -> list[dict[str, Any]]:
    return [{"symbol": symbol, "rank": rank, "price": 10.5 * rank} for rank, symbol in enumerate(symbols, 1)]


def test_a_client_of_kuhl_haus_sees_the_three_boards(web: Web, cache: "redis.Redis") -> None:
    for board in _BOARDS:
        _publish(cache, f"scanners:{board}", _rows("AAPL", "MSFT"), keep=True)
    with Talk.to(web) as talk:
        # Back to back, without waiting for any answer.
        talk.say(action="auth", api_key=new_token("visitor"))
        for board in _BOARDS:
            talk.say(action="get", cache=f"scanners:{board}")
        for board in _BOARDS:
            talk.say(action="subscribe", feed=f"scanners:{board}")
        assert talk.hear() == {"status": "authorized"}
        for board in _BOARDS:
            assert talk.hear() == {"cache": f"scanners:{board}", "data": _rows("AAPL", "MSFT")}
        for board in _BOARDS:
            assert talk.hear() == {"status": "subscribed", "feed": f"scanners:{board}"}
        wait_until(lambda: all(cache.publish(f"scanners:{board}", "[]") for board in _BOARDS), 5, "the subscriptions")
        while talk.hear() != []:
            pass
        while not talk.hears_nothing():
            assert talk.unexpected == "[]"
        for number, board in enumerate(_BOARDS):
            _publish(cache, f"scanners:{board}", _rows(f"NEW{number}"), keep=True)
        # Bare: the message as it was published, and nothing around it.
        heard = [talk.hear() for _ in _BOARDS]
        assert sorted(rows[0]["symbol"] for rows in heard) == ["NEW0", "NEW1", "NEW2"]
        assert talk.hears_nothing()


def test_overlapping_subscriptions_bring_a_message_once(talk: Talk, cache: "redis.Redis") -> None:
    for feed in ("scanners:*", "scanners:top_*", "scanners:top_volume", "scan" + "ners:top_v*", "scanners:top_volume"):
        talk.subscribe(feed)
    for feed in ("scanners:top_volume", "scanners:top_gainers", "scanners:halts"):
        _publish(cache, feed, [feed])
        assert talk.hear() == [feed]
    assert talk.hears_nothing()
    # The next narrower or wider takes over, still once.
    for gone in ("scanners:top_volume", "scanners:top_v*", "scanners:top_*"):
        assert talk.ask(action="unsubscribe", feed=gone) == {"status": "unsubscribed", "feed": gone}
        _publish(cache, "scanners:top_volume", [gone])
        assert talk.hear() == [gone]
    assert talk.ask(action="unsubscribe", feed="scanners:*") == {"status": "unsubscribed", "feed": "scanners:*"}
    _publish(cache, "scanners:top_volume", ["nobody"])
    assert talk.hears_nothing()


def test_adding_a_narrower_subscription_loses_nothing_of_the_wider(talk: Talk, cache: "redis.Redis") -> None:
    talk.subscribe("stocks:trades:*")
    sent = 400
    halfway = threading.Event()

    def publish() -> None:
        for number in range(sent):
            cache.publish("stocks:trades:AAPL", str(number))
            if number == 50:
                halfway.set()

    publisher = threading.Thread(target=publish)
    publisher.start()
    halfway.wait(5)
    for feed in ("stocks:trades:AA*", "stocks:trades:AAPL"):
        talk.say(action="subscribe", feed=feed)
    heard = [message for message in (talk.hear() for _ in range(sent + 2)) if isinstance(message, int)]
    publisher.join()
    assert heard == list(range(sent))


def test_unsubscribing_stops_a_feed_for_one_client_only(web: Web, talk: Talk, cache: "redis.Redis") -> None:
    with Talk.authorised(web, new_token("other")) as other:
        talk.subscribe("status")
        other.subscribe("status")
        _publish(cache, "status", 1)
        assert (talk.hear(), other.hear()) == (1, 1)
        assert talk.ask(action="unsubscribe", feed="status") == {"status": "unsubscribed", "feed": "status"}
        _publish(cache, "status", 2)
        assert other.hear() == 2
        assert talk.hears_nothing()
    # And what was never subscribed is no error.
    assert talk.ask(action="unsubscribe", feed="news:latest") == {"status": "unsubscribed", "feed": "news:latest"}


def test_a_feed_can_be_taken_again_after_everybody_left_it(web: Web, talk: Talk, cache: "redis.Redis") -> None:
    for number in range(5):
        talk.subscribe("scanners:top_volume")
        _publish(cache, "scanners:top_volume", [number])
        assert talk.hear() == [number]
        talk.ask(action="unsubscribe", feed="scanners:top_volume")
    wait_until(lambda: not cache.pubsub_numsub("scanners:top_volume")[0][1], 2, "Redis being told")


def test_an_enveloped_feed_counts_from_its_snapshot(talk: Talk, cache: "redis.Redis") -> None:
    feed = "scanners:top_volume"
    _publish(cache, feed, ["now"], keep=True)
    talk.subscribe(feed, envelope=True, snapshot=True)
    heard = [*talk.heard_before_invalid] or [talk.hear()]
    assert heard == [{"feed": feed, "seq": 1, "type": "snapshot", "data": ["now"]}]
    for number in (2, 3, 4):
        _publish(cache, feed, [number], keep=True)
        assert talk.hear() == {"feed": feed, "seq": number, "type": "update", "data": [number]}
    # Asked for once more: another snapshot, and the numbers go on.
    talk.subscribe(feed, envelope=True, snapshot=True)
    heard = [*talk.heard_before_invalid] or [talk.hear()]
    assert heard == [{"feed": feed, "seq": 5, "type": "snapshot", "data": [4]}]
    _publish(cache, feed, ["last"], keep=True)
    assert talk.hear() == {"feed": feed, "seq": 6, "type": "update", "data": ["last"]}
    assert talk.hears_nothing()


def test_an_empty_feed_has_an_empty_snapshot(talk: Talk) -> None:
    talk.subscribe("scanners:never_published", envelope=True, snapshot=True)
    heard = [*talk.heard_before_invalid] or [talk.hear()]
    assert heard == [{"feed": "scanners:never_published", "seq": 1, "type": "snapshot", "data": None}]


def test_snapshot_and_stream_meet_without_gap_or_step_back(talk: Talk, cache: "redis.Redis") -> None:
    feed = "scanners:busy"
    stop = threading.Event()
    numbers = iter(range(1_000_000))

    def publish() -> None:
        while not stop.wait(0.0005):
            with cache.pipeline(transaction=True) as pipe:
                payload = str(next(numbers))
                pipe.set(feed, payload)
                pipe.publish(feed, payload)
                pipe.execute()

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        wait_until(lambda: cache.exists(feed), what="the first value")
        seq = 0
        for _ in range(20):
            talk.say(action="subscribe", feed=feed, envelope=True, snapshot=True)
            values: list[int] = []
            kinds: list[str] = []
            # On a slow machine many updates come before the request is read.
            while len(values) < 10 or "snapshot" not in kinds:
                message = talk.hear()
                if message == {"status": "subscribed", "feed": feed}:
                    kinds.clear()
                    values.clear()
                    continue
                seq += 1
                assert message["seq"] == seq
                kinds.append(message["type"])
                values.append(message["data"])
            after = values[kinds.index("snapshot") :]
            assert after == sorted(set(after))
    finally:
        stop.set()
        publisher.join()


def test_wildcards_tell_the_concrete_feed_in_the_envelope(talk: Talk, cache: "redis.Redis") -> None:
    # The engine has no boards yet, so there is nothing to begin with.
    talk.subscribe("scanners:*", envelope=True, snapshot=True)
    for number, board in enumerate(_BOARDS):
        _publish(cache, f"scanners:{board}", number)
        assert talk.hear() == {"feed": f"scanners:{board}", "seq": 1, "type": "update", "data": number}


def test_get_answers_with_the_newest_of_a_list(talk: Talk, cache: "redis.Redis") -> None:
    _publish(cache, "scanners:top_volume", _rows("A", "B", "C"), keep=True)
    for limit, symbols in ((1, "A"), (2, "AB"), (3, "ABC"), (400, "ABC"), (None, "ABC")):
        answer = talk.ask(action="get", cache="scanners:top_volume", limit=limit)
        assert answer == {"cache": "scanners:top_volume", "data": _rows(*symbols)}
    assert talk.ask(action="get", cache="scanners:*") == {"cache": "scanners:*", "data": None}


def test_a_board_of_a_megabyte_reaches_the_client(talk: Talk, cache: "redis.Redis") -> None:
    # Far above what a client may send.
    rows = _rows(*(f"SYM{number}" for number in range(20_000)))
    talk.subscribe("scanners:top_volume")
    _publish(cache, "scanners:top_volume", rows, keep=True)
    assert talk.hear() == rows
    assert talk.ask(action="get", cache="scanners:top_volume")["data"] == rows
    _publish(cache, "scanners:top_volume", ["small again"])
    assert talk.hear() == ["small again"]


_OPERATORS = (
    "status:components",
    "unknown",
    "unknown:5",
    "unknown*",
    "unknown:*",
    "status*",
    "status:*",
    "status:comp*",
)
# Redis carries more than feeds; the broker's channels are there too when it is the broker.
_NO_FEEDS = (
    "*",
    "s*",
    "u*",
    "broker:*",
    "tw:hub",
    "tw:*",
    "/0.celery.pidbox",
    "django:*",
    "tw:source",
    "session",
    "b*",
)


@pytest.mark.parametrize("action", ["subscribe", "get"])
def test_what_is_for_operators_is_forbidden_to_others(talk: Talk, cache: "redis.Redis", action: str) -> None:
    for feed in (*_OPERATORS, *_NO_FEEDS):
        assert talk.ask(action=action, feed=feed, cache=feed) == {"status": "forbidden", "feed": feed}
    for feed in _OPERATORS:
        _publish(cache, feed.rstrip("*"), "secret", keep=True)
    assert talk.hears_nothing()
    assert talk.ask(action="get", cache="status")["cache"] == "status"


def test_operators_may_read_what_is_for_them_and_no_internals(web: Web, cache: "redis.Redis") -> None:
    _, session = new_login("operator", staff=True)
    with Talk.to(web, origin=web.origin, cookie=session) as talk:
        for feed in ("status:components", "unknown", "unknown*"):
            talk.subscribe(feed)
        _publish(cache, "status:components", {"listener": "live"}, keep=True)
        assert talk.hear() == {"listener": "live"}
        assert talk.ask(action="get", cache="status:components")["data"] == {"listener": "live"}
        for feed in _NO_FEEDS:
            assert talk.ask(action="subscribe", feed=feed) == {"status": "forbidden", "feed": feed}


def test_a_socket_has_a_bounded_number_of_subscriptions(talk: Talk) -> None:
    for number in range(1_000):
        talk.say(action="subscribe", feed=f"quote:SYM{number}")
    assert {talk.hear()["status"] for _ in range(1_000)} == {"subscribed"}
    # One that stands can still be renewed.
    assert talk.ask(action="subscribe", feed="quote:SYM1")["status"] == "subscribed"
    talk.say(action="subscribe", feed="quote:ONEMORE")
    assert talk.end() == (4429, "too many subscriptions")


def test_workers_hear_of_what_is_wanted(talk: Talk, cache: "redis.Redis", valkey: EmbeddedValkey) -> None:
    interest = Interest(cache)
    told = int(cache.get(INTEREST) or 0)
    talk.subscribe("quote:AAPL")
    talk.subscribe("stocks:trades:*")
    assert int(cache.get(INTEREST) or 0) > told
    assert cache.zscore(PATTERNS, "stocks:trades:*") is not None
    interest.refresh()
    assert interest.wanted("quote:AAPL")
    assert interest.wanted("stocks:trades:MSFT")
    assert not interest.wanted("quote:MSFT")
    assert interest.any_of("quote:")
    assert interest.any_of("stocks:trades:")
    assert not interest.any_of("stocks:quotes:")
    told = int(cache.get(INTEREST) or 0)
    talk.ask(action="unsubscribe", feed="quote:AAPL")
    wait_until(lambda: int(cache.get(INTEREST) or 0) > told, 2, "the counter")
    interest.told(int(cache.get(INTEREST) or 0))
    interest.refresh()
    assert not interest.wanted("quote:AAPL")


def test_what_a_client_wanted_goes_with_it(web: Web, cache: "redis.Redis") -> None:
    with Talk.authorised(web, new_token("visitor")) as talk:
        talk.subscribe("quote:GONE")
        talk.subscribe("news:*")
        assert cache.pubsub_numsub("quote:GONE")[0][1] == 1
    wait_until(lambda: cache.pubsub_numsub("quote:GONE")[0][1] == 0, 3, "the end of the subscription")
    wait_until(lambda: cache.pubsub_numpat() == 0, 3, "the end of the pattern")


def test_a_board_by_deltas_is_rebuilt_by_the_client(talk: Talk, cache: "redis.Redis") -> None:
    feed, boards, copy = "scanners:top_volume", Boards({}, {}), BoardCopy()
    kinds: list[str] = []
    talk.subscribe(feed, envelope=True, delta=True)
    heard = [*talk.heard_before_invalid] or [talk.hear()]
    assert heard == [{"feed": feed, "seq": 1, "type": "snapshot", "data": []}]
    assert copy.take(heard[0])
    for number in range(30):
        rows = [
            (symbol, b'{"symbol":"%s","price":%d,"name":"%s"}' % (symbol.encode(), number % 7, b"x" * 50))
            for symbol in ("AAPL", "MSFT", "NVDA", "TSLA", "AMD")[number % 2 : 3 + number % 3]
        ]
        with cache.pipeline(transaction=True) as pipe:
            for message in boards.show("top_volume", rows, 0.0, with_delta=True):
                if message.life_ms:
                    pipe.set(message.key, message.payload)
                pipe.publish(message.key, message.payload)
            pipe.hset(BOARDS, "top_volume", boards.version("top_volume"))
            pipe.execute()
        message = talk.hear()
        kinds.append(message["type"])
        assert copy.take(message)
        assert copy.rows() == talk.ask(action="get", cache=feed)["data"]
    assert kinds.count("delta") > 10


def test_a_rate_is_kept_and_the_last_message_is_not_lost(talk: Talk, cache: "redis.Redis") -> None:
    talk.subscribe("stocks:trades:*", envelope=True, max_rate=10)
    begun = time.monotonic()
    for number in range(200):
        cache.publish("stocks:trades:AAPL", number)
        time.sleep(0.002)
    heard = [talk.hear()]
    while heard[-1]["data"] < 199:
        heard.append(talk.hear())
    assert len(heard) <= (time.monotonic() - begun) * 10 + 2
    assert [message["seq"] for message in heard] == list(range(1, len(heard) + 1))


def test_a_ping_is_answered_in_its_turn(talk: Talk) -> None:
    talk.say(action="get", cache="status")
    answer = talk.ask(action="ping")
    assert answer == {"cache": "status", "data": None}
    answer = talk.hear()
    assert answer["status"] == "pong"
    assert abs(answer["at"] / 1_000 - time.time()) < 60


def test_nothing_is_left_of_sockets_that_end_in_the_middle(web: Web, cache: "redis.Redis") -> None:
    token = new_token("visitor")
    for number in range(10):
        talk = Talk.authorised(web, token)
        for feed in ("quote:A", "quote:B", "scanners:*", "alerts*", "news:latest"):
            talk.say(action="subscribe", feed=feed, envelope=True, snapshot=True, delta=number % 2 == 0)
            talk.say(action="get", cache="alerts")
        if number % 3 == 0:
            # Without a goodbye.
            talk.socket.socket.shutdown(socket.SHUT_RDWR)
        talk.socket.close()

    def gone() -> bool:
        return {channel[:3] for channel in cache.pubsub_channels("*")} <= {b"tw:"} and not cache.pubsub_numpat()

    wait_until(gone, 5, "the end of the subscriptions")
    assert "Traceback" not in web.part.output
