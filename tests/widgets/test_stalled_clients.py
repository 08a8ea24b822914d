"""Clients that never read cost a bounded amount of memory, are cut off, and delay nobody."""

import json
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
from websockets.exceptions import ConnectionClosed

from project.embedded import EmbeddedValkey
from tests.services import wait_until
from tests.widgets.serving import Talk, Web, new_token, web_server

_STALL_S = 2
_PRINTS = "stocks:trades:AAPL"
_BOARD = "scanners:top_volume"
_ALERTS = "alerts:momentum"
# More than is kept for a client (4 MB of prints, the newest board, and 200 KB in transport and kernel), several times.
_MESSAGES = 6_000
_A_SECOND = 2_000


def _never_reading(web: Web, token: str, feed: str) -> Talk:
    """A client that asks for a feed, and reads no further than its library does on its own."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.connect(("127.0.0.1", web.port))
    talk = Talk.authorised(web, token, sock=small, max_queue=1, ping_interval=None)
    talk.say(action="subscribe", feed=feed, envelope=True)
    return talk


def _publish(url: str, stop: threading.Event) -> int:
    """Publish prints of 2 KB and a board of 8 KB, evenly; returns how many prints."""
    begun, sent = time.monotonic(), 0
    with redis.Redis.from_url(url) as cache:
        while not stop.is_set() and sent < _MESSAGES:
            with cache.pipeline(transaction=False) as pipe:
                while sent < min(_MESSAGES, (time.monotonic() - begun) * _A_SECOND):
                    pipe.publish(_PRINTS, _payload(sent, 1_950))
                    if sent % 4 == 0:
                        pipe.publish(_BOARD, _payload(sent, 7_950))
                    sent += 1
                pipe.execute()
            stop.wait(0.005)
        for feed in (_PRINTS, _BOARD):
            cache.publish(feed, _payload(sent, 0))
    return sent


def _payload(number: int, padding: int) -> str:
    return json.dumps({"number": number, "at": time.time(), "padding": "x" * padding})


def _read_to_the_end(talk: Talk, seconds: float) -> int:
    """Read what came through until the connection ends; the number of messages that did."""
    deadline, heard = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < deadline:
            talk.socket.recv(timeout=1)
            heard += 1
    except ConnectionClosed:
        return heard
    raise AssertionError("the connection did not end")


def test_clients_that_never_read_are_cut_off_and_delay_nobody(
    valkey: EmbeddedValkey, transactional_db: None, tmp_path: Path
) -> None:
    token = new_token("visitor")
    with (
        web_server(tmp_path, valkey.url, WDS_STALL_SECONDS=str(_STALL_S)) as web,
        Talk.authorised(web, token) as healthy,
    ):
        for feed in (_PRINTS, _BOARD):
            healthy.subscribe(feed, envelope=True)
        before = web.resident_mb()
        stalled = [_never_reading(web, token, feed) for feed in (_PRINTS, _PRINTS, _PRINTS, _BOARD, _BOARD)]
        sent: list[int] = []
        stop = threading.Event()
        publisher = threading.Thread(target=lambda: sent.append(_publish(valkey.url, stop)))
        publisher.start()
        heard: dict[str, list[dict[str, Any]]] = {_PRINTS: [], _BOARD: []}
        late: list[float] = []
        most = 0.0
        try:
            while not all(messages and not messages[-1]["data"]["padding"] for messages in heard.values()):
                message = healthy.hear()
                heard[message["feed"]].append(message)
                late.append(time.time() - message["data"]["at"])
                if len(late) % 500 == 0:
                    most = max(most, web.resident_mb())
        finally:
            stop.set()
            publisher.join()
        # Everything in order and nothing missing of the prints; of the board the latest, always.
        assert [message["data"]["number"] for message in heard[_PRINTS]] == list(range(sent[0] + 1))
        numbers = [message["data"]["number"] for message in heard[_BOARD]]
        assert numbers == sorted(numbers)
        for messages in heard.values():
            assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
        late.sort()
        assert late[int(len(late) * 0.99)] < 2.0
        assert most - before < 30
        said = "a client has not read for"
        wait_until(lambda: web.part.output.count(said) == len(stalled), _STALL_S + 4, "the cut")
        for talk in stalled:
            assert _read_to_the_end(talk, 5) < sent[0]
            talk.socket.close()
        # The healthy one is still there, and so is the room for others.
        assert healthy.ask(action="get", cache="status") == {"cache": "status", "data": None}


def test_a_slow_client_gets_the_latest_board_and_is_told_of_lost_alerts_then_how_things_stand(
    valkey: EmbeddedValkey, transactional_db: None, tmp_path: Path
) -> None:
    with (
        web_server(tmp_path, valkey.url) as web,
        redis.Redis.from_url(valkey.url) as cache,
        _never_reading(web, new_token("visitor"), _ALERTS) as slow,
    ):
        slow.say(action="subscribe", feed=_BOARD, envelope=True)
        wait_until(lambda: cache.pubsub_numsub(_BOARD)[0][1] == 1, 5, "the subscription")
        for number in range(1, 4_001):
            payload = _payload(number, 1_950)
            cache.publish(_ALERTS, payload)
            cache.publish(_BOARD, payload)
        cache.lpush(_ALERTS, _payload(4_000, 0))
        cache.publish(_BOARD, _payload(4_001, 0))
        heard: dict[str, list[Any]] = {_ALERTS: [], _BOARD: []}
        while not heard[_ALERTS] or heard[_ALERTS][-1]["type"] != "snapshot":
            message = slow.hear()
            if "seq" in message:
                heard[message["feed"]].append(message)
    # Conflation leaves no gap.
    boards = [message["data"]["number"] for message in heard[_BOARD]]
    assert [message["seq"] for message in heard[_BOARD]] == list(range(1, len(boards) + 1))
    assert boards == sorted(boards)
    assert boards[-1] == 4_001
    assert len(boards) < 4_000
    # Each alert has the number that it would have had: what is missing was lost, and only the oldest that waited.
    *alerts, snapshot = heard[_ALERTS]
    assert all(message["seq"] == message["data"]["number"] for message in alerts)
    assert [message["seq"] for message in alerts[-2_000:]] == list(range(2_001, 4_001))
    assert len(alerts) < 4_000
    assert (snapshot["seq"], [alert["number"] for alert in snapshot["data"]]) == (4_001, [4_000])


def test_a_large_board_is_in_memory_once_however_many_wait_for_it(
    valkey: EmbeddedValkey, transactional_db: None, tmp_path: Path
) -> None:
    token = new_token("visitor")
    with (
        web_server(tmp_path, valkey.url) as web,
        redis.Redis.from_url(valkey.url) as cache,
        Talk.authorised(web, token) as healthy,
        ExitStack() as stack,
    ):
        slow = [stack.enter_context(_never_reading(web, token, _BOARD)) for _ in range(10)]
        healthy.subscribe(_BOARD)
        for talk in slow:
            assert talk.hear() == {"status": "subscribed", "feed": _BOARD}
        before = web.resident_mb()
        cache.publish(_BOARD, json.dumps(["x" * 3_000_000]))
        assert len(healthy.hear()[0]) == 3_000_000
        assert web.resident_mb() - before < 20
        for talk in slow:
            assert len(talk.hear()["data"][0]) == 3_000_000
