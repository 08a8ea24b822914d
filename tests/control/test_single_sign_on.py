"""Single sign-on at an OpenID Connect provider: who comes in, as whom, and with which roles."""

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from control.roles import Role, assign
from project import env
from tests.control.account_people import PASSWORD, log_in, words
from tests.control.identity_provider import Provider
from widgets.visitors.access import Credential, Grant, grants_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

_ANN = {"sub": "42", "preferred_username": "ann", "email": "ann@example.com", "email_verified": True}


@pytest.fixture(scope="module")
def _provider() -> Iterator[Provider]:
    with Provider().running() as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider, settings: Settings) -> Provider:
    """The provider, which the settings name, and to which Ann has shown herself."""
    settings.OIDC_ISSUER = _provider.issuer
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "oidc",
                    "name": "Company login",
                    "client_id": "tapewatch",
                    "secret": "the-clients-secret",
                    "settings": {"server_url": _provider.issuer},
                }
            ],
        }
    }
    _provider.claims = dict(_ANN)
    return _provider


def _come_in(provider: Provider, client: Client, process: str = "login") -> Any:
    """Press the button, be sent to the provider and back; the last answer."""
    away = client.post(f"/accounts/oidc/login/?process={process}")
    assert away.status_code == 302, words(away)
    assert away.headers["Location"].startswith(f"{provider.issuer}/authorize")
    return client.get(provider.approve(away.headers["Location"]).removeprefix("http://testserver"))


def _roles(user: User) -> set[str]:
    return set(user.groups.values_list("name", flat=True))


def test_without_settings_there_is_none(client: Client) -> None:
    assert client.post("/accounts/oidc/login/").status_code == 404
    assert "Company login" not in words(client.get("/accounts/login/"))


def test_who_has_an_account_comes_in_by_the_verified_mail_address(provider: Provider) -> None:
    ann = User.objects.create_user("ann", "Ann@Example.com", PASSWORD)
    client = Client()
    assert "Company login" in words(client.get("/accounts/login/"))
    assert _come_in(provider, client).headers["Location"] == "/"
    assert client.session["_auth_user_id"] == str(ann.pk)
    ann.refresh_from_db()
    # Her password still lets her in when the provider is away.
    assert log_in(Client(), "ann").status_code == 302
    # From now on it is the account that is known, not its address.
    provider.claims["email"] = "ann@elsewhere.example"
    again = Client()
    _come_in(provider, again)
    assert again.session["_auth_user_id"] == str(ann.pk)


@pytest.mark.parametrize(
    "claims",
    [
        *({"email_verified": said} for said in (False, None, "false")),
        *({"email": email} for email in ("stranger@example.com", None)),
    ],
)
def test_who_has_none_stays_out(provider: Provider, claims: dict[str, Any]) -> None:
    User.objects.create_user("ann", "ann@example.com", PASSWORD)
    provider.claims |= claims
    client = Client()
    assert "no sign-up" in words(_come_in(provider, client))
    assert "_auth_user_id" not in client.session
    assert User.objects.count() == 1


@pytest.mark.parametrize("verified", [True, False])
def test_with_sign_up_a_stranger_gets_an_account_that_reads_nothing(
    provider: Provider, settings: Settings, verified: bool
) -> None:
    settings.OIDC_SIGNUP = True
    other = User.objects.create_user("ann", "" if verified else "ann@example.com", PASSWORD)
    provider.claims["email_verified"] = verified
    client = Client()
    assert _come_in(provider, client).headers["Location"] == "/"
    new = User.objects.get(pk=client.session["_auth_user_id"])
    assert new != other
    assert new.username != "ann"
    assert new.email == ("ann@example.com" if verified else "")
    assert not new.has_usable_password()
    assert not new.get_all_permissions()
    assert not new.is_staff


