"""The audit log, over the API and in the admin: found, paged, exported, and never changed."""

import csv
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.urls import reverse

from control.models import AuditEntry
from tests.control.api_callers import Api
from tests.rights import let_do

pytestmark = pytest.mark.django_db

LIST = "admin:control_auditentry_changelist"


@pytest.fixture
def auditor(db: None) -> User:
    return let_do(User.objects.create_user("anna", is_staff=True), ["view_auditentry"])


def write(count: int, **fields: Any) -> list[AuditEntry]:
    usual = {"username": "olga", "via": "api", "operation": "listener.stop", "state": "done", "result": "It stopped."}
    return [AuditEntry.objects.create(**usual | fields) for _ in range(count)]


def test_the_api_finds_entries_and_pages_through_them_newest_first(auditor: User) -> None:
    api = Api(auditor)
    written = write(7)
    write(2, operation="queues.purge", target="quotes", state="failed", username="=HYPERLINK()")
    status, found = api("GET", "/audit?operation=listener.stop&state=done&username=olga&via=api&limit=3")
    assert status == 200
    seen = [entry["id"] for entry in found]
    answer = api.ask("GET", "/audit?operation=listener.stop&limit=3")
    while "Link" in answer:
        address = answer["Link"].partition(">")[0].removeprefix("</api/v1")
        answer = api.ask("GET", address)
        seen += [entry["id"] for entry in json.loads(answer.content)]
    assert seen == [entry.pk for entry in reversed(written)]
    for query in ("state=gone", "via=fax", "since=yesterday", "since=2026-03-02T10:00:00", "limit=501", "cursor=x"):
        assert api("GET", f"/audit?{query}")[0] == 422, query
    after = written[-1].at.isoformat().replace("+", "%2B")
    assert {entry["operation"] for entry in api("GET", f"/audit?since={after}")[1]} >= {"queues.purge"}
    assert api("GET", f"/audit?until={written[0].at.isoformat().replace('+', '%2B')}")[1] == []
    # Times that exist in their own zone alone.
    for everything in ("since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-14:00"):
        assert len(api("GET", f"/audit?{everything}")[1]) == 9
    status, one = api("GET", f"/audit/{written[0].pk}")
    assert (status, one["result"], one["finished_at"]) == (200, "It stopped.", None)
    assert api("GET", "/audit/99999999")[0] == 404
    assert api("DELETE", f"/audit/{written[0].pk}")[0] == 405


def test_the_admin_shows_entries_and_lets_nobody_change_them(auditor: User, client: Client) -> None:
    root = User.objects.create_superuser("root")
    (entry,) = write(1, parameters={"slug": "<script>"}, before={"enabled": True}, after={"enabled": False})
    write(150, operation="queues.purge", target="quotes", state="failed", result="Given up.")
    shown, change = reverse(LIST), reverse("admin:control_auditentry_change", args=(entry.pk,))
    for user in (auditor, root):
        client.force_login(user)
        page = client.get(change).content.decode()
        assert "&lt;script&gt;" in page
        assert ">Done<" in page.replace(" ", "").replace("\n", "")
        assert 'name="_save"' not in page
        assert client.post(change, {"result": "Nothing happened."}).status_code == 403
        assert client.get(reverse("admin:control_auditentry_add")).status_code == 403
        assert client.post(reverse("admin:control_auditentry_delete", args=(entry.pk,))).status_code == 403
        client.post(shown, {"action": "delete_selected", "_selected_action": entry.pk, "post": "yes"})
    assert AuditEntry.objects.get(pk=entry.pk).result == "It stopped."

    first = client.get(shown)
    assert len(first.context["cl"].result_list) == 100
    older = client.get(shown + first.context["cl"].older)
    assert [row.pk for row in older.context["cl"].result_list][-1] == entry.pk
    for query, count in (
        ("?operation=listener.stop", 1),
        ("?state=failed&p=", 100),
        ("?q=stopped", 1),
        ("?q=olga+purge", 100),
        ("?via=browser", 0),
    ):
        assert len(client.get(shown + query).context["cl"].result_list) == count, query

    # A page that is none is the first.
    for page in (shown, reverse("admin:control_auditentry_export")):
        assert client.get(f"{page}?p=1.none").headers["Location"].startswith(shown)

    client.force_login(let_do(User.objects.create_user("pete", is_staff=True), ["view_system"]))
    for address in (shown, change, reverse("admin:control_auditentry_export")):
        assert client.get(address).status_code == 403


async def _export(user: User, query: str) -> list[list[str]]:
    client = AsyncClient()
    await client.aforce_login(user)
    response: Any = await client.get(reverse("admin:control_auditentry_export") + query)
    assert response.status_code == 200
    text = b"".join([part async for part in response.streaming_content]).decode()
    return list(csv.reader(text.splitlines()))


@pytest.mark.django_db(transaction=True)
async def test_what_the_filters_leave_is_exported_and_no_cell_is_a_formula() -> None:
    from asgiref.sync import sync_to_async

    root = await sync_to_async(User.objects.create_superuser)("root")
    await sync_to_async(write)(2, username="=HYPERLINK(1)", after={"a": 1})
    await sync_to_async(write)(1_001, operation="queues.purge")
    header, *rows = await _export(root, "?operation=listener.stop")
    assert header[:3] == ["id", "at", "username"]
    assert [row[2] for row in rows] == ["'=HYPERLINK(1)"] * 2
    assert rows[0][-1] == '{"a": 1}'
    assert len(await _export(root, "")) == 1_004
