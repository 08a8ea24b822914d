"""No secrets in the log: what must not be read there is taken out of each line before it is written.

Three ways, because none suffices: the values that the settings hold, wherever they turn up; what stands beside a name
that says that it is secret; and what has the form of one (tokens of ours, passwords in addresses, the addresses of
notification targets, which are secrets as a whole).
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

HIDDEN: Final = "[hidden]"

_SETTINGS: Final = ("MASSIVE_API_KEY", "SECRET_KEY", "OIDC_CLIENT_SECRET", "EMAIL_HOST_PASSWORD")
_ADDRESSES: Final = ("REDIS_URL", "CELERY_BROKER_URL", "DATABASE_URL", "EMAIL_URL")
# Shorter ones are words: they would be taken out of every sentence.
_LEAST: Final = 8
_NO_SECRETS: Final = frozenset({"simulator"})

# As a whole name, or as a part of one between `_`, `-` and the humps of camelCase.
_WORDS = (
    "password|passwd|passphrase|secret(?:_?key)?|token|cookies?|authorization|credentials?|api_?key|apikey|session_?(?:id|key)|"
    "csrf\\w*|private_?key|signature|recovery_?codes?|totp|otp"
)
_SECRET_NAME: Final = re.compile(rf"(?:^|[_.\-])(?:{_WORDS})(?:$|[_.\-])", re.IGNORECASE)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_FORMS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # `Authorization: Bearer …`, `Cookie: …`, in a header's own line, a dict's words or a curl command.
    (re.compile(r"\b(Bearer|Basic|Token)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)\b((?:set-)?cookie['\"]?\s*[:=]\s*)(?:'[^']*'|\"[^\"]*\"|[^\n'\"]+)"), rf"\1{HIDDEN}"),
    # The vendor's own way to say a key: {"action":"auth","params":"KEY"}.
    (re.compile(r"(\"?action\"?\s*:\s*\"?auth\"?\s*,\s*\"?params\"?\s*:\s*\"?)[^\"}\s]+"), rf"\1{HIDDEN}"),
    # Our own tokens, and what Telegram's bots have.
    (re.compile(r"\btw_[A-Za-z0-9_-]{20,}"), HIDDEN),
    (re.compile(r"\bbot\d{6,}:[A-Za-z0-9_-]{20,}"), f"bot{HIDDEN}"),
    # Passwords in addresses.
    (re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s/:@'\"]*):[^\s/@'\"]+@", re.IGNORECASE), rf"\1:{HIDDEN}@"),
    # Webhooks are secrets in their path.
    (
        re.compile(
            r"\b(https?://(?:hooks\.slack\.com|(?:\w+\.)?discord(?:app)?\.com/api/webhooks|[\w.-]+\.webhook\.office\.com|"
            r"api\.telegram\.org))/[^\s'\"<>]+",
            re.IGNORECASE,
        ),
        rf"\1/{HIDDEN}",
    ),
    # Names with values: in a query, in JSON, in a dict's or a dataclass's words.
    (
        re.compile(
            rf"(?i)((?:\b|_)(?:{_WORDS}|access_token|refresh_token)['\"]?\s*(?:=|:)\s*)"
            r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?!\[hidden\])[^\s,;&'\"})\]]+)"
        ),
        rf"\1{HIDDEN}",
    ),
)
# Addresses that lead to pages, servers and files, and hold no secret but a password; all others are apprise's.
_ORDINARY: Final = frozenset(
    {
        *("http", "https", "ws", "wss", "redis", "rediss", "redis+socket", "unix", "amqp", "amqps", "pyamqp"),
        *("file", "data", "tcp", "ssl", "smtp", "smtp+tls", "smtp+ssl"),
        *("sqlite", "postgres", "postgresql", "mysql", "psql", "pgsql"),
    }
)
_ADDRESS: Final = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s'\"<>]+", re.IGNORECASE)
_PLAIN: Final = (int, float, bool, type(None))
_DEEPEST: Final = 6


def secrets_in(settings: Mapping[str, Any]) -> frozenset[str]:
    """The secret values among the settings, those inside addresses too."""
    values = [str(settings.get(name) or "") for name in _SETTINGS]
    values += map(str, settings.get("SECRET_KEY_FALLBACKS") or ())
    for name in _ADDRESSES:
        password = _password(str(settings.get(name) or ""))
        values += (password, unquote(password))
    return frozenset(value for value in values if len(value) >= _LEAST and value not in _NO_SECRETS)


def _password(address: str) -> str:
    try:
        return urlsplit(address).password or ""
    except ValueError:
        return ""


class Redaction:
    """A processor of structlog's: the last one before a line becomes text.

    Args:
        values: What must not appear, wherever it stands.
    """

    def __init__(self, values: Collection[str] = ()) -> None:
        longest_first = sorted(values, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, logger: Any, name: str, line: Any) -> Any:
        """Take the secrets out of a line."""
        for key, value in line.items():
            line[key] = HIDDEN if _names_a_secret(key) else self._without(value, 0)
        return line

    def text(self, text: str) -> str:
        """A text without its secrets."""
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        if "://" in text:
            text = _ADDRESS.sub(_unless_ordinary, text)
        for form, instead in _FORMS:
            text = form.sub(instead, text)
        return text

    def _without(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, _PLAIN):
            return value
        if depth < _DEEPEST:
            if isinstance(value, Mapping):
                return {
                    key: HIDDEN if _names_a_secret(str(key)) else self._without(inner, depth + 1)
                    for key, inner in value.items()
                }
            if isinstance(value, (list, tuple, set, frozenset)):
                return [self._without(inner, depth + 1) for inner in value]
        # Whatever it is, it goes into the log as text.
        return self.text(repr(value))


def _unless_ordinary(address: re.Match[str]) -> str:
    return address[0] if address[1].lower() in _ORDINARY else f"{address[1]}://{HIDDEN}"


def _names_a_secret(name: str) -> bool:
    return _SECRET_NAME.search(_HUMP.sub("_", name)) is not None
