"""Prints as columns, their sale conditions, and which of them count for bars."""

from dataclasses import dataclass
from itertools import compress, product
from typing import Final, Self

import numpy as np

from listener.simulator.universe import Bools, Ints, Universe
from listener.simulator.wire import TradeEvent
from processors.merging.conditions import update_rule

# Sale conditions that combine freely, and the bit of a print's code that stands for each.
INTERMARKET_SWEEP, ODD_LOT, FORM_T, AVERAGE_PRICE, OUT_OF_SEQUENCE = 14, 37, 12, 2, 32
BIT_SWEEP, BIT_ODD, BIT_FORM_T, BIT_AVERAGE, BIT_OUT_OF_SEQUENCE = 1, 2, 4, 8, 16
_FREE: Final = (INTERMARKET_SWEEP, ODD_LOT, FORM_T, AVERAGE_PRICE, OUT_OF_SEQUENCE)
# Prints of the listing exchange's auctions have a code of their own after the 32 combinations.
OPENING, OFFICIAL_OPEN, REOPENING, CLOSING, OFFICIAL_CLOSE = range(32, 37)
CONDITIONS: Final[tuple[tuple[int, ...], ...]] = (
    *(tuple(sorted(compress(_FREE, reversed(bits)))) for bits in product((0, 1), repeat=len(_FREE))),
    (17,),
    (16,),
    (18,),
    (19,),
    (15,),
)
_RULES: Final = [update_rule(condition for condition in conditions if condition != FORM_T) for conditions in CONDITIONS]
# By code: whether a print counts for a bar's volume, for its high and low, for its open and close. Form T does not
# count against a print here: it only ever stands on prints outside regular hours, of which Massive makes bars all the
# same.
COUNTS_VOLUME: Final[Bools] = np.array([rule.updates_volume for rule in _RULES])
COUNTS_OPEN_CLOSE: Final[Bools] = np.array([rule.updates_open_close for rule in _RULES])
COUNTS_HIGH_LOW: Final[Bools] = np.array([rule.updates_high_low or rule.updates_open_close for rule in _RULES])

TRF: Final = 4
TRF_ID: Final = 202
# (Massive's exchange id, share of prints)
VENUES: Final = (
    (TRF, 0.38),
    (12, 0.16),
    (10, 0.09),
    (11, 0.1),
    (19, 0.09),
    (8, 0.07),
    (21, 0.05),
    (15, 0.04),
    (7, 0.02),
)
VENUE_IDS: Final[Ints] = np.array([venue for venue, _ in VENUES])
VENUE_CUM: Final = np.cumsum([share for _, share in VENUES]) / sum(share for _, share in VENUES)
LIT_IDS: Final[Ints] = VENUE_IDS[1:]


@dataclass(slots=True)
class Prints:
    """Prints in the order in which they are reported; parallel arrays.

    Attributes:
        symbol: Index into the universe.
        at: Event time, epoch ms.
        price: Ten-thousandths of a dollar.
        size: Shares.
        code: Index into `CONDITIONS`.
        venue: Massive's exchange id.
        number: Number of the print within the day, its id.
        seq: Sequence number.
    """

    symbol: Ints
    at: Ints
    price: Ints
    size: Ints
    code: Ints
    venue: Ints
    number: Ints
    seq: Ints

    def __len__(self) -> int:
        return len(self.symbol)

    def take(self, which: Ints | Bools) -> Self:
        """The prints that an index array or a mask selects."""
        return type(self)(*(column[which] for column in self.columns()))

    def columns(self) -> tuple[Ints, ...]:
        """The columns in the order of the attributes."""
        return (self.symbol, self.at, self.price, self.size, self.code, self.venue, self.number, self.seq)

    @classmethod
    def join(cls, parts: list["Prints"]) -> "Prints":
        """All prints of `parts`, one after the other; `parts` must not be empty."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))


def trade_events(prints: Prints, universe: Universe) -> list[TradeEvent]:
    """The prints as Massive's `T` events, in the same order."""
    tickers = universe.tickers
    tapes = universe.tape[prints.symbol].tolist()
    rows = zip(*(column.tolist() for column in prints.columns()), tapes, strict=True)
    return [
        TradeEvent(
            tickers[symbol], venue, str(number), tape, price / 10_000, size, f"{size}.0", CONDITIONS[code], at, at - 1,
            seq,
        )
        if venue != TRF
        else TradeEvent(
            tickers[symbol], venue, str(number), tape, price / 10_000, size, f"{size}.0", CONDITIONS[code], at, at - 9,
            seq, TRF_ID, at - 2,
        )
        for symbol, at, price, size, code, venue, number, seq, tape in rows
    ]  # fmt: skip
