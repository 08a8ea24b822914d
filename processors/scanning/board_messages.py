"""What goes out of a tick's boards: each row as JSON once, boards made of rows, and deltas between two of a board.

A delta is `{"base":n,"upsert":[rows with only the changed fields],"remove":[symbols],"order":[symbols]?}`: applied to
version n of the board it gives version n + 1. First rows in `remove` go. A row that is new comes whole; `order` comes
where it is another one, and a row's rank is its place in it. `{"version":n}`, the heartbeat, says that a board still
stands at n.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from processors.fields.row import NOT_ON_BOARDS
from processors.scanning.boards import Indices

BOARD_LIFE_MS: Final = 3 * 86_400_000
# A board is sent again though nothing changed, for readers that would take its silence for the engine's.
_AGAIN_S: Final = 5.0
TOP_10_LISTS: Final = "top_10_lists"
_MAIN_BOARDS: Final[tuple[str, ...]] = ("top_volume", "top_gainers", "top_gappers", "top_losers")
_SMALL_CAPS: Final = "small_cap_"
_OUTER: Final = 10

_encode = msgspec.json.Encoder().encode
_decode_row = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Shown(msgspec.Struct):
    symbol: str


_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_shown = msgspec.json.Decoder(_Shown).decode


def board_key(slug: str) -> str:
    """The channel and key of a board."""
    return f"scanners:{slug}"


def delta_channel(slug: str) -> str:
    """The channel of a board's deltas."""
    return f"tw:delta:scanners:{slug}"


class EncodedRows:
    """Rows of one tick as JSON objects, each encoded once however many boards show it."""

    def __init__(self, rows: pl.DataFrame, wanted: Iterable[Indices]) -> None:
        chosen = np.unique(np.concatenate([np.empty(0, np.intp), *wanted]))
        part = rows.select(pl.exclude(NOT_ON_BOARDS))[chosen]
        with BytesIO() as lines:
            part.write_ndjson(lines)
            encoded = lines.getvalue().split(b"\n")[:-1]
        self._rows = dict(zip(chosen.tolist(), zip(part["symbol"].to_list(), encoded, strict=True), strict=True))

    def of(self, order: Indices) -> "list[tuple[str, bytes]]":
        """Symbols and rows, in this order."""
        return [self._rows[index] for index in order.tolist()]


@dataclass(slots=True)
class Board:
    """A board as it was last published.

    Attributes:
        version: Counts what it has shown.
        rows: Symbols and rows as JSON, best first.
        payload: All of it, as published; b"" when it is not known.
        sent_at: When, on the engine's clock.
    """

    version: int = 0
    rows: list[tuple[str, bytes]] = field(default_factory=list)
    payload: bytes = b""
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """What is published, and set for `life_ms` milliseconds (0: not set)."""

    key: str
    life_ms: int
    payload: bytes


