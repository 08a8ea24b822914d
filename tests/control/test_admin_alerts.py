"""The alert history in the admin: searched by what has an index, paged without counting, exported as it is read."""

import asyncio
import csv
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from control.admin.alerts import AlertAdmin
from control.models import Alert
from project.embedded import EmbeddedValkey

pytestmark = pytest.mark.django_db

_PATH = "/admin/control/alert/"
# Noon in New York.
_NOON = {"2026-03-02": 1_772_470_800_000, "2026-03-03": 1_772_557_200_000}


@pytest.fixture
def boss(db: None, valkey: EmbeddedValkey) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def _alert(number: int, day: str = "2026-03-02", **values: Any) -> Alert:
    usual = {"rule": "halts", "symbol": "AAPL", "kind": "enter", "price": 1.5, "note": "", "row": {}}
    at = _NOON[day] + number
    return Alert(**{**usual, "id": f"{number:032x}", "at": at, "trading_day": day, **values})


@pytest.fixture
def four(db: None) -> None:
    Alert.objects.bulk_create(
        (
            _alert(1, row={"price": 1.5, "pct_change": None, "price_at": _NOON["2026-03-02"], "name": "<b>Apple</b>"}),
            _alert(2, "2026-03-03", rule="top_volume"),
            _alert(3, "2026-03-03", symbol="MSFT", kind="new_high"),
            _alert(4, "2026-03-03", symbol="BRKpA", rule="level:7", kind="level"),
        )
    )


def _found(client: Client, **search: str) -> list[int]:
    shown = client.get(_PATH, search).context["cl"].result_list
    return [int(alert.pk, 16) for alert in shown]


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("search", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"symbol": "aapl"}, [2, 1]),
        ({"symbol": "BRKpA"}, [4]),
        ({"symbol": "AAP"}, []),
        ({"rule": "halts"}, [3, 1]),
        ({"rule": "halts", "symbol": "MSFT"}, [3]),
        ({"rule": "halts", "kind": "new_high"}, [3]),
        ({"rule": "halts", "symbol": "AAPL", "kind": "enter"}, [1]),
        ({"kind": "level"}, [4]),
        ({"since": "2026-03-03"}, [4, 3, 2]),
        ({"until": "2026-03-02"}, [1]),
        ({"since": "0001-01-01", "until": "9999-12-31"}, [4, 3, 2, 1]),
        ({"since": "2026-03-02", "until": "2026-03-03", "symbol": "AAPL"}, [2, 1]),
        ({"since": "2026-03-04"}, []),
    ],
)
def test_alerts_are_searched(boss: Client, search: dict[str, str], found: list[int]) -> None:
    assert _found(boss, **search) == found


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"since": "2026-03-03", "until": "2026-03-02"}, "This day is before the first one."),
        ({"since": "yesterday"}, "Enter a valid date."),
        ({"kind": "nonsense"}, "is not one of the available choices"),
    ],
)
def test_a_search_that_means_nothing_finds_nothing_and_says_why(
    boss: Client, search: dict[str, str], said: str
) -> None:
    response = boss.get(_PATH, search)
    assert said in response.content.decode()
    assert response.context["cl"].result_list == []
    # Nor is it exported.
    assert boss.get(f"{_PATH}export/", search).headers["Location"].startswith(f"{_PATH}?")


@pytest.mark.usefixtures("four")
def test_an_alert_is_shown_with_its_row_and_never_changed(boss: Client) -> None:
    path = f"{_PATH}{1:032x}/change/"
    page = boss.get(path).content.decode()
    assert "2026-03-02 12:00:00.001" in page
    assert "&lt;b&gt;Apple&lt;/b&gt;" in page
    assert "pct_change" not in page
    assert boss.post(path, {"rule": "x"}).status_code == 403
    assert boss.post(f"{_PATH}{1:032x}/delete/", {"post": "yes"}).status_code == 403
    assert boss.get(f"{_PATH}add/").status_code == 403


def _links(client: Client, address: str) -> tuple[list[int], str | None, str | None]:
    changes = client.get(f"{_PATH}{address}").context["cl"]
    return [int(alert.pk, 16) for alert in changes.result_list], changes.newer, changes.older


