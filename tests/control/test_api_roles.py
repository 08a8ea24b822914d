"""Every endpoint of the API, taken from its description, for each role; for strangers, bad tokens, and tokens that were
made for something else."""

import json
from datetime import timedelta
from functools import cache
from typing import Any, Final, NamedTuple

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from control.api import api
from control.models import (
    Alert,
    ApiToken,
    AuditEntry,
    Backtest,
    Layout,
    NotificationTarget,
    PriceLevel,
    Scanner,
    Watchlist,
)
from control.models.tokens import Scope
from control.operations.registry import OPERATIONS
from control.roles import Role
from tests.control.api_callers import Api
from tests.rights import user_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

EVERYONE: Final = frozenset(Role)
# Who has the market's feeds.
READERS: Final = EVERYONE - {Role.OPERATOR}
TRADERS: Final = frozenset({Role.TRADER, Role.ADMINISTRATOR})
OPERATORS: Final = frozenset({Role.OPERATOR, Role.ADMINISTRATOR})

_MAY: Final = {
    EVERYONE: (
        *("GET /scanners", "GET /scanners/{slug}", "POST /scanners/validate", "GET /fields", "GET /wds/asyncapi.json"),
        *("GET /price_levels", "GET /price_levels/{level_id}", "GET /backtests"),
        *("GET /layouts", "GET /layouts/{layout_id}", "GET /watchlists", "GET /watchlists/{watchlist_id}"),
        *("GET /tokens", "POST /tokens", "GET /tokens/{token_id}", "DELETE /tokens/{token_id}", "GET /targets"),
    ),
    READERS: (
        *("GET /boards/{slug}", "POST /scanners/preview", "GET /alerts", "GET /backtests/{backtest_id}"),
        *("GET /quotes", "GET /quotes/{symbol}", "GET /bars/{resolution}/{symbol}", "GET /market_data/{symbol}"),
        *(
            f"GET /market_data/{{symbol}}/{kind}"
            for kind in ("news", "short_interest", "short_volume", "splits", "dividends")
        ),
    ),
    TRADERS: (
        *("POST /scanners", "PATCH /scanners/{slug}", "DELETE /scanners/{slug}", "POST /backtests"),
        *("POST /price_levels", "PATCH /price_levels/{level_id}", "DELETE /price_levels/{level_id}"),
        *("POST /layouts", "PATCH /layouts/{layout_id}", "DELETE /layouts/{layout_id}"),
        *("POST /watchlists", "PATCH /watchlists/{watchlist_id}", "DELETE /watchlists/{watchlist_id}"),
        *("POST /targets", "PATCH /targets/{target_id}", "DELETE /targets/{target_id}"),
        "POST /targets/{target_id}/test",
    ),
    OPERATORS: (
        *("GET /system", "GET /system/history", "GET /system/components", "GET /system/accounts"),
        *("GET /operations", "GET /audit", "GET /audit/{entry_id}", "GET /sockets"),
        *(f"POST /operations/{name}" for name in OPERATIONS),
    ),
}
ALLOWED: Final = {name: roles for roles, names in _MAY.items() for name in names}
# In this order a role's own things are there until nobody asks for them any more.
_ORDER: Final = ("GET", "PATCH", "POST", "DELETE")


class Endpoint(NamedTuple):
    """An endpoint, with a body that it takes."""

    method: str
    path: str
    scope: str
    body: Any

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


