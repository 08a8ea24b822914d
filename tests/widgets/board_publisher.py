"""A board that changes as the engine changes one, without an engine."""

from typing import Any

import msgspec
import redis

from processors.scanning.board_messages import Boards, Message, board_key
from processors.store import BOARDS


class BoardPublisher:
    """Shows rows on a board, in the cache and on its two channels."""

    def __init__(self, cache: "redis.Redis", slug: str) -> None:
        self._cache, self._slug = cache, slug
        self._boards = Boards({}, {})
        self._now = 0.0

    def show(self, **prices: float | None) -> list[dict[str, Any]]:
        """Show these symbols in this order; returns the board as the key holds it."""
        rest = {"name": "A name that stays", "primary_exchange": "XNYS", "accumulated_volume": 1_000_000}
        rows = [
            (symbol, msgspec.json.encode({"symbol": symbol, "price": price, **rest}))
            for symbol, price in prices.items()
        ]
        self._publish(self._boards.show(self._slug, rows, self._now, with_delta=True))
        kept: list[dict[str, Any]] = msgspec.json.decode(self._cache.get(board_key(self._slug)) or b"null")
        return kept

    def say_again(self) -> None:
        """Say that it stands."""
        self._now += 5.0
        self._publish(self._boards.again({self._slug}, {self._slug}, self._now))

    def _publish(self, messages: list[Message]) -> None:
        with self._cache.pipeline(transaction=True) as pipe:
            for message in messages:
                if message.life_ms:
                    pipe.set(message.key, message.payload)
                    pipe.hset(BOARDS, self._slug, str(self._boards.version(self._slug)))
                pipe.publish(message.key, message.payload)
            pipe.execute()
