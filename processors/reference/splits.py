"""Stock splits: what turns a figure of an earlier day into today's shares and dollars.

Source: Massive's `/stocks/v1/splits`. A split of `split_from` old shares into `split_to` new ones holds from the start
of its execution date: prices of the days before are divided by `split_to / split_from`, shares multiplied.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Final

import msgspec

_Shares = Annotated[float, msgspec.Meta(gt=0)]


class Split(msgspec.Struct, frozen=True):
    """One split, in Massive's names."""

    ticker: str
    execution_date: date
    split_from: _Shares
    split_to: _Shares


class Splits:
    """The splits up to a day.

    Args:
        splits: In any order; those after `today` and repeats change nothing.
        today: The trading day in whose shares figures are wanted.
    """

    def __init__(self, splits: Iterable[Split], today: date) -> None:
        self._ratios: dict[str, list[tuple[date, float]]] = defaultdict(list)
        for split in set(splits):
            if split.execution_date <= today:
                self._ratios[split.ticker].append((split.execution_date, split.split_to / split.split_from))

    def after(self, since: date) -> list[tuple[str, date, float]]:
        """Symbol, execution date and new shares for each old one of the splits after a day, up to today."""
        return [
            (symbol, executed, each)
            for symbol, splits in self._ratios.items()
            for executed, each in splits
            if executed > since
        ]

    def ratio(self, symbol: str, since: date) -> float:
        """New shares for each share of the day `since`: the product over execution dates in (since, today]."""
        ratio = 1.0
        for executed, each in self._ratios.get(symbol, ()):
            if executed > since:
                ratio *= each
        return ratio


NO_SPLITS: Final = Splits((), date.min)
