"""Tokens over the API: what one may be used for, how often, and that none makes more of itself."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from control.models import ApiToken
from control.models.tokens import Scope
from processors.store import default_store
from project.embedded import EmbeddedValkey
from tests.control.api_callers import LEVEL, Api
from tests.rights import new_user
from widgets.visitors.access import Credential, Grant, grants_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


def test_a_token_is_shown_once_and_only_its_hash_is_kept(trader: Api, other: Api) -> None:
    answer = trader.ask("POST", "/tokens", {"name": "notebook", "scopes": ["read"], "days": 90})
    made = answer.json()
    assert (answer.status_code, made["scopes"], made["state"]) == (201, ["read"], "valid")
    assert answer["Cache-Control"] == "no-store"
    assert "ETag" not in answer
    assert made["token"].endswith(made["hint"])
    path = answer["Location"].removeprefix("/api/v1")
    for shown in (trader.ask("GET", path), trader.ask("GET", "/tokens")):
        assert made["token"] not in shown.content.decode()
    assert made["token"] not in str(ApiToken.objects.values())
    assert trader("GET", path)[1] == {name: value for name, value in made.items() if name != "token"}
    assert [other(method, path)[0] for method in ("GET", "DELETE")] == [404, 404]
    assert other("GET", "/tokens")[1][0]["id"] != made["id"]
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert Client().get("/api/v1/scanners", headers=headers).status_code == 200
    assert trader("DELETE", path) == (204, None)
    assert trader("DELETE", path) == (204, None)
    assert trader("GET", path)[1]["state"] == "revoked"
    assert Client().get("/api/v1/scanners", headers=headers).status_code == 401


def test_a_token_is_good_for_its_scopes_alone() -> None:
    user = new_user("desk", staff=True)
    calls = {
        Scope.READ: (("GET", "/scanners", None), ("POST", "/scanners/validate", {"where": "price > 1"})),
        Scope.WRITE: (("POST", "/price_levels", LEVEL), ("PATCH", "/scanners/halts", {"limit": 5})),
        Scope.TOKENS: (("GET", "/tokens", None), ("DELETE", "/tokens/0", None)),
        Scope.OPERATE: (("GET", "/sockets", None),),
    }
    for scope in Scope:
        caller = Api(user, scope)
        for needed, its_calls in calls.items():
            for method, path, body in its_calls:
                answer = caller.ask(method, path, body)
                refused = answer.status_code == 403 and "scope" in answer.json()["detail"]
                assert refused == (scope != needed), (scope, method, path)
                if refused:
                    wanted = f'Bearer error="insufficient_scope", scope="{needed.value}"'
                    assert answer["WWW-Authenticate"] == wanted


def test_no_token_makes_one_that_is_good_for_more_or_for_longer(at_home: Client) -> None:
    user = new_user("trader")
    short = Api(user, Scope.TOKENS, Scope.READ)
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(days=10))
    for body, status in (
        ({"scopes": ["operate"], "days": 1}, 403),
        ({"scopes": ["read", "write"], "days": 1}, 403),
        ({"scopes": ["read"]}, 422),
        ({"scopes": ["read"], "days": 11}, 422),
        ({"scopes": ["read"], "days": 9}, 201),
    ):
        assert short("POST", "/tokens", body)[0] == status, body
    # Who has just logged in may make any: it lets nobody do more than he may.
    made = at_home.post("/api/v1/tokens", {"scopes": ["operate"]}, "application/json")
    assert made.status_code == 201
    # It is not good for what he may not do himself.
    operating = {"Authorization": f"Bearer {made.json()['token']}"}
    assert Client().get("/api/v1/sockets", headers=operating).status_code == 403


def test_what_is_wrong_with_a_wish_for_a_token_is_said_at_its_field(trader: Api) -> None:
    for field, value in (
        *(("scopes", []), ("scopes", ["everything"]), ("scopes", "read"), ("days", 0), ("days", 3_651)),
        *(("name", "x" * 101), ("user", 1)),
    ):
        status, problem = trader("POST", "/tokens", {field: value})
        assert (status, [name.partition(".")[0] for name in problem["errors"]]) == (422, [field])


def test_nobody_has_more_than_a_hundred_good_tokens(trader: Api) -> None:
    ApiToken.objects.bulk_create([ApiToken(user=trader.user, digest=f"{number}") for number in range(99)])
    assert trader("POST", "/tokens", {})[0] == 409
    ApiToken.objects.filter(digest="7").update(revoked_at=timezone.now())
    assert trader("POST", "/tokens", {})[0] == 201


def test_when_a_token_was_used_last_is_noted_once_a_minute(trader: Api) -> None:
    def used_at() -> object:
        return ApiToken.objects.get(user=trader.user).last_used_at

    assert used_at() is None
    trader("GET", "/fields")
    first = used_at()
    trader("GET", "/fields")
    assert first is not None
    assert used_at() == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    trader("GET", "/fields")
    assert used_at() > first  # type: ignore[operator]


def test_every_answer_says_how_many_calls_are_left_until_there_are_none(
    trader: Api, other: Api, settings: Settings
) -> None:
    settings.API_CALLS_A_MINUTE = 4
    answers = [trader.ask("GET", path) for path in ("/fields", "/scanners/none", "/fields", "/fields", "/fields")]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 200, 429]
    assert {answer["RateLimit-Policy"] for answer in answers} == {'"calls";q=4;w=60'}
    assert [answer["RateLimit"].partition(";t=")[0] for answer in answers] == [
        f'"calls";r={left}' for left in (3, 2, 1, 0, 0)
    ]
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    # By the token: another one, of the same user too, has calls of its own.
    assert trader.user is not None
    assert Api(trader.user)("GET", "/fields")[0] == other("GET", "/fields")[0] == 200
    page = Client()
    page.force_login(trader.user)
    assert [page.get("/api/v1/fields").status_code for _ in range(5)] == [200] * 4 + [429]
    for key in default_store().redis.scan_iter("tw:rate:calls:*"):
        assert 0 < default_store().redis.ttl(key) <= 60
        default_store().redis.delete(key)
    assert trader("GET", "/fields")[0] == 200


def test_while_the_cache_is_away_nobody_is_held_up(trader: Api, valkey: EmbeddedValkey) -> None:
    valkey.kill()
    assert trader("GET", "/fields")[0] == 200
    assert trader("GET", "/quotes?symbols=A")[0] == 503


def test_who_shows_a_token_is_known_by_it_alone(trader: Api) -> None:
    page = Client()
    assert trader.user is not None
    page.force_login(trader.user)
    assert page.get("/api/v1/scanners").status_code == 200
    assert page.get("/api/v1/scanners", headers={"Authorization": "Bearer tw_nonsense"}).status_code == 401


def test_a_token_that_is_not_for_reading_opens_no_socket() -> None:
    user = new_user("desk")
    tokens = {scope: ApiToken.issue(user, scopes=[scope])[1] for scope in Scope}
    credentials = {scope: Credential(token_digest=ApiToken.digest_of(token)) for scope, token in tokens.items()}
    found = grants_of(list(credentials.values()))
    good = [scope for scope, credential in credentials.items() if isinstance(found[credential], Grant)]
    assert good == [Scope.READ]
