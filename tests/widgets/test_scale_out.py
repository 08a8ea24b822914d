"""Two web processes that share a listening socket: any client on any of them, and one of them may go."""

import itertools
import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.db import connection
from websockets.exceptions import ConnectionClosed

from control.models import ApiToken
from processors.store import WDS_PROCESSES, wds_process_key
from project.embedded import EmbeddedValkey
from tests import services
from tests.services import wait_until
from tests.widgets.serving import Talk, Web, new_token
from widgets.visitors.presence import Process, processes

_PER_USER = 4


class Pair:
    """Two web processes on one listening socket.

    Args:
        stack: Ends what is started.
        folder: Theirs.
        redis_url: Their cache.
    """

    def __init__(self, stack: ExitStack, folder: Path, redis_url: str) -> None:
        self._stack = stack
        self._folder = folder
        self._socket = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        self._environment = services.environment(
            folder,
            REDIS_URL=redis_url,
            DATABASE_URL=f"sqlite:///{connection.settings_dict['NAME']}",
            WDS_SOCKETS_PER_USER=str(_PER_USER),
        )
        self._cache = stack.enter_context(redis.Redis.from_url(redis_url))
        self._started = 0
        self.numbers = itertools.count()
        self.webs: list[Web] = []

    def complete(self) -> None:
        """Start what is missing, and return when both serve and know of each other."""
        self.webs = [web for web in self.webs if web.part.process.poll() is None]
        while len(self.webs) < 2:
            self._started += 1
            part = self._stack.enter_context(
                services.running(
                    (sys.executable, "-m", "project.server", "--fd", str(self._socket.fileno())),
                    env=self._environment,
                    log=self._folder / f"web{self._started}.log",
                    pass_fds=(self._socket.fileno(),),
                )
            )
            self.webs.append(Web(self._socket.getsockname()[1], part))
        wait_until(
            lambda: {web.part.process.pid for web in self.webs} <= set(self.alive()), 30, "both processes", every=0.05
        )

    def alive(self) -> dict[int, Process]:
        """What the processes say that are heard of, by process id; a killed one is for a few seconds."""
        return {int(process.name.rpartition(":")[2]): process for process in processes(self._cache)}

    def seats(self) -> dict[str, int]:
        """On which process each user's newest socket is."""
        return {connection.username: pid for pid, process in self.alive().items() for connection in process.connections}

    def __getitem__(self, pid: int) -> Web:
        return next(web for web in self.webs if web.part.process.pid == pid)


@pytest.fixture(scope="module")
def _pair(
    _valkey_server: EmbeddedValkey, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, tmp_path_factory.mktemp("webs"), _valkey_server.url)


@pytest.fixture
def pair(_pair: Pair, valkey: EmbeddedValkey, transactional_db: None) -> Pair:
    """Both processes run; nobody is connected yet."""
    _pair.complete()
    return _pair


@pytest.fixture
def audience(pair: Pair) -> Iterator[dict[int, dict[str, Talk]]]:
    """Clients on both processes, each a user of its own, by process and user."""
    with ExitStack() as stack:
        talks: dict[str, Talk] = {}

        def on_both() -> bool:
            seats = pair.seats()
            if set(talks) <= set(seats) and len(set(seats.values())) == 2 and len(talks) >= 6:
                return True
            if set(talks) <= set(seats):
                for _ in range(6):
                    # A name of its own: what was said of an earlier test's clients may still be there.
                    name = f"user{next(pair.numbers)}"
                    talks[name] = stack.enter_context(Talk.authorised(pair.webs[0], new_token(name)))
            return False

        wait_until(on_both, 15, "clients on both processes")
        seats = pair.seats()
        yield {pid: {name: talks[name] for name in talks if seats[name] == pid} for pid in set(seats.values())}


def _everyone(audience: dict[int, dict[str, Talk]]) -> dict[str, Talk]:
    return {name: talk for talks in audience.values() for name, talk in talks.items()}


def test_a_message_reaches_clients_on_every_process_and_a_private_one_its_owner_alone(
    pair: Pair, audience: dict[int, dict[str, Talk]], cache: "redis.Redis"
) -> None:
    owners = {next(iter(talks)) for talks in audience.values()}
    numbers = dict(User.objects.values_list("username", "pk"))
    for name, talk in _everyone(audience).items():
        talk.subscribe("quote:AAPL")
        talk.subscribe(f"alerts:user:{numbers[name]}")
        for owner in owners - {name}:
            talk.say(action="subscribe", feed=f"alerts:user:{numbers[owner]}")
            assert talk.hear()["status"] == "forbidden"
        talk.subscribe("alerts:*")
    assert cache.publish("quote:AAPL", '{"price":1.5}') == 2
    for talk in _everyone(audience).values():
        assert talk.hear() == {"price": 1.5}
    for owner in owners:
        cache.publish(f"alerts:user:{numbers[owner]}", json.dumps({"for": owner}))
    cache.publish("quote:AAPL", '{"price":1.6}')
    for name, talk in _everyone(audience).items():
        if name in owners:
            assert talk.hear() == {"for": name}
        assert talk.hear() == {"price": 1.6}


