"""Alerts to mail, messengers and webhooks: addresses, what goes where, retries, secrets."""

import json
import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from threading import Thread
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from control.models import Alert, NotificationDelivery, NotificationTarget, PriceLevel, Scanner
from control.notifications import delivering
from control.notifications.delivering import deliver, forget_old
from control.notifications.guard import PrivateNetwork, public_only
from control.roles import Role
from processors.jobs import forget_deliveries
from processors.scanning.alert_history import store_alerts
from processors.store import ALERTS_OUTBOX, Store, default_store
from project.celery import app
from project.embedded import EmbeddedValkey
from tests.control.api_callers import Api
from tests.control.webhook import Webhook, webhook
from tests.processors.feeding import at, begin
from tests.rights import new_user, user_in
from tests.services import wait_until

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


def test_an_alert_goes_to_the_targets_that_its_rule_names_and_to_nobody_elses(store: Store, user: User) -> None:
    begin(store, clock=_AT)
    other = new_user("bob")
    mine, common = _target(user, _TELEGRAM), _target(None, _TELEGRAM)
    _target(other, _TELEGRAM)
    _scanner("mine", user, "phone", "phone", "nobody")
    _scanner("shipped", None, "phone")
    _scanner("quiet", user)
    made = Api(user)("POST", "/price_levels", {"symbol": "AAPL", "price": 180, "notify": ["phone"]})[1]
    level = PriceLevel.objects.get(pk=made["id"])
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
    assert forget_deliveries.name in {entry["task"] for entry in app.conf.beat_schedule.values()}


def test_who_is_switched_off_or_may_not_read_alerts_is_sent_none(store: Store, hook: Webhook) -> None:
    begin(store, clock=_AT)
    ann, off, blind = new_user("ann"), new_user("off"), new_user("blind", "scanners:*")
    for user in (ann, off, blind):
        _target(user, hook.address)
        _scanner(user.username, user, "phone")
    User.objects.filter(pk=off.pk).update(is_active=False)
    _store(store, *(_alert(name) for name in ("ann", "off", "blind")))
    (delivery,) = NotificationDelivery.objects.all()
    assert delivery.target.owner == ann
    # Nor is what was on its way.
    User.objects.filter(pk=ann.pk).update(is_active=False)
    assert deliver("live") == 0
    assert hook.received == []


def test_one_target_that_is_removed_meanwhile_keeps_no_other_from_being_settled(
    store: Store, user: User, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(store, clock=_AT)
    for name in ("first", "second"):
        _target(user, hook.address, name)
    _scanner("mine", user, "first", "second")
    _store(store, _alert("mine"))
    settle = delivering._settle

    def removed_first(rows: list[NotificationDelivery], error: str) -> int:
        NotificationTarget.objects.filter(name="first").delete()
        return settle(rows, error)

    monkeypatch.setattr(delivering, "_settle", removed_first)
    deliver("live")
    assert [row.state for row in NotificationDelivery.objects.all()] == ["sent"]


def test_what_is_in_hand_is_nobody_elses_and_due_again_after_an_end(
    store: Store, user: User, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(store, clock=_AT)
    _target(user, hook.address)
    _scanner("mine", user, "phone")
    _store(store, _alert("mine"))
    monkeypatch.setattr(delivering, "_settle", lambda rows, error: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deliver("live")
    monkeypatch.undo()
    # One that begins meanwhile sends nothing a second time; later it is due again.
    assert deliver("live") == 0
    assert len(hook.received) == 1
    assert timedelta(0) < NotificationDelivery.objects.get().next_at - timezone.now() < timedelta(seconds=91)


def test_a_service_that_does_not_end_holds_up_nobody(
    store: Store, user: User, hook: Webhook, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.NOTIFY_PRIVATE = True
    begin(store, clock=_AT)
    _target(user, hook.address)
    _scanner("mine", user, "phone")
    _store(store, _alert("mine"))
    monkeypatch.setattr(delivering, "_LONGEST_ROUND_S", 0.1)
    hook.delay_s = 0.4
    assert deliver("live") == 0
    assert "No answer within" in NotificationDelivery.objects.get().error
    # Nor does it pile up.
    NotificationDelivery.objects.update(next_at=timezone.now())
    assert deliver("live") == 0
    assert len(hook.received) == 1
    wait_until(lambda: not delivering._spoken_to, what="the end of the message")


def test_a_target_that_fails_rests_whatever_comes_meanwhile(store: Store, user: User, hook: Webhook) -> None:
    begin(store, clock=_AT)
    _target(user, hook.address)
    _scanner("mine", user, "phone")
    _store(store, _alert("mine"))
    hook.status = 500
    deliver("live")
    _store(store, _alert("mine", "MSFT"))
    deliver("live")
    assert len(hook.received) == 1


def test_what_a_strangers_server_says_can_be_kept_and_is_of_ones_own_target(hook: Webhook) -> None:
    hook.status, hook.said = 400, {"code": 40_001, "error": "nul \0 and\nlines"}
    address = hook.address.replace("json://", "ntfy://").replace("/a/secretpath", "/topic")
    error = delivering.send_test(_target(None, address))
    assert "nul   and lines" in error
    complaints = delivering._Complaints()
    apprise = logging.getLogger("apprise")
    apprise.addHandler(complaints)
    thread = Thread(target=apprise.warning, args=("of somebody else's",))
    thread.start()
    thread.join()
    apprise.removeHandler(complaints)
    assert complaints.lines == []


def test_no_connection_leads_into_a_private_network(
    hook: Webhook, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.NOTIFY_PRIVATE = False
    host, port = "127.0.0.1", int(hook.address.partition("127.0.0.1:")[2].partition("/")[0])
    with public_only(), pytest.raises(PrivateNetwork):
        socket.create_connection((host, port))
    # A name that leads elsewhere by now.
    monkeypatch.setattr(delivering, "check_way", lambda service: None)
    assert "onnection" in delivering.send_test(_target(None, hook.address))
    assert hook.received == []
    socket.create_connection((host, port)).close()


def test_a_target_whose_host_is_gone_can_be_switched_off(settings: Settings, user: User) -> None:
    settings.NOTIFY_PRIVATE = False
    target = _target(user, "json://127.0.0.1/")
    boss = Client()
    boss.force_login(user_in(Role.ADMINISTRATOR))
    assert Api(user)("PATCH", f"/targets/{target.pk}", {"enabled": False})[0] == 200
    assert Api(user)("PATCH", f"/targets/{target.pk}", {"url": "json://127.0.0.2/"})[0] == 422
    for action, enabled in (("switch_on", True), ("switch_off", False)):
        boss.post("/admin/control/notificationtarget/", {"action": action, "_selected_action": [target.pk]})
        target.refresh_from_db()
        assert (target.enabled, target.url) == (enabled, "json://127.0.0.1/")


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
