"""Tokens of programs and pages: who they stand for, and how they end."""

import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from control.models import ApiToken
from control.tokens import LIFE_S, login_user, page_token, read_page_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return User.objects.create_user("trader", password="a long enough one")


def _login(user: User) -> str:
    client = Client()
    client.force_login(user)
    assert client.session.session_key is not None
    return client.session.session_key


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


def test_a_page_token_names_its_login(user: User) -> None:
    session = _login(user)
    assert read_page_token(page_token(user.pk, session)) == (user, session)


def test_a_page_token_lives_for_a_minute(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    token, now = page_token(user.pk, _login(user)), time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFE_S - 2)
    assert read_page_token(token) is not None
    monkeypatch.setattr(time, "time", lambda: now + LIFE_S + 1)
    assert read_page_token(token) is None


def test_a_page_token_of_a_session_that_is_not_the_users_is_none(user: User) -> None:
    other = User.objects.create_user("other")
    assert read_page_token(page_token(other.pk, _login(user))) is None
    assert read_page_token(page_token(user.pk, "")) is None
    assert read_page_token(page_token(user.pk, "no such session")) is None


@pytest.mark.parametrize("token", ["", "x", ":", "::", "a:b:c", "ü:ü:ü", "eyJ1c2VyIjoxfQ:1rrrrr:x" * 100])
def test_what_is_no_page_token_is_none(token: str) -> None:
    assert read_page_token(token) is None


def test_a_login_ends_by_logging_out(user: User) -> None:
    client = Client()
    client.force_login(user)
    session = client.session.session_key or ""
    assert login_user(session) == user
    client.logout()
    assert login_user(session) is None


def test_a_login_ends_with_time(user: User) -> None:
    session = _login(user)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert login_user(session) is None


def test_a_login_ends_with_a_new_password(user: User) -> None:
    session = _login(user)
    user.set_password("another long one")
    user.save()
    assert login_user(session) is None


def test_a_login_ends_when_its_user_is_switched_off_or_gone(user: User) -> None:
    session = _login(user)
    User.objects.update(is_active=False)
    assert login_user(session) is None
    User.objects.update(is_active=True)
    assert login_user(session) == user
    user.delete()
    assert login_user(session) is None


def test_a_session_without_login_is_nobodys() -> None:
    client = Client()
    session = client.session
    session["colour"] = "red"
    session.save()
    assert login_user(session.session_key or "") is None
    assert login_user("") is None
