"""Layouts and watchlists over the API, and what makes two who change the same thing not undo each other's work."""

import base64
from math import inf
from typing import Any

import pytest

from control.models import Layout, Scanner, Watchlist
from tests.control.api_callers import SCANNER, Api

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

LAYOUT = {"name": "Opening", "content": {"widgets": [{"kind": "board", "x": 0}]}}
WATCHLIST = {"name": "Chips", "symbols": ["NVDA", "AMD", "BRK.A"]}


def test_layouts_are_ones_own_and_read_by_others_if_shared(trader: Api, other: Api, staff: Api) -> None:
    answer = trader.ask("POST", "/layouts", LAYOUT)
    status, made = trader("GET", answer["Location"].removeprefix("/api/v1"))
    assert (answer.status_code, status, made["owner"], made["revision"]) == (201, 200, "trader", 1)
    assert made["content"] == LAYOUT["content"]
    path = f"/layouts/{made['id']}"
    for caller in (other, staff):
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            assert caller(method, path, body)[0] == 404
        assert caller("GET", "/layouts?shared=true")[1] == []
    changed = trader("PATCH", path, {"shared": True})[1]
    assert (changed["revision"], changed["shared"], changed["content"]) == (2, True, LAYOUT["content"])
    assert other("GET", path)[1] == changed
    assert other("GET", "/layouts")[1] == []
    listed = other("GET", "/layouts?shared=true")[1]
    assert [(one["id"], "content" in one) for one in listed] == [(made["id"], False)]
    assert other("PATCH", path, {"name": "x"})[0] == 404
    assert other("DELETE", path)[0] == 404
    assert other("POST", "/layouts", LAYOUT)[0] == 201
    assert trader("DELETE", path) == (204, None)
    assert list(Layout.objects.values_list("owner__username", flat=True)) == ["other"]


