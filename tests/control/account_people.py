"""Browsers of people who log in, as tests drive them without a browser."""

import re
import time
from typing import Any

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client

PASSWORD = "a long enough one"


def log_in(client: Client, name: str, password: str = PASSWORD, **extra: Any) -> Any:
    """Give name and password at the login page; the answer."""
    return client.post("/accounts/login/", {"login": name, "password": password}, **extra)


def words(response: Any) -> str:
    """What a page says, without its markup."""
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


def code_of(secret: str, steps: int = 0) -> str:
    """What an authenticator app shows for a secret now, or some half minutes later."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps)))


def set_up_totp(client: Client) -> str:
    """Set up an authenticator app for who has just logged in; its secret."""
    page = client.get("/accounts/2fa/totp/activate/")
    found = re.search(r'<code class="breaks">(\w+)</code>', page.content.decode())
    assert found is not None, words(page)
    answer = client.post("/accounts/2fa/totp/activate/", {"code": code_of(found[1])})
    assert answer.status_code == 302, words(answer)
    return found[1]
