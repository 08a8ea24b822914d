"""Every view of the admin, taken from its addresses, for each role and for strangers."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from control.models import (
    Alert,
    ApiToken,
    AuditEntry,
    Backtest,
    FeedGrant,
    FeedSettings,
    Layout,
    NotificationDelivery,
    NotificationTarget,
    PriceLevel,
    Scanner,
    Watchlist,
)
from control.roles import Role
from tests.rights import user_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

# Models whose rows nobody makes, and nobody deletes, by hand.
_NEVER_ADDED: Final = {"alert", "auditentry", "backtest", "feedsettings", "notificationdelivery"}
_NEVER_DELETED: Final = {"alert", "apitoken", "auditentry", "backtest", "feedsettings", "notificationdelivery"}
# What operators see, and the one thing that they make and change.
_SEEN: Final = {"alert", "apitoken", "auditentry", "feedsettings", "notificationdelivery", "scanner"}
_OWN: Final = {"apitoken"}
_PAGES: Final = {"index", "system", "who_is_connected", "search", "password_change", "password_change_done", "jsi18n"}
_TELEGRAM: Final = "tgram://123456789:abcdefg_hijklmnop-lead/12315544/"
# Answered without a page: where one came from, what is chosen from, what there is not.
_OTHERS: Final = {"login", "logout", "autocomplete", "view_on_site", "app_list", None}


def _things() -> dict[type[Model], Model]:
    """One of everything that the admin shows."""
    user = User.objects.create_user("somebody")
    target = NotificationTarget.objects.create(owner=user, name="phone", url="json://127.0.0.1:9/")
    alert = Alert.objects.create(id="a1", rule="halts", kind="halt", symbol="A", at=1, trading_day="2026-03-02")
    account = SocialAccount.objects.create(user=user, provider="openid_connect", uid="1")
    app = SocialApp.objects.create(provider="openid_connect", name="x", client_id="x")
    made = (
        *(user, target, alert, account, app, Group.objects.create(name="desk"), ApiToken.issue(user)[0]),
        Scanner.objects.create(slug="mine", name="Mine", owner=user, order_by="price"),
        PriceLevel.objects.create(user=user, symbol="A", price=1),
        Layout.objects.create(owner=user, name="mine"),
        Watchlist.objects.create(owner=user, name="mine"),
        Backtest.objects.create(user=user, recording="x"),
        AuditEntry.objects.create(user=user, username="somebody", via="api", operation="listener.stop"),
        NotificationDelivery.objects.create(target=target, alert=alert, next_at=timezone.now()),
        FeedGrant.objects.create(pattern="scanners:halts"),
        FeedSettings.objects.get(),
        EmailAddress.objects.create(user=user, email="a@example.com"),
        Authenticator.objects.create(user=user, type="totp", data={}),
        SocialToken.objects.create(app=app, account=account, token="x"),
        UserSession.objects.create(user=user, ip="127.0.0.1", session_key="x", user_agent=""),
    )
    return {type(thing): thing for thing in made}


def _addresses() -> Iterator[tuple[str, str | None]]:
    def walk(patterns: list[Any], before: str) -> Iterator[tuple[str, str | None]]:
        for one in patterns:
            if isinstance(one, URLResolver):
                yield from walk(one.url_patterns, before + str(one.pattern))
            elif isinstance(one, URLPattern):
                yield before + str(one.pattern), one.name

    return ((route, name) for route, name in walk(get_resolver().url_patterns, "/") if route.startswith("/admin/"))


def _views() -> list[tuple[str, str | None, str, str]]:
    """Each view's address, name, and of a model's its name and what it is for."""
    things = _things()
    views = []
    for route, name in _addresses():
        model, action = "", ""
        for registered in admin.site._registry:
            prefix = f"{registered._meta.app_label}_{registered._meta.model_name}_"
            if name is not None and name.startswith(prefix):
                model, action = str(registered._meta.model_name), name.removeprefix(prefix)
                route = re.sub(r"<(path:object_)?id>", str(things[registered].pk), route)
        route = re.sub(r"\^?\(\?P<app_label>[^)]*\)/\$", "control/", route)
        views.append((re.sub(r"\(\?P<url>.*|<[^>]*>", "1", route), name, model, action))
    assert {view for _, _, model, view in views if model} >= {"changelist", "add", "change", "delete", "history"}
    return views


def _everything() -> list[Any]:
    return [
        list(model._default_manager.order_by("pk").values())
        for model in admin.site._registry
        if model is not UserSession
    ]


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.TRADER])
def test_the_admin_is_closed_to_all_but_staff(role: Role | None) -> None:
    views, page = _views(), Client()
    if role is not None:
        page.force_login(user_in(role))
    before = _everything()
    for path, name, _, _ in views:
        for answer in (page.get(path), page.post(path)) if name != "logout" else ():
            assert answer.status_code in {302, 403, 404, 405}, path
            if answer.status_code == 302:
                assert re.match("/(admin|accounts)/(login|password/change)/", answer["Location"]), path
    assert _everything() == before


def test_an_operator_sees_what_he_needs_and_changes_nothing_else() -> None:
    views, page = _views(), Client()
    page.force_login(user_in(Role.OPERATOR))
    before = _everything()
    for path, name, model, action in views:
        if model:
            seeing = action in {"changelist", "change", "history", "export"}
            may = model in _SEEN if seeing else model in _OWN and action == "add"
            # Of what is each one's own, others' is not found, which the admin says on its first page.
            is_others = may and model in _OWN and action in {"change", "history"}
            # A history is looked for before one's permission is: what is another's is not found, either.
            never = {302, 403} if action == "history" else {403}
            assert page.get(path).status_code in ({302} if is_others else {200} if may else never), path
            if not may or model not in _OWN:
                # What is shown alone takes nothing.
                assert page.post(path).status_code in {200, 302, 403, 405}, path
        else:
            assert name in _PAGES | _OTHERS, path
            if name in _PAGES:
                assert page.get(path).status_code in {200, 302}, path
    assert _everything() == before


def test_an_administrator_sees_and_changes_everything_that_is_not_history() -> None:
    views, page = _views(), Client()
    page.force_login(user_in(Role.ADMINISTRATOR))
    for path, name, model, action in views:
        if model:
            never = _NEVER_ADDED if action == "add" else _NEVER_DELETED if action == "delete" else set()
            assert page.get(path).status_code == (403 if model in never else 200), path
        elif name in _PAGES:
            assert page.get(path).status_code in {200, 302}, path


def test_staff_who_manage_nobody_see_and_change_their_own_alone() -> None:
    things, user = _things(), user_in(Role.TRADER)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    other = User.objects.get(username="somebody")
    page = Client()
    page.force_login(user)
    own: list[type[Model]] = [PriceLevel, Layout, Watchlist, NotificationTarget, Backtest, NotificationDelivery]
    for model in own:
        path = f"/admin/control/{model._meta.model_name}/"
        shown = page.get(path).content.decode()
        assert "somebody" not in shown, path
        assert "phone" not in shown, path
        assert page.get(f"{path}{things[model].pk}/change/").status_code == 302, path
    before = _everything()
    forms: dict[type[Model], dict[str, Any]] = {
        PriceLevel: {"user": other.pk, "symbol": "A", "price": 2, "direction": "above", "cooldown_s": 1},
        Layout: {"owner": other.pk, "name": "planted", "content": "{}"},
        Watchlist: {"owner": other.pk, "name": "planted"},
        NotificationTarget: {"owner": other.pk, "name": "planted", "url": _TELEGRAM},
    }
    for model, form in forms.items():
        assert page.post(f"/admin/control/{model._meta.model_name}/add/", form).status_code == 200
    # Nor for everyone's scanners.
    page.post("/admin/control/notificationtarget/add/", forms[NotificationTarget] | {"owner": ""})
    assert _everything() == before
    for model, form in forms.items():
        mine = {"user" if "user" in form else "owner": user.pk}
        assert page.post(f"/admin/control/{model._meta.model_name}/add/", form | mine).status_code == 302
