"""One board as its delta subscribers need it: the whole of it, and what changed since any of its last versions.

The engine says a change once; each client may have seen another version last, because it reads slowly or asked for a
slower rate. What two clients are equally far behind is put together once and sent to both.
"""

from collections import deque
from itertools import count
from typing import Final

import msgspec

# Who is further behind gets the whole board, which is hardly longer by then.
_HISTORY: Final = 64
_HISTORY_BYTES: Final = 4_000_000
_NOT_KNOWN: Final = -1

# Fields of a row, each as the JSON that the engine wrote: nothing is read or written again that has not changed.
Fields = dict[str, msgspec.Raw]


class _Said(msgspec.Struct, frozen=True):
    """A message of the delta channel: a change of version `base`, or that the board stands at `version`."""

    base: int = _NOT_KNOWN
    version: int = _NOT_KNOWN
    upsert: list[Fields] = []
    remove: list[str] = []
    order: list[str] | None = None


class _Past(msgspec.Struct, frozen=True):
    """A version that was: its symbols in their order, and the message that changed it."""

    order: list[str]
    message: bytes


_encode = msgspec.json.Encoder().encode
_decode_said = msgspec.json.Decoder(_Said).decode
_decode_rows = msgspec.json.Decoder(list[Fields]).decode
_decode_symbol = msgspec.json.Decoder(str).decode

# Versions are this process's own and never come again: the engine's begin anew with each source, and a client that has
# read nothing meanwhile must not take one for the other.
_versions = count()


class LiveBoard:
    """A board that follows the engine's deltas.

    A reader applies a delta in this order: rows in `remove` go, fields in `upsert` are put into their rows (a symbol
    that is not there, or went just now, is a new row, last), and `order`, if there is one, is the order of all rows. A
    row's rank is its place.

    Attributes:
        version: Names what it shows; another at each change, unique in the process. -1: it is not known yet.
    """

    def __init__(self) -> None:
        self.version = _NOT_KNOWN
        # What the engine calls it.
        self._published = _NOT_KNOWN
        self._rows: dict[str, Fields] = {}
        self._order: list[str] = []
        self._row_bytes = 0.0
        self._snapshot: bytes | None = None
        self._history: dict[int, _Past] = {}
        self._history_bytes = 0
        self._since: dict[int, bytes] = {}
        # What was said since the board was last in step with the engine; None while it is.
        self._missed: deque[bytes] | None = deque(maxlen=_HISTORY)

    def reset(self, version: int, payload: bytes) -> None:
        """Begin with what the cache holds, and follow what was said while it was read.

        Args:
            version: The engine's, of the hash `tw:boards`; 0 where it names none.
            payload: The key `scanners:{slug}`, read in the same transaction; b"" where there is none.
        """
        payload = payload or b"[]"
        if version != self._published or payload != self.snapshot():
            self.version, self._published = next(_versions), version
            self._rows = {}
            for row in _decode_rows(payload):
                row.pop("rank", None)
                self._rows[_decode_symbol(row["symbol"])] = row
            self._order = list(self._rows)
            self._history, self._history_bytes, self._since = {}, 0, {}
            self._remember(payload)
        missed, self._missed = self._missed or (), None
        for message in missed:
            said = _decode_said(message)
            if said.base == self._published:
                self._follow(said, message)

    def take(self, message: bytes) -> bool:
        """Follow a message of the channel `tw:delta:scanners:{slug}`.

        Returns:
            False from the first message on that is of another version than the one known, until `reset`: the cache has
            to be read.
        """
        if self._missed is not None:
            self._missed.append(message)
            return False
        said = _decode_said(message)
        if self._published not in {said.base, said.version}:
            self._missed = deque((message,), maxlen=_HISTORY)
            return False
        if said.base == self._published:
            self._follow(said, message)
        return True

    def _follow(self, said: _Said, message: bytes) -> None:
        """To the next version, or nowhere: a KeyError leaves it as it is."""
        rows = self._rows.copy()
        for symbol in said.remove:
            rows.pop(symbol, None)
        for row in said.upsert:
            # A copy each: what is left of a message would else keep all of it.
            fields = {name: value.copy() for name, value in row.items()}
            symbol = _decode_symbol(fields["symbol"])
            rows[symbol] = rows.get(symbol, {}) | fields
        self._rows = rows if said.order is None else {symbol: rows[symbol] for symbol in said.order}
        self._history[self.version] = _Past(self._order, message)
        self._history_bytes += len(message)
        while len(self._history) > _HISTORY or self._history_bytes > _HISTORY_BYTES:
            self._history_bytes -= len(self._history.pop(next(iter(self._history))).message)
        # The engine writes the base first: what follows it is the change from the last version to this one.
        self._since = {self.version: message.partition(b",")[2]}
        order = list(self._rows)
        # Most versions have the order of the one before; the history shares it.
        self._order = order if order != self._order else self._order
        self.version, self._published = next(_versions), self._published + 1
        self._snapshot = None

    def snapshot(self) -> bytes:
        """All rows with their ranks, best first, as a JSON array."""
        if self._snapshot is None:
            ranked = [row | {"rank": rank} for rank, row in enumerate(self._rows.values(), 1)]
            self._remember(_encode(ranked))
        assert self._snapshot is not None  # noqa: S101 - just set
        return self._snapshot

    def _remember(self, snapshot: bytes) -> None:
        self._snapshot, self._row_bytes = snapshot, len(snapshot) / max(len(self._rows), 1)

    def since(self, version: int) -> bytes | None:
        """What changed since a version: `"upsert":[rows],"remove":[symbols],"order":[symbols]?}`, as bytes of JSON.

        Returns:
            It, without the opening of its object; None when that version is too long ago, or the whole board (by the
            size it had when it was last written) is no longer than it.
        """
        if version == self.version:
            return b'"upsert":[],"remove":[]}'
        changes = self._since.get(version)
        if changes is None:
            if version not in self._history:
                return None
            changes = self._since[version] = self._merged(version)
        return changes if len(changes) < self._row_bytes * len(self._rows) else None

    def _merged(self, version: int) -> bytes:
        before = self._history[version].order
        upserted: dict[str, Fields] = {}
        removed = set[str]()
        for past in (past for at, past in self._history.items() if at >= version):
            said = _decode_said(past.message)
            for symbol in said.remove:
                upserted.pop(symbol, None)
                removed.add(symbol)
            for row in said.upsert:
                symbol = _decode_symbol(row["symbol"])
                upserted[symbol] = upserted.get(symbol, {}) | row
        parts = [
            b'"upsert":%s' % _encode(list(upserted.values())),
            # One that went and came again is among both: what it showed before is not to be mixed with what it shows.
            b'"remove":%s' % _encode([symbol for symbol in before if symbol in removed]),
        ]
        if self._order != [symbol for symbol in before if symbol not in removed]:
            parts.append(b'"order":%s' % _encode(self._order))
        return b",".join(parts) + b"}"
