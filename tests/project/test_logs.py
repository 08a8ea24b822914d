"""What the log's lines look like, at which level they come, and for whom something is done."""

import io
import json
import logging
import logging.config
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.contextvars import bound_contextvars

from project import logs
from project.logs import logging_config
from tests.control.api_callers import SCANNER, Api
from tests.rights import new_user
from tests.services import environment

_KEY = "vendor-key-0123456789"
log = logging.getLogger("listener.test")


class Lines:
    """What was logged, in one of the two formats."""

    def __init__(self, fmt: str) -> None:
        config = logging_config("INFO", fmt, {_KEY})
        formatter = config["formatters"]["structlog"]
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter["()"](**{name: formatter[name] for name in formatter if name != "()"}))

    def text(self) -> str:
        """All of it."""
        return self._stream.getvalue()

    def json(self) -> list[dict[str, Any]]:
        """Line by line."""
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def lines(request: pytest.FixtureRequest) -> Iterator[Lines]:
    """What this test logs; as JSON, unless its parameter says otherwise."""
    lines = Lines(getattr(request, "param", "json"))
    logging.getLogger().addHandler(lines.handler)
    yield lines
    logging.getLogger().removeHandler(lines.handler)


@pytest.fixture
def levels() -> Iterator[None]:
    """Levels are as before afterwards."""
    before, root = logs.current_log_level(), logging.getLogger().level
    yield
    logs.log_level(before)
    logging.getLogger().setLevel(root)


def test_a_line_names_what_it_is_about(lines: Lines) -> None:
    with bound_contextvars(batch="b" * 32, feed="trades"):
        log.warning("%d events cannot be merged", 3, extra={"status": 5})
    log.warning("and on it goes")
    about, after = lines.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", about["timestamp"])
    expected = {
        "event": "3 events cannot be merged",
        "level": "warning",
        "logger": "listener.test",
        "batch": "b" * 32,
        "feed": "trades",
        "status": 5,
    }
    assert {name: about[name] for name in expected} == expected
    assert "batch" not in after


@pytest.mark.parametrize("lines", ["json", "console"], indirect=True)
def test_a_traceback_shows_no_secrets_and_no_variables(lines: Lines) -> None:
    def connect(hidden_variable: str) -> None:
        raise ConnectionError(f"redis://:{hidden_variable}@cache refused, key {_KEY}")

    try:
        connect("-".join(("s3cr3t", "of", "redis")))
    except ConnectionError:
        log.exception("it ended")
    text = lines.text()
    assert "ConnectionError" in text
    assert "test_logs.py" in text
    assert _KEY not in text
    assert "s3cr3t-of-redis" not in text


def test_our_own_level_can_be_lowered_without_the_libraries(lines: Lines, levels: None) -> None:
    logs.log_level("INFO")
    log.debug("too much")
    assert logs.log_level("DEBUG") == "INFO"
    assert logs.current_log_level() == "DEBUG"
    log.debug("wanted")
    logging.getLogger("amqp").debug("each frame")
    assert logs.log_level("ERROR") == "DEBUG"
    log.warning("too much")
    logging.getLogger("amqp").warning("too much")
    with pytest.raises(ValueError, match="'LOUD' is no level"):
        logs.log_level("LOUD")
    assert [line["event"] for line in lines.json()] == ["wanted"]


def test_what_ends_a_process_is_logged_without_its_secrets(tmp_path: Path) -> None:
    env = environment(tmp_path, LOG_FORMAT="json", MASSIVE_API_KEY=_KEY)
    raising = (
        "import django, threading, warnings; django.setup();"
        "from django.conf import settings;"
        "warnings.warn(settings.MASSIVE_API_KEY);"
        "thread = threading.Thread(target=lambda: open(settings.MASSIVE_API_KEY)); thread.start(); thread.join();"
        "raise RuntimeError(settings.MASSIVE_API_KEY)"
    )
    done = subprocess.run((sys.executable, "-c", raising), env=env, cwd=Path.cwd(), capture_output=True, text=True)
    assert done.returncode == 1
    warning, thread, last = map(json.loads, done.stderr.splitlines())
    assert warning["logger"] == "py.warnings"
    assert "FileNotFoundError" in thread["exception"]
    assert (last["event"], last["level"]) == ("ended by an error", "critical")
    assert "RuntimeError" in last["exception"]
    assert _KEY not in done.stderr


@pytest.mark.django_db
def test_a_call_that_changes_something_is_logged_with_who_made_it(lines: Lines, levels: None) -> None:
    logs.log_level("INFO")
    user = new_user("ann")
    api = Api(user)
    answer = api.ask("POST", "/scanners", SCANNER, **{"X-Request-ID": "from-the-proxy-1"})
    assert answer["X-Request-ID"] == "from-the-proxy-1"
    api.ask("GET", "/scanners")
    (line,) = [line for line in lines.json() if line["logger"] == "project.request_context"]
    assert line["event"] == "POST /api/v1/scanners 201"
    assert (line["request_id"], line["user"], line["status"]) == ("from-the-proxy-1", user.pk, 201)
    assert line["ms"] > 0
    # One that nobody can rely on is replaced.
    for given in ("short", "with blanks in it", "x" * 200, 'quote"s-and-more'):
        assert re.fullmatch(
            "[0-9a-f]{32}", api.ask("GET", "/scanners", None, **{"X-Request-ID": given})["X-Request-ID"]
        )


@pytest.mark.django_db
def test_a_refused_call_is_logged_without_its_token(lines: Lines, levels: None) -> None:
    logs.log_level("DEBUG")
    nobody = Api()
    nobody.headers = {"Authorization": "Bearer tw_3kQ0mYw9aVbN1xZt7LrP5sDfGhJkC2eUoI8yTqWn4R"}
    assert nobody.ask("POST", "/scanners?token=abcdef", SCANNER).status_code == 401
    (line,) = [line for line in lines.json() if line["logger"] == "project.request_context"]
    assert (line["event"], line["level"]) == ("POST /api/v1/scanners 401", "info")
    assert "user" not in line
    assert "3kQ0mYw9" not in lines.text()
    assert "abcdef" not in lines.text()