class Boards:
    """The boards as they stand, and what has to be said when they change."""

    def __init__(self, versions: Mapping[str, int], payloads: Mapping[str, bytes], first: int = 0) -> None:
        """Boards as an earlier engine left them.

        Args:
            versions: By slug.
            payloads: By slug.
            first: The version of boards that are not among them, before they have shown anything: one that they never
                had for an earlier source, so that no reader mistakes the one for the other.
        """
        self._first = first
        self._boards = {
            slug: Board(version, _unranked(payload := payloads.get(slug, b"")), payload)
            for slug, version in versions.items()
        }
        self._top_10 = Board()
        self._diffs: dict[tuple[bytes, bytes], bytes] = {}
        self._followed: frozenset[str] = frozenset()

    @property
    def slugs(self) -> set[str]:
        """The boards that show something, or did."""
        return set(self._boards)

    def version(self, slug: str) -> int:
        """The version that a board stands at."""
        return self._boards[slug].version

    def show(self, slug: str, rows: list[tuple[str, bytes]], now: float, with_delta: bool) -> list[Message]:
        """Let a board show these rows.

        Args:
            rows: Symbols and rows as JSON, best first.
            now: The engine's clock, seconds.
            with_delta: Whether somebody wants deltas.

        Returns:
            What is to be published: nothing, if the board stays as it is.
        """
        before = self._boards.get(slug) or Board(self._first)
        if before.payload and before.rows == rows:
            return []
        after = Board(before.version + 1, rows, _ranked(rows), now)
        self._boards[slug] = after
        messages = [Message(board_key(slug), BOARD_LIFE_MS, after.payload)]
        if with_delta:
            messages.append(Message(delta_channel(slug), 0, self._delta(before, after)))
        return messages

    def again(self, kept: Collection[str], followed: Iterable[str], now: float) -> list[Message]:
        """What has not been said for so long that it is said again, of the boards that are kept; others end in time.

        Args:
            followed: Boards whose deltas somebody wants. Who is new among them hears at once where the board stands:
                what changed before it was known that somebody listens was said in no delta.
        """
        messages = []
        before, self._followed = self._followed, frozenset(followed)
        for slug, board in self._boards.items():
            if slug not in kept:
                continue
            due = bool(board.payload) and now - board.sent_at >= _AGAIN_S
            if due:
                board.sent_at = now
                messages.append(Message(board_key(slug), BOARD_LIFE_MS, board.payload))
            if slug in self._followed and (due or slug not in before):
                messages.append(Message(delta_channel(slug), 0, b'{"version":%d}' % board.version))
        return messages

    def top_10_lists(self, now: float) -> list[Message]:
        """The first ten of each main board in one message, when one of them changed."""
        self._diffs.clear()
        main = [slug for slug in _MAIN_BOARDS if slug in self._boards]
        main += sorted(slug for slug in self._boards if slug.startswith(_SMALL_CAPS))
        if not main:
            return []
        lists = [b'"%s":%s' % (slug.encode(), _ranked(self._boards[slug].rows[:_OUTER])) for slug in main]
        payload = b"{" + b",".join(lists) + b"}"
        if payload == self._top_10.payload and now - self._top_10.sent_at < _AGAIN_S:
            return []
        self._top_10 = Board(payload=payload, sent_at=now)
        return [Message(TOP_10_LISTS, BOARD_LIFE_MS, payload)]

    def _delta(self, before: Board, after: Board) -> bytes:
        old = dict(before.rows)
        shown = [symbol for symbol, _ in after.rows]
        changed = [self._difference(old.get(symbol, b""), row) for symbol, row in after.rows]
        # A row that comes whole replaces the one before, which may have had fields that are no more.
        whole = {symbol for (symbol, row), said in zip(after.rows, changed, strict=True) if said is row}
        removed = set(old).difference(shown) | whole
        parts = [
            b'{"base":%d' % before.version,
            b'"upsert":[%s]' % b",".join(row for row in changed if row),
            b'"remove":%s' % _encode([symbol for symbol in old if symbol in removed]),
        ]
        if shown != [symbol for symbol in old if symbol not in removed]:
            parts.append(b'"order":%s' % _encode(shown))
        return b",".join(parts) + b"}"

    def _difference(self, old: bytes, new: bytes) -> bytes:
        """The fields of a row that changed, with its symbol, or `new` itself; b"" when none did.

        Boards often share both rows.
        """
        if old == new:
            return b""
        if not old:
            return new
        found = self._diffs.get((old, new))
        if found is None:
            was, now = _decode_row(old), _decode_row(new)
            # An engine of another release may have known other fields.
            if was.keys() - now.keys():
                return new
            changed: dict[str, Any] = {"symbol": now["symbol"]}
            changed |= {name: value for name, value in now.items() if bytes(was.get(name, b"")) != bytes(value)}
            found = self._diffs[old, new] = _encode(changed)
        return found


def _ranked(rows: Sequence[tuple[str, bytes]]) -> bytes:
    """Rows with their ranks as one JSON array."""
    return b"[" + b",".join([b'%s,"rank":%d}' % (row[:-1], rank) for rank, (_, row) in enumerate(rows, 1)]) + b"]"


def _unranked(payload: bytes) -> list[tuple[str, bytes]]:
    """Symbols and rows of an array that `_ranked` made."""
    rows = [bytes(row) for row in _decode_rows(payload or b"[]")]
    return [(_decode_shown(row).symbol, row[: row.rindex(b',"rank":')] + b"}") for row in rows]
