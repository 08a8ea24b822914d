"""`issue_token` and `stats`, as somebody types them."""

import json
from io import StringIO
from pathlib import Path

import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django import Settings

from control.models import ApiToken
from processors.accounts import TERMS
from processors.store import LISTENER_STATE, Source, Store, accounts_key, listener_accounts_key
from project.embedded import EmbeddedValkey
from project.queues import FEEDS
from tests import services


def _said(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_a_token_is_printed_once_and_only_its_hash_is_kept() -> None:
    trader = User.objects.create_user("trader")
    said = _said("issue_token", "trader", "--days", "3", "--name", "laptop")
    token = said.strip()
    assert said == f"{token}\n"
    row = ApiToken.find(token)
    assert row is not None
    assert (row.user, row.name) == (trader, "laptop")
    assert row.expires_at is not None
    assert all(token not in str(value) for value in ApiToken.objects.values_list().get())


@pytest.mark.django_db
def test_without_days_a_token_lives_until_it_is_revoked() -> None:
    User.objects.create_user("trader")
    row = ApiToken.find(_said("issue_token", "trader").strip())
    assert row is not None
    assert row.expires_at is None


@pytest.mark.django_db
@pytest.mark.parametrize("days", ["0", "-1", "36501", "999999999999"])
def test_a_number_of_days_that_makes_no_sense_is_refused(days: str) -> None:
    User.objects.create_user("trader")
    with pytest.raises(CommandError, match=f"--days {days}: use a whole number of days from 1 to 36,500"):
        _said("issue_token", "trader", f"--days={days}")
    assert not ApiToken.objects.exists()


@pytest.mark.django_db
def test_there_is_no_token_for_nobody() -> None:
    with pytest.raises(CommandError, match="There is no user 'nobody'; make one with"):
        _said("issue_token", "nobody")


@pytest.mark.django_db
def test_there_is_no_token_for_a_user_switched_off() -> None:
    User.objects.create_user("trader", is_active=False)
    with pytest.raises(CommandError, match="'trader' is switched off"):
        _said("issue_token", "trader")


def _one_clear_line(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_without_a_database_the_command_says_what_to_do(tmp_path: Path) -> None:
    done = services.manage("issue_token", "trader", env=services.environment(tmp_path))
    assert done.returncode == 1
    assert "manage.py migrate" in _one_clear_line(done.stderr)


def test_without_a_cache_stats_says_so_in_one_line(tmp_path: Path) -> None:
    env = services.environment(tmp_path, REDIS_URL="redis://user:hush@127.0.0.1:1/0")
    done = services.manage("stats", env=env)
    assert done.returncode == 1
    line = _one_clear_line(done.stderr)
    assert "The cache cannot be reached" in line
    assert "REDIS_URL" in line
    assert "hush" not in line


def test_stats_before_the_first_event(valkey: EmbeddedValkey) -> None:
    stats = json.loads(_said("stats", "--json"))
    assert stats["source"] is None
    assert stats["newest_event_at"] is None
    assert stats["feeds"] == {feed: dict.fromkeys(TERMS, 0) for feed in FEEDS}
    assert set(stats["queues"].values()) == {0}
    said = _said("stats")
    assert "none yet" in said
    assert "Every event is accounted for" in said


def test_stats_shows_the_accounts_and_what_is_missing(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as cache:
        store = Store(cache)
        store.declare_source(Source("sim-1", "simulator", 1_760_000_000_000, 1.0, lossless=False))
        cache.hset(listener_accounts_key("sim-1"), mapping={"r1:trades:received": 10, "r1:trades:published": 10})
        cache.hset(accounts_key("sim-1"), "trades:processed", 10)
        cache.set(LISTENER_STATE, json.dumps({"state": "live", "reason": "all is well", "buffered_bytes": 5}))
        stats = json.loads(_said("stats", "--json"))
        assert stats["source"] == "sim-1"
        assert stats["buffer_bytes"] == 5
        assert stats["feeds"]["trades"]["processed"] == 10
        assert stats["components"]["listener"] == "live: all is well"
        assert "Every event is accounted for" in _said("stats")
        cache.hset(accounts_key("sim-1"), "trades:processed", 9)
        assert "NOT ACCOUNTED FOR: {'trades': (0, 1)}" in _said("stats")


@pytest.mark.parametrize("broker", ["amqp://user:hush@127.0.0.1:1//", "redis://:hush@127.0.0.1:1/0"])
def test_stats_without_a_broker_still_shows_the_accounts(
    valkey: EmbeddedValkey, settings: Settings, broker: str
) -> None:
    settings.CELERY_BROKER_URL = broker
    settings.BROKER_IS_REDIS = broker.startswith("redis")
    stats = json.loads(_said("stats", "--json"))
    assert stats["components"]["broker"] == "unreachable"
    assert set(stats["queues"].values()) == {None}
    assert "Every event is accounted for" in _said("stats")
