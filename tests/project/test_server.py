"""The web server's own part: pages and sockets over one port, the brake, its command line."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.db import connection as database
from django.utils import timezone
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect
from websockets.uri import parse_uri

from control.models import ApiToken
from processors.store import default_store
from project.embedded import EmbeddedValkey
from project.env import BASE_DIR
from tests import services
from tests.widgets.serving import Talk, Web, new_token, web_server

_BOARD = "scanners:top_volume"


@pytest.fixture(scope="module")
def _web(
    _valkey_server: EmbeddedValkey, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    with web_server(tmp_path_factory.mktemp("web"), _valkey_server.url) as web:
        yield web


@pytest.fixture
def web(_web: Web, valkey: EmbeddedValkey, transactional_db: None) -> Web:
    """The real server, with an empty cache and database."""
    return _web


class _Wire:
    """A WebSocket by hand on a connection of ours, so that a test decides what is read and when."""

    def __init__(self, connection: socket.socket, port: int) -> None:
        self.connection = connection
        self.connection.settimeout(10)
        self.protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/ws"), max_size=None)
        self.protocol.send_request(self.protocol.connect())
        self._flush()
        while self.protocol.state.name == "CONNECTING":
            self._read()
        self.frames = [event for event in self.protocol.events_received() if isinstance(event, Frame)]

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.connection.sendall(data)

    def _read(self) -> bool:
        data = self.connection.recv(65_536)
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        return bool(data)

    def say(self, **message: object) -> None:
        self.protocol.send_text(json.dumps(message).encode())
        self._flush()

    def hear(self) -> object:
        while not self.frames:
            assert self._read(), "the connection ended"
            self._flush()
            self.frames += [event for event in self.protocol.events_received() if isinstance(event, Frame)]
        frame = self.frames.pop(0)
        assert frame.opcode is Opcode.TEXT
        return json.loads(bytes(frame.data))

    def closed(self) -> tuple[int, str]:
        """Read to the end; the close code and reason."""
        while self.protocol.close_rcvd is None:
            assert self._read(), "the connection ended without a close frame"
            self._flush()
        return self.protocol.close_rcvd.code, self.protocol.close_rcvd.reason


def test_pages_then_a_socket_over_one_connection(web: Web) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    for path, status in (("/healthz", 200), ("/", 302), ("/nowhere", 404), ("/healthz", 200)):
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == status
        assert len(body) == int(response.headers.get("Content-Length", len(body)))
    assert connection.sock is not None
    wire = _Wire(connection.sock, web.port)
    wire.say(action="auth", api_key=new_token("visitor"))
    assert wire.hear() == {"status": "authorized"}
    wire.say(action="get", cache="status")
    assert wire.hear() == {"cache": "status", "data": None}
    connection.close()


def test_a_large_page_reaches_a_slow_reader_whole(web: Web) -> None:
    path = "/static/unfold/css/styles.css"
    with urllib.request.urlopen(web.origin + path, timeout=10) as response:
        whole = response.read()
    assert len(whole) > 100_000
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    with connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while chunk := connection.recv(8_192):
            got += chunk
            if len(got) < 200_000:
                time.sleep(0.001)
    assert got.partition(b"\r\n\r\n")[2] == whole


def test_who_asks_for_many_pages_and_reads_none_costs_little_and_gets_all_of_them(web: Web) -> None:
    with urllib.request.urlopen(f"{web.origin}/static/unfold/css/styles.css", timeout=10) as response:
        length = len(response.read())
    # Once it has said how the system does, everything is loaded.
    services.wait_until(lambda: default_store().redis.exists("status:components"), 30, "the system's state")
    before = web.resident_mb()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", web.port))
        for _ in range(50):
            connection.sendall(b"GET /static/unfold/css/styles.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        time.sleep(0.3)
        assert web.resident_mb() - before < 10
        got = bytearray()
        while data := connection.recv(1 << 20):
            got += data
    assert got.count(b"HTTP/1.1 200") == 51
    assert got.endswith(b"ok")
    assert len(got) > 50 * length


def _full(web: Web, cache: "redis.Redis", connection: socket.socket) -> _Wire:
    """A client whose connection the server can write nothing more to, and still has something to write."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect(("127.0.0.1", web.port))
    wire = _Wire(connection, web.port)
    wire.say(action="auth", api_key=new_token("visitor"))
    assert wire.hear() == {"status": "authorized"}
    wire.say(action="subscribe", feed=_BOARD)
    assert wire.hear() == {"status": "subscribed", "feed": _BOARD}
    services.wait_until(lambda: cache.pubsub_numsub(_BOARD)[0][1] == 1, 5, "the subscription")
    for number in range(40):
        cache.publish(_BOARD, json.dumps([number, "x" * 1_000_000]))
    with Talk.authorised(web, new_token("visitor")) as other:
        # By now the server has seen it all.
        other.ask(action="get", cache="status")
    return wire