def test_a_users_sockets_are_counted_and_seen_over_all_processes(pair: Pair) -> None:
    token = ApiToken.issue(User.objects.create_superuser("chief"), scopes=["read", "operate"])[1]

    def seen(query: str = "") -> Any:
        request = urllib.request.Request(
            f"{pair.webs[0].origin}/api/v1/sockets{query}", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)

    with ExitStack() as stack:
        talks = [stack.enter_context(Talk.authorised(pair.webs[0], token)) for _ in range(_PER_USER)]
        talks[0].subscribe("quote:SEEN")
        wait_until(lambda: seen()["feeds"] == {"quote:SEEN": 1} and seen()["total"] == _PER_USER, 5, "all of them")
        assert {(entry["username"], entry["address"]) for entry in seen()["sockets"]} == {("chief", "127.0.0.1")}
        (entry,) = seen("?feed=quote:SEEN")["sockets"]
        assert entry["feeds"] == ["quote:SEEN"]
        assert len(seen("?limit=2")["sockets"]) == 2
        assert seen("?user=nobody")["sockets"] == []
        # Wherever it comes to: each process has heard of the others' sockets by now, or does within a second.
        wait_until(lambda: _refused_everywhere(pair, token), 5, "the refusal")


def test_a_process_that_hangs_gets_no_new_clients(pair: Pair) -> None:
    hanging, other = pair.webs
    token = new_token("visitor")
    os.kill(hanging.part.process.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            with Talk.authorised(other, token) as talk:
                assert talk.ask(action="?") == {"status": "invalid action"}
    finally:
        os.kill(hanging.part.process.pid, signal.SIGCONT)


def _refused_everywhere(pair: Pair, token: str) -> bool:
    endings = set()
    for _ in range(8):
        with Talk.to(pair.webs[0]) as talk:
            try:
                if talk.ask(action="auth", api_key=token) == {"status": "authorized"}:
                    return False
            except ConnectionClosed:
                pass
            endings.add((talk.close_code(), talk.socket.close_reason))
    return endings == {(4429, "too many sockets of this user")}


def test_a_killed_process_leaves_the_others_clients_alone_and_nothing_behind(
    pair: Pair, audience: dict[int, dict[str, Talk]], cache: "redis.Redis"
) -> None:
    (killed, gone), (stays, kept) = audience.items()
    for talk in _everyone(audience).values():
        talk.subscribe("quote:AAPL")
    pair[killed].part.process.kill()
    for talk in gone.values():
        assert talk.close_code() == 1006
    # They come back to the one that is left.
    returned = [Talk.authorised(pair[stays], new_token(name)) for name in gone]
    for talk in returned:
        talk.subscribe("quote:AAPL")
    cache.publish("quote:AAPL", '{"price":2.5}')
    for talk in (*kept.values(), *returned):
        assert talk.hear() == {"price": 2.5}
        talk.socket.close()
    # What it said of its sockets goes by itself, and is all that there is of them.
    keys = {bytes(key).decode() for key in cache.scan_iter("tw:wds*")}
    assert keys <= {WDS_PROCESSES, *(wds_process_key(process.name) for process in pair.alive().values())}
    lives = {cache.ttl(key) for key in keys - {WDS_PROCESSES}}
    assert -1 not in lives
    assert max(lives) <= 5


def test_a_process_that_ends_tells_its_clients_to_reconnect_and_not_all_at_once(
    pair: Pair, audience: dict[int, dict[str, Talk]], cache: "redis.Redis"
) -> None:
    (ended, leaving), (stays, kept) = audience.items()
    for talk in _everyone(audience).values():
        talk.subscribe("quote:AAPL", envelope=True)
    pair[ended].part.process.send_signal(signal.SIGTERM)
    delays = []
    for talk in leaving.values():
        notice = talk.hear()
        assert notice["status"] == "reconnect"
        delays.append(notice["after_ms"])
        assert talk.close_code() == 1012
    assert len(set(delays)) == len(delays)
    assert all(0 <= delay <= 5_000 for delay in delays)
    assert pair[ended].part.process.wait(5) == 0
    # It took back at once what it had said of its sockets.
    assert ended not in pair.alive()
    # The socket that both listened on still takes clients, and those of the other noticed nothing.
    with Talk.authorised(pair[stays], new_token("late")) as late:
        late.subscribe("quote:AAPL")
        cache.publish("quote:AAPL", '{"price":3.5}')
        assert late.hear() == {"price": 3.5}
        for talk in kept.values():
            assert talk.hear()["data"] == {"price": 3.5}
