"""The API as programs and pages call it: who may do what, and what they are told when they may not."""

from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client

from control import preview
from control.models import PriceLevel, Scanner
from processors.fields import FIELDS
from processors.store import Store, default_store
from project.embedded import EmbeddedValkey
from tests.control.api_callers import LEVEL, NOW, SCANNER, Api
from tests.rights import new_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


def test_a_token_that_is_none_gets_nowhere() -> None:
    for token in ("nonsense", "", "tw_x", "ü"):
        response = Client().get("/api/v1/scanners", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"


def test_a_login_reads_and_needs_the_csrf_token_to_change_something() -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(new_user("trader"))
    assert page.get("/api/v1/scanners").status_code == 200
    assert page.post("/api/v1/scanners", SCANNER, "application/json").status_code == 403
    page.cookies["csrftoken"] = token = "c" * 32
    answer = page.post("/api/v1/scanners", SCANNER, "application/json", headers={"X-CSRFToken": token})
    assert answer.status_code == 201


def test_the_description_is_for_those_who_are_logged_in_and_loads_nothing_from_elsewhere(client: Client) -> None:
    for path in ("/api/v1/docs", "/api/v1/openapi.json"):
        assert client.get(path).status_code == 302
    client.force_login(User.objects.create_user("trader"))
    page = client.get("/api/v1/docs").content.decode()
    assert "//" not in page.replace("http://www.w3.org", "").replace("//ninja", "")
    assert client.get("/api/v1/openapi.json").json()["info"]["title"] == "Tapewatch"


def test_a_scanner_of_ones_own(trader: Api, other: Api, staff: Api) -> None:
    status, made = trader("POST", "/scanners", SCANNER)
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
    assert other("POST", "/scanners", SCANNER)[0] == 422
    assert trader("DELETE", "/scanners/mine") == (204, None)
    assert trader("GET", "/scanners/mine")[0] == 404


def test_nobody_has_more_scanners_or_levels_than_the_engine_can_carry(trader: Api, staff: Api) -> None:
    Scanner.objects.bulk_create([Scanner(slug=f"s{number}", owner=trader.user) for number in range(50)])
    PriceLevel.objects.bulk_create([PriceLevel(symbol="A", price=1, user=trader.user) for _ in range(500)])
    for path, body in (("/scanners", SCANNER), ("/price_levels", LEVEL)):
        assert trader("POST", path, body)[0] == 409
        assert staff("POST", path, body)[0] == 201


def test_shipped_scanners_are_everyones_to_see_and_staffs_to_change(trader: Api, staff: Api) -> None:
    assert trader("GET", "/scanners/halts")[1]["owner"] is None
    assert trader("PATCH", "/scanners/halts", {"limit": 5})[0] == 403
    assert trader("DELETE", "/scanners/halts")[0] == 403
    assert trader("POST", "/scanners", {**SCANNER, "shipped": True})[0] == 403
    assert staff("PATCH", "/scanners/halts", {"limit": 5})[1]["limit"] == 5
    assert staff("POST", "/scanners", {**SCANNER, "shipped": True})[1]["owner"] is None
    assert staff("DELETE", "/scanners/mine")[0] == 204


_WRONGSCANNERS: tuple[tuple[str, Any], ...] = (
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
    trader("POST", "/scanners", {**SCANNER, "slug": "kept"})
    for field, value in (*_WRONGSCANNERS, ("slug", "No Good"), ("slug", "level:1"), ("slug", "kept")):
        status, problem = trader("POST", "/scanners", {**SCANNER, field: value})
        assert (status, list(problem["errors"])) == (422, [field]), (field, value)
    before = trader("GET", "/scanners/kept")
    for field, value in _WRONGSCANNERS:
        status, problem = trader("PATCH", "/scanners/kept", {field: value})
        assert (status, list(problem["errors"])) == (422, [field]), (field, value)
    assert trader("GET", "/scanners/kept") == before


def test_a_body_that_is_none_is_the_callers_error(trader: Api) -> None:
    for body in ("", "[]", "7", "{", "null", '{"where": "\\ud800"}', "\x00"):
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
    assert found["market_clock"] == NOW
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
    trader("POST", "/scanners", SCANNER)
    rows = [{"symbol": "A", "price": 1.5, "rank": 1}]
    default_store().redis.set("scanners:mine", msgspec.json.encode(rows))
    assert trader("GET", "/boards/mine")[1] == {"slug": "mine", "rows": rows}
    assert other("GET", "/boards/mine")[0] == 404
    assert trader("GET", "/boards/none")[0] == 404
