"""The private servers: they start, come back after a kill, and leave nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import kombu
import pytest
import redis

from project.embedded import EmbeddedValkey, PrivateRabbitMQ
from project.processes import ServiceUnavailable
from tests.services import alive, wait_until


def test_valkey_on_a_socket_is_private_and_bounded(tmp_path: Path) -> None:
    socket = tmp_path / "run" / "valkey.sock"
    with EmbeddedValkey(socket, tmp_path / "run" / "data") as server:
        client = redis.Redis.from_url(server.url)
        settings = client.config_get("*")
        assert socket.stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
        assert settings["port"] == "0"
        assert settings["maxmemory"] == str(1 << 31)
        assert settings["maxmemory-policy"] == "noeviction"
        assert (settings["appendonly"], settings["appendfsync"], settings["save"]) == ("yes", "everysec", "")
        assert "pubsub 67108864 33554432 60" in str(settings["client-output-buffer-limit"])
    assert not socket.exists()


def test_valkey_comes_back_after_a_kill_with_its_data_on_the_same_address(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey.sock", tmp_path / "data") as server:
        client = redis.Redis.from_url(server.url)
        client.set("price", 42)
        client.waitaof(1, 0, 2000)
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("price")
        server.start()
        assert client.get("price") == b"42"


def test_a_second_valkey_on_a_live_socket_is_refused(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey.sock", tmp_path / "data") as server:
        with pytest.raises(ServiceUnavailable, match="already running"):
            EmbeddedValkey(tmp_path / "valkey.sock", tmp_path / "data").start()
        assert server.ready()


def test_a_socket_path_too_long_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="TAPEWATCH_RUN_DIR"):
        EmbeddedValkey(tmp_path / ("x" * 100) / "valkey.sock", tmp_path / "data").start()


def test_a_valkey_that_cannot_start_says_why(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey.sock", tmp_path / "data") as server:
        redis.Redis.from_url(server.url).set("price", 42)
    for file in (tmp_path / "data" / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"*3\r\n$garbage\r\n" + b"x" * 100)
    with pytest.raises(ServiceUnavailable, match=r"ended while it started:\n.*") as raised:
        EmbeddedValkey(tmp_path / "valkey.sock", tmp_path / "data").start()
    assert "append only file" in str(raised.value)


def test_a_temporary_valkey_leaves_no_files() -> None:
    with EmbeddedValkey(persist=False) as server:
        folder = Path(str(redis.Redis.from_url(server.url).config_get("dir")["dir"]))
        assert folder.is_dir()
    assert not folder.exists()


def test_valkey_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from project.embedded import EmbeddedValkey\n"
        "server = EmbeddedValkey(folder=pathlib.Path(sys.argv[1])); server.start()\n"
        "print(server.pid, flush=True); input()"
    )
    command = (sys.executable, "-c", code, str(tmp_path))
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not alive(pid))


def test_rabbitmq_keeps_a_durable_message_over_a_kill_and_leaves_no_name_server(tmp_path: Path) -> None:
    before = _name_servers()
    with PrivateRabbitMQ() as server:
        confirming = kombu.Connection(server.url, transport_options={"confirm_publish": True})
        with confirming as connection, connection.SimpleQueue("kept") as queue:
            queue.put({"price": 42})
        server.kill()
        assert not server.ready()
        server.start()
        with kombu.Connection(server.url) as connection, connection.SimpleQueue("kept") as queue:
            message = queue.get(timeout=5)
            assert message.payload == {"price": 42}
            message.ack()
        node = server.pid
    assert node is not None
    assert not alive(node)
    assert _name_servers() == before


def _name_servers() -> set[str]:
    """Those that this process, or nobody any more, is the parent of; other nodes of the machine have their own."""
    columns = ("ps", "-A", "-o", "pid=,ppid=,stat=,comm=")
    output = subprocess.run(columns, capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in output.splitlines())
    ours = {str(os.getpid()), "1"}
    return {row[0] for row in rows if row[3:] == ["epmd"] and row[1] in ours and not row[2].startswith("Z")}
