"""No secret gets into the log, in whatever form it is said."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project.redaction import HIDDEN, Redaction, secrets_in

_TOKEN = "tw_3kQ0mYw9aVbN1xZt7LrP5sDfGhJkC2eUoI8yTqWn4R"
_KEY = "vendor-key-0123456789"
_PASSWORD = "p%40ss/wörd-of-redis"

_redaction = Redaction(secrets_in({"MASSIVE_API_KEY": _KEY, "REDIS_URL": f"redis://:{_PASSWORD}@cache:6379/0"}))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"told {_KEY} to the feed", _KEY),
        (f"GET /ws?api_key={_TOKEN} 101", _TOKEN),
        (f"Authorization: Bearer {_TOKEN}", _TOKEN),
        (f"{{'authorization': 'Bearer {_TOKEN}'}}", _TOKEN),
        (f"Authorization: Basic {'YW5uOnRoZS1wYXNz' * 2}", "YW5uOnRoZS1wYXNz"),
        ("Cookie: sessionid=8d7f6a5s4d3f2g1h; csrftoken=abcdefgh", "8d7f6a5s4d3f2g1h"),
        ("{'cookie': 'sessionid=8d7f6a5s4d3f2g1h'}", "8d7f6a5s4d3f2g1h"),
        ("set-cookie: sessionid=8d7f6a5s4d3f2g1h; HttpOnly", "8d7f6a5s4d3f2g1h"),
        ("session_key='8d7f6a5s4d3f2g1h'", "8d7f6a5s4d3f2g1h"),
        ("csrfmiddlewaretoken=Zx81abc&username=ann", "Zx81abc"),
        ("username=ann&password=correct+horse", "correct"),
        ('{"username": "ann", "password": "correct \\"horse\\" battery"}', "horse"),
        ("User(name='ann', password='correct horse')", "correct horse"),
        ('{"action":"auth","params":"k-of-the-vendor"}', "k-of-the-vendor"),
        ('{"action": "auth", "api_key": "k-of-ours"}', "k-of-ours"),
        ("https://api.massive.com/v2/aggs?apiKey=k-of-the-vendor&limit=5", "k-of-the-vendor"),
        ("amqp://guest:s3cr3t@queue:5672// refused", "s3cr3t"),
        ("postgres://ann:s3cr3t@db/tapewatch: no such host", "s3cr3t"),
        ("Error 111 connecting to redis://:s3cr3t@cache", "s3cr3t"),
        ("tgram://123456789:AAEabcdefghijklmnop/12345 failed", "AAEabcdefghijklmnop"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "JHMHI8qBe7bk2ZwO5U711o3dV_js"),
        ("slack://TokenA/TokenB/TokenC", "TokenB"),
        ("mailtos://ann:correct-horse@example.com", "correct-horse"),
        ("jsons://example.com/hook/abcdef", "abcdef"),
        ("POST https://hooks.slack.com/services/T000/B000/XXXX 404", "XXXX"),
        ("https://discord.com/api/webhooks/4174216298/JHMHI8qBe7", "JHMHI8qBe7"),
        ("https://api.telegram.org/bot123456789:AAEabcdefghijklmnop/sendMessage", "AAEabcdefghijklmnop"),
        ("the secret key is secret_key=abcdef", "abcdef"),
        ("OIDC_CLIENT_SECRET='abcdef'", "abcdef"),
        ("access_token=ya29.abc refresh_token=1//0abc", "ya29"),
    ],
)
def test_a_secret_is_taken_out_of_a_sentence(text: str, secret: str) -> None:
    redacted = _redaction.text(text)
    assert secret not in redacted
    assert HIDDEN in redacted


@pytest.mark.parametrize(
    "text",
    [
        "live: Subscribed to A.*, T.*, Q.*, LULD.* at 127.0.0.1:8765.",
        "cache unreachable: Error 111 connecting to redis://cache:6379/0. Connection refused.",
        "GET /api/v1/quotes?symbols=AAPL,MSFT&limit=5 200",
        "https://www.nasdaqtrader.com/rss.aspx?feed=tradehalts",
        "told to log_level: It logs from DEBUG on.",
        "the token of ann was revoked",
        "source simulator:1: table, bars and boards begin anew",
    ],
)
def test_a_sentence_without_secrets_stays_as_it_is(text: str) -> None:
    assert _redaction.text(text) == text


def test_names_tell_what_is_secret_at_any_depth() -> None:
    line: dict[str, Any] = {
        "event": "called",
        "api_key": "a",
        "sessionKey": "b",
        "Authorization": "c",
        "request": {"headers": {"X-CSRFToken": "d", "Cookie": "e", "Accept": "text/html"}, "tries": 3},
        "accounts": [{"password": "f"}, {"broker_password": ("g", "h")}],
        "tokens_left": 5,
        "batch": "0" * 32,
        "when": None,
    }
    redacted = _redaction(None, "info", line)
    assert redacted["request"]["headers"] == {"X-CSRFToken": HIDDEN, "Cookie": HIDDEN, "Accept": "text/html"}
    assert redacted["accounts"] == [{"password": HIDDEN}, {"broker_password": HIDDEN}]
    assert {redacted[name] for name in ("api_key", "sessionKey", "Authorization")} == {HIDDEN}
    assert (redacted["tokens_left"], redacted["batch"], redacted["when"], redacted["event"]) == (
        5,
        "0" * 32,
        None,
        "called",
    )


def test_what_is_no_text_is_redacted_as_text() -> None:
    class Target:
        def __repr__(self) -> str:
            return "Target('tgram://123456789:AAEabcdefghijklmnop/12345')"

    assert _redaction(None, "info", {"target": Target()}) == {"target": f"Target('tgram://{HIDDEN}')"}
    deep: Any = {"password": "hunter22"}
    for _ in range(10):
        deep = [deep]
    assert "hunter22" not in str(_redaction(None, "info", {"deep": deep}))


def test_the_settings_secrets_are_known_by_value() -> None:
    found = secrets_in(
        {
            "MASSIVE_API_KEY": "simulator",
            "SECRET_KEY": "k" * 50,
            "SECRET_KEY_FALLBACKS": ["f" * 50],
            "CELERY_BROKER_URL": "amqp://guest:guest@queue//",
            "DATABASE_URL": "postgres://ann:correct%20horse@db/tapewatch",
            "EMAIL_URL": "",
        }
    )
    # Words and shorter ones would be taken out of every sentence.
    assert found == {"k" * 50, "f" * 50, "correct%20horse", "correct horse"}
    assert Redaction(found).text("password authentication failed: correct horse") == (
        f"password authentication failed: {HIDDEN}"
    )


@given(st.text(), st.text(min_size=8, alphabet=st.characters(min_codepoint=33, max_codepoint=126)), st.text())
def test_a_known_value_stands_nowhere(before: str, secret: str, after: str) -> None:
    assert secret not in Redaction({secret}).text(f"{before}{secret}{after}").replace(HIDDEN, "")
