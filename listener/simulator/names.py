"""Made-up tickers and company names; any likeness to a listed company is chance."""

from typing import Final

import numpy as np

_FIRST: Final = "ZQXJVYKW"
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEADS: Final = (
    "Zor", "Quel", "Xan", "Vex", "Jor", "Kyr", "Wyn", "Yar", "Zeph", "Quin", "Xyl", "Vant", "Jal", "Kest", "Wol", "Yev",
    "Zin", "Qua", "Xer", "Vor", "Jun", "Kor", "Wex", "Yol", "Zad", "Quor", "Xim", "Val", "Jex", "Kaz", "Wim", "Yss",
)  # fmt: skip
_TAILS: Final = (
    "vane", "dara", "tium", "loria", "mex", "nost", "bria", "thos", "quil", "rova", "sent", "zia", "lume", "gard",
    "phor", "tessa", "vix", "dane", "mura", "lith", "corva", "nexa", "ply", "stead", "ora", "wick", "bel",
    "tane", "ryn", "gax",
)  # fmt: skip

# (second word of the name, SIC description), by sector
SECTORS: Final = (
    ("Therapeutics", "PHARMACEUTICAL PREPARATIONS"),
    ("Biosciences", "BIOLOGICAL PRODUCTS"),
    ("Semiconductor", "SEMICONDUCTORS & RELATED DEVICES"),
    ("Software", "SERVICES-PREPACKAGED SOFTWARE"),
    ("Energy", "CRUDE PETROLEUM & NATURAL GAS"),
    ("Mining", "GOLD AND SILVER ORES"),
    ("Bancorp", "STATE COMMERCIAL BANKS"),
    ("Logistics", "TRUCKING (NO LOCAL)"),
    ("Foods", "FOOD AND KINDRED PRODUCTS"),
    ("Mobility", "MOTOR VEHICLES & PASSENGER CAR BODIES"),
    ("Robotics", "GENERAL INDUSTRIAL MACHINERY"),
    ("Realty", "REAL ESTATE INVESTMENT TRUSTS"),
    ("Networks", "TELEPHONE COMMUNICATIONS"),
    ("Aerospace", "AIRCRAFT & PARTS"),
    ("Retail", "RETAIL-VARIETY STORES"),
    ("Water", "WATER SUPPLY"),
)
_FORMS: Final = ("Inc.", "Corp.", "Holdings, Inc.", "Ltd.", "Group, Inc.", "plc")
_FUNDS: Final = ("Total Market", "Growth", "Value", "Dividend", "Small Cap", "Innovation", "Treasury", "Momentum")


def make_tickers(rng: np.random.Generator, count: int) -> list[str]:
    """`count` different tickers of two to four letters, a few with a class suffix, in random order.

    Args:
        rng: The stream that decides.
        count: At most 50,000.
    """
    tickers: dict[str, None] = {}
    while len(tickers) < count:
        lengths = rng.choice((2, 3, 4), size=count, p=(0.01, 0.12, 0.87))
        letters = rng.integers(0, 26, size=(count, 4))
        suffixes = rng.random(count)
        for length, row, suffix in zip(lengths.tolist(), letters.tolist(), suffixes.tolist(), strict=True):
            root = _FIRST[row[0] % len(_FIRST)] + "".join(_LETTERS[letter] for letter in row[1:length])
            tickers[f"{root}.B" if suffix < 0.004 else root] = None
            if len(tickers) == count:
                break
    return list(tickers)


def make_name(draw: list[int], sector: int, is_fund: bool) -> str:
    """A company's or fund's name.

    Args:
        draw: Five random numbers from 0 up.
        sector: Index into `SECTORS`.
        is_fund: Whether an exchange-traded fund is to be named.
    """
    root = _HEADS[draw[0] % len(_HEADS)] + _TAILS[draw[1] % len(_TAILS)]
    if is_fund:
        return f"{root} {_FUNDS[draw[2] % len(_FUNDS)]} ETF"
    if draw[3] % 3 == 0:
        root += _TAILS[draw[4] % len(_TAILS)]
    return f"{root} {SECTORS[sector][0]} {_FORMS[draw[2] % len(_FORMS)]}"