def test_roles_follow_the_providers_groups_at_each_login(provider: Provider, settings: Settings) -> None:
    settings.OIDC_ROLES = {"desk": "trader", "cn=ops": "operator"}
    ann = User.objects.create_user("ann", "ann@example.com")
    assign(ann, {Role.VIEWER})
    for groups, roles in (
        (["desk", "canteen"], {"trader"}),
        (["desk", "cn=ops"], {"trader", "operator"}),
        ("cn=ops", {"operator"}),
        (None, set()),
    ):
        provider.claims["groups"] = groups
        _come_in(provider, Client())
        ann.refresh_from_db()
        assert (_roles(ann), ann.is_staff) == (roles, "operator" in roles)


def test_superusers_and_roles_without_a_rule_stay_as_they_are(provider: Provider, settings: Settings) -> None:
    ann = User.objects.create_user("ann", "ann@example.com")
    assign(ann, {Role.OPERATOR})
    _come_in(provider, Client())
    assert _roles(ann) == {"operator"}
    settings.OIDC_ROLES = {"desk": "trader"}
    ann.is_superuser = True
    ann.save()
    _come_in(provider, Client())
    ann.refresh_from_db()
    assert (_roles(ann), ann.is_superuser, ann.is_staff) == ({"operator"}, True, True)


def test_an_account_is_connected_by_its_owner_and_to_one_alone(provider: Provider) -> None:
    bob = User.objects.create_user("bob", "bob@example.com", PASSWORD)
    client = Client()
    log_in(client, "bob")
    assert _come_in(provider, client, "connect").headers["Location"] == "/accounts/3rdparty/"
    assert SocialAccount.objects.get().user == bob
    assert "Connected" in words(client.get("/accounts/"))
    User.objects.create_user("carl", password=PASSWORD)
    other = Client()
    log_in(other, "carl")
    _come_in(provider, other, "connect")
    assert SocialAccount.objects.get().user == bob


def test_who_is_switched_off_stays_out(provider: Provider) -> None:
    User.objects.create_user("ann", "ann@example.com", is_active=False)
    client = Client()
    assert _come_in(provider, client).headers["Location"] == "/accounts/inactive/"
    assert "_auth_user_id" not in client.session


def test_several_accounts_of_one_address_are_none(provider: Provider) -> None:
    for name in ("ann", "anna"):
        User.objects.create_user(name, "ann@example.com")
    answer = _come_in(provider, Client())
    assert answer.status_code == 403
    assert "Several accounts" in words(answer)


def test_an_answer_that_nobody_asked_for_lets_nobody_in(provider: Provider) -> None:
    User.objects.create_user("ann", "ann@example.com")
    client = Client()
    for path in ("code=code0&state=made-up", "error=access_denied&state=made-up"):
        answer = client.get(f"/accounts/oidc/login/callback/?{path}", follow=True)
        assert any(said in words(answer) for said in ("did not work", "stopped the login"))
        assert "_auth_user_id" not in client.session


def test_single_sign_on_is_its_own_second_factor(provider: Provider, settings: Settings) -> None:
    settings.REQUIRE_MFA = True
    User.objects.create_user("ann", "ann@example.com", PASSWORD, is_staff=True)
    client = Client()
    _come_in(provider, client)
    assert client.get("/admin/auth/user/").status_code == 403
    credential = Credential(session_key=client.session.session_key)
    assert isinstance(grants_of([credential])[credential], Grant)
    by_password = Client()
    log_in(by_password, "ann")
    assert by_password.get("/admin/auth/user/").headers["Location"] == "/accounts/"


def test_groups_and_roles_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    roles = tuple(Role)
    monkeypatch.setattr(env, "PROBLEMS", [])
    monkeypatch.setenv("OIDC_ROLES", "desk=trader, cn=ops;dc=x = operator")
    assert env.pairs("OIDC_ROLES", roles) == {"desk": "trader", "cn=ops;dc=x": "operator"}
    for wrong in ("desk=boss", "desk", "=trader"):
        monkeypatch.setenv("OIDC_ROLES", wrong)
        assert env.pairs("OIDC_ROLES", roles) == {}
        assert env.PROBLEMS.pop().name == "OIDC_ROLES"
