"""docs/wds.md: its examples are what the server does, its tables what the code says."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from django.conf import settings

from processors.fields.row import Row
from processors.scanning.board_messages import BOARD_LIFE_MS, Boards
from processors.store import BOARDS
from project.settings import BASE_DIR
from tests.widgets.described import check_heard
from tests.widgets.serving import Talk, Web, new_token
from widgets.protocol.asyncapi import CLOSE_CODES
from widgets.protocol.examples import EXAMPLES
from widgets.protocol.feeds import FEEDS
from widgets.visitors import access, limits

_PAGE: Final = (Path(BASE_DIR) / "docs" / "wds.md").read_text(encoding="utf-8")
_TALKS: Final = re.findall(r"```wds\n(.*?)```", _PAGE, re.DOTALL)


class _Engine:
    """Publishes a board as the engine does."""

    def __init__(self, cache: "redis.Redis") -> None:
        self._cache = cache
        self._boards = Boards({}, {})
        self._prices = {"ZZAB": 9.0, "ZZAC": 8.0, **{f"ZZZ{number}": 1.0 for number in range(8)}}
        self.happens: dict[str, Callable[[], None]] = {
            "the price of ZZAB changes": lambda: self.show(ZZAB=9.5),
            "ZZAC overtakes ZZAB": lambda: self.show(ZZAC=10.0),
        }

    def show(self, **prices: float) -> None:
        """Let prices change."""
        self._prices |= prices
        best = sorted(self._prices, key=lambda symbol: -self._prices[symbol])
        rows = [EXAMPLES[Row] | {"symbol": symbol, "price": self._prices[symbol]} for symbol in best]
        for row in rows:
            del row["clock"]
        slug = "top_gainers"
        messages = self._boards.show(slug, [(row["symbol"], _json(row)) for row in rows], 0.0, with_delta=True)
        with self._cache.pipeline(transaction=True) as pipe:
            pipe.hset(BOARDS, slug, self._boards.version(slug))
            for message in messages:
                if message.life_ms:
                    pipe.set(message.key, message.payload, px=BOARD_LIFE_MS)
                pipe.publish(message.key, message.payload)
            pipe.execute()


def _json(row: Any) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode()


def _is_like(text: str, shown: str) -> bool:
    """Whether a message is as it is shown, where `…` stands for anything."""
    return re.fullmatch(".*".join(re.escape(part) for part in shown.split("…")), text, re.DOTALL) is not None


@pytest.mark.parametrize("lines", _TALKS, ids=range(len(_TALKS)))
def test_an_example_is_what_happens(web: Web, cache: "redis.Redis", lines: str) -> None:
    engine, token = _Engine(cache), new_token("visitor")
    engine.show()
    with Talk.to(web) as talk:
        for line in lines.splitlines():
            sign, _, text = line.partition(" ")
            if sign == "→":
                talk.socket.send(text.replace("TOKEN", token))
            elif sign == "←":
                heard = talk.socket.recv(timeout=5)
                assert isinstance(heard, str)
                assert _is_like(heard, text), f"{text}\n{heard}"
                check_heard(json.loads(heard), "scanners:top_gainers")
            else:
                # Requests are answered in order: what was subscribed to stands when this one is.
                assert talk.ask(action="ping")["status"] == "pong"
                engine.happens[text]()


def test_the_page_shows_how_to_apply_a_delta(web: Web, cache: "redis.Redis") -> None:
    (code,) = re.findall(r"```python\n(def apply.*?)```", _PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the page is ours
    engine = _Engine(cache)
    engine.show()
    with Talk.authorised(web, new_token("visitor")) as talk:
        talk.subscribe("scanners:top_gainers", envelope=True, delta=True)
        first = talk.heard_before_invalid or [talk.hear()]
        rows, seq = {row["symbol"]: row for row in first[0]["data"]}, first[0]["seq"]
        for price in (7.0, 20.0, 20.5):
            engine.show(ZZZ3=price)
            message = talk.hear()
            assert (message["type"], message["data"]["base"]) == ("delta", seq)
            rows, seq = names["apply"](rows, message["data"]), message["seq"]
            assert list(rows.values()) == talk.ask(action="get", cache="scanners:top_gainers")["data"]


def test_the_page_lists_every_feed() -> None:
    for feed in FEEDS:
        names = ", ".join(f"`{name}`".replace("|", r"\|") for name in feed.address.split(", "))
        assert f"| {names} | {feed.meaning} |\n" in _PAGE


def test_the_page_lists_every_close_code_and_limit() -> None:
    for code, (why, what_to_do) in CLOSE_CODES.items():
        assert f"| {code} | {why} | {what_to_do} |\n" in _PAGE
    numbers = re.findall(r"\| ([\d,]+) \| `(WDS_\w+)` \|", _PAGE)
    assert {name: int(number.replace(",", "")) for number, name in numbers} == {
        name: getattr(settings, name) for name in dir(settings) if name.startswith("WDS_") and name not in _NO_LIMITS
    }
    text = " ".join(_PAGE.split())
    for reason in (
        *(limits.NOT_IN_TIME, limits.REQUESTS, limits.SUBSCRIPTIONS, limits.SOCKETS_OF_USER, limits.SOCKETS_OF_ADDRESS),
        *(access.LOGIN_ENDED, access.REVOKED, access.EXPIRED, access.SWITCHED_OFF),
    ):
        assert f"`{reason}`" in text


# The address that is given to pages, and what follows from another setting.
_NO_LIMITS: Final = {"WDS_URL", "WDS_REQUESTS_BURST"}
