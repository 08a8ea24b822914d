"""Who may see who is connected, and what they see: in the API, in the admin and in `manage.py stats`."""

import asyncio
import json
from io import StringIO
from typing import Any

import pytest
import redis
import redis.asyncio as redis_async
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from redis.backoff import NoBackoff
from redis.retry import Retry

from processors.store import default_store
from project.embedded import EmbeddedValkey
from tests.control.api_callers import Api
from tests.widgets.seating import seated
from widgets.visitors.presence import Presence
from widgets.visitors.sockets import Sockets

pytestmark = pytest.mark.django_db


def _operator(name: str = "chief") -> Api:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_sockets"))
    return Api(user)


def _say(url: str, *said: Presence) -> None:
    async def speak() -> None:
        async with redis_async.Redis.from_url(url) as cache:
            for presence in said:
                await presence.say(cache)

    asyncio.run(speak())


@pytest.fixture
def two_processes(valkey: EmbeddedValkey) -> None:
    """`web:1` with a slow and a quick client, `web:2` with one that has not said who it is."""
    here, there = Sockets(), Sockets()
    seated(here, "10.0.0.1", "status", "quote:A", user=7, sent=60, sent_bytes=6_000)
    seated(here, "10.0.0.2", "status", user=8, behind_s=2.5, waiting=9, waiting_bytes=900, dropped=4)
    seated(there, "10.0.0.3")
    _say(valkey.url, Presence(here, "web:1"), Presence(there, "web:2"))


@pytest.mark.usefixtures("two_processes")
def test_who_is_connected_is_for_staff_with_the_permission(trader: Api) -> None:
    permission = Permission.objects.get(codename="view_sockets")
    assert trader.user is not None
    trader.user.user_permissions.add(permission)
    for caller in (trader, Api(User.objects.create_user("clerk", is_staff=True))):
        status, problem = caller("GET", "/sockets")
        assert (status, "sockets" in problem) == (403, False)
    assert _operator()("GET", "/sockets")[0] == 200
    assert Api(User.objects.create_superuser("root"))("GET", "/sockets")[0] == 200


@pytest.mark.usefixtures("two_processes")
def test_sockets_are_listed_the_most_backward_first() -> None:
    status, found = _operator()("GET", "/sockets")
    assert status == 200
    assert found["total"] == 3
    assert found["feeds"] == {"status": 2, "quote:A": 1}
    assert [(one["name"], one["sockets"], one["authorised"], one["behind_ms"]) for one in found["processes"]] == [
        ("web:1", 2, 2, 2_500),
        ("web:2", 1, 0, 0),
    ]
    assert [(one["process"], one["username"], one["address"]) for one in found["sockets"]] == [
        ("web:1", "user8", "10.0.0.2"),
        ("web:1", "user7", "10.0.0.1"),
        ("web:2", "", "10.0.0.3"),
    ]
    assert found["sockets"][0]["waiting_bytes"] == 900
    assert found["sockets"][1]["feeds"] == ["status", "quote:A"]


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize(
    ("query", "users"),
    [
        ("user=user7", ["user7"]),
        ("feed=status", ["user8", "user7"]),
        ("user=user8&feed=quote:A", []),
        ("limit=1", ["user8"]),
    ],
)
def test_sockets_are_searched_by_user_and_feed(query: str, users: list[str]) -> None:
    found: Any = _operator()("GET", f"/sockets?{query}")[1]
    assert [one["username"] for one in found["sockets"]] == users
    assert found["total"] == 3


def test_without_a_web_process_there_is_nobody(valkey: EmbeddedValkey) -> None:
    assert _operator()("GET", "/sockets")[1] == {"total": 0, "processes": [], "feeds": {}, "sockets": []}
    assert json.loads(_stats("--json"))["components"]["web"] == "no process reports"


@pytest.mark.usefixtures("two_processes")
def test_stats_says_how_the_web_is_doing() -> None:
    stats = json.loads(_stats("--json"))
    assert stats["components"]["web"].startswith("2 processes, 3 sockets, ")
    assert stats["components"]["web"].endswith("the slowest client 2,500 ms behind")
    first, second = stats["web"]
    assert (first["name"], first["sockets"], first["dropped"], first["behind_ms"]) == ("web:1", 2, 4, 2_500)
    assert (second["name"], second["subscriptions"]) == ("web:2", 0)
    said = _stats()
    assert "web        2 processes, 3 sockets" in said
    assert "web:1: 2 sockets, 3 subscriptions" in said


def _stats(*options: str) -> str:
    output = StringIO()
    call_command("stats", *options, stdout=output)
    return output.getvalue()


def _browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.usefixtures("two_processes")
def test_operators_have_a_page_of_who_is_connected() -> None:
    browser = _browser(User.objects.create_superuser("root"))
    page = browser.get("/admin/connected/").content.decode()
    assert "3 sockets on 2" in page
    assert page.index("10.0.0.2") < page.index("10.0.0.1") < page.index("10.0.0.3")
    assert "2.5 s" in page
    assert 'href="/admin/connected/"' in browser.get("/admin/").content.decode()
    found = browser.get("/admin/connected/?user=user7").content.decode()
    assert "10.0.0.1" in found
    assert "10.0.0.2" not in found


def test_the_page_is_for_operators_alone(valkey: EmbeddedValkey) -> None:
    assert Client().get("/admin/connected/").status_code == 302
    assert _browser(User.objects.create_user("trader")).get("/admin/connected/").status_code == 302
    assert _browser(User.objects.create_user("editor", is_staff=True)).get("/admin/connected/").status_code == 403


def test_what_clients_chose_is_no_markup_on_the_page(valkey: EmbeddedValkey) -> None:
    sockets = Sockets()
    seated(sockets, "10.0.0.1", "quote:<script>alert(1)</script>", user=7)
    _say(valkey.url, Presence(sockets, "web:1"))
    page = _browser(User.objects.create_superuser("root")).get("/admin/connected/?user=<script>").content.decode()
    assert "<script>alert(1)" not in page
    assert 'value="<script>' not in page


def test_without_the_cache_the_page_says_so(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_store(), "redis", redis.Redis(port=1, retry=Retry(NoBackoff(), 0)))
    page = _browser(User.objects.create_superuser("root")).get("/admin/connected/").content.decode()
    assert "The cache cannot be reached" in page
