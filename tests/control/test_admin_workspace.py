"""Layouts, watchlists and price levels in the admin, its sidebar and its first page."""

import json
from time import time

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from control.models import (
    Alert,
    ApiToken,
    Backtest,
    Layout,
    NotificationDelivery,
    NotificationTarget,
    PriceLevel,
    Watchlist,
)
from control.system.state import SYSTEM_STATE
from processors.store import default_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


@pytest.fixture
def administrator() -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def boss(administrator: User) -> Client:
    client = Client()
    client.force_login(administrator)
    return client


@pytest.mark.parametrize("typed", ["NVDA AMD BRK.A", "NVDA, AMD,BRK.A", "NVDA\r\nAMD; BRK.A\r\nNVDA"])
def test_a_watchlist_is_typed_or_pasted(boss: Client, administrator: User, typed: str) -> None:
    form = {"owner": administrator.pk, "name": "Mine", "symbols": typed}
    assert boss.post("/admin/control/watchlist/add/", form).status_code == 302
    watchlist = Watchlist.objects.get()
    assert watchlist.symbols == ["NVDA", "AMD", "BRK.A"]
    assert ">NVDA AMD BRK.A</textarea>" in boss.get(f"/admin/control/watchlist/{watchlist.pk}/change/").content.decode()
    assert "NVDA, AMD, BRK.A" in boss.get("/admin/control/watchlist/").content.decode()


def test_a_watchlist_with_something_else_than_tickers_is_refused(boss: Client, administrator: User) -> None:
    form = {"owner": administrator.pk, "name": "Mine", "symbols": "NVDA <script>"}
    assert "Use a list of tickers" in boss.post("/admin/control/watchlist/add/", form).content.decode()
    assert not Watchlist.objects.exists()


def test_a_changed_layout_is_the_next_revision(boss: Client, administrator: User) -> None:
    layout = Layout.objects.create(owner=administrator, name="Opening", content={"widgets": [1]})
    path = f"/admin/control/layout/{layout.pk}/change/"
    assert "&quot;widgets&quot;: [\n" in boss.get(path).content.decode()
    form = {"owner": administrator.pk, "name": "Opening", "content": json.dumps({"widgets": [2]})}
    assert boss.post(path, form).status_code == 302
    layout.refresh_from_db()
    assert (layout.content, layout.revision) == ({"widgets": [2]}, 2)
    for content, said in (("[1]", "Use a JSON object."), ("{", "Enter a valid JSON."), ("", "")):
        response = boss.post(path, {**form, "content": content})
        assert (said in response.content.decode()) if said else response.status_code == 302
    layout.refresh_from_db()
    assert (layout.content, layout.revision) == ({}, 3)


def test_a_price_level_is_made_for_oneself(boss: Client, administrator: User) -> None:
    path = "/admin/control/pricelevel/add/"
    assert boss.get(path).context["adminform"].form.initial["user"] == administrator.pk
    form = {"user": administrator.pk, "symbol": "AAPL", "price": "201.5", "direction": "above", "cooldown_s": "60"}
    assert boss.post(path, form).status_code == 302
    assert PriceLevel.objects.get().price == 201.5


def test_what_is_kept_of_somebody_goes_with_him_and_not_alone(boss: Client) -> None:
    trader = User.objects.create_user("trader")
    token, _ = ApiToken.issue(trader)
    Backtest.objects.create(user=trader, recording="day.ndjson")
    target = NotificationTarget.objects.create(owner=trader, name="chat", url="json://example.com")
    alert = Alert.objects.create(id="a", rule="halts", kind="halt", symbol="A", at=1, trading_day="2026-03-02")
    delivery = NotificationDelivery.objects.create(target=target, alert=alert, next_at=timezone.now())
    for page in (f"apitoken/{token.pk}", f"notificationdelivery/{delivery.pk}", "alert/a"):
        assert boss.post(f"/admin/control/{page}/delete/", {"post": "yes"}).status_code == 403
    assert boss.post(f"/admin/control/notificationtarget/{target.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not NotificationDelivery.objects.exists()
    assert boss.post(f"/admin/auth/user/{trader.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=trader.pk).exists()
    assert not ApiToken.objects.exists()


def _links(client: Client) -> list[str]:
    groups = client.get("/admin/").context["sidebar_navigation"]
    return [item["title"] for group in groups for item in group["items"]]


def test_the_sidebar_has_what_somebody_may_see(client: Client, boss: Client) -> None:
    everything = _links(boss)
    assert len(everything) == len(set(everything)) == 17
    staff = User.objects.create_user("desk", is_staff=True)
    client.force_login(staff)
    assert _links(client) == []
    assert "nothing in it is yours to see" in client.get("/admin/").content.decode()
    wanted = ("view_scanner", "view_alert", "view_system", "view_auditentry")
    staff.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    assert _links(client) == ["System", "Audit log", "Scanners", "Alert rules", "Alert history"]


@pytest.mark.parametrize(
    ("path", "active"),
    [
        ("/admin/control/scanner/", "Scanners"),
        ("/admin/control/scanner/add/", "Scanners"),
        ("/admin/control/scanner/?alerts=any", "Alert rules"),
        ("/admin/control/feedsettings/1/change/", "Feed settings"),
        ("/admin/control/alert/", "Alert history"),
        ("/admin/connected/", "Who is connected"),
    ],
)
def test_the_sidebar_says_where_one_is(boss: Client, path: str, active: str) -> None:
    groups = boss.get(path).context["sidebar_navigation"]
    assert [item["title"] for group in groups for item in group["items"] if item["active"]] == [active]


def test_the_first_page_says_what_is_wrong_to_those_who_may_know(boss: Client, client: Client) -> None:
    assert (
        '<link rel="icon" href="/static/control/favicon.svg" type="image/svg+xml"'
        in boss.get("/admin/").content.decode()
    )
    assert "Nobody says how the system does" in boss.get("/admin/").content.decode()
    problem = {"id": "x", "severity": "error", "component": "feed1", "text": "It ended.", "advice": "Wait.", "since": 1}
    # The least that the state's readers take: what is listed, and nothing else.
    state = {"at": int(time() * 1_000), "problems": [problem]}
    default_store().redis.set(SYSTEM_STATE, msgspec.json.encode(state), px=10_000)
    page = boss.get("/admin/").content.decode()
    assert "feed1: It ended." in page
    assert "Wait." in page
    client.force_login(User.objects.create_user("desk", is_staff=True))
    assert "feed1" not in client.get("/admin/").content.decode()
