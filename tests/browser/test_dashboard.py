"""The whole system in a real browser: one command, one login, and a market that moves."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.services import Part, environment, python, wait_until

# Two of them at once would look for the same free port.
pytestmark = pytest.mark.xdist_group("up")

_BOARDS = ("top_volume", "top_gainers", "top_gappers")
# A small market, so that two cores start it quickly; in the regular session every board has rows at once.
_MARKET = ("--symbols", "300", "--rate", "500", "--seed", "7")


@pytest.fixture
def run_dir(built_frontend: Path) -> Iterator[Path]:
    """A folder with a short name: a socket's path has room for a hundred bytes."""
    folder = Path(tempfile.mkdtemp(prefix="tapewatch-web-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def _told(up: Part) -> tuple[str, str, str]:
    """The page's address, the first administrator and the password, as they are printed."""
    up.wait_for("Stop    Ctrl-C", 60)
    found = re.search(r"Open +(\S+)\n.*Log in +user (\S+), password (\S+)", up.output)
    assert found is not None, up.output
    return found[1], found[2], found[3]


def _cells(page: Page, board: str) -> list[str]:
    return page.locator(f"[data-board={board}] .ag-cell").all_inner_texts()


def _clock(page: Page) -> str:
    return page.locator(".clock-time").inner_text()


def _expect_moving(page: Page, seconds: float) -> None:
    """The market's clock and the values of the boards change."""
    before, clock = {board: _cells(page, board) for board in _BOARDS}, _clock(page)
    for board in _BOARDS:
        wait_until(
            lambda board=board: _cells(page, board) not in ([], before[board]),  # type: ignore[misc]
            seconds,
            f"a change of {board}",
            every=0.2,
        )
    wait_until(lambda: _clock(page) != clock, seconds, "a tick of the clock", every=0.2)


def _process(up: Part, program: str) -> int:
    """The one process of a program that `up` runs."""
    rows = subprocess.run(
        ("ps", "-A", "-ww", "-o", "pid=,ppid=,args="), capture_output=True, text=True, check=True
    ).stdout
    (found,) = [
        int(pid)
        for pid, parent, command in (row.split(None, 2) for row in rows.splitlines())
        if int(parent) == up.process.pid and program in command
    ]
    return found


def test_somebody_logs_in_and_watches_the_market_move(run_dir: Path, browser: Browser) -> None:
    env = environment(run_dir, SECRET_KEY="")
    with python("manage.py", "up", "--port", "0", *_MARKET, env=env, log=run_dir / "up.log") as up:
        address, user, password = _told(up)
        page = browser.new_context(viewport={"width": 1600, "height": 900}).new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        page.goto(address)
        expect(page).to_have_url(re.compile("/accounts/login/"))
        page.locator("input[name=login]").fill(user)
        page.locator("input[name=password]").fill("not the password")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert").first).to_be_visible()
        page.locator("input[name=password]").fill(password)
        page.get_by_role("button", name="Log in").click()

        for board in _BOARDS:
            expect(page.locator(f"[data-board={board}] .ag-row").first).to_be_visible(timeout=25_000)
        expect(page.locator(".connection-label")).to_have_text("Live", timeout=10_000)
        expect(page.locator(".clock-time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
        expect(page.locator(".session")).to_have_text(re.compile("PRE|OPEN|POST"))
        _expect_moving(page, 8)

        os.kill(_process(up, "project.server"), signal.SIGKILL)
        expect(page.locator(".connection-label")).to_have_text(re.compile("Reconnecting|Connecting"), timeout=10_000)
        expect(page.locator(".connection-label")).to_have_text("Live", timeout=20_000)
        _expect_moving(page, 8)

        assert "Traceback" not in up.output

        # From here on Celery's parts write tracebacks: their broker is away with the cache.
        os.kill(_process(up, "valkey-server"), signal.SIGKILL)
        expect(page.locator(".connection-label")).to_have_text("Interrupted", timeout=10_000)
        expect(page.locator(".notice")).to_contain_text("The cache cannot be reached")
        expect(page.locator(".connection-label")).to_have_text("Live", timeout=20_000)
        _expect_moving(page, 15)

        # Logged out elsewhere, the page notices by itself.
        other = page.context.new_page()
        other.goto(address)
        other.get_by_role("button", name=f"Menu of {user}").click()
        other.get_by_role("button", name="Log out").click()
        expect(page).to_have_url(re.compile("/accounts/login/"), timeout=10_000)
        page.goto(address)
        expect(page).to_have_url(re.compile("/accounts/login/"))
        assert errors == []
        assert not re.search("^web .*Traceback", up.output, re.MULTILINE)
