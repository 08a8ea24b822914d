"""The scanner editor in a real browser: completion, what is wrong as one types, the rows it would show, and saving."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from control import preview
from control.models import NotificationTarget, Scanner
from processors.store import default_store
from project.embedded import EmbeddedValkey
from tests.control.api_callers import NOW
from tests.processors.feeding import batch, begin, feed_in, trade


@pytest.fixture
def cookie(valkey: EmbeddedValkey, transactional_db: None) -> str:
    """A login's, with a market of three symbols to look at."""
    preview.live_rows.cache_clear()
    begin(default_store())
    prices = {"LOW": 2.0, "MID": 10.0, "TOP": 50.0}
    feed_in(("trades", batch([trade(symbol, NOW, price) for symbol, price in prices.items()])))
    NotificationTarget.objects.create(name="desk chat", url="json://example.com")
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _symbols(page: Page) -> list[str]:
    return page.locator(".tw-preview-rows tbody td:nth-child(2)").all_inner_texts()


def _write_a_scanner(page: Page) -> None:
    # What is typed before the editor is there is typed into a plain form.
    expect(page.locator(".tw-expression .cm-content")).to_have_count(2)
    page.locator("#id_name").press_sequentially("Over five!")
    expect(page.locator("#id_slug")).to_have_value("over_five")

    where = page.locator(".tw-expression[data-field=where]")
    where.locator(".cm-content").click()
    page.keyboard.type("pric")
    expect(where.locator(".cm-tooltip-autocomplete li[aria-selected]")).to_contain_text("price")
    expect(where.locator(".cm-completionInfo")).to_contain_text("dollars")
    # What has just opened is chosen by no key that was meant for something else (`interactionDelay`, 75 ms).
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    page.keyboard.type(" > 5")
    expect(page.locator("#id_where")).to_have_value("price > 5")
    page.locator(".tw-expression[data-field=order_by] .cm-content").click()
    page.keyboard.type("price")
    expect(page.locator(".tw-preview-rows tbody tr")).to_have_count(2)
    assert _symbols(page) == ["TOP", "MID"]
    expect(page.locator(".tw-preview-head p")).to_have_text(re.compile("^2 rows at 10:00:00 New York, found in "))


def _make_a_mistake(page: Page) -> None:
    where = page.locator(".tw-expression[data-field=where]")
    where.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type(" AND prise < 20 ")
    expect(where.locator(".cm-lintRange-error")).to_have_text("prise")
    said = where.locator("xpath=following-sibling::p[@role='status']")
    expect(said).to_have_text("There is no field 'prise' at character 15; did you mean price?")
    expect(page.locator(".tw-preview-rows")).to_have_class(re.compile(r"\bold\b"))
    # The old rows stay until there are new ones.
    assert _symbols(page) == ["TOP", "MID"]
    where.locator(".cm-lintRange-error").hover()
    where.get_by_role("button", name="Use price").click()
    expect(page.locator("#id_where")).to_have_value("price > 5 AND price < 20 ")
    expect(said).to_be_empty()
    expect(page.locator(".tw-preview-rows tbody tr")).to_have_count(1)
    assert _symbols(page) == ["MID"]


def _choose(page: Page) -> None:
    columns = page.get_by_role("combobox", name="Add a column")
    for typed in ("change %", "price"):
        columns.fill(typed)
        columns.press("Enter")
    expect(page.locator(".tw-preview-rows th").nth(3)).to_have_text("Price")
    page.locator(".tw-chosen li", has_text="Price").press("Alt+ArrowLeft")
    expect(page.locator(".tw-preview-rows th").nth(2)).to_have_text("Price")
    target = page.get_by_role("combobox", name="Add a target")
    target.click()
    page.get_by_role("option", name="desk chat").click()
    # Enter chose; it did not send the form.
    expect(page).to_have_url(re.compile("/scanner/add/"))


def test_a_scanner_is_written_with_help(
    live_server: LiveServer, cookie: str, chromium: str, built_frontend: Path
) -> None:
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1600, "height": 900})
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        page = context.new_page()
        # What the content security policy refuses is an error on the console, too.
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{live_server.url}/admin/control/scanner/add/")
        _write_a_scanner(page)
        _make_a_mistake(page)
        _choose(page)
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page).to_have_url(re.compile("/admin/control/scanner/$"))
        browser.close()
    assert wrong == []
    scanner = Scanner.objects.get(slug="over_five")
    assert (scanner.name, scanner.where, scanner.order_by) == ("Over five!", "price > 5 AND price < 20", "price")
    assert (scanner.columns, scanner.notify) == (["price", "pct_change"], ["desk chat"])
