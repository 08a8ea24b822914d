"""The API as programs and pages call it: who may do what, and what they are told when they may not."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from control import preview
from control.models import Alert, ApiToken, Backtest, PriceLevel, Scanner
from processors.fields import FIELDS
from processors.store import Store, default_store
from project.embedded import EmbeddedValkey
from tests.processors.feeding import at, batch, begin, feed_in, trade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

_SCANNER = {"slug": "mine", "name": "Mine", "where": "price > 5", "order_by": "pct_change", "columns": ["price"]}
_NOW = at("2026-03-02 10:00:00")
_LEVEL = {"symbol": "AAPL", "price": 123.45, "direction": "above"}


class Api:
    """A caller: everybody's API with or without a token."""

    def __init__(self, user: User | None = None) -> None:
        self.user = user
        self.headers = {"Authorization": f"Bearer {ApiToken.issue(user)[1]}"} if user is not None else {}

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status, and the answer's content."""
        response = Client().generic(
            method,
            f"/api/v1{path}",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers=self.headers,
        )
        if response.status_code >= 400:
            assert response["Content-Type"] == "application/problem+json"
            problem = response.json()
            assert problem["status"] == response.status_code
            assert problem["title"] == HTTPStatus(response.status_code).phrase
            assert problem["detail"]
        return response.status_code, response.json() if response.content else None


@pytest.fixture
def trader(db: None) -> Api:
    return Api(User.objects.create_user("trader"))


@pytest.fixture
def other(db: None) -> Api:
    return Api(User.objects.create_user("other"))


@pytest.fixture
def staff(db: None) -> Api:
    return Api(User.objects.create_user("operator", is_staff=True))


@pytest.fixture
def market(valkey: EmbeddedValkey) -> Iterator[Store]:
    """A table of three symbols."""
    store = default_store()
    preview.live_rows.cache_clear()
    begin(store)
    prices = {"LOW": 2.0, "MID": 10.0, "TOP": 50.0}
    feed_in(("trades", batch([trade(symbol, _NOW, price) for symbol, price in prices.items()])))
    yield store
    preview.live_rows.cache_clear()


_ENDPOINTS = (
    *(
        ("GET", "/scanners", None),
        ("POST", "/scanners", _SCANNER),
        ("POST", "/scanners/validate", {"where": "price > 1"}),
    ),
    *(("POST", "/scanners/preview", {"where": "price > 1"}), ("GET", "/scanners/halts", None)),
    *(("PATCH", "/scanners/halts", {"limit": 5}), ("DELETE", "/scanners/halts", None), ("GET", "/fields", None)),
    *(("GET", "/boards/halts", None), ("GET", "/alerts", None), ("GET", "/price_levels", None)),
    *(("POST", "/price_levels", _LEVEL), ("GET", "/price_levels/1", None), ("PATCH", "/price_levels/1", {"price": 1})),
    *(("DELETE", "/price_levels/1", None), ("GET", "/backtests", None), ("POST", "/backtests", {"recording": "x"})),
    ("GET", "/backtests/1", None),
)


def test_strangers_get_nowhere() -> None:
    anonymous = Api()
    for method, path, body in _ENDPOINTS:
        assert anonymous(method, path, body)[0] == 401, (method, path)
    assert Scanner.objects.filter(slug="halts", limit=100).exists()


def test_every_endpoint_is_among_those_that_strangers_tried() -> None:
    from control.api import api

    described = {
        (method.upper(), path.removeprefix("/api/v1").replace("{slug}", "halts").replace("{level_id}", "1"))
        for path, methods in api.get_openapi_schema()["paths"].items()
        for method in methods
    }
    assert described == {
        (method, path.replace("/backtests/1", "/backtests/{backtest_id}")) for method, path, _ in _ENDPOINTS
    }


