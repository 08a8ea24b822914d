"""The environment: the one place where variables and `.env` are read.

A value that cannot be used never stops the import of the settings: the default takes its place and the problem is kept
in `PROBLEMS`, from where `manage.py check` reports it by the variable's name (see `checks.py`). Every command runs
those checks before it does anything else.
"""

import io
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import environ

BASE_DIR = Path(__file__).resolve().parent.parent

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """A variable that cannot be used: its name, what is wrong, and what it should look like."""

    name: str
    message: str
    hint: str


PROBLEMS: list[Problem] = []

_ASSIGNMENT = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
# Without its end a quoted value would mean something else than it shows.
_OPEN_QUOTE = re.compile(r"""(?:'[^']*|"(?:[^"\\]|\\.)*)""")


def load_dotenv(path: Path) -> None:
    """Read `path` into the environment, where variables that are already set win.

    A line that is no assignment, an open quote and an unreadable file are kept in `PROBLEMS`; the other lines count.
    """
    if not path.exists():
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        PROBLEMS.append(
            Problem(".env", f"cannot be read: {error}", "Make it a UTF-8 text file that you may read, or remove it.")
        )
        return
    good: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        assignment = _ASSIGNMENT.fullmatch(stripped)
        if assignment is None:
            PROBLEMS.append(
                Problem(".env", f"line {number} is no assignment", "Write NAME=value, or start the line with # .")
            )
        elif "\0" in stripped:
            PROBLEMS.append(Problem(".env", f"line {number} has a zero byte", "Make it a text file."))
        elif _OPEN_QUOTE.fullmatch(assignment["value"]):
            PROBLEMS.append(
                Problem(".env", f"line {number} opens a quote and does not close it", "Close the quote on that line.")
            )
        else:
            # environ knows no blanks around the equals sign, and prints what it does not understand, secrets and all.
            good.append(f"{assignment['name']}={assignment['value']}")
    environ.Env.read_env(io.StringIO("\n".join(good)), overwrite=False)


def _typed(name: str, default: T, parse: Callable[[str], T], looks_like: str, secret: bool = False) -> T:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except ValueError as error:
        shown = "its value" if secret else repr(raw)
        PROBLEMS.append(Problem(name, f"{shown} cannot be used: {error}", f"It should be {looks_like}."))
        return default


def text(name: str, default: str = "") -> str:
    """A text; unset and empty are the same."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool) -> bool:
    """A switch: `1 true yes on` or `0 false no off`, in any case."""

    def parse(raw: str) -> bool:
        if raw.lower() in {"1", "true", "yes", "on"}:
            return True
        if raw.lower() in {"0", "false", "no", "off"}:
            return False
        raise ValueError("neither on nor off")

    return _typed(name, default, parse, "1, true, yes or on, or 0, false, no or off")


def integer(name: str, default: int, least: int, most: int) -> int:
    """A whole number in [least, most]."""

    def parse(raw: str) -> int:
        try:
            number = int(raw)
        except ValueError:
            raise ValueError("no whole number") from None
        if not least <= number <= most:
            raise ValueError(f"not between {least:,} and {most:,}")
        return number

    return _typed(name, default, parse, f"a whole number from {least} to {most}")


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of `choices`, in any case; the answer is spelt as in `choices`."""

    def parse(raw: str) -> str:
        for candidate in choices:
            if raw.lower() == candidate.lower():
                return candidate
        raise ValueError("not one of the choices")

    return _typed(name, default, parse, "one of " + ", ".join(choices))


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A list, separated by commas; blanks around a word do not count."""
    raw = os.environ.get(name, "")
    return [word.strip() for word in raw.split(",") if word.strip()] or list(default)


def pairs(name: str, values: tuple[str, ...]) -> dict[str, str]:
    """Pairs such as `traders=trader,ops=operator`, separated by commas; each value is one of `values`."""

    def parse(raw: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for word in words(name):
            # A group may be called by an address, which has equals signs of its own.
            key, equals, value = word.rpartition("=")
            if not key.strip() or not equals or value.strip() not in values:
                raise ValueError(f"{word!r} is no pair of a name and one of {', '.join(values)}")
            found[key.strip()] = value.strip()
        return found

    return _typed(name, {}, parse, f"pairs such as desk={values[0]}, separated by commas")


def url(name: str, default: str, schemes: tuple[str, ...], example: str, words: tuple[str, ...] = ()) -> str:
    """An address with one of `schemes`, or one of `words`.

    It may carry a password, so a problem never shows the value, nor part of it.
    """

    def parse(raw: str) -> str:
        if raw in words:
            return raw
        try:
            parts = urlsplit(raw)
        except ValueError:
            # Its own words quote the address.
            raise ValueError("it is no address") from None
        if parts.scheme not in schemes:
            raise ValueError(f"it does not start with {' or '.join(scheme + '://' for scheme in schemes)}")
        try:
            parts.port  # noqa: B018 - raises ValueError for a port that is no number
        except ValueError:
            # With a slash in the password this would be a piece of it.
            raise ValueError(
                "its port is no number from 0 to 65535 (in a password, write / as %2F, # as %23, ? as %3F, @ as %40)"
            ) from None
        if not parts.hostname and not parts.path.strip("/"):
            raise ValueError("it names no host and no socket")
        return raw

    return _typed(name, default, parse, f"like {example}", secret=True)


def names_a_feed(feed: str) -> bool:
    """Whether a text is `real-time`, `delayed` or a `host:port`."""
    host, colon, port = feed.rpartition(":")
    is_host = bool(colon and host) and "/" not in host
    return feed in {"real-time", "delayed"} or (is_host and port.isdecimal() and 0 < int(port) < 65_536)


def parse_subscriptions(raw: str) -> list[str]:
    """The subscriptions of a comma list such as `A.*,T.AAPL`; none of an empty one.

    Raises:
        ValueError: One of them has no channel and symbol.
    """
    names = [word.strip() for word in raw.split(",") if word.strip()]
    for word in names:
        channel, dot, symbol = word.partition(".")
        if not channel or not dot or not symbol:
            raise ValueError(f"{word!r} has no channel and symbol with a dot between them")
    return names


def subscriptions(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Massive subscriptions such as `A.*` or `T.AAPL`, separated by commas."""

    def parse(raw: str) -> list[str]:
        names = parse_subscriptions(raw)
        if not names:
            raise ValueError("it names no subscription")
        return names

    return _typed(name, list(default), parse, "a comma list such as A.*,T.*,Q.AAPL")


def secret_key(name: str, least: int = 32) -> str:
    """Django's secret key, from the environment alone.

    Without one every process would sign with a key of its own, so sessions and tokens would not be understood by
    another process. `up` writes a key to `.env` before it starts anything; until then a key for this process alone
    serves.
    """
    raw = os.environ.get(name, "").strip()
    if raw and len(raw) < least:
        PROBLEMS.append(Problem(name, f"is shorter than {least} characters", "Use 50 or more random characters."))
    return raw or secrets.token_urlsafe(48)
