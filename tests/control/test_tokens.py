"""Tokens of programs and pages: who they stand for, and when they are accepted."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis
from django.contrib.auth.models import User
from django.utils import timezone

from control import tokens
from control.models import ApiToken
from control.tokens import LIFE_S, page_token, spend_page_token
from processors.store import SPENT
from project.embedded import EmbeddedValkey

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return User.objects.create_user("trader", password="a long enough one")


def test_a_token_is_found_by_its_hash_alone(user: User) -> None:
    row, token = ApiToken.issue(user, "laptop")
    assert token.startswith("tw_")
    assert ApiToken.find(token) == row
    assert row.hint == token[-4:]
    assert all(token not in str(value) for value in ApiToken.objects.values_list().get())
    assert ApiToken.find(row.digest) is None
    assert ApiToken.find("") is None
    assert ApiToken.find("ü\0") is None


def test_no_two_tokens_are_alike(user: User) -> None:
    assert len({ApiToken.issue(user)[1] for _ in range(50)}) == 50


def test_a_token_ends_when_it_expires(user: User) -> None:
    row, token = ApiToken.issue(user, days=1)
    assert row.expires_at is not None
    assert timedelta(hours=23) < row.expires_at - timezone.now() <= timedelta(days=1)
    assert ApiToken.find(token) == row
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert ApiToken.find(token) is None


def test_a_token_ends_when_it_is_revoked(user: User) -> None:
    _, token = ApiToken.issue(user)
    ApiToken.objects.update(revoked_at=timezone.now())
    assert ApiToken.find(token) is None


def test_a_token_rests_while_its_user_is_switched_off(user: User) -> None:
    row, token = ApiToken.issue(user)
    User.objects.update(is_active=False)
    assert ApiToken.find(token) is None
    User.objects.update(is_active=True)
    assert ApiToken.find(token) == row


def test_a_token_goes_with_its_user(user: User) -> None:
    _, token = ApiToken.issue(user)
    user.delete()
    assert ApiToken.find(token) is None


def test_a_tokens_state_is_said_in_words(user: User) -> None:
    row, _ = ApiToken.issue(user, days=1)
    assert row.state == "valid"
    user.is_active = False
    assert row.state == "its user is switched off"
    row.expires_at = timezone.now()
    assert row.state == "expired"
    row.revoked_at = timezone.now()
    assert row.state == "revoked"


def test_a_page_token_names_its_login(valkey: EmbeddedValkey) -> None:
    assert spend_page_token(page_token(7, "a session")) == (7, "a session")


def test_a_page_token_lives_for_a_minute(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    young, old, now = page_token(7, "a session"), page_token(7, "a session"), time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFE_S - 2)
    assert spend_page_token(young) is not None
    monkeypatch.setattr(time, "time", lambda: now + LIFE_S + 1)
    assert spend_page_token(old) is None


@pytest.mark.parametrize("token", ["", "x", ":", "::", "a:b:c", "ü:ü:ü", "\ud800", "eyJ1c2VyIjoxfQ:1rrrrr:x" * 100])
def test_what_is_no_page_token_is_none(token: str) -> None:
    assert spend_page_token(token) is None


def test_a_page_token_is_used_once(valkey: EmbeddedValkey) -> None:
    first, second = page_token(7, "a session"), page_token(7, "a session")
    assert [spend_page_token(first) is not None for _ in range(3)] == [True, False, False]
    # Another of the same page and moment is another token.
    assert spend_page_token(second) is not None


def test_a_page_token_that_another_process_saw_is_used(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    token = page_token(7, "a session")
    assert spend_page_token(token) is not None
    monkeypatch.setattr(tokens, "_spent", tokens._Spent())
    assert spend_page_token(token) is None
    with redis.Redis.from_url(valkey.url) as cache:
        (key,) = cache.keys(f"{SPENT}*")
        # For longer than it is valid, whatever the clocks of two hosts say, and not the token itself.
        assert 2 * LIFE_S < cache.ttl(key) <= 10 * LIFE_S
        assert token.encode() not in key


def test_a_page_token_is_used_once_while_the_cache_is_away(valkey: EmbeddedValkey) -> None:
    token = page_token(7, "a session")
    valkey.kill()
    assert [spend_page_token(token) is not None for _ in range(3)] == [True, False, False]


def test_of_many_who_use_a_page_token_at_once_one_is_let_in(valkey: EmbeddedValkey) -> None:
    token = page_token(7, "a session")
    with ThreadPoolExecutor(8) as threads:
        assert sum(found is not None for found in threads.map(spend_page_token, [token] * 32)) == 1