def test_watchlists_are_ones_own(trader: Api, other: Api, staff: Api) -> None:
    status, made = trader("POST", "/watchlists", WATCHLIST)
    assert (status, made["symbols"]) == (201, WATCHLIST["symbols"])
    path = f"/watchlists/{made['id']}"
    changed = trader("PATCH", path, {"symbols": ["AMD"]})[1]
    assert changed == {**made, "symbols": ["AMD"], "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > made["updated_at"]
    for caller in (other, staff):
        assert caller("GET", "/watchlists")[1] == []
        for method, body in (("GET", None), ("PATCH", {"symbols": []}), ("DELETE", None)):
            assert caller(method, path, body)[0] == 404
    assert trader("DELETE", path)[0] == 204
    assert not Watchlist.objects.exists()


@pytest.mark.parametrize(
    ("path", "body", "field", "values"),
    [
        ("/layouts", LAYOUT, "name", ("", "x" * 101, None, 7)),
        ("/layouts", LAYOUT, "content", ([], "x", None, {"x": "y" * 300_000}, {"x": [inf]})),
        ("/layouts", LAYOUT, "nope", (1,)),
        ("/watchlists", WATCHLIST, "symbols", ("AMD", ["A B"], ["AMD", "AMD"], [7], ["A"] * 501, None)),
        ("/watchlists", WATCHLIST, "name", ("", None)),
    ],
)
def test_what_is_wrong_is_said_at_its_field(trader: Api, path: str, body: Any, field: str, values: Any) -> None:
    kept = trader("POST", path, {**body, "name": "kept"})[1]
    for value in values:
        for status, problem in (
            trader("POST", path, {**body, field: value}),
            trader("PATCH", f"{path}/{kept['id']}", {field: value}),
        ):
            assert status == 422
            assert {name.partition(".")[0] for name in problem["errors"]} == {field}
    assert trader("GET", f"{path}/{kept['id']}")[1] == kept
    # One of this name is there.
    assert trader("POST", path, {**body, "name": "kept"})[0] == 422


def test_nobody_keeps_more_than_a_hundred(trader: Api, other: Api) -> None:
    Layout.objects.bulk_create([Layout(owner=trader.user, name=str(number)) for number in range(100)])
    Watchlist.objects.bulk_create([Watchlist(owner=trader.user, name=str(number)) for number in range(100)])
    for path, body in (("/layouts", LAYOUT), ("/watchlists", WATCHLIST)):
        assert trader("POST", path, body)[0] == 409
        assert other("POST", path, body)[0] == 201


def test_lists_come_by_the_page_each_once(trader: Api) -> None:
    # Of one name there is one alone; levels share a symbol and a price.
    Watchlist.objects.bulk_create([Watchlist(owner=trader.user, name=f"n{number:02}") for number in range(25)])
    for price in (3.0, 1.5, 2.0, 1.5, 1.5):
        trader("POST", "/price_levels", {"symbol": "AAPL", "price": price})
    for path, key, expected in (
        ("/watchlists?limit=10", "name", [f"n{number:02}" for number in range(25)]),
        ("/price_levels?symbol=AAPL&limit=2", "price", [1.5, 1.5, 1.5, 2.0, 3.0]),
        ("/scanners?limit=4", "slug", [one.slug for one in Scanner.objects.filter(owner=None)]),
    ):
        seen, pages = [], 0
        while path:
            answer = trader.ask("GET", path)
            seen += [one[key] for one in answer.json()]
            pages += 1
            link = answer.get("Link", "")
            path = link.partition("<")[2].partition(">")[0].removeprefix("/api/v1")
            assert (not link) or 'rel="next"' in link
        assert seen == expected
        assert pages > 2
    for cursor in ("x", "WzFd", "W10", "e30", "WyJcdTAwMDAiLCAxXQ", "WyJhIiwgImIiXQ", "é", "a" * 1_001):
        assert trader("GET", f"/watchlists?cursor={cursor}")[0] == 422, cursor
    beyond = base64.urlsafe_b64encode(f'["A", {"9" * 400}, 1]'.encode()).decode()
    assert trader("GET", f"/price_levels?cursor={beyond.rstrip('=')}")[0] == 422


def test_what_has_not_changed_is_not_sent_again(trader: Api) -> None:
    trader("POST", "/scanners", SCANNER)
    layout = trader("POST", "/layouts", LAYOUT)[1]["id"]
    for path in ("/scanners/mine", "/scanners", "/fields", f"/layouts/{layout}", "/alerts", "/wds/asyncapi.json"):
        first = trader.ask("GET", path)
        assert first["Cache-Control"] == "private, no-cache"
        again = trader.ask("GET", path, **{"If-None-Match": f'"x", W/{first["ETag"]}'})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
        assert (again["Cache-Control"], "RateLimit" in again) == ("private, no-cache", True)
        assert trader.ask("GET", path, **{"If-Match": '"x"'}).status_code == 412
        assert trader.ask("GET", path, **{"If-None-Match": '"x"'}).content == first.content
    before = trader.ask("GET", "/scanners/mine")["ETag"]
    changed = trader.ask("PATCH", "/scanners/mine", {"limit": 9})
    after = trader.ask("GET", "/scanners/mine", **{"If-None-Match": before})
    assert (after.status_code, after["ETag"]) == (200, changed["ETag"])


@pytest.mark.parametrize(
    ("path", "body", "first", "second"),
    [
        ("/scanners", SCANNER, {"limit": 7}, {"limit": 8}),
        ("/layouts", LAYOUT, {"content": {"a": 1}}, {"content": {"b": 1}}),
        ("/watchlists", WATCHLIST, {"symbols": ["A"]}, {"symbols": ["B"]}),
    ],
)
def test_two_who_change_the_same_do_not_undo_each_other(
    trader: Api, path: str, body: Any, first: Any, second: Any
) -> None:
    made = trader("POST", path, body)[1]
    path += f"/{made.get('slug') or made['id']}"
    version = trader.ask("GET", path)["ETag"]
    changed = trader.ask("PATCH", path, first, **{"If-Match": version})
    assert changed.status_code == 200
    for headers in ({"If-Match": version}, {"If-Match": f"W/{changed['ETag']}"}, {"If-Match": "nonsense"}):
        assert trader.ask("PATCH", path, second, **headers).status_code == 412
        assert trader.ask("DELETE", path, **headers).status_code == 412
    kept = trader.ask("GET", path)
    assert (kept["ETag"], kept.content) == (changed["ETag"], changed.content)
    assert trader.ask("PATCH", path, second, **{"If-Match": f'"x", {changed["ETag"]}'}).status_code == 200
    assert trader.ask("DELETE", path, **{"If-Match": "*"}).status_code == 204
