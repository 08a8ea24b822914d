"""Raw channels: published for those who listen and for nobody else; of quotes the newest of a batch, of trades all."""

from collections.abc import Iterator
from time import time_ns
from typing import Any

import msgspec
import pytest

from processors import store as keys
from processors.store import Store
from tests.processors.feeding import at, bar, batch, begin, feed_in, quote, trade

OPEN = at("2024-03-11 09:30:00.000")
_LAST = "test:last"


class Client:
    """Somebody who listens to channels of the cache."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pubsub: Any = store.redis.pubsub()
        begin(store)

    def listen(self, *channels: str) -> None:
        """Subscribe as a hub does: the counter that it raises tells the workers to ask who listens."""
        for channel in (_LAST, *channels):
            self._pubsub.subscribe(channel)
            assert self._next()["type"] == "subscribe"
        # A figure that no earlier test has left in this process's own memory of it.
        self._store.redis.set(keys.INTEREST, time_ns() // 1_000)
        # The merge that brings the counter's news is the last one that does not know.
        feed_in(("trades", batch([trade("OTHER", OPEN, 5.0)])))

    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        """Channel and payload of every message that was published, in order."""
        self._store.redis.publish(_LAST, b"")
        found: list[tuple[str, dict[str, Any]]] = []
        while (message := self._next())["channel"] != _LAST.encode():
            found.append((message["channel"].decode(), msgspec.json.decode(message["data"])))
        return found

    def close(self) -> None:
        self._pubsub.close()

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] | None = self._pubsub.get_message(timeout=5)
        assert message is not None, "nothing came"
        return message


@pytest.fixture
def client(store: Store) -> Iterator[Client]:
    client = Client(store)
    yield client
    client.close()


def _quotes(symbol: str, count: int) -> list[dict[str, Any]]:
    """Quotes with rising bids, the newest in the middle."""
    order = [*range(0, count, 2), *reversed(range(1, count, 2))]
    return [quote(symbol, OPEN + number, 5 + number, 6 + number, q=number) for number in order]


def test_quotes_are_conflated_to_the_newest_of_a_batch(client: Client) -> None:
    client.listen("stocks:quotes:ABC")
    feed_in(("quotes", batch(_quotes("ABC", 1_000))), ("quotes", batch(_quotes("ABC", 10))))
    bids = [(channel, message["bid_price"]) for channel, message in client.heard()]
    assert bids == [("stocks:quotes:ABC", 5 + 999), ("stocks:quotes:ABC", 5 + 9)]


def test_trades_and_bars_are_never_conflated(client: Client) -> None:
    client.listen("stocks:trades:ABC", "stocks:agg:ABC")
    prints = [trade("ABC", OPEN + number, 5.0, 1, q=number) for number in range(1_000)]
    bars = [bar("ABC", OPEN + 1_000 * number, 5, 6, 4, 5) for number in range(50)]
    feed_in(("trades", batch(prints)), ("aggregate", batch(bars)))
    heard = client.heard()
    assert [message["sequence_number"] for _, message in heard[:1_000]] == [*range(1_000)]
    starts = [(channel, message["start_timestamp"]) for channel, message in heard[1_000:]]
    assert starts == [("stocks:agg:ABC", OPEN + 1_000 * number) for number in range(50)]


def test_a_thousand_symbols_that_nobody_listens_to_cost_no_message(client: Client, store: Store) -> None:
    def published() -> int:
        calls: int = store.redis.info("commandstats")["cmdstat_publish"]["calls"]
        return calls

    client.listen("stocks:quotes:ABC")
    client.heard()
    before = published()
    prints = [trade(f"S{number}", OPEN + number, 5.0, 1) for number in range(1_000)]
    quotes = [quote(f"S{number}", OPEN + number, 5, 6) for number in range(1_000)]
    feed_in(("trades", batch(prints)), ("quotes", batch([*quotes, *_quotes("ABC", 3)])))
    assert published() == before + 1
    assert [channel for channel, _ in client.heard()] == ["stocks:quotes:ABC"]
