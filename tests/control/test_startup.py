"""What `up` checks and prepares before it runs anything."""

import os
import socket
import stat
from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model

from control import startup
from project.embedded import EmbeddedValkey


@pytest.fixture
def no_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "")


def test_a_port_in_use_says_what_to_do() -> None:
    with startup.listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(startup.CannotStart) as raised:
            startup.listening_socket("127.0.0.1", port)
    assert str(raised.value) == f"port {port} is in use: stop what uses it or choose another with --port"


def test_a_host_of_another_machine_says_what_to_do() -> None:
    with pytest.raises(startup.CannotStart, match=r"192\.0\.2\.1 .*--host"):
        startup.listening_socket("192.0.2.1", 0)


def test_the_feed_goes_elsewhere_when_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert startup.feed_port(port) != port
    assert startup.feed_port(port) == port


def test_a_second_up_of_the_same_folder_is_refused_and_one_after_it_is_not(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with startup.only_one(run_dir):
        assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700
        with pytest.raises(startup.CannotStart, match="already running"), startup.only_one(run_dir):
            pass
    with startup.only_one(run_dir):
        pass


@pytest.mark.usefixtures("no_secret_key")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "SECRET_KEY={key}\n"),
        ("LOG_LEVEL=INFO", "LOG_LEVEL=INFO\nSECRET_KEY={key}\n"),
        ("A=1\nSECRET_KEY=\nB=2\n", "A=1\nSECRET_KEY={key}\nB=2\n"),
    ],
)
def test_a_secret_key_is_made_once_and_kept_for_the_owner_alone(tmp_path: Path, before: str | None, after: str) -> None:
    file = tmp_path / ".env"
    if before is not None:
        file.write_text(before)
    key = startup.ensure_secret_key(file)
    assert key is not None
    assert len(key) >= 50
    assert file.read_text() == after.format(key=key)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.environ["SECRET_KEY"] == key
    assert startup.ensure_secret_key(file) is None


@pytest.mark.usefixtures("no_secret_key")
def test_an_empty_variable_does_not_replace_the_key_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SECRET_KEY='kept'\n")
    assert startup.ensure_secret_key(file) is None
    assert os.environ["SECRET_KEY"] == "kept"
    assert file.read_text() == "SECRET_KEY='kept'\n"


@pytest.mark.usefixtures("no_secret_key")
def test_a_secret_key_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(startup.CannotStart, match="SECRET_KEY could not be written"):
        startup.ensure_secret_key(tmp_path)


def test_a_recording_must_be_there_and_named_like_one(tmp_path: Path) -> None:
    with pytest.raises(startup.CannotStart, match="cannot be read: No such file"):
        startup.check_recording(tmp_path / "day.ndjson.gz")
    with pytest.raises(startup.CannotStart, match="is no recording"):
        startup.check_recording(tmp_path / "day.csv")
    (tmp_path / "day.ndjson").touch()
    assert startup.check_recording(tmp_path / "day.ndjson") == tmp_path / "day.ndjson"


def test_a_cache_or_broker_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for variable, check in (
        ("REDIS_URL", lambda: startup.check_cache(f"redis://:hush@127.0.0.1:{port}/0")),
        ("CELERY_BROKER_URL", lambda: startup.declare_queues(f"amqp://me:hush@127.0.0.1:{port}//", 5_000)),
    ):
        with pytest.raises(startup.CannotStart, match=rf"{variable}: .* 127\.0\.0\.1:{port} does not") as raised:
            check()
        assert "hush" not in str(raised.value)


def test_a_cache_that_answers_is_fine(valkey: EmbeddedValkey) -> None:
    startup.check_cache(valkey.url)


@pytest.mark.django_db
def test_the_first_administrator_is_made_once_and_can_log_in() -> None:
    get_user_model().objects.create_user("admin", password="somebody else")
    name, password = startup.first_administrator()
    assert name == "admin2"
    user = authenticate(username=name, password=password)
    assert user is not None
    assert user.is_superuser
    assert startup.first_administrator() == ("admin2", None)


@pytest.mark.django_db
def test_a_database_that_is_up_to_date_is_left_alone() -> None:
    assert startup.migrate() is False
