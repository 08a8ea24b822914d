"""API tokens in the admin: made and shown once, by those who may act as their user, and revoked."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from control.models import ApiToken

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

_LIST = "/admin/control/apitoken/"


@pytest.fixture
def administrator() -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def boss(administrator: User) -> Client:
    return _login(administrator)


def _login(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def _staff(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def _form(user: User, **changes: Any) -> dict[str, Any]:
    return {"user": user.pk, "name": "notebook", "scopes": ["read", "metrics"], "days": "90", **changes}


def test_a_token_is_made_and_shown_once(boss: Client, administrator: User) -> None:
    response = boss.post(f"{_LIST}add/", _form(administrator))
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    token = response.context["token"]
    assert token in response.content.decode()
    row = ApiToken.find(token)
    assert row is not None
    assert (row.user, row.name, row.scopes) == (administrator, "notebook", ["metrics", "read"])
    assert row.expires_at is not None
    assert abs(row.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)
    for path in (_LIST, f"{_LIST}{row.pk}/change/", f"{_LIST}{row.pk}/history/"):
        page = boss.get(path).content.decode()
        assert token not in page
        assert row.digest not in page
    # The session has nothing of it either.
    assert token not in str(dict(boss.session.items()))


def test_a_token_without_an_end_is_good_until_it_is_revoked(boss: Client, administrator: User) -> None:
    boss.post(f"{_LIST}add/", _form(administrator, days=""))
    assert ApiToken.objects.get().expires_at is None


@pytest.mark.parametrize(("changes", "field"), [({"scopes": []}, "scopes"), ({"days": "5"}, "days")])
def test_a_token_that_cannot_be_is_not_made(
    boss: Client, administrator: User, changes: dict[str, Any], field: str
) -> None:
    response = boss.post(f"{_LIST}add/", _form(administrator, **changes))
    assert list(response.context["adminform"].form.errors) == [field]
    assert not ApiToken.objects.exists()


def test_nobody_makes_a_token_that_may_more_than_he(administrator: User) -> None:
    other = User.objects.create_user("other")
    plain = _staff("plain", "add_apitoken", "view_apitoken")
    for user in (administrator, other):
        assert "user" in _login(plain).post(f"{_LIST}add/", _form(user)).context["adminform"].form.errors
    manager = _staff("manager", "add_apitoken", "view_apitoken", "manage_others")
    assert "user" in _login(manager).post(f"{_LIST}add/", _form(administrator)).context["adminform"].form.errors
    assert not ApiToken.objects.exists()
    for client, user in ((_login(plain), plain), (_login(manager), other)):
        assert "token" in client.post(f"{_LIST}add/", _form(user)).context
    assert {token.user for token in ApiToken.objects.all()} == {plain, other}
    # And the one does not see the other's.
    assert "other" not in _login(plain).get(_LIST).content.decode()
    assert "other" in _login(manager).get(_LIST).content.decode()
    assert _login(_staff("reader", "view_apitoken")).get(f"{_LIST}add/").status_code == 403


def test_tokens_are_revoked_but_neither_changed_nor_deleted(boss: Client, administrator: User) -> None:
    row, token = ApiToken.issue(administrator, "laptop")
    kept, _ = ApiToken.issue(administrator, "kept")
    boss.post(f"{_LIST}{row.pk}/change/", {**_form(administrator), "name": "renamed", "user": "999"})
    row.refresh_from_db()
    assert (row.name, row.user, row.expires_at) == ("laptop", administrator, None)
    response = boss.post(_LIST, {"action": "revoke", "_selected_action": [row.pk]}, follow=True)
    assert "1 revoked" in response.content.decode()
    assert ApiToken.find(token) is None
    kept.refresh_from_db()
    assert kept.revoked_at is None
    first = ApiToken.objects.get(pk=row.pk).revoked_at
    boss.post(_LIST, {"action": "revoke", "_selected_action": [row.pk, kept.pk]})
    # When it was revoked does not change.
    assert ApiToken.objects.get(pk=row.pk).revoked_at == first
    boss.post(_LIST, {"action": "delete_selected", "_selected_action": [row.pk, kept.pk], "post": "yes"})
    assert boss.post(f"{_LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert ApiToken.objects.count() == 2
    assert len(boss.get(_LIST, {"state": "good"}).context["cl"].result_list) == 0
    assert len(boss.get(_LIST, {"state": "not"}).context["cl"].result_list) == 2


def test_who_may_only_look_at_tokens_revokes_none(administrator: User) -> None:
    row, token = ApiToken.issue(administrator)
    reader = _login(_staff("reader", "view_apitoken", "manage_others"))
    assert reader.get(_LIST).status_code == 200
    reader.post(_LIST, {"action": "revoke", "_selected_action": [row.pk]})
    assert ApiToken.find(token) == row
