"""The page of one's own notification targets."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from control.models import NotificationTarget
from tests.control.account_people import words
from tests.control.webhook import Webhook, webhook
from tests.rights import new_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

_PATH = "/accounts/targets/"


@pytest.fixture
def hook(settings: Settings) -> Iterator[Webhook]:
    settings.NOTIFY_PRIVATE = True
    with webhook() as running:
        yield running


@pytest.fixture
def trader() -> Client:
    client = Client()
    client.force_login(new_user("trader"))
    return client


def test_a_target_is_added_tested_switched_off_and_removed(trader: Client, hook: Webhook) -> None:
    added = trader.post(_PATH, {"name": "desk", "url": hook.address}, follow=True)
    assert "Added desk" in words(added)
    target = NotificationTarget.objects.get()
    assert (target.owner, target.url) == (User.objects.get(username="trader"), hook.address)
    # What is secret of it is never shown again.
    assert not any(secret in added.content.decode() for secret in ("hushhush", "secretpath"))
    one = f"{_PATH}{target.pk}/"
    assert "The test was delivered to desk" in words(trader.post(one, {"do": "test"}, follow=True))
    assert len(hook.received) == 1
    hook.status = 500
    assert "The test did not arrive" in words(trader.post(one, {"do": "test"}, follow=True))
    assert "desk off" in words(trader.post(one, {"do": "off"}, follow=True))
    trader.post(one, {"do": "on"})
    assert NotificationTarget.objects.get().enabled
    assert "Removed desk" in words(trader.post(one, {"do": "remove"}, follow=True))
    assert not NotificationTarget.objects.exists()


def test_what_cannot_be_used_says_why(trader: Client, hook: Webhook) -> None:
    trader.post(_PATH, {"name": "desk", "url": hook.address})
    for name, url, why in (
        ("desk", hook.address, "There is a target of this name"),
        ("other", "nowhere", "apprise"),
        ("", hook.address, "This field is required"),
    ):
        page = trader.post(_PATH, {"name": name, "url": url})
        assert page.status_code == 422
        assert why in words(page)
    assert NotificationTarget.objects.count() == 1


def test_targets_are_ones_own_and_take_the_permission(trader: Client, hook: Webhook) -> None:
    trader.post(_PATH, {"name": "desk", "url": hook.address})
    target = NotificationTarget.objects.get()
    other, nobody = Client(), Client()
    other.force_login(new_user("other"))
    nobody.force_login(User.objects.create_user("nobody"))
    assert "desk" not in words(other.get(_PATH))
    for do in ("test", "off", "remove"):
        assert other.post(f"{_PATH}{target.pk}/", {"do": do}).status_code == 404
        assert nobody.post(f"{_PATH}{target.pk}/", {"do": do}).status_code == 403
    assert nobody.get(_PATH).status_code == 403
    assert Client().get(_PATH).status_code == 302
    assert hook.received == []
