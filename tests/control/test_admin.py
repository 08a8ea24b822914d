"""The admin: staff change scanners and the feed, everybody else stays outside."""

import json

import msgspec
import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.test import Client

from control.models import AuditEntry, FeedSettings, Scanner
from control.selectors import FeedCrew
from processors.store import FEED_CREW
from project.embedded import EmbeddedValkey

pytestmark = pytest.mark.django_db

_PAGES = (
    "/admin/",
    "/admin/control/scanner/",
    "/admin/control/scanner/add/",
    "/admin/control/apitoken/",
    "/admin/control/apitoken/add/",
    "/admin/control/pricelevel/",
    "/admin/control/pricelevel/add/",
    "/admin/control/alert/",
    "/admin/control/layout/",
    "/admin/control/layout/add/",
    "/admin/control/watchlist/",
    "/admin/control/watchlist/add/",
    "/admin/control/auditentry/",
    "/admin/control/notificationtarget/",
    "/admin/control/notificationtarget/add/",
    "/admin/control/notificationdelivery/",
    "/admin/control/backtest/",
    "/admin/control/feedsettings/",
    "/admin/control/feedsettings/1/change/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "/admin/auth/group/",
    "/admin/control/feedgrant/",
    "/admin/control/feedgrant/add/",
)


@pytest.fixture
def administrator() -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def boss(administrator: User, valkey: EmbeddedValkey) -> Client:
    client = Client()
    client.force_login(administrator)
    return client


def _form(scanner: Scanner, **changes: object) -> dict[str, object]:
    values = {
        name: getattr(scanner, name)
        for name in (
            *("slug", "name", "description", "where", "order_by", "limit", "position"),
            *("tick_ms", "alert_on", "cooldown_s", "sound"),
        )
    }
    return {
        **values,
        "owner": "",
        "columns": json.dumps(scanner.columns),
        "notify": "",
        "descending": "on",
        "enabled": "on",
        **changes,
    }


@pytest.mark.parametrize("path", _PAGES)
def test_administrators_see_every_page(boss: Client, path: str) -> None:
    response = boss.get(path)
    assert response.status_code == 200
    assert "Tapewatch" in response.content.decode()


@pytest.mark.parametrize("path", _PAGES)
def test_strangers_are_sent_to_the_login(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert "/login/" in response.headers["Location"]


@pytest.mark.parametrize("path", _PAGES)
def test_people_who_are_not_staff_see_none(client: Client, path: str) -> None:
    client.force_login(User.objects.create_user("trader"))
    response = client.get(path, follow=True)
    assert response.status_code == 403
    assert "/admin/control/" not in response.content.decode()


def test_staff_see_what_they_were_given(client: Client) -> None:
    staff = User.objects.create_user("operator", is_staff=True)
    client.force_login(staff)
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/control/scanner/").status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_scanner"))
    assert client.get("/admin/control/scanner/").status_code == 200
    scanner = Scanner.objects.get(slug="top_volume")
    assert client.post(f"/admin/control/scanner/{scanner.pk}/change/", _form(scanner, limit=7)).status_code == 403
    scanner.refresh_from_db()
    assert scanner.limit == 50


def test_changing_a_scanner(boss: Client) -> None:
    scanner = Scanner.objects.get(slug="top_volume")
    path = f"/admin/control/scanner/{scanner.pk}/change/"
    assert boss.get(path).status_code == 200
    response = boss.post(path, _form(scanner, where="price > 5", limit=7, columns='["price"]'))
    assert response.status_code == 302
    scanner.refresh_from_db()
    assert (scanner.where, scanner.limit, scanner.columns) == ("price > 5", 7, ["price"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("where", "nonsense > 1"), ("order_by", "count(*)"), ("limit", 501), ("slug", "No Good"), ("columns", "[")),
        *(("columns", '["nonsense"]'), ("columns", "[[1]]"), ("columns", '{"a": 1}'), ("columns", "null")),
    ],
)
def test_a_scanner_that_would_not_work_is_not_saved(boss: Client, field: str, value: object) -> None:
    scanner = Scanner.objects.get(slug="top_volume")
    response = boss.post(f"/admin/control/scanner/{scanner.pk}/change/", _form(scanner, **{field: value}))
    assert response.status_code == 200
    assert list(response.context["adminform"].form.errors) == [field]
    before = getattr(scanner, field)
    scanner.refresh_from_db()
    assert getattr(scanner, field) == before


