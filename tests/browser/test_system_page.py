"""The system page in a real browser: each control through its dialog, a killed worker in words, and its recovery."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from control.operations.registry import OPERATIONS
from tests.services import Part, environment, python

# Two of them at once would look for the same free port.
pytestmark = pytest.mark.xdist_group("up")

_MARKET = ("--symbols", "200", "--rate", "500", "--seed", "7", "--workers", "2")
# An operation waits five seconds for an answer, some a while longer for a process to come back.
_ANSWER_MS = 25_000


@pytest.fixture
def run_dir(built_frontend: Path) -> Iterator[Path]:
    """A folder with a short name: a socket's path has room for a hundred bytes."""
    folder = Path(tempfile.mkdtemp(prefix="tapewatch-system-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class System:
    """The page as somebody uses it.

    Attributes:
        used: The operations that were done through it.
        wrong: What the browser complained of: errors, and what the page's policy forbids.
    """

    def __init__(self, up: Part, browser: Browser) -> None:
        up.wait_for("Stop    Ctrl-C", 90)
        found = re.search(r"Open +(\S+)\n.*Log in +user (\S+), password (\S+)", up.output)
        assert found is not None, up.output
        self.used: set[str] = set()
        self.wrong: list[str] = []
        self.page: Page = browser.new_context(viewport={"width": 1600, "height": 900}).new_page()
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._heard)
        self.page.goto(f"{found[1]}accounts/login/?next=/admin/system/")
        self.page.locator("input[name=login]").fill(found[2])
        self.page.locator("input[name=password]").fill(found[3])
        self.page.get_by_role("button", name="Log in", exact=True).click()
        expect(self.page.locator(".bar-fresh")).to_have_text("live", timeout=30_000)

    def _heard(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.wrong.append(message.text)

    def row(self, kind: str, name: str) -> Locator:
        return self.page.locator(f'[data-{kind}="{name}"]')

    def use(self, name: str, place: Locator, **parameters: str | bool) -> None:
        """Use a control of a card or a row: a button, or an entry of its menu; it has to be done."""
        control = place.locator(f'[data-control="{name}"]').first
        if not control.is_visible():
            place.locator(".control-more").last.click()
        control.click()
        dialog = self.page.get_by_role("dialog")
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        for label, value in parameters.items():
            field = dialog.get_by_label(label.replace("_", " "), exact=True)
            if isinstance(value, bool):
                field.set_checked(value)
            elif field.evaluate("element => element.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        dialog.locator("button[type=submit]").click()
        outcome = dialog.locator("[data-outcome]")
        expect(outcome).to_be_visible(timeout=_ANSWER_MS)
        assert outcome.get_attribute("data-outcome") == "done", f"{name}: {outcome.inner_text()}"
        expect(outcome.get_by_role("link", name="in the audit log")).to_be_visible()
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_have_count(0)
        self.used.add(name)


def test_every_control_and_a_killed_worker(run_dir: Path, browser: Browser) -> None:
    with python(
        "manage.py", "up", "--port", "0", *_MARKET, env=environment(run_dir, SECRET_KEY=""), log=run_dir / "up.log"
    ) as up:
        system = System(up, browser)
        page = system.page
        listener, workers = page.locator("#listener"), page.locator("#workers")
        expect(listener.locator(".panel-said")).to_contain_text("live", timeout=30_000)
        expect(system.row("worker", "jobs")).to_have_count(1, timeout=30_000)
        expect(system.row("worker", "feed2")).to_have_count(1, timeout=30_000)

        _nothing_is_done_by_looking(page, listener)
        _a_killed_worker_is_missed_in_words(system)

        system.use("log.level", system.row("worker", "scans"), Level="DEBUG")
        expect(system.row("process", "scans")).to_contain_text("debug", timeout=5_000)
        system.use("listener.record", listener)
        expect(page.locator("[data-recording]")).to_be_visible(timeout=5_000)
        system.use("listener.record", listener)
        system.use("listener.configure", listener, Subscriptions="A.*,T.*")
        expect(listener.locator(".chips code")).to_have_text(["A.*", "T.*"], timeout=5_000)
        system.use("listener.reconnect", listener)
        system.use("listener.stop", listener)
        expect(listener.locator(".panel-said")).to_contain_text("stopped", timeout=5_000)
        expect(page.locator("[data-problems]")).to_contain_text("listener", timeout=8_000)
        system.use("listener.start", listener)
        expect(listener.locator(".panel-said")).to_contain_text("live", timeout=10_000)

        board = system.row("scanner", "halts")
        system.use("scanners.disable", board)
        expect(board.locator('[data-control="scanners.enable"]')).to_be_visible(timeout=15_000)
        system.use("scanners.enable", board)
        system.use("queues.purge", system.row("queue", "trades"))
        system.use("reference.reload", system.row("kind", "splits"))
        system.use("cache.clear", page.locator("#cache"), Prefix="unknown:")

        jobs = system.row("worker", "jobs")
        system.use("jobs.grow", jobs, Processes="1")
        system.use("jobs.shrink", jobs, Processes="1")
        system.use("jobs.autoscale", jobs, At_least="1", At_most="2")
        expect(page.locator("[data-jobs]")).to_contain_text("from 1 to 2", timeout=5_000)
        system.use("jobs.add_queue", jobs, Queue="unknown")
        system.use("jobs.cancel_queue", jobs, Queue="unknown")
        system.use("jobs.restart", jobs)

        system.use("workers.restart", system.row("worker", "feed1"))
        system.use("workers.count", workers, Feed_workers="1")
        expect(system.row("worker", "feed2")).to_have_count(0, timeout=10_000)
        system.use("part.restart", system.row("process", "beat"))
        system.use("listener.restart", listener)

        entry = page.locator("[data-entry]").filter(has_text="listener.restart").first
        expect(entry).to_be_visible()
        system.use("web.drain", page.locator("#wds"), Seconds="1")
        # The page comes back by itself, with the process that took over.
        expect(page.locator(".bar-fresh")).to_have_text("live", timeout=30_000)

        assert system.used == set(OPERATIONS)
        assert system.wrong == []
        entry.get_by_role("link").click()
        expect(page.get_by_text("listener.restart").first).to_be_visible(timeout=10_000)


def _nothing_is_done_by_looking(page: Page, listener: Locator) -> None:
    stop = listener.locator('[data-control="listener.stop"]')
    stop.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("disconnects")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(stop).to_be_focused()
    expect(listener.locator(".panel-said")).to_contain_text("live")
    expect(page.locator("[data-entry]")).to_have_count(0)


def _a_killed_worker_is_missed_in_words(system: System) -> None:
    page, row = system.page, system.row("worker", "feed2")
    pid = int(row.locator(".row-place").inner_text().rpartition(":")[2])
    problem = page.locator("[data-problem]").filter(has_text="feed2")
    os.kill(pid, signal.SIGKILL)
    # Two seconds, where nobody else wants the processors.
    expect(problem.first).to_be_visible(timeout=15_000)
    expect(problem.first.locator(".problem-advice")).not_to_be_empty()
    expect(page.locator("[data-recovery]").filter(has_text="feed2").first).to_be_visible(timeout=30_000)
    expect(problem).to_have_count(0, timeout=60_000)
    expect(row).to_have_count(1)
