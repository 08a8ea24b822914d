"""Accounts in a real browser: second factors, passkeys, tokens, logins, and a content policy that nothing breaks."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from project.embedded import EmbeddedValkey
from tests.control.account_people import PASSWORD, code_of
from tests.rights import new_user

_WIDTHS = (390, 1600)


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def _passkeys_of(context: BrowserContext, page: Page) -> None:
    """A fingerprint reader that always knows its owner."""
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    able = ("hasResidentKey", "hasUserVerification", "isUserVerified", "automaticPresenceSimulation")
    options = {"protocol": "ctap2", "transport": "internal", **dict.fromkeys(able, True)}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def _log_in(page: Page, name: str) -> None:
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


@pytest.mark.django_db(transaction=True)
def test_somebody_secures_an_account_and_comes_in_by_passkey(
    valkey: EmbeddedValkey,
    built_frontend: Path,
    live_server: LiveServer,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Playwright's own loop runs in this thread.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    ann = new_user("ann", staff=True)
    ann.set_password(PASSWORD)
    ann.email = "ann@example.com"
    ann.save()
    ann.user_permissions.add(Permission.objects.get(codename="view_user"))
    # Passkeys belong to names; an address of numbers has none.
    home = live_server.url.replace("127.0.0.1", "localhost")
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    # A page that breaks its content policy says so here. This server has no sockets, and there is no system.
    context.on("console", lambda said: complaints.append(f"{page.url}: {said.text}") if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(f"{page.url}: {error.error}"))
    _passkeys_of(context, page)

    page.goto(f"{home}/accounts/")
    _log_in(page, "ann")
    expect(page.get_by_role("heading", name="ann")).to_be_visible()

    page.get_by_role("link", name="Set up").click()
    secret = page.locator("code.breaks").text_content()
    assert secret is not None
    page.locator("input[name=code]").fill(code_of(secret))
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    assert re.fullmatch(r"(\d{8}\s+){10}", page.locator("#codes").text_content() or "")
    page.get_by_role("link", name="Back to your account").click()
    assert any("Authenticator app activated" in str(message.body) for message in mail.outbox)

    page.get_by_role("link", name="Add", exact=True).click()
    page.locator("input[name=name]").fill("Laptop")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("Security key added")).to_be_visible()
    page.goto(f"{home}/accounts/2fa/webauthn/")
    expect(page.locator(".rows strong")).to_have_text(re.compile(r"Laptop\s+passkey"))

    page.get_by_role("link", name="API tokens").click()
    page.locator("input[name=name]").fill("notebook")
    page.get_by_role("button", name="Make a token").click()
    expect(page.locator("#token")).to_have_text(re.compile("tw_"))

    # Another browser: the password alone does not do.
    phone = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="light").new_page()
    phone.goto(f"{home}/accounts/")
    _log_in(phone, "ann")
    expect(phone.get_by_role("heading", name="Second factor")).to_be_visible()
    phone.locator("input[name=code]").fill(code_of(secret, 1))
    phone.get_by_role("button", name="Log in", exact=True).click()
    expect(phone).to_have_url(f"{home}/accounts/")

    page.get_by_role("link", name="Logins").click()
    expect(page.locator(".rows li")).to_have_count(2)
    page.get_by_role("button", name="Log out everywhere, here too").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    phone.reload()
    expect(phone.get_by_role("heading", name="Log in")).to_be_visible()

    page.goto(f"{home}/accounts/login/?next=/accounts/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="ann")).to_be_visible()

    for path in (
        *(
            "/accounts/",
            "/accounts/sessions/",
            "/accounts/tokens/",
            "/accounts/targets/",
            "/accounts/2fa/webauthn/",
            "/accounts/3rdparty/",
        ),
        *("/accounts/password/change/", "/accounts/2fa/recovery-codes/", "/accounts/2fa/totp/deactivate/"),
        *("/admin/auth/user/", "/admin/control/apitoken/", "/admin/control/scanner/add/", "/admin/system/"),
        *("/admin/connected/", "/api/v1/docs", "/"),
    ):
        page.goto(home + path)
        expect(page.locator("#app .starting")).to_have_count(0)
        for width in _WIDTHS if path.startswith("/accounts/") else ():
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert [said for said in complaints if "/ws" not in said and "status of 503" not in said] == []
    assert User.objects.get(username="ann").last_login is not None