def test_switching_scanners_off_in_the_list(boss: Client) -> None:
    scanners = list(Scanner.objects.all())
    form = {"form-TOTAL_FORMS": len(scanners), "form-INITIAL_FORMS": len(scanners), "_save": "Save"}
    form |= {f"form-{number}-id": scanner.pk for number, scanner in enumerate(scanners)}
    assert boss.post("/admin/control/scanner/", form).status_code == 302
    assert not Scanner.objects.filter(enabled=True).exists()
    noted = AuditEntry.objects.filter(operation="scanners.disable", state="done", username="boss")
    assert {entry.target for entry in noted} == {scanner.slug for scanner in scanners}


def test_a_wrong_condition_is_said_with_its_place(boss: Client) -> None:
    scanner = Scanner.objects.get(slug="top_volume")
    path = f"/admin/control/scanner/{scanner.pk}/change/"
    page = boss.post(path, _form(scanner, where="volume > 5 AND prise > 5")).content.decode()
    assert "there is no field &#x27;prise&#x27; at character 16; did you mean price?" in page


def test_switching_a_user_off_ends_the_login(boss: Client) -> None:
    trader = User.objects.create_user("trader")
    other = Client()
    other.force_login(trader)
    form = {"username": "trader", "date_joined_0": "2026-01-02", "date_joined_1": "09:30:00"}
    response = boss.post(f"/admin/auth/user/{trader.pk}/change/", form)
    assert response.status_code == 302
    trader.refresh_from_db()
    assert not trader.is_active
    assert other.post("/session/token").status_code == 401


def test_feed_settings_are_one_row_that_names_what_is_wrong(boss: Client) -> None:
    address = "/admin/control/feedsettings/1/change/"
    values = {"enabled": "on", "feed": "nowhere", "market": "", "subscriptions": "A.*,T"}
    page = boss.post(address, values).content.decode()
    assert "Use real-time, delayed, or an address such as 127.0.0.1:8765." in page
    assert "&#x27;T&#x27; has no channel and symbol" in page
    assert boss.post(address, {**values, "feed": "delayed", "subscriptions": "A.*"}).status_code == 302
    row = FeedSettings.objects.get()
    assert (row.feed, row.subscriptions, row.enabled, row.always) == ("delayed", "A.*", True, False)
    entry = AuditEntry.objects.get()
    assert (entry.username, entry.operation, entry.state, entry.address) == (
        *("boss", "feed_settings.save", "done", "127.0.0.1"),
    )
    assert entry.before == {"feed": "", "subscriptions": ""}
    assert entry.after == {"feed": "delayed", "subscriptions": "A.*"}
    # What was not changed is nothing to be written down.
    assert boss.post(address, {**values, "feed": "delayed", "subscriptions": "A.*"}).status_code == 302
    assert AuditEntry.objects.count() == 1
    assert boss.get("/admin/control/feedsettings/add/").status_code == 403
    assert boss.post("/admin/control/feedsettings/1/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("count", "message"), [("0", "greater than or equal to 1"), ("65", "less than or equal to 64")]
)
def test_a_number_of_feed_workers_out_of_bounds_is_refused(boss: Client, count: str, message: str) -> None:
    page = boss.post("/admin/control/feedsettings/1/change/", {"enabled": "on", "feed_workers": count}).content.decode()
    assert f"Ensure this value is {message}." in page
    assert FeedSettings.objects.get().feed_workers is None


def test_feed_workers_wanted_and_running_are_shown(boss: Client, valkey: EmbeddedValkey) -> None:
    assert boss.post("/admin/control/feedsettings/1/change/", {"feed_workers": "3"}).status_code == 302
    assert FeedSettings.objects.get().feed_workers == 3
    pages = ("/admin/control/feedsettings/", "/admin/control/feedsettings/1/change/")
    assert all("not kept by `up`" in boss.get(page).content.decode() for page in pages)
    with redis.Redis.from_url(valkey.url) as cache:
        cache.set(FEED_CREW, msgspec.json.encode(FeedCrew(wanted=3, running=2)))
    assert all("2 run, 3 wanted" in boss.get(page).content.decode() for page in pages)
