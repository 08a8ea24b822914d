"""Variables as they are read: what is wrong is kept by name, and the default takes its place."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from project import env
from project.env import Problem


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(env, "PROBLEMS", [])
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def _set(value: str) -> None:
    os.environ["X"] = value


def _problem() -> Problem:
    (problem,) = env.PROBLEMS
    return problem


@pytest.mark.parametrize("value", ["", "   ", None])
def test_unset_and_empty_are_the_default(value: str | None) -> None:
    if value is not None:
        _set(value)
    assert env.text("X", "default") == "default"
    assert env.flag("X", default=True)
    assert env.integer("X", 5, 1, 10) == 5
    assert env.choice("X", "a", ("a", "b")) == "a"
    assert env.words("X", ("a",)) == ["a"]
    assert env.url("X", "redis://here", ("redis",), "redis://there") == "redis://here"
    assert env.subscriptions("X", ("A.*",)) == ["A.*"]
    assert env.PROBLEMS == []


@pytest.mark.parametrize(
    ("value", "read", "expected"),
    [
        (" yes ", lambda: env.flag("X", default=False), True),
        ("OFF", lambda: env.flag("X", default=True), False),
        (" 7 ", lambda: env.integer("X", 5, 1, 10), 7),
        ("B", lambda: env.choice("X", "a", ("a", "b")), "b"),
        ("a, b,,c ", lambda: env.words("X"), ["a", "b", "c"]),
        ("A.*, T.AAPL,", lambda: env.subscriptions("X", ()), ["A.*", "T.AAPL"]),
        ("redis://:p@h:1/0", lambda: env.url("X", "", ("redis",), ""), "redis://:p@h:1/0"),
        ("unix:///run/x.sock", lambda: env.url("X", "", ("unix",), ""), "unix:///run/x.sock"),
    ],
)
def test_good_values_are_read(value: str, read: Callable[[], object], expected: object) -> None:
    _set(value)
    assert read() == expected
    assert env.PROBLEMS == []


@pytest.mark.parametrize(
    ("value", "read", "default", "said", "hint"),
    [
        ("maybe", lambda: env.flag("X", default=True), True, "'maybe' cannot be used", "1, true, yes or on"),
        ("many", lambda: env.integer("X", 5, 1, 10), 5, "'many' cannot be used: no whole number", "from 1 to 10"),
        ("1.5", lambda: env.integer("X", 5, 1, 10), 5, "no whole number", "from 1 to 10"),
        ("11", lambda: env.integer("X", 5, 1, 10), 5, "not between 1 and 10", "from 1 to 10"),
        ("-1", lambda: env.integer("X", 5, 1, 10), 5, "not between 1 and 10", "from 1 to 10"),
        ("9" * 5_000, lambda: env.integer("X", 5, 1, 10), 5, "no whole number", "from 1 to 10"),
        ("c", lambda: env.choice("X", "a", ("a", "b")), "a", "not one of the choices", "one of a, b"),
        ("A", lambda: env.subscriptions("X", ("T.*",)), ["T.*"], "'A' has no channel", "A.*,T.*,Q.AAPL"),
        (".*", lambda: env.subscriptions("X", ("T.*",)), ["T.*"], "'.*' has no channel", "A.*,T.*,Q.AAPL"),
        (",", lambda: env.subscriptions("X", ("T.*",)), ["T.*"], "names no subscription", "A.*,T.*,Q.AAPL"),
        ("http://h", lambda: env.url("X", "d", ("ws", "wss"), "ws://e"), "d", "ws:// or wss://", "like ws://e"),
        ("ws://", lambda: env.url("X", "d", ("ws",), "ws://e"), "d", "names no host", "like ws://e"),
        ("ws://h:port", lambda: env.url("X", "d", ("ws",), "ws://e"), "d", "port is no number", "like ws://e"),
        ("ws://h:99999", lambda: env.url("X", "d", ("ws",), "ws://e"), "d", "port is no number", "like ws://e"),
        ("ws://[h", lambda: env.url("X", "d", ("ws",), "ws://e"), "d", "it is no address", "like ws://e"),
    ],
)
def test_a_bad_value_is_kept_by_name_with_what_it_should_look_like(
    value: str, read: Callable[[], object], default: object, said: str, hint: str
) -> None:
    _set(value)
    assert read() == default
    problem = _problem()
    assert problem.name == "X"
    assert said in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "address",
    [
        *("redis://user:hunter2/3@host:6379/0", "redis://user:hunter2#x@host/0", "redis://user:hunter2?@host"),
        *("redis://user:[hunter2@host", "redis://user:hunter2℀@host", "htp://user:hunter2@host", "hunter2"),
        "redis://host:hunter2",
    ],
)
def test_a_password_is_never_shown(address: str) -> None:
    _set(address)
    env.url("X", "", ("redis",), "redis://127.0.0.1:6379/0")
    assert all("hunter2" not in f"{problem.message}{problem.hint}" for problem in env.PROBLEMS)


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_no_value_of_a_variable_stops_the_reading(value: str) -> None:
    _set(value)
    for read in (
        lambda: env.flag("X", default=False),
        lambda: env.integer("X", 1, 0, 2),
        lambda: env.choice("X", "a", ("a",)),
        lambda: env.words("X"),
        lambda: env.url("X", "", ("redis",), "redis://h"),
        lambda: env.subscriptions("X", ("A.*",)),
        lambda: env.secret_key("X"),
    ):
        read()


def test_a_short_secret_key_is_a_problem_and_never_shown() -> None:
    _set("too-short")
    env.secret_key("X")
    assert "too-short" not in _problem().message
    assert "50 or more" in _problem().hint


def test_without_a_secret_key_each_process_has_its_own() -> None:
    assert env.secret_key("X") != env.secret_key("X")
    assert env.PROBLEMS == []


def _dotenv(path: Path, content: bytes) -> None:
    (path / ".env").write_bytes(content)
    env.load_dotenv(path / ".env")


def test_a_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    os.environ["B"] = "from outside"
    # As some editors save it, with a byte order mark.
    _dotenv(tmp_path, b'\xef\xbb\xbf# a comment\n\nA=1\n B = two \nexport C=\'three # 3\'\nD="fo\\"ur"\nE=\n')
    assert [os.environ[name] for name in "ABCDE"] == ["1", "from outside", "three # 3", 'fo"ur', ""]
    assert env.PROBLEMS == []


def test_blanks_around_the_equals_sign_are_none_of_the_value(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _dotenv(tmp_path, b"  A = hush\t\nexport   B= 'two' \n")
    assert (os.environ["A"], os.environ["B"]) == ("hush", "two")
    assert env.PROBLEMS == []
    assert capfd.readouterr() == ("", "")


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    env.load_dotenv(tmp_path / "nothing")
    assert env.PROBLEMS == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("this is no assignment", "line 2 is no assignment"),
        ("1A=5", "line 2 is no assignment"),
        ("- A=5", "line 2 is no assignment"),
        ("B='open", "line 2 opens a quote and does not close it"),
        ('B="open', "line 2 opens a quote and does not close it"),
        ('B="escaped\\"', "line 2 opens a quote and does not close it"),
        ("B=zero\0byte", "line 2 has a zero byte"),
    ],
)
def test_a_broken_line_is_told_by_its_number_and_the_others_count(
    tmp_path: Path, line: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    _dotenv(tmp_path, f"A=1\n{line}\nC=hush\n".encode())
    assert _problem().name == ".env"
    assert said in _problem().message
    assert os.environ["A"] == "1"
    assert os.environ["C"] == "hush"
    assert line not in caplog.text


def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    _dotenv(tmp_path, b"A=\xff\xfe\n")
    assert "cannot be read" in _problem().message


def test_a_folder_instead_of_a_file_is_a_problem(tmp_path: Path) -> None:
    env.load_dotenv(tmp_path)
    assert "cannot be read" in _problem().message


def test_the_example_shows_the_limits_that_hold_without_it() -> None:
    lines = (env.BASE_DIR / ".env.example").read_text(encoding="utf-8").splitlines()
    shown = dict(
        line.lstrip("#").split("=", 1) for line in lines if re.match(r"#(WDS_[A-Z_]+|TRUSTED_PROXIES)=\d", line)
    )
    held = {name for name in dir(settings) if name.startswith("WDS_")} - {"WDS_URL", "WDS_REQUESTS_BURST"}
    assert shown == {name: str(getattr(settings, name)) for name in held | {"TRUSTED_PROXIES"}}
