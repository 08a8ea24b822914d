"""What changed in the cache since a reader last looked: entries of the bounded stream `tw:changed`, put together.

Every writer of a row's parts adds one entry for what it touched, in the same atomic step. A reader that remembers the
version it has read up to reads by what changed, whatever the number of symbols.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from processors.parts import PARTS, TRADES

# A chunk of a symbol's bars: symbol, kind (`parts.BAR_KINDS`), the minute of the epoch in which the bars start.
Chunk = tuple[bytes, str, int]

# Fields of an entry beside the table keys of rows' parts; each holds names with spaces between them.
CHUNKS: Final = b"chunks"
REFERENCE: Final = b"reference"
NEWS: Final = b"news"
SEEDED: Final = b"seeded"


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed between two versions.

    Attributes:
        version: Up to which this is; the next reading begins here.
        everything: The stream no longer reaches back to where the reader was: all has to be read, and the sets below
            name every symbol that there is, `chunks` excepted.
        rows: Symbols of which a kept part changed (`parts.PARTS`).
        parts: The same by the part's table key: a batch of quotes need not make anybody read trades.
        trades: Symbols of which the trades by time changed (`parts.activity`).
        chunks: Bars that were put in or corrected.
        reference: Symbols with new reference data.
        news: Symbols with a new article.
        seeded: Symbols whose day has been filled up from REST.
    """

    version: int
    everything: bool = False
    rows: frozenset[bytes] = frozenset()
    parts: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
    trades: frozenset[bytes] = frozenset()
    chunks: frozenset[Chunk] = frozenset()
    reference: frozenset[bytes] = frozenset()
    news: frozenset[bytes] = frozenset()
    seeded: frozenset[bytes] = frozenset()


def put_together(version: int, entries: Iterable[Mapping[bytes, bytes]]) -> Changes:
    """Entries of the stream as one set of changes.

    Args:
        version: Of the last entry.
        entries: Their fields.
    """
    names: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for entry in entries:
        for kind, text in entry.items():
            names[kind].update(text.split())
    changed = {key: frozenset(found) for key in PARTS if (found := names.get(key.encode()))}
    return Changes(
        version,
        rows=frozenset().union(*changed.values()),
        parts=changed,
        trades=changed.get(TRADES, frozenset()),
        chunks=frozenset(_chunk(text) for text in names[CHUNKS]),
        reference=frozenset(names[REFERENCE]),
        news=frozenset(names[NEWS]),
        seeded=frozenset(names[SEEDED]),
    )


def _chunk(text: bytes) -> Chunk:
    symbol, kind, number = text.rsplit(b"|", 2)
    return symbol, kind.decode(), int(number)