def test_a_token_that_is_none_gets_nowhere() -> None:
    for token in ("nonsense", "", "tw_x", "ü"):
        response = Client().get("/api/v1/scanners", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"


def test_a_login_reads_and_needs_the_csrf_token_to_change_something() -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(User.objects.create_user("trader"))
    assert page.get("/api/v1/scanners").status_code == 200
    assert page.post("/api/v1/scanners", _SCANNER, "application/json").status_code == 403
    page.cookies["csrftoken"] = token = "c" * 32
    answer = page.post("/api/v1/scanners", _SCANNER, "application/json", headers={"X-CSRFToken": token})
    assert answer.status_code == 201


def test_the_description_is_for_those_who_are_logged_in_and_loads_nothing_from_elsewhere(client: Client) -> None:
    for path in ("/api/v1/docs", "/api/v1/openapi.json"):
        assert client.get(path).status_code == 302
    client.force_login(User.objects.create_user("trader"))
    page = client.get("/api/v1/docs").content.decode()
    assert "//" not in page.replace("http://www.w3.org", "").replace("//ninja", "")
    assert client.get("/api/v1/openapi.json").json()["info"]["title"] == "Tapewatch"


def test_a_scanner_of_ones_own(trader: Api, other: Api, staff: Api) -> None:
    status, made = trader("POST", "/scanners", _SCANNER)
    assert (status, made["owner"], made["tick_ms"], made["alert_on"]) == (201, "trader", 1_000, "")
    assert trader("GET", "/scanners/mine")[1] == made
    status, changed = trader("PATCH", "/scanners/mine", {"limit": 7, "alert_on": "enter"})
    assert (status, changed) == (200, {**made, "limit": 7, "alert_on": "enter"})
    # Nobody else sees it, staff excepted.
    for method, body in (("GET", None), ("PATCH", {"limit": 8}), ("DELETE", None)):
        assert other(method, "/scanners/mine", body)[0] == 404
    assert "mine" not in {scanner["slug"] for scanner in other("GET", "/scanners")[1]}
    assert "mine" in {scanner["slug"] for scanner in trader("GET", "/scanners")[1]}
    assert staff("PATCH", "/scanners/mine", {"limit": 9})[1]["owner"] == "trader"
    assert other("POST", "/scanners", _SCANNER)[0] == 422
    assert trader("DELETE", "/scanners/mine") == (204, None)
    assert trader("GET", "/scanners/mine")[0] == 404


def test_nobody_has_more_scanners_or_levels_than_the_engine_can_carry(trader: Api, staff: Api) -> None:
    Scanner.objects.bulk_create([Scanner(slug=f"s{number}", owner=trader.user) for number in range(50)])
    PriceLevel.objects.bulk_create([PriceLevel(symbol="A", price=1, user=trader.user) for _ in range(500)])
    for path, body in (("/scanners", _SCANNER), ("/price_levels", _LEVEL)):
        assert trader("POST", path, body)[0] == 409
        assert staff("POST", path, body)[0] == 201


def test_shipped_scanners_are_everyones_to_see_and_staffs_to_change(trader: Api, staff: Api) -> None:
    assert trader("GET", "/scanners/halts")[1]["owner"] is None
    assert trader("PATCH", "/scanners/halts", {"limit": 5})[0] == 403
    assert trader("DELETE", "/scanners/halts")[0] == 403
    assert trader("POST", "/scanners", {**_SCANNER, "shipped": True})[0] == 403
    assert staff("PATCH", "/scanners/halts", {"limit": 5})[1]["limit"] == 5
    assert staff("POST", "/scanners", {**_SCANNER, "shipped": True})[1]["owner"] is None
    assert staff("DELETE", "/scanners/mine")[0] == 204


_WRONG_SCANNERS: tuple[tuple[str, Any], ...] = (
    *(
        ("where", "prise > 5"),
        ("order_by", "count(*)"),
        ("columns", ["nope"]),
        ("columns", "price"),
        ("notify", "mail"),
    ),
    *(("limit", 0), ("limit", 10**30), ("limit", "x"), ("tick_ms", 249), ("tick_ms", 60_001), ("cooldown_s", -1)),
    *(("alert_on", "never"), ("sound", "x"), ("name", ""), ("name", None), ("where", None), ("nope", 1)),
)


def test_what_is_wrong_with_a_scanner_is_said_at_its_field(trader: Api) -> None:
    trader("POST", "/scanners", {**_SCANNER, "slug": "kept"})
    for field, value in (*_WRONG_SCANNERS, ("slug", "No Good"), ("slug", "level:1"), ("slug", "kept")):
        status, problem = trader("POST", "/scanners", {**_SCANNER, field: value})
        assert (status, list(problem["errors"])) == (422, [field]), (field, value)
    before = trader("GET", "/scanners/kept")
    for field, value in _WRONG_SCANNERS:
        status, problem = trader("PATCH", "/scanners/kept", {field: value})
        assert (status, list(problem["errors"])) == (422, [field]), (field, value)
    assert trader("GET", "/scanners/kept") == before


def test_a_body_that_is_none_is_the_callers_error(trader: Api) -> None:
    for body in ("", "[]", "{", "null", '{"where": "\\ud800"}', "\x00"):
        response = Client().generic(
            "POST", "/api/v1/scanners", body, content_type="application/json", headers=trader.headers
        )
        assert response.status_code in {400, 422}
        assert response["Content-Type"] == "application/problem+json"


def test_texts_are_checked_as_one_types(trader: Api) -> None:
    assert trader("POST", "/scanners/validate", {"where": "price > 5"})[1] == {"valid": True, "errors": []}
    status, verdict = trader("POST", "/scanners/validate", {"where": "volume > 5 AND prise > 5", "order_by": "price >"})
    where, order_by = verdict["errors"]
    assert (status, verdict["valid"]) == (200, False)
    assert where == {
        "field": "where",
        "message": "where: there is no field 'prise' at character 16; did you mean price?",
        "start": 15,
        "end": 20,
    }
    assert (order_by["field"], order_by["start"], order_by["end"]) == ("order_by", 6, 7)


def test_a_preview_is_the_board_that_a_scanner_would_show(trader: Api, market: Store) -> None:
    status, found = trader("POST", "/scanners/preview", {"where": "price > 5", "order_by": "price"})
    assert status == 200
    assert [(row["rank"], row["symbol"], row["price"]) for row in found["rows"]] == [(1, "TOP", 50.0), (2, "MID", 10.0)]
    assert found["market_clock"] == _NOW
    assert found["rows"][0].keys() == {"rank", *(field.name for field in FIELDS)}
    body = {"where": "", "order_by": "price", "descending": False, "limit": 1}
    assert [row["symbol"] for row in trader("POST", "/scanners/preview", body)[1]["rows"]] == ["LOW"]
    assert trader("POST", "/scanners/preview", {"where": "nope"})[1]["errors"].keys() == {"where"}


def test_a_preview_without_a_market_is_empty(trader: Api, valkey: EmbeddedValkey) -> None:
    preview.live_rows.cache_clear()
    assert trader("POST", "/scanners/preview", {"where": "price > 5"})[1] == {
        "rows": [],
        "market_clock": None,
        "took_ms": 0.0,
    }


def test_who_asks_too_often_waits(trader: Api, other: Api, valkey: EmbeddedValkey) -> None:
    for _ in range(30):
        assert trader("POST", "/backtests", {"recording": "none"})[0] == 422
    assert trader("POST", "/backtests", {"recording": "none"})[0] == 429
    assert other("POST", "/backtests", {"recording": "none"})[0] == 422


def test_fields_are_described(trader: Api) -> None:
    described = trader("GET", "/fields")[1]
    assert [field["name"] for field in described] == [field.name for field in FIELDS]
    assert all(field.keys() == {"name", "label", "unit", "description", "formula", "source"} for field in described)


def test_a_board_is_read_as_it_was_published(trader: Api, other: Api, valkey: EmbeddedValkey) -> None:
    assert trader("GET", "/boards/halts")[1] == {"slug": "halts", "rows": None}
    trader("POST", "/scanners", _SCANNER)
    rows = [{"symbol": "A", "price": 1.5, "rank": 1}]
    default_store().redis.set("scanners:mine", msgspec.json.encode(rows))
    assert trader("GET", "/boards/mine")[1] == {"slug": "mine", "rows": rows}
    assert other("GET", "/boards/mine")[0] == 404
    assert trader("GET", "/boards/none")[0] == 404


def _alert(number: int, rule: str = "halts", symbol: str = "AAPL", day: str = "2026-03-02", at_ms: int = 0) -> Alert:
    return Alert(
        id=f"{number:032x}",
        rule=rule,
        kind="halt",
        symbol=symbol,
        at=at_ms or 1_000 + number,
        trading_day=day,
        row={"price": 1.0},
    )


def test_alerts_are_searched_by_day_symbol_and_rule(trader: Api, staff: Api) -> None:
    Alert.objects.bulk_create(
        [_alert(1), _alert(2, symbol="MSFT"), _alert(3, day="2026-03-03"), _alert(4, rule="top_volume")]
    )

    def found(query: str = "", caller: Api = trader) -> list[int]:
        return [int(alert["id"], 16) for alert in caller("GET", f"/alerts{query}")[1]["alerts"]]

    assert found() == found(caller=staff) == [4, 3, 2, 1]
    assert found("?symbol=MSFT") == [2]
    assert found("?day=2026-03-03") == [3]
    assert found("?rule=top_volume&symbol=AAPL") == [4]
    assert found("?kind=enter") == []
    alert = trader("GET", "/alerts?symbol=MSFT")[1]["alerts"][0]
    assert (alert["row"], alert["trading_day"], alert["at"]) == ({"price": 1.0}, "2026-03-02", 1_002)


def test_alerts_come_by_the_page_each_once(trader: Api) -> None:
    Alert.objects.bulk_create([_alert(number, at_ms=5_000 + number // 4) for number in range(10)])
    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        page = trader("GET", f"/alerts?limit=3{cursor}")[1]
        seen += [alert["id"] for alert in page["alerts"]]
        cursor = f"&cursor={page['next']}"
    assert (page["next"], len(page["alerts"])) == (None, 1)
    assert seen == [f"{number:032x}" for number in range(9, -1, -1)]


def test_a_search_that_is_none_is_the_callers_error(trader: Api) -> None:
    cursors = ("x", "1", "1.%00", f"{10**30}.1", ".")
    for query in (*(f"cursor={cursor}" for cursor in cursors), "limit=0", "limit=501", "day=x"):
        assert trader("GET", f"/alerts?{query}")[0] == 422, query


def test_alerts_of_others_scanners_and_levels_are_not_shown(trader: Api, other: Api, staff: Api) -> None:
    trader("POST", "/scanners", _SCANNER)
    level = trader("POST", "/price_levels", _LEVEL)[1]["id"]
    Alert.objects.bulk_create([_alert(1, rule="mine"), _alert(2, rule=f"level:{level}"), _alert(3)])
    assert [len(caller("GET", "/alerts")[1]["alerts"]) for caller in (trader, other, staff)] == [3, 1, 3]
    assert other("GET", "/alerts?rule=mine")[1]["alerts"] == []


def test_price_levels_are_each_users_own(trader: Api, other: Api, staff: Api) -> None:
    status, level = trader("POST", "/price_levels", _LEVEL)
    assert (status, level["price"], level["cooldown_s"], level["enabled"]) == (201, 123.45, 300, True)
    path = f"/price_levels/{level['id']}"
    assert trader("GET", path)[1] == level
    assert trader("PATCH", path, {"price": 99, "enabled": False})[1] == {**level, "price": 99.0, "enabled": False}
    assert [one["id"] for one in trader("GET", "/price_levels?symbol=AAPL")[1]] == [level["id"]]
    assert trader("GET", "/price_levels?symbol=MSFT")[1] == []
    for caller in (other, staff):
        assert caller("GET", "/price_levels")[1] == []
        for method, body in (("GET", None), ("PATCH", {"price": 1}), ("DELETE", None)):
            assert caller(method, path, body)[0] == 404
    assert trader("DELETE", path)[0] == 204
    assert not PriceLevel.objects.exists()
    assert trader("GET", f"/price_levels/{10**25}")[0] == 404


def test_what_is_wrong_with_a_level_is_said_at_its_field(trader: Api) -> None:
    for field, value in (
        *(
            ("price", 0),
            ("price", -1),
            ("price", float("nan")),
            ("price", float("inf")),
            ("price", "x"),
            ("price", None),
        ),
        *(("direction", "up"), ("symbol", ""), ("symbol", "A B"), ("cooldown_s", 86_401), ("note", "x" * 201)),
        ("user", 1),
    ):
        status, problem = trader("POST", "/price_levels", {**_LEVEL, field: value})
        assert (status, list(problem["errors"])) == (422, [field]), (field, value)


@pytest.fixture
def recordings(tmp_path: Path, settings: Settings) -> Path:
    settings.RECORDINGS_DIR = tmp_path
    (tmp_path / "day.ndjson").write_text("")
    return tmp_path


def test_a_backtest_is_asked_for_and_read(trader: Api, other: Api, staff: Api, recordings: Path) -> None:
    status, waiting = trader("POST", "/backtests", {"recording": "day.ndjson", "scanners": ["halts"]})
    assert (status, waiting["state"], waiting["error"]) == (202, "queued", "")
    Backtest.objects.update(state="done", result={"alerts": []})
    done = trader("GET", f"/backtests/{waiting['id']}")[1]
    assert (done["state"], done["result"]) == ("done", {"alerts": []})
    assert [one["id"] for one in trader("GET", "/backtests")[1]] == [waiting["id"]]
    for caller in (other, staff):
        assert caller("GET", "/backtests")[1] == []
        assert caller("GET", f"/backtests/{waiting['id']}")[0] == 404


def test_what_is_wrong_with_a_backtest_is_said_at_its_field(trader: Api, other: Api, recordings: Path) -> None:
    other("POST", "/scanners", {**_SCANNER, "slug": "theirs"})
    for field, value in (
        *(("recording", "../day.ndjson"), ("recording", "none"), ("recording", ""), ("where", "prise > 1")),
        *(("scanners", ["none"]), ("scanners", ["theirs"])),
    ):
        status, problem = trader("POST", "/backtests", {"recording": "day.ndjson", field: value})
        assert (status, list(problem["errors"])) == (422, [field]), (field, value)
    assert not Backtest.objects.exists()


def test_only_so_many_backtests_wait_at_a_time(trader: Api, recordings: Path) -> None:
    answers = [trader("POST", "/backtests", {"recording": "day.ndjson"})[0] for _ in range(6)]
    assert answers == [202] * 5 + [409]


def test_a_cache_that_is_gone_is_said(trader: Api, settings: Settings) -> None:
    default_store.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    try:
        assert trader("GET", "/boards/halts")[0] == 503
    finally:
        settings.REDIS_URL = django_settings.REDIS_URL
        default_store.cache_clear()
