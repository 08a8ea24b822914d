"""Alerts to mail, messengers and webhooks: addresses, what goes where, retries, secrets."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from control.models import Alert, NotificationDelivery, NotificationTarget, PriceLevel, Scanner
from control.notifications import delivering
from control.notifications.addresses import BadAddress, check_way, service_of, shown, without_secrets
from control.notifications.delivering import deliver, forget_old
from control.roles import Role
from processors.scanning.alert_history import store_alerts
from processors.store import ALERTS_OUTBOX, Store, default_store
from project.embedded import EmbeddedValkey
from tests.control.api_callers import Api
from tests.control.webhook import Webhook, webhook
from tests.processors.feeding import at, begin
from tests.rights import new_user, user_in

pytestmark = pytest.mark.django_db

_TELEGRAM = "tgram://123456789:abcdefg_hijklmnop-lead/12315544/"
_PEOPLE = (("ann", Role.TRADER), ("bob", Role.TRADER), ("boss", Role.ADMINISTRATOR))
_AT = at("2026-03-02 10:00:00")


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    return default_store()


@pytest.fixture
def hook(settings: Settings) -> Iterator[Webhook]:
    settings.NOTIFY_PRIVATE = True
    with webhook() as running:
        yield running


@pytest.fixture
def user() -> User:
    return new_user("ann")


def _target(owner: User | None, url: str, name: str = "phone") -> NotificationTarget:
    return NotificationTarget.objects.create(owner=owner, name=name, url=url)


def _scanner(slug: str, owner: User | None, *notify: str) -> Scanner:
    return Scanner.objects.create(slug=slug, name=slug.title(), owner=owner, order_by="price", notify=list(notify))


def _alert(rule: str, symbol: str = "AAPL", kind: str = "enter", **row: Any) -> dict[str, Any]:
    content = {"symbol": symbol, "trading_day": "2026-03-02", **row}
    number = Alert.objects.count()
    fields = {"rule": rule, "kind": kind, "symbol": symbol, "at": _AT, "price": 187.2, "note": "", "row": content}
    return {"id": f"{rule}-{symbol}-{number}", **fields}


def _store(store: Store, *alerts: dict[str, Any]) -> None:
    store.redis.rpush(ALERTS_OUTBOX, *(msgspec.json.encode(alert) for alert in alerts))
    store_alerts(store)


@pytest.mark.parametrize(
    ("address", "service"),
    [
        (_TELEGRAM, "Telegram"),
        ("discord://12345678901234567/abcdefghijABCDEFGHIJ", "Discord"),
        ("https://discord.com/api/webhooks/12345678901234567/abcdefghijABCDEFGHIJabcdefghij", "Discord"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", "Slack"),
        ("mailtos://me:secret@gmail.com?to=x@y.com", "E-Mail (smtp.gmail.com)"),
        ("https://hooks.example.com/a/secretpath", "JSON (hooks.example.com)"),
        ("jsons://user:secret@hooks.example.com/", "JSON (hooks.example.com)"),
        ("ntfy://topic", "ntfy"),
    ],
)
def test_addresses_of_services_and_what_is_shown_of_them(address: str, service: str) -> None:
    assert shown(address) == service


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nonsense",
        "syslog://",
        "dbus://",
        "file:///etc/passwd",
        "http://[",
        "tgram://",
        "jsons://ho\nst/",
        "json://" + "x" * 3_000,
        "mailtos://me:pw@gmail.com?pgp=yes&pgpkey=/etc/passwd",
        "jsons://hooks.example.com/?redirect=yes",
        "tgram://123456789:abcdefg_hijklmnop-lead/12315544/?rto=3600",
    ],
)
def test_what_is_no_address_is_refused_and_never_repeated(address: str) -> None:
    with pytest.raises(BadAddress) as refused:
        service_of(address)
    assert len(address) < 10 or address not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "[::1]", "0.0.0.0"])  # noqa: S104
def test_nothing_is_sent_into_private_networks(host: str) -> None:
    with pytest.raises(BadAddress, match="private network"):
        check_way(service_of(f"json://{host}/hook"))
    target = NotificationTarget(name="hook", url=f"https://{host}/hook")
    with pytest.raises(ValidationError, match="private network"):
        target.full_clean()
    assert "private network" in delivering.send_test(_target(None, f"https://{host}/hook"))


def test_addresses_are_encrypted_and_lost_with_their_key_alone(settings: Settings, user: User) -> None:
    target = _target(user, _TELEGRAM)
    with connection.cursor() as cursor:
        cursor.execute("SELECT url FROM control_notificationtarget")
        (kept,) = cursor.fetchone()
    assert "123456789" not in kept
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another" * 10
    settings.SECRET_KEY_FALLBACKS = [former]
    target.refresh_from_db()
    assert target.url == _TELEGRAM
    settings.SECRET_KEY_FALLBACKS = []
    target.refresh_from_db()
    assert target.url == ""
    assert "enter it anew" in delivering.send_test(target)


def test_an_alert_goes_to_the_targets_that_its_rule_names_and_to_nobody_elses(store: Store, user: User) -> None:
    begin(store, clock=_AT)
    other = new_user("bob")
    mine, common = _target(user, _TELEGRAM), _target(None, _TELEGRAM)
    _target(other, _TELEGRAM)
    _scanner("mine", user, "phone", "phone", "nobody")
    _scanner("shipped", None, "phone")
    _scanner("quiet", user)
    level = PriceLevel.objects.create(user=user, symbol="AAPL", price=180, notify=["phone"])
    alerts = [_alert("mine"), _alert("shipped"), _alert("quiet"), _alert(f"level:{level.pk}", kind="level")]
    for _ in range(2):
        # Stored twice, as after an end in between, they are delivered once.
        _store(store, *alerts)
    assert sorted(NotificationDelivery.objects.values_list("target", "alert__rule")) == sorted(
        [(mine.pk, "mine"), (common.pk, "shipped"), (mine.pk, f"level:{level.pk}")]
    )
    begin(store, "recording:1", clock=_AT)
    _store(store, {**_alert("mine"), "id": "played"})
    assert not NotificationDelivery.objects.filter(alert="played").exists()


def test_a_message_arrives_once_with_the_ids_of_its_alerts(store: Store, user: User, hook: Webhook) -> None:
    begin(store, clock=_AT)
    target = _target(user, hook.address)
    _scanner("mine", user, "phone")
    _store(store, _alert("mine", pct_change=12.345, accumulated_volume=1_234_567, free_float=None))
    assert deliver("simulator") == 1
    assert deliver("simulator") == 0
    ((headers, content),) = hook.received
    assert headers["X-Tapewatch-Alert"] == "mine-AAPL-0"
    assert content["title"] == "[simulator] AAPL on Mine at 187.20"
    assert content["message"].split("\n") == [
        "AAPL on Mine at 187.20",
        "+12.35 %, volume 1,234,567",
        "10:00:00 New York, 02 March 2026 · alert mine-AAPL-0",
    ]
    target.refresh_from_db()
    assert target.last_sent_at is not None
    # Many at once are one message, and not at once after another.
    _store(store, *({**_alert("mine", symbol), "id": f"id-{symbol}"} for symbol in ("A", "B", "C")))
    assert deliver("live") == 0
    NotificationTarget.objects.update(last_sent_at=timezone.now() - timedelta(seconds=4))
    assert deliver("live") == 3
    headers, content = hook.received[-1]
    assert headers["X-Tapewatch-Alert"] == "id-A,id-B,id-C"
    assert content["title"].startswith("3 alerts: A on Mine")
    assert content["message"].count("alert id-") == 3


def test_what_is_refused_is_tried_again_later_and_given_up_at_last(
    store: Store, user: User, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    begin(store, clock=_AT)
    target = _target(user, hook.address)
    other = _target(user, hook.address.replace("hushhush", "another1"), "second")
    _scanner("mine", user, "phone")
    _store(store, _alert("mine"))
    # A redirect leads nowhere: it could lead into a private network.
    hook.status = 302
    pauses = []
    with caplog.at_level(logging.DEBUG):
        for attempt in range(1, delivering.MOST_ATTEMPTS + 1):
            assert deliver("live") == 0
            row = NotificationDelivery.objects.get()
            assert row.attempts == attempt
            assert "302" in row.error
            pauses.append((row.next_at - timezone.now()).total_seconds())
            assert deliver("live") == 0
            NotificationDelivery.objects.update(next_at=timezone.now())
    assert len(hook.received) == delivering.MOST_ATTEMPTS
    assert all(later > 1.2 * sooner for sooner, later in pairwise(pauses[:-1]))
    assert row.state == "given_up"
    assert deliver("live") == 0
    target.refresh_from_db()
    # caplog also hears loggers that hand nothing on to any log.
    logged = [record.getMessage() for record in caplog.records if logging.getLogger(record.name).propagate]
    assert any("not delivered" in line for line in logged)
    for text in (row.error, target.last_error, *logged):
        assert "hushhush" not in text
        assert "secretpath" not in text
    hook.status = 200
    assert delivering.send_test(other) == ""
    assert hook.received[-1][1]["title"] == "Tapewatch: a test"
    NotificationDelivery.objects.update(state="waiting", created_at=timezone.now() - timedelta(days=2))
    assert forget_old() == 0
    assert NotificationDelivery.objects.get().state == "given_up"
    NotificationDelivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    assert forget_old() == 1


def test_nothing_of_an_address_is_left_in_a_complaint() -> None:
    said = "Failed to post to https://hooks.example.com/a/secretpath as user:hushhush, token 123456789:abc"
    clean = without_secrets(said, "jsons://user:hushhush@hooks.example.com/a/secretpath?token=123456789:abc")
    assert clean == "Failed to post to https://hooks.example.com/a/… as …:…, … …:abc"


def test_targets_over_the_api_are_ones_own_and_keep_their_secrets(hook: Webhook) -> None:
    ann, bob, boss = (Api(user_in(role, name)) for name, role in _PEOPLE)
    status, made = ann("POST", "/targets", {"name": "phone", "url": hook.address})
    assert (status, made["service"], made["common"]) == (201, "JSON (127.0.0.1)", False)
    assert "hushhush" not in json.dumps(made)
    path = f"/targets/{made['id']}"
    assert ann("POST", "/targets", {"name": "phone", "url": hook.address})[0] == 422
    assert ann("POST", "/targets", {"name": "bad", "url": "syslog://"})[1]["errors"].keys() == {"url"}
    assert ann("POST", "/targets?common=true", {"name": "all", "url": hook.address})[0] == 403
    assert bob("GET", "/targets") == (200, [])
    for method in ("PATCH", "DELETE"):
        assert bob(method, path, {"name": "his"})[0] == 404
    assert bob("POST", f"{path}/test")[0] == 404
    assert ann("PATCH", path, {"name": "mobile"})[1]["name"] == "mobile"
    assert NotificationTarget.objects.get().url == hook.address
    assert ann("POST", f"{path}/test") == (200, {"delivered": True, "error": ""})
    hook.status = 500
    status, tested = ann("POST", f"{path}/test")
    assert (status, tested["delivered"]) == (200, False)
    assert "500" in tested["error"]
    assert "hushhush" not in tested["error"]
    assert boss("POST", "/targets?common=true", {"name": "all", "url": hook.address})[0] == 201
    assert [entry["name"] for entry in boss("GET", "/targets")[1]] == ["all"]
    assert ann("DELETE", path) == (204, None)


def test_in_the_admin_an_address_is_entered_once_and_tested(client: Client, hook: Webhook) -> None:
    client.force_login(user_in(Role.ADMINISTRATOR))
    form = {"name": "desk", "owner": "", "url": hook.address, "enabled": "on"}
    made = client.post(
        "/admin/control/notificationtarget/add/", {**form, "control_notificationtarget_save_and_test": ""}, follow=True
    )
    assert "The test was delivered to desk." in made.content.decode()
    target = NotificationTarget.objects.get()
    page = client.get(f"/admin/control/notificationtarget/{target.pk}/change/").content.decode()
    assert "JSON (127.0.0.1)" in page
    assert "hushhush" not in page
    client.post(f"/admin/control/notificationtarget/{target.pk}/change/", {**form, "name": "floor", "url": ""})
    target.refresh_from_db()
    assert (target.name, target.url) == ("floor", hook.address)
    hook.status = 500
    failed = client.post(
        f"/admin/control/notificationtarget/{target.pk}/change/",
        {**form, "url": "", "control_notificationtarget_save_and_test": ""},
        follow=True,
    )
    assert "did not arrive" in failed.content.decode()
    for page in ("/admin/control/notificationtarget/", "/admin/control/notificationdelivery/"):
        assert client.get(page).status_code == 200
