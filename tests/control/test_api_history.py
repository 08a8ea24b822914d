"""The API on alerts, price levels and backtests, and what it says of calls that make no sense."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from pytest_django import Settings

from control.models import Alert, Backtest, PriceLevel, Scanner
from processors.store import default_store
from tests.control.api_callers import LEVEL, SCANNER, Api

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


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
    trader("POST", "/scanners", SCANNER)
    level = trader("POST", "/price_levels", LEVEL)[1]["id"]
    Alert.objects.bulk_create([_alert(1, rule="mine"), _alert(2, rule=f"level:{level}"), _alert(3)])
    assert [len(caller("GET", "/alerts")[1]["alerts"]) for caller in (trader, other, staff)] == [3, 1, 3]
    assert other("GET", "/alerts?rule=mine")[1]["alerts"] == []


def test_price_levels_are_each_users_own(trader: Api, other: Api, staff: Api) -> None:
    status, level = trader("POST", "/price_levels", LEVEL)
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
        status, problem = trader("POST", "/price_levels", {**LEVEL, field: value})
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
    other("POST", "/scanners", {**SCANNER, "slug": "theirs"})
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


def _answer(caller: Api, method: str, path: str, body: str = "") -> Any:
    return Client(raise_request_exception=False).generic(
        method, f"/api/v1{path}", body, content_type="application/json", headers=caller.headers
    )


def test_errors_that_never_reach_the_api_are_problems_too(trader: Api) -> None:
    for method, path, body, status in (
        *(("GET", "/nothing", "", 404), ("GET", "/boards/a/b", "", 404), ("GET", "/scanners/validate", "", 405)),
        *(("PUT", "/scanners", "{}", 405), ("POST", "/scanners", "x" * 3_000_000, 400)),
    ):
        answer = _answer(trader, method, path, body)
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), path
        assert answer.json()["status"] == status
        assert ("Allow" in answer) == (status == 405)
        assert (answer["Cache-Control"], "Authorization" in answer["Vary"]) == ("private, no-cache", True)


def test_texts_that_no_database_can_hold_are_refused(trader: Api) -> None:
    for odd in ("a\0b", "a\ud800b"):
        assert trader("POST", "/scanners", {**SCANNER, "name": odd})[0] == 400
        assert trader("POST", "/scanners", {**SCANNER, "notify": [odd]})[0] == 400
        assert trader("POST", "/price_levels", {**LEVEL, "note": odd})[0] == 400
    for path in ("/alerts?symbol=%00", "/price_levels?symbol=%00"):
        assert trader("GET", path)[0] == 422
    assert not Scanner.objects.filter(slug="mine").exists()
    assert trader("POST", "/price_levels", {**LEVEL, "note": "über 🙂"})[1]["note"] == "über 🙂"


def test_what_is_nested_too_deeply_is_refused_before_anybody_keeps_it(trader: Api) -> None:
    for levels, status in ((62, 201), (63, 400), (700, 400)):
        deep = f'{{"name": "{levels}", "content": {{"a": {"[" * levels}{"]" * levels}}}}}'
        assert _answer(trader, "POST", "/layouts", deep).status_code == status, levels


def test_texts_have_an_end(trader: Api) -> None:
    for field, value in (("description", "x" * 2_001), ("notify", ["x" * 2_001]), ("name", "x" * 101)):
        status, problem = trader("POST", "/scanners", {**SCANNER, field: value})
        assert (status, list(problem["errors"])) == (422, [field])


def test_names_that_mean_something_else_are_refused(trader: Api, staff: Api) -> None:
    for slug in ("validate", "preview", "user", "user:1", "level:1"):
        for caller in (trader, staff):
            assert list(caller("POST", "/scanners", {**SCANNER, "slug": slug})[1]["errors"]) == ["slug"]
    # Everyone sees the first ten of such a board in `top_10_lists`.
    for slug in ("small_cap_mine", "top_losers"):
        Scanner.objects.filter(slug=slug).delete()
        assert list(trader("POST", "/scanners", {**SCANNER, "slug": slug})[1]["errors"]) == ["slug"]
        assert staff("POST", "/scanners", {**SCANNER, "slug": slug, "shipped": True})[0] == 201


def test_nobody_takes_over_anothers_alerts_with_the_name(trader: Api, other: Api) -> None:
    trader("POST", "/scanners", SCANNER)
    Alert.objects.bulk_create([_alert(1, rule="mine")])
    assert trader("PATCH", "/scanners/mine", {"limit": 9})[0] == 200
    assert trader("DELETE", "/scanners/mine")[0] == 204
    status, problem = other("POST", "/scanners", SCANNER)
    assert (status, list(problem["errors"])) == (422, ["slug"])
    assert other("GET", "/alerts")[1]["alerts"] == []
