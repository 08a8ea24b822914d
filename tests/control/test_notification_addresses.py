"""Addresses of notification targets: what may be one, what is shown of it, and how it is kept."""

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from pytest_django import Settings

from control.models import NotificationTarget
from control.notifications import delivering
from control.notifications.addresses import BadAddress, check_way, service_of, shown, without_secrets
from tests.rights import new_user

pytestmark = pytest.mark.django_db

_TELEGRAM = "tgram://123456789:abcdefg_hijklmnop-lead/12315544/"


def _target(owner: User | None, url: str) -> NotificationTarget:
    return NotificationTarget.objects.create(owner=owner, name="phone", url=url)


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
        "tgram://123456789:abcdefg_hijklmnop-lead/1/2/3/4/5/6/",
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


def test_addresses_are_encrypted_and_lost_with_their_key_alone(settings: Settings) -> None:
    target = _target(new_user("ann"), _TELEGRAM)
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


def test_nothing_of_an_address_is_left_in_a_complaint() -> None:
    said = "Failed to post to https://hooks.example.com/a/secretpath as user:hushhush, token 123456789:abc"
    clean = without_secrets(said, "jsons://user:hushhush@hooks.example.com/a/secretpath?token=123456789:abc")
    assert clean == "Failed to post to https://hooks.example.com/a/… as …:…, … …:abc"
    assert without_secrets("no entry with p@ss w/rd", "mailtos://me:p%40ss%20w%2Frd@example.com") == "no entry with …"
