"""`manage.py check` and what every command says of a configuration that cannot be used, as somebody reads it."""

from pathlib import Path

import pytest
from pytest_django import Settings

from project.checks import check_feed, check_single_sign_on
from tests import services


def _check(run_dir: Path, dotenv: str = "", **variables: str) -> tuple[int, str]:
    (run_dir / ".env").write_text(dotenv, encoding="utf-8")
    env = {**services.environment(run_dir), **variables}
    if "SECRET_KEY" not in variables:
        # The environment wins over the file.
        env.pop("SECRET_KEY", None)
    done = services.manage("check", env=env)
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done.returncode, done.stderr + done.stdout


def test_without_any_configuration_all_is_well(tmp_path: Path) -> None:
    assert _check(tmp_path) == (0, "System check identified no issues (0 silenced).\n")


def test_everything_wrong_is_said_at_once_by_name_and_no_secret_is_shown(tmp_path: Path) -> None:
    code, said = _check(
        tmp_path,
        dotenv="\n".join(
            (
                "MESSAGE_TTL_MS=soon",
                "BATCH_MAX_EVENTS=0",
                "BATCH_MAX_AGE_MS=1e3",
                "LISTENER_BUFFER_MB=-5",
                "DEBUG=perhaps",
                "HTTPS=maybe",
                "MASSIVE_MARKET=bonds",
                "MASSIVE_SUBSCRIPTIONS=A,T.*",
                "MASSIVE_REST_URL=api.massive.com",
                "REDIS_URL=redis://:hunter2/x@cache:6379/0",
                "CELERY_BROKER_URL=rabbitmq://user:hunter2@broker//",
                "DATABASE_URL=oracle://user:hunter2@db/x",
                "EMAIL_URL=mailto:hunter2",
                "WDS_URL=https://scanner.example.com/ws",
                "LOG_LEVEL=LOUD",
                "LOG_FORMAT=xml",
                "SECRET_KEY=hunter2",
                "no assignment with hunter2",
                "QUOTED='hunter2",
            )
        ),
    )
    assert code == 1
    for expected in (
        "MESSAGE_TTL_MS: 'soon' cannot be used: no whole number",
        "It should be a whole number from 100 to 600000",
        "BATCH_MAX_EVENTS: '0' cannot be used: not between 1 and 100,000",
        "BATCH_MAX_AGE_MS: '1e3'",
        "LISTENER_BUFFER_MB: '-5'",
        "DEBUG: 'perhaps'",
        "HTTPS: 'maybe'",
        "MASSIVE_MARKET: 'bonds'",
        "It should be one of stocks, options, indices, crypto, forex, futures",
        "MASSIVE_SUBSCRIPTIONS: 'A,T.*'",
        "It should be a comma list such as A.*,T.*,Q.AAPL",
        "MASSIVE_REST_URL: its value cannot be used: it does not start with http:// or https://",
        "REDIS_URL: its value cannot be used: its port is no number",
        "It should be like redis://127.0.0.1:6379/0",
        "CELERY_BROKER_URL: its value cannot be used: it does not start with amqp://",
        "DATABASE_URL: its value cannot be used",
        "It should be like postgres://user:password@127.0.0.1:5432/tapewatch",
        "EMAIL_URL: its value cannot be used",
        "WDS_URL: its value cannot be used: it does not start with ws:// or wss://",
        "LOG_LEVEL: 'LOUD'",
        "LOG_FORMAT: 'xml'",
        "SECRET_KEY: is shorter than 32 characters",
        ".env: line 18 is no assignment",
        ".env: line 19 opens a quote and does not close it",
    ):
        assert expected in said
    assert "hunter2" not in said


def test_a_feed_that_is_none(tmp_path: Path) -> None:
    code, said = _check(tmp_path, MASSIVE_FEED="fast")
    assert code == 1
    assert "MASSIVE_FEED: 'fast' names no feed" in said
    assert "real-time, delayed, or an address such as 127.0.0.1:8765" in said


@pytest.mark.parametrize("feed", ["", "localhost", "localhost:", ":8765", "localhost:0", "localhost:99999", "h:²"])
def test_other_feeds_that_are_none(settings: Settings, feed: str) -> None:
    settings.MASSIVE_FEED = feed
    assert [message.id for message in check_feed(None)] == ["tapewatch.E002"]


@pytest.mark.parametrize("feed", ["127.0.0.1:8765", "feed.example.com:443", "[::1]:8765"])
def test_addresses_of_feeds(settings: Settings, feed: str) -> None:
    settings.MASSIVE_FEED = feed
    assert check_feed(None) == []


def test_massives_feed_without_a_key(tmp_path: Path) -> None:
    code, said = _check(tmp_path, dotenv="MASSIVE_FEED=delayed")
    assert code == 1
    assert "MASSIVE_FEED is delayed, which needs a key, and MASSIVE_API_KEY is not set" in said
    assert "Set MASSIVE_API_KEY, or unset MASSIVE_FEED" in said


def test_a_key_in_the_clear_is_warned_of_and_never_shown(tmp_path: Path) -> None:
    code, said = _check(tmp_path, MASSIVE_API_KEY="hunter2", MASSIVE_FEED="feed.example.com:80", MASSIVE_SECURE="0")
    assert code == 0
    assert "MASSIVE_SECURE is off" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("command", ["stats", "listen", "issue_token", "migrate"])
def test_every_command_refuses_to_start_with_it(tmp_path: Path, command: str) -> None:
    arguments = ("somebody",) if command == "issue_token" else ()
    done = services.manage(command, *arguments, env=services.environment(tmp_path, BATCH_MAX_EVENTS="lots"))
    assert done.returncode != 0
    assert "BATCH_MAX_EVENTS: 'lots' cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_single_sign_on_has_to_be_whole_and_safe(settings: Settings) -> None:
    assert check_single_sign_on(None) == []
    settings.OIDC_ISSUER = "http://login.example.com"
    assert [message.id for message in check_single_sign_on(None)] == ["tapewatch.E004", "tapewatch.W004"]
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = "tapewatch", "the-clients-secret"
    assert [message.id for message in check_single_sign_on(None)] == ["tapewatch.W004"]
    for safe in ("https://login.example.com", "http://127.0.0.1:8080"):
        settings.OIDC_ISSUER = safe
        assert check_single_sign_on(None) == []