def test_a_client_that_pings_and_never_reads_costs_little(web: Web, valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as cache, socket.socket() as connection:
        wire = _full(web, cache, connection)
        before = web.resident_mb()
        for number in range(120):
            wire.connection.sendall((b"\x89\xfd\0\0\0\0" + b"%125d" % number) * 1_000)
        assert web.answers()
        assert web.resident_mb() - before < 10
        # It reads on, and finds its newest ping answered, as its library expects.
        while not any(frame.opcode is Opcode.PONG and int(frame.data) == 119 for frame in wire.frames):
            assert wire._read()
            wire.frames = [event for event in wire.protocol.events_received() if isinstance(event, Frame)]


def test_a_client_that_says_goodbye_while_much_is_unsent_is_let_go(web: Web, valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as cache, socket.socket() as connection:
        wire = _full(web, cache, connection)
        wire.protocol.send_close(1000)
        wire._flush()
        time.sleep(0.3)
        # It reads what was on its way, and then the end, as any well-behaved client does.
        connection.settimeout(5)
        heard = 0
        while data := connection.recv(1 << 20):
            heard += len(data)
        assert heard > 1_000_000
    services.wait_until(lambda: not _sockets_of(web, connection_state="01"), 5, "the end of the connections")


def test_a_client_with_much_to_read_yet_is_told_why_it_is_closed(web: Web, valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as cache, socket.socket() as connection:
        wire = _full(web, cache, connection)
        ApiToken.objects.update(revoked_at=timezone.now())
        time.sleep(1.8)
        assert wire.closed() == (4401, "the token was revoked")
        # It has answered: that is the end, and an orderly one.
        while wire._read():
            pass


def _sockets_of(web: Web, connection_state: str) -> list[str]:
    """The server's side of connections in that state, as the kernel lists them."""
    local = f"0100007F:{web.port:04X}"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return [line for line in lines if line.split()[1] == local and line.split()[3] == connection_state]


def test_a_client_that_vanishes_while_much_is_unsent_leaves_nothing(web: Web, valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as cache:
        with socket.socket() as connection:
            _full(web, cache, connection)
        services.wait_until(lambda: cache.pubsub_numsub(_BOARD)[0][1] == 0, 5, "the end of the subscription")
    services.wait_until(lambda: not _sockets_of(web, connection_state="01"), 5, "the end of the connections")
    assert "Traceback" not in web.part.output


@pytest.fixture
def wire(web: Web) -> Iterator[_Wire]:
    """A WebSocket by hand of somebody who has been let in."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", web.port))
        wire = _Wire(connection, web.port)
        wire.say(action="auth", api_key=new_token("visitor"))
        assert wire.hear() == {"status": "authorized"}
        yield wire


def test_messages_of_every_length_arrive_whole_and_in_order(web: Web, valkey: EmbeddedValkey) -> None:
    lengths = [0, 123, 124, 8_189, 8_190, 65_533, 65_534, 1_000_000, 1]
    with redis.Redis.from_url(valkey.url) as cache, Talk.authorised(web, new_token("visitor")) as talk:
        talk.subscribe("news:latest")
        for length in lengths:
            cache.publish("news:latest", json.dumps("x" * length))
        assert [len(talk.hear()) for _ in lengths] == lengths


def test_a_message_that_is_too_large_is_told_so(web: Web, wire: _Wire) -> None:
    wire.protocol.send_text(b"x" * 65_537)
    wire._flush()
    code, reason = wire.closed()
    assert code == 1009
    assert "65536" in reason
    assert "x" * 100 not in web.part.output


def test_who_breaks_the_protocol_and_goes_on_is_told_so_too(web: Web, wire: _Wire) -> None:
    wire.connection.sendall(b"\x81\x05hello" + b"\xff" * 5_000_000)
    assert wire.closed()[0] == 1002
    while wire._read():
        pass
    wire.connection.close()
    services.wait_until(lambda: not _sockets_of(web, connection_state="01"), 5, "the end of the connections")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x05hello", 1002),  # not masked
        (b"\x81\x82\0\0\0\0\xc3\x28", 1007),  # no UTF-8
        (b"\xf1\x80\0\0\0\0", 1002),  # reserved bits
        (b"\x80\x80\0\0\0\0", 1002),  # goes on with nothing
        (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1002),  # more than there can be
    ],
)
def test_who_breaks_the_protocol_is_told_so(web: Web, wire: _Wire, frame: bytes, code: int) -> None:
    wire.connection.sendall(frame)
    assert wire.closed()[0] == code
    assert web.answers()


def test_who_asks_for_more_than_he_reads_is_told_so(web: Web, valkey: EmbeddedValkey, wire: _Wire) -> None:
    with redis.Redis.from_url(valkey.url) as cache:
        cache.set(_BOARD, json.dumps(["x" * 200_000]))
    try:
        for _ in range(2_500):
            wire.say(action="get", cache=_BOARD)
    except OSError:
        # It was shut while we spoke.
        pass
    assert wire.closed() == (4429, "too many requests")
    assert web.answers()


@pytest.mark.parametrize("path", ["/", "/wss", "/ws/", "/ws/other", "/admin/"])
def test_a_socket_at_another_address_is_refused(web: Web, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{web.port}{path}", proxy=None):
        pass
    assert refused.value.response.status_code == 403
    assert "Traceback" not in web.part.output


def test_garbage_instead_of_http_harms_nothing(web: Web) -> None:
    for garbage in (b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", b"x" * 20_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", web.port), timeout=5) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4_096):
                pass
    for headers in (
        "Sec-WebSocket-Key: x",
        "Sec-WebSocket-Version: 99",
        "Origin: http://[::1\r\nSec-WebSocket-Version: 13",
    ):
        with socket.create_connection(("127.0.0.1", web.port), timeout=5) as connection:
            upgrade = "Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            connection.sendall(f"GET /ws HTTP/1.1\r\n{upgrade}{headers}\r\n\r\n".encode())
            assert b" 101 " not in connection.recv(4_096)
    assert web.answers()


def test_the_port_in_use_ends_it_with_an_error(web: Web, tmp_path: Path) -> None:
    env = services.environment(tmp_path)
    with services.python("-m", "project.server", "--port", str(web.port), env=env, log=tmp_path / "log") as part:
        assert part.process.wait(20) == 1
        assert "Address already in use" in part.output
        assert "--port" in part.output
        assert "Traceback" not in part.output


def test_a_configuration_that_cannot_be_used_ends_it_with_78(tmp_path: Path) -> None:
    env = services.environment(tmp_path, MESSAGE_TTL_MS="soon", REDIS_URL="redis://:hush@host:port/0")
    with services.python("-m", "project.server", "--port", "1", env=env, log=tmp_path / "log") as part:
        assert part.process.wait(20) == 78
        assert "MESSAGE_TTL_MS" in part.output
        assert "REDIS_URL" in part.output
        assert "hush" not in part.output
        assert "Traceback" not in part.output


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_tells_whoever_is_connected_and_ends_soon(
    valkey: EmbeddedValkey, transactional_db: None, tmp_path: Path, asked: signal.Signals
) -> None:
    with web_server(tmp_path, valkey.url) as web:
        token = new_token("visitor")
        with Talk.authorised(web, token) as one, Talk.authorised(web, token) as other, Talk.to(web) as stranger:
            one.subscribe("status", envelope=True)
            other.subscribe("scanners:*")
            half_a_request = socket.create_connection(("127.0.0.1", web.port))
            half_a_request.sendall(b"GET / HTTP/1.1\r\nHost")
            begun = time.monotonic()
            assert web.part.end(asked) == 0
            assert time.monotonic() - begun < 3
            assert not web.answers()
            notice = one.hear()
            assert notice.keys() == {"status", "after_ms"}
            assert notice["status"] == "reconnect"
            for talk in (one, other, stranger):
                assert talk.close_code() == 1012
            half_a_request.close()
        assert "Traceback" not in web.part.output


def test_two_processes_share_a_listening_socket(valkey: EmbeddedValkey, transactional_db: None, tmp_path: Path) -> None:
    env = services.environment(
        tmp_path, REDIS_URL=valkey.url, DATABASE_URL=f"sqlite:///{database.settings_dict['NAME']}"
    )
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        port = listening.getsockname()[1]
        command = (sys.executable, "-m", "project.server", "--fd", str(listening.fileno()))
        with (tmp_path / "log").open("wb") as log:
            processes = [
                subprocess.Popen(command, cwd=BASE_DIR, env=env, pass_fds=(listening.fileno(),), stdout=log, stderr=log)
                for _ in range(2)
            ]
        try:
            web = Web(port, services.Part(processes[0], tmp_path / "log"))
            services.wait_until(web.answers, 20, "an answer")
            token = new_token("visitor")
            with redis.Redis.from_url(valkey.url) as cache:
                talks: list[Talk] = []
                # Whichever takes a connection serves it; in the end both have some, each with a hub of its own.
                while len(talks) < 60 and (cache.pubsub_numsub("status")[0][1] < 2 or len(talks) < 6):
                    talks.append(Talk.authorised(web, token))
                    talks[-1].subscribe("status")
                assert cache.pubsub_numsub("status")[0][1] == 2
                cache.publish("status", "1")
                assert [talk.hear() for talk in talks] == [1] * len(talks)
                # One ends as it should; the other has the socket to itself then.
                processes[0].terminate()
                assert processes[0].wait(5) == 0
                assert all(web.answers() for _ in range(5))
                Talk.authorised(web, token).socket.close()
                for talk in talks:
                    talk.socket.close()
        finally:
            for process in processes:
                process.kill()
                process.wait()
