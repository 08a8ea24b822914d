"""The pages of one's own account, logging out everywhere, and what browsers are told of our pages."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client

from control.logins import device
from control.models import ApiToken
from control.roles import Role
from tests.control.account_people import PASSWORD, log_in, words
from tests.rights import user_in
from widgets.visitors.access import Credential, Grant, grants_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


# Logins ---------------------------------------------------------------------------------------------------------------


def test_logins_are_listed_with_device_and_address_and_ended_one_by_one(ann: User, at_home: Client) -> None:
    phone = Client(
        REMOTE_ADDR="198.51.100.9", headers={"User-Agent": "Mozilla/5.0 (iPhone) Version/19.0 Mobile/1 Safari"}
    )
    log_in(phone, "ann")
    said = words(at_home.get("/accounts/sessions/"))
    for part in ("Chrome 142 on Linux this one", "127.0.0.1", "Safari 19 on iPhone", "198.51.100.9"):
        assert part in said
    there = UserSession.objects.get(user=ann, ip="198.51.100.9")
    at_home.post(f"/accounts/sessions/{there.pk}/end/")
    assert phone.get("/accounts/").status_code == 302
    assert at_home.get("/accounts/").status_code == 200


def test_nobody_ends_the_logins_of_others(ann: User, at_home: Client) -> None:
    stranger = Client()
    User.objects.create_user("bob", password=PASSWORD)
    log_in(stranger, "bob")
    stranger.post(f"/accounts/sessions/{UserSession.objects.get(user=ann).pk}/end/")
    stranger.post("/accounts/sessions/end/")
    assert at_home.get("/accounts/").status_code == 200


def _stands(client: Client) -> bool:
    credential = Credential(session_key=client.session.session_key)
    return isinstance(grants_of([credential])[credential], Grant)


@pytest.mark.parametrize("here_too", [False, True])
def test_logging_out_everywhere_ends_every_login_and_what_sockets_live_by(
    ann: User, at_home: Client, here_too: bool
) -> None:
    others = [Client(), Client()]
    log_in(others[0], "ann")
    # Made before anything was known of devices.
    others[1].force_login(ann)
    UserSession.objects.filter(session_key=others[1].session.session_key).delete()
    keys = [Credential(session_key=client.session.session_key) for client in (*others, at_home)]
    bystander = Client()
    bystander.force_login(User.objects.create_user("bob"))
    answer = at_home.post("/accounts/sessions/end/", {"here": "too" if here_too else "stays"})
    assert answer.headers["Location"] == ("/accounts/login/" if here_too else "/accounts/sessions/")
    standing = [isinstance(grant, Grant) for grant in grants_of(keys).values()]
    assert standing == [False, False, not here_too]
    assert (at_home.get("/accounts/").status_code == 200) is not here_too
    assert _stands(bystander)
    assert Session.objects.count() >= 1


def test_an_administrator_logs_somebody_out_everywhere(ann: User, at_home: Client, boss: Client) -> None:
    ApiToken.issue(ann)
    boss.post("/admin/auth/user/", {"action": "log_out_everywhere", "_selected_action": [ann.pk]})
    assert at_home.get("/accounts/").status_code == 302
    assert not ApiToken.standing().exists()


def test_a_mail_address_is_an_administrators_word(ann: User, at_home: Client, boss: Client) -> None:
    EmailAddress.objects.create(user=ann, email="ann@example.com", primary=True)
    page = boss.get(f"/admin/auth/user/{ann.pk}/change/")
    form = page.context["adminform"].form
    said = {name: form.initial.get(name) or "" for name in ("username", "first_name", "last_name")}
    kept = {"is_active": "on", "groups": [group.pk for group in ann.groups.all()], "email": "ann@elsewhere.example"}
    dates = {"date_joined_0": "2026-03-02", "date_joined_1": "10:00:00"}
    assert boss.post(f"/admin/auth/user/{ann.pk}/change/", said | kept | dates).status_code == 302
    # The one that she had resets no password any more.
    for address in ("ann@example.com", "ann@elsewhere.example"):
        Client().post("/accounts/password/reset/", {"email": address})
    links = [message.to for message in mail.outbox if "/accounts/password/reset/key/" in str(message.body)]
    assert links == [["ann@elsewhere.example"]]


def test_superusers_are_a_superusers(ann: User) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    client = Client()
    administrator = User.objects.create_user("adam", password=PASSWORD)
    administrator.groups.add(Group.objects.get(name=Role.ADMINISTRATOR))
    log_in(client, "adam")
    elsewhere = Client()
    elsewhere.force_login(root)
    for action in ("log_out_everywhere", "remove_second_factors"):
        client.post("/admin/auth/user/", {"action": action, "_selected_action": [root.pk]})
    assert _stands(elsewhere)
    assert 'name="username"' not in client.get(f"/admin/auth/user/{root.pk}/change/").content.decode()
    assert client.post(f"/admin/auth/user/{root.pk}/delete/", {"post": "yes"}).status_code == 403
    page = client.get(f"/admin/auth/user/{ann.pk}/change/").content.decode()
    assert 'name="username"' in page
    assert 'name="is_superuser"' not in page


@pytest.mark.parametrize(
    ("user_agent", "said"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140 on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/19.1 Safari/605.1.15", "Safari 19 on macOS"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/142.0.0.0 Mobile Safari/537.36", "Chrome 142 on Android"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge 142 on Windows"),
        ("curl/8.5.0", "curl 8"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("", "Unknown browser"),
    ],
)
def test_a_device_is_said_in_words(user_agent: str, said: str) -> None:
    assert device(user_agent) == said


# One's own page and tokens --------------------------------------------------------------------------------------------


def test_the_accounts_page_says_what_one_may_do_and_leads_to_all_of_it(at_home: Client) -> None:
    page = at_home.get("/accounts/")
    assert "trader reads the market; has own scanners" in words(page)
    links = set(re.findall(r'href="(/accounts/[^"]*)"', page.content.decode()))
    assert links >= {
        "/accounts/password/change/",
        "/accounts/2fa/totp/activate/",
        "/accounts/2fa/webauthn/add/",
        "/accounts/sessions/",
        "/accounts/tokens/",
    }
    for link in links:
        assert at_home.get(link).status_code == 200
    for moved in ("/accounts/email/", "/accounts/2fa/"):
        assert at_home.get(moved).headers["Location"] == "/accounts/"


def test_a_token_is_made_shown_once_used_and_revoked(ann: User, at_home: Client) -> None:
    page = at_home.post("/accounts/tokens/", {"name": "notebook", "scopes": ["read"], "days": "30"})
    assert "no-store" in page.headers["Cache-Control"]
    found = re.search(r"tw_[\w-]{40,}", page.content.decode())
    assert found is not None
    row = ApiToken.objects.get(user=ann)
    assert (row.name, row.scopes, row.hint) == ("notebook", ["read"], found[0][-4:])
    assert row.expires_at is not None
    assert found[0] not in at_home.get("/accounts/tokens/").content.decode()
    bearer = {"Authorization": f"Bearer {found[0]}"}
    assert Client().get("/api/v1/price_levels", headers=bearer).status_code == 200
    assert "used" in words(at_home.get("/accounts/tokens/"))
    at_home.post(f"/accounts/tokens/{row.pk}/revoke/")
    assert Client().get("/api/v1/price_levels", headers=bearer).status_code == 401
    assert "revoked" in words(at_home.get("/accounts/tokens/"))


@pytest.mark.parametrize(
    "form",
    [
        {"name": "", "scopes": ["read"], "days": "30"},
        {"name": "x", "days": "30"},
        {"name": "x", "scopes": ["everything"], "days": "30"},
        {"name": "x", "scopes": ["read"], "days": "31"},
    ],
)
def test_a_token_that_cannot_be_made_says_why(at_home: Client, form: dict[str, Any]) -> None:
    page = at_home.post("/accounts/tokens/", form)
    assert page.status_code == 422
    assert 'role="alert"' in page.content.decode()
    assert not ApiToken.objects.exists()


def test_nobody_revokes_the_tokens_of_others_nor_makes_some_without_the_permission(ann: User) -> None:
    row, _ = ApiToken.issue(ann)
    client = Client()
    User.objects.create_user("bob", password=PASSWORD)
    log_in(client, "bob")
    assert client.post(f"/accounts/tokens/{row.pk}/revoke/").status_code == 404
    assert client.post("/accounts/tokens/", {"name": "x", "scopes": ["read"], "days": "7"}).status_code == 403
    assert "A new one" not in words(client.get("/accounts/tokens/"))
    assert ApiToken.standing().count() == 1


@pytest.mark.parametrize("path", ["", "sessions/", "tokens/", "2fa/totp/activate/", "2fa/webauthn/", "3rdparty/"])
def test_account_pages_are_for_who_is_logged_in(client: Client, path: str) -> None:
    answer = client.get(f"/accounts/{path}")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/accounts/login/")


def test_changes_take_a_post_with_the_csrf_token(ann: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    row, _ = ApiToken.issue(ann)
    for path in ("sessions/end/", f"tokens/{row.pk}/revoke/"):
        assert client.get(f"/accounts/{path}").status_code == 405
    for path in ("sessions/end/", f"tokens/{row.pk}/revoke/", "tokens/"):
        assert client.post(f"/accounts/{path}").status_code == 403
    assert ApiToken.standing().exists()


# What browsers are told -----------------------------------------------------------------------------------------------


def _policy(response: Any) -> dict[str, list[str]]:
    parts = (part.split() for part in response.headers["Content-Security-Policy"].split(";"))
    return {name: sorted(sources) for name, *sources in parts}


@pytest.fixture
def pages(boss: Client) -> dict[str, Any]:
    paths = ("/accounts/", "/no/such/page", "/admin/auth/user/", "/api/v1/docs", "/healthz")
    return {path: boss.get(path) for path in paths} | {"/accounts/login/": Client().get("/accounts/login/")}


def test_every_page_says_what_it_may_load(pages: dict[str, Any]) -> None:
    for path, response in pages.items():
        policy = _policy(response)
        assert policy["default-src"] == ["'none'"], path
        assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
        assert policy["script-src"] == ["'self'", *(["'unsafe-eval'"] if path.startswith("/admin") else [])]
        loose = path.startswith(("/admin", "/api/v1/docs"))
        assert policy["style-src"] == ["'self'", *(["'unsafe-inline'"] if loose else [])], path
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "camera=()" in response.headers["Permissions-Policy"]
        html = re.sub(
            r'<script[^>]* type="application/json"[^>]*>.*?</script>', "", response.content.decode(), flags=re.S
        )
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>[^<]|\son(?:click|load|error|submit)=|javascript:", html), (
            path
        )


def test_who_helps_with_passwords_comes_to_no_power_by_it() -> None:
    helper, boss, guest = user_in(None, "helper"), user_in(Role.ADMINISTRATOR), user_in(Role.TRADER, "guest")
    helper.user_permissions.add(*Permission.objects.filter(codename__in=("view_user", "change_user")))
    User.objects.filter(pk=helper.pk).update(is_staff=True)
    page = Client()
    page.force_login(helper)
    group = Group.objects.get(name=Role.ADMINISTRATOR)
    form = {"username": "guest", "is_active": "on", "is_staff": "on", "groups": [group.pk], "first_name": "Gus"}
    dates = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    assert page.post(f"/admin/auth/user/{guest.pk}/change/", form | dates).status_code == 302
    guest.refresh_from_db()
    assert (guest.first_name, guest.is_staff) == ("Gus", False)
    assert guest.groups.get().name == Role.TRADER
    for user in (boss, helper):
        assert page.post(f"/admin/auth/user/{user.pk}/change/", form | dates).status_code == 403
        assert page.get(f"/admin/auth/user/{user.pk}/password/").status_code == 403
    ApiToken.issue(boss)
    page.post("/admin/auth/user/", {"action": "log_out_everywhere", "_selected_action": [boss.pk]})
    assert ApiToken.standing().filter(user=boss).exists()
