"""The moment for which rows are computed: the market's clock, its trading day and session, and what is known whole."""

from dataclasses import dataclass

from processors.sessions import TradingDay


@dataclass(frozen=True, slots=True)
class Moment:
    """What a row depends on beside its own parts.

    Attributes:
        clock: The market's clock, epoch milliseconds: the newest event time of the source.
        day: The trading day of the clock; None between days, when rows of the newest day stand.
        session: `pre`, `regular`, `post` or `closed`.
        whole_day: Whether the day was seen from its start without a gap, by every symbol.
        seeded: Where it was not, the symbols whose day has been filled up since.
        reference_day: The trading day (yyyymmdd) whose previous day the reference data give; None: any.
    """

    clock: int
    day: TradingDay | None
    session: str
    whole_day: bool
    seeded: frozenset[str] = frozenset()
    reference_day: int | None = None
