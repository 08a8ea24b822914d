"""Bars as messages: `bars:{1s|1m|5m}:{SYM}`, one a bar that is new or has changed, for whoever listens."""

from collections import defaultdict
from typing import Final

import msgspec

from processors import bars
from processors.changes import Changes
from processors.scanning.board_messages import Message
from processors.store import Store

_MINUTE_MS: Final = 60_000
# How many minutes the longest bar of a resolution has.
_MINUTES: Final = {"1s": 1, "1m": 1, "5m": 5}
_encode = msgspec.json.Encoder().encode


class BarMessages:
    """What was said on each channel, so that nothing is said twice."""

    def __init__(self) -> None:
        # By channel, each bar's payload by its start.
        self._said: dict[str, dict[int, bytes]] = {}

    def of(self, store: Store, changes: Changes) -> list[Message]:
        """Every bar that somebody listens to and that changed, or may have where the channel is new.

        Args:
            store: The cache; its interest is up to date.
            changes: What changed since the last call.

        Raises:
            redis.RedisError: The cache cannot be read.
        """
        wanted = store.interest.wanted
        since: defaultdict[bytes, dict[str, int]] = defaultdict(dict)
        if store.interest.any_of("bars:"):
            for symbol, _, number in changes.chunks:
                for resolution in bars.RESOLUTIONS:
                    if wanted(f"bars:{resolution}:{symbol.decode()}"):
                        since[symbol][resolution] = min(number, since[symbol].get(resolution, number))
        self._said = {channel: said for channel, said in self._said.items() if wanted(channel)}
        days = bars.read_days(store, list(since))
        return [
            message
            for symbol, resolutions in since.items()
            for resolution, first in resolutions.items()
            for message in self._changed(symbol.decode(), resolution, first, days.get(symbol, {}))
        ]

    def _changed(self, symbol: str, resolution: str, first: int, by_kind: dict[str, bars.Bars]) -> list[Message]:
        """Bars from the minute `first` on that are not as they were said to be."""
        channel = f"bars:{resolution}:{symbol}"
        said = self._said.setdefault(channel, {})
        begin = first // _MINUTES[resolution] * _MINUTES[resolution] * _MINUTE_MS
        shown = bars.of_resolution(by_kind, resolution)
        messages = []
        for bar in bars.named(shown[shown["start"] >= begin]):
            payload = _encode(bar)
            if said.get(bar["start_timestamp"]) != payload:
                said[bar["start_timestamp"]] = payload
                messages.append(Message(channel, 0, payload))
        return messages