@cache
def endpoints() -> tuple[Endpoint, ...]:
    description = api.get_openapi_schema()
    found = [
        Endpoint(method.upper(), path.removeprefix("/api/v1"), operation["x-scope"], _example(description, operation))
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    return tuple(sorted(found, key=lambda one: (_ORDER.index(one.method), one.path)))


def _example(description: dict[str, Any], operation: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    content = operation["requestBody"]["content"]["application/json"]
    if "example" in content:
        return content["example"]
    schema = content["schema"]
    if "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema.get("example", {})


class Desk:
    """Somebody of a role with one thing of each kind, and addresses that name them."""

    def __init__(self, role: Role) -> None:
        self.user = user = user_in(role)
        scanner = Scanner.objects.create(slug=f"of_{role}", name="Mine", owner=user, order_by="price")
        backtest = Backtest.objects.create(user=user, recording="x")
        entry = AuditEntry.objects.create(user=user, username=user.username, via="api", operation="listener.stop")
        target = NotificationTarget.objects.create(owner=user, name="mine", url="json://127.0.0.1:9/")
        self.values = {
            "slug": scanner.slug,
            "level_id": PriceLevel.objects.create(user=user, symbol="A", price=1).pk,
            "layout_id": Layout.objects.create(owner=user, name="mine").pk,
            "watchlist_id": Watchlist.objects.create(owner=user, name="mine").pk,
            "token_id": ApiToken.issue(user)[0].pk,
            "backtest_id": backtest.pk,
            "entry_id": entry.pk,
            "target_id": target.pk,
            "symbol": "AAPL",
            "resolution": "1m",
        }

    def path(self, endpoint: Endpoint) -> str:
        query = "?symbols=AAPL" if endpoint.path == "/quotes" else ""
        return endpoint.path.format(**self.values) + query


def _everything() -> list[Any]:
    """All that is kept, but for when tokens were used and what people were refused."""
    return [
        list(model._default_manager.order_by("pk").values())
        for model in apps.get_app_config("control").get_models()
        if model not in {ApiToken, AuditEntry}
    ] + [list(ApiToken.objects.order_by("pk").values("digest", "scopes", "revoked_at", "expires_at", "name"))]


@pytest.fixture(autouse=True)
def _nowhere_to_call(settings: Settings) -> None:
    """No vendor, and as many calls as it takes."""
    settings.MASSIVE_FEED, settings.API_CALLS_A_MINUTE = "127.0.0.1:9", 100_000


def test_every_endpoint_says_who_may_call_it() -> None:
    assert {one.name for one in endpoints()} == ALLOWED.keys()


@pytest.mark.parametrize("role", Role)
def test_a_role_calls_what_it_may_and_changes_nothing_by_what_it_may_not(role: Role) -> None:
    desk = Desk(role)
    token = Api(desk.user)
    page = Client()
    page.force_login(desk.user)
    denied = [one for one in endpoints() if role not in ALLOWED[one.name]]
    before = _everything()
    for one in denied:
        answer = token.ask(one.method, desk.path(one), one.body)
        assert answer.status_code == 403, one.name
        by_login = page.generic(one.method, f"/api/v1{desk.path(one)}", _json(one.body), "application/json")
        assert by_login.status_code == 403, one.name
    assert _everything() == before
    for one in endpoints():
        if role in ALLOWED[one.name]:
            answer = token.ask(one.method, desk.path(one), one.body)
            # What there is nothing of (a board, a listener, a vendor) is said to be so, not refused.
            assert answer.status_code in {200, 201, 202, 204, 404, 409, 422, 503, 504}, (one.name, answer.content)
            if one.method in {"PATCH", "DELETE"}:
                assert answer.status_code in {200, 204}, (one.name, answer.content)


def test_what_belongs_to_others_is_not_there() -> None:
    theirs = Desk(Role.TRADER)
    Alert.objects.create(id="1", rule="of_trader", kind="enter", symbol="A", at=1, trading_day="2026-03-02")
    mine = Api(user_in(Role.TRADER, "another"))
    before = _everything()
    common = {"symbol", "resolution", "entry_id"}
    for one in endpoints():
        named = {name for name in theirs.values if f"{{{name}}}" in one.path}
        if named - common:
            assert mine.ask(one.method, theirs.path(one), one.body).status_code == 404, one.name
    assert mine("GET", "/alerts")[1]["alerts"] == []
    assert _everything() == before


def test_strangers_and_tokens_that_are_no_longer_good_get_nowhere() -> None:
    desk = Desk(Role.ADMINISTRATOR)
    anonymous, expired, revoked = Api(), Api(desk.user), Api(desk.user)
    switched_off = Api(User.objects.create_superuser("gone"))
    User.objects.filter(username="gone").update(is_active=False)
    now = timezone.now()
    mine = ApiToken.objects.filter(user=desk.user).order_by("pk")
    ApiToken.objects.filter(pk=mine[1].pk).update(expires_at=now - timedelta(seconds=1))
    ApiToken.objects.filter(pk=mine[2].pk).update(revoked_at=now)
    before = _everything()
    for one in endpoints():
        for caller in (anonymous, expired, revoked, switched_off):
            answer = caller.ask(one.method, desk.path(one), one.body)
            assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer"), one.name
    assert _everything() == before


def test_a_login_changes_nothing_without_the_csrf_token() -> None:
    desk = Desk(Role.ADMINISTRATOR)
    page = Client(enforce_csrf_checks=True)
    page.force_login(desk.user)
    before = _everything()
    for one in endpoints():
        if one.method != "GET":
            answer = page.generic(one.method, f"/api/v1{desk.path(one)}", _json(one.body), "application/json")
            assert answer.status_code == 403, one.name
    assert _everything() == before


def test_a_token_for_something_else_gets_nowhere() -> None:
    desk = Desk(Role.ADMINISTRATOR)
    others = {scope: Api(desk.user, *(other for other in Scope if other != scope)) for scope in Scope}
    before = _everything()
    for one in endpoints():
        answer = others[Scope(one.scope)].ask(one.method, desk.path(one), one.body)
        wanted = f'Bearer error="insufficient_scope", scope="{one.scope}"'
        assert (answer.status_code, answer["WWW-Authenticate"]) == (403, wanted), one.name
    assert _everything() == before


def _json(body: Any) -> str:
    return json.dumps(body if body is not None else {})
