"""Programs from the machine or its package manager; the manager here is a script that writes down what it was asked."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from project import provision
from project.processes import ServiceUnavailable

_NEED = provision.Need("Ticker", {"brew": "ticker-server"}, "install it, or set TICKER_URL")


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_program_that_is_there_is_used_and_nothing_installed(bin_folder: Path) -> None:
    script(bin_folder / "brew", f"touch {bin_folder}/asked")
    program = bin_folder / "ticker"
    script(program, "true")
    assert provision.found_or_installed(_NEED, lambda: program) == program
    assert not (bin_folder / "asked").exists()


def test_a_missing_program_is_installed_once_for_callers_at_the_same_time(bin_folder: Path) -> None:
    program = bin_folder / "ticker"
    script(bin_folder / "brew", f'echo "$@" >> {bin_folder}/asked; sleep 0.2; touch {program}')

    def find() -> Path | None:
        return program if program.exists() else None

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: provision.found_or_installed(_NEED, find), range(3)))
    assert found == [program] * 3
    assert (bin_folder / "asked").read_text() == "install ticker-server\n"


def test_a_failed_installation_says_what_was_tried_and_what_to_do(bin_folder: Path) -> None:
    script(bin_folder / "brew", "echo Fetching; echo No network. >&2; exit 1")
    with pytest.raises(ServiceUnavailable) as raised:
        provision.found_or_installed(_NEED, lambda: None)
    assert str(raised.value) == (
        "Ticker is not on this machine (brew install ticker-server said: No network): install it, or set TICKER_URL."
    )


def test_a_machine_without_a_package_manager_is_told_so(bin_folder: Path) -> None:
    need = provision.Need("Ticker", {"no-such-manager": "ticker"}, "set TICKER_URL")
    with pytest.raises(ServiceUnavailable, match=r"\(it has none of no-such-manager\): set TICKER_URL\.$"):
        provision.found_or_installed(need, lambda: None)


def test_chromium_names_the_browser_to_use(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(bin_folder / "browser", "true")
    monkeypatch.setenv("CHROMIUM", str(bin_folder / "browser"))
    assert provision.chromium_program() == bin_folder / "browser"
    monkeypatch.setenv("CHROMIUM", "/nowhere/browser")
    with pytest.raises(ServiceUnavailable, match="CHROMIUM is '/nowhere/browser'"):
        provision.chromium_program()