def test_pages_lead_to_the_end_and_back(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AlertAdmin, "list_per_page", 3)
    # Three at a time have the same time, so that pages part them, too.
    Alert.objects.bulk_create(_alert(n, at=_NOON["2026-03-02"] + n // 3, symbol="MSFT") for n in range(8))
    Alert.objects.bulk_create([_alert(9)])
    way: list[list[int]] = []
    address: str | None = "?symbol=MSFT"
    newer: str | None = None
    while address is not None:
        last = address
        shown, newer, address = _links(boss, address)
        way.append(shown)
    assert way == [[7, 6, 5], [4, 3, 2], [1, 0]]
    back = []
    while newer is not None:
        shown, newer, _ = _links(boss, newer)
        back.append(shown)
    assert back == [[4, 3, 2], [7, 6, 5]]
    assert "symbol=MSFT" in last
    # Nothing is older than the last: the way back is still there.
    assert _links(boss, "?p=1.0")[:2] == ([], "?")


@pytest.mark.parametrize("cursor", ["nonsense", "2", "1.", ".1", "newer.", "1.'--", "9" * 30 + ".1"])
def test_a_page_that_is_none_is_the_first(boss: Client, cursor: str) -> None:
    response = boss.get(_PATH, {"p": cursor})
    assert response.status_code == 302
    assert boss.get(_PATH + response.headers["Location"].partition("?")[1], follow=True).status_code == 200


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    "search",
    [
        {},
        {"symbol": "AAPL"},
        {"rule": "halts"},
        {"kind": "enter"},
        {"since": "2026-03-02", "until": "2026-03-02"},
        {"rule": "halts", "since": "2026-03-02"},
        {"symbol": "AAPL", "rule": "halts", "kind": "enter"},
        {"p": f"{_NOON['2026-03-03']}.{4:032x}"},
    ],
)
def test_no_search_counts_or_sorts_all_alerts(boss: Client, search: dict[str, str]) -> None:
    with CaptureQueriesContext(connection) as queries:
        boss.get(_PATH, search)
    asked = [query["sql"] for query in queries if "control_alert" in query["sql"]]
    assert asked
    for sql in asked:
        assert "COUNT(" not in sql
        assert " LIMIT " in sql
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = " ".join(row[-1] for row in cursor.fetchall())
        assert "USING INDEX" in plan or "USING COVERING INDEX" in plan, (sql, plan)
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan, (sql, plan)


def _exported(user: User, **search: str) -> list[dict[str, str]]:
    async def read() -> str:
        client = AsyncClient()
        await client.aforce_login(user)
        response: Any = await client.get(f"{_PATH}export/", search)
        assert response.headers["Content-Disposition"] == 'attachment; filename="alerts.csv"'
        return b"".join([part async for part in response]).decode()

    return list(csv.DictReader(StringIO(asyncio.run(read()))))


@pytest.mark.django_db(transaction=True)
def test_what_was_searched_is_exported_whole(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.admin.alert_search._PAGE", 4)
    root = User.objects.create_superuser("root")
    Alert.objects.bulk_create(_alert(n, at=_NOON["2026-03-02"] + n // 3, note='=HYPERLINK("x")') for n in range(14))
    Alert.objects.bulk_create([_alert(20, "2026-03-03", symbol="MSFT", price=None)])
    rows = _exported(root)
    assert [int(row["id"], 16) for row in rows] == [20, *reversed(range(14))]
    assert rows[0]["time"] == "2026-03-03T12:00:00.020-05:00"
    assert (rows[0]["symbol"], rows[0]["price"], rows[1]["price"]) == ("MSFT", "", "1.5")
    # A spreadsheet is not to take a text for a formula.
    assert rows[1]["note"] == '\'=HYPERLINK("x")'
    assert [row["symbol"] for row in _exported(root, symbol="MSFT")] == ["MSFT"]


def test_the_export_is_for_those_who_see_alerts(client: Client, valkey: EmbeddedValkey) -> None:
    staff = User.objects.create_user("editor", is_staff=True)
    client.force_login(staff)
    assert client.get(f"{_PATH}export/").status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_alert"))
    assert client.get(_PATH).status_code == 200
