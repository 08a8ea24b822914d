"""The system page's frame: for whom it is, and what it tells the program in it."""

import json
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from control.roles import Role, assign

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/system/"


def client_of(*roles: Role) -> Client:
    user = User.objects.create_user("amy", password="-")
    assign(user, roles)
    client = Client()
    client.force_login(user)
    return client


def told(client: Client) -> dict[str, str | None]:
    found = re.search(
        r'<script id="system-page" type="application/json">(.*?)</script>', client.get(ADDRESS).content.decode()
    )
    assert found is not None
    page: dict[str, str | None] = json.loads(found[1])
    return page


def test_it_is_for_those_who_run_the_system() -> None:
    assert "/login/" in Client().get(ADDRESS)["Location"]
    assert client_of(Role.OPERATOR).get(ADDRESS).status_code == 200


@pytest.mark.parametrize("role", [Role.VIEWER, Role.TRADER])
def test_to_others_it_is_no_page(role: Role) -> None:
    assert client_of(role).get(ADDRESS).status_code in {302, 403}


def test_staff_without_the_permission_is_refused() -> None:
    User.objects.create_user("bob", password="-", is_staff=True)
    client = Client()
    client.force_login(User.objects.get(username="bob"))
    assert client.get(ADDRESS).status_code == 403


def test_it_carries_a_token_and_the_addresses_that_this_user_may_open(built_frontend: object) -> None:
    page = told(client_of(Role.OPERATOR))
    assert page["token"]
    assert page["api_url"] == "/api/v1/"
    assert page["audit_url"] == "/admin/control/auditentry/"
    assert page["sockets_url"] == "/admin/connected/"


def test_whoever_may_only_look_gets_no_way_to_the_audit_log(built_frontend: object) -> None:
    user = User.objects.create_user("eve", password="-", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_system"))
    client = Client()
    client.force_login(user)
    page = told(client)
    assert page["audit_url"] is None
    assert page["sockets_url"] is None
