"""What is listed: seeded symbols with prices, activity, volatility, floats and exchanges."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from listener.simulator.names import make_name, make_tickers

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Prices inside are whole ten-thousandths of a dollar, the finest tick there is.
UNIT: Final = 10_000
# Random streams: each purpose has its own, so that one more draw here changes nothing there.
STREAM_UNIVERSE, STREAM_PLAN, STREAM_HISTORY, STREAM_OPENING, STREAM_STEP, STREAM_NEWS, STREAM_MINUTES = range(1, 8)
STREAM_COMPANIES: Final = 8

MARKET_DAY_VOLATILITY: Final = 0.009
# (MIC, Massive's exchange id, tape, share of listings)
LISTINGS: Final = (
    ("XNAS", 12, 3, 0.46),
    ("XNYS", 10, 1, 0.33),
    ("ARCX", 11, 2, 0.16),
    ("BATS", 19, 2, 0.03),
    ("XASE", 1, 2, 0.02),
)
MAX_SYMBOLS: Final = 20_000
# Half of all prints are odd lots, about as on the real tape.
ODD_LOT_SHARE: Final = 0.5
_NORMAL_QUANTILES: Final = np.array([NormalDist().inv_cdf((i + 0.5) / 200) for i in range(200)])
# At this rate the mean print has the size of a real one; other rates scale sizes, so that volumes stay believable.
USUAL_RATE: Final = 2_000.0
_TRADES_A_USUAL_DAY: Final = 9_800_000.0


@dataclass(frozen=True)
class Universe:
    """All symbols; the arrays have one element a symbol.

    Attributes:
        tickers: Unique, in index order.
        names: Company or fund names.
        index: Ticker to index.
        sector: Index into `names.SECTORS`.
        is_fund: Exchange-traded fund rather than common stock.
        listing: Index into `LISTINGS`.
        tape: 1 to 3, the tape of its listing.
        exchange: Massive's id of its listing exchange.
        price: Close of the day before the run, ten-thousandths of a dollar.
        activity: Share of the market's trades, sums to 1 (Zipf).
        rank: 0 for the most active symbol.
        sigma: Daily volatility of the log price.
        beta: Exposure to the market's common factor.
        half_spread: Half the usual spread, as a share of the price.
        tier_1: Belongs to the narrow limit-up-limit-down tier.
        size_factor: Size of its prints against those of a 30-dollar stock.
        shares: Shares outstanding.
        free_float: Of them in public hands.
        average_trades: Prints on an average day at the usual rate.
    """

    seed: int
    tickers: list[str]
    names: list[str]
    index: dict[str, int]
    sector: Ints
    is_fund: Bools
    listing: Ints
    tape: Ints
    exchange: Ints
    price: Ints
    activity: Floats
    rank: Ints
    sigma: Floats
    beta: Floats
    half_spread: Floats
    tier_1: Bools
    size_factor: Floats
    shares: Ints
    free_float: Ints
    average_trades: Floats

    def __len__(self) -> int:
        return len(self.tickers)

    @property
    def own_sigma(self) -> Floats:
        """Daily volatility that is a symbol's own, beside the common factor."""
        common = self.beta * MARKET_DAY_VOLATILITY
        return np.asarray(np.sqrt(np.maximum(self.sigma**2 - common**2, (0.5 * self.sigma) ** 2)))


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """A random stream that depends on the seed and the purpose's numbers alone."""
    return np.random.default_rng((seed, *purpose))


def tick_of(price: npt.NDArray[np.float64] | Ints) -> Ints:
    """The tick size at a price, both in ten-thousandths of a dollar: a cent from one dollar up."""
    tick: Ints = np.where(price >= UNIT, 100, 1).astype(np.int64)
    return tick


def to_tick(price: Floats) -> Ints:
    """Prices rounded to their tick, at least one tick."""
    tick = tick_of(price)
    rounded: Ints = np.rint(price / tick).astype(np.int64) * tick
    return np.maximum(tick, rounded)


def round_lots(rng: np.random.Generator, size_factor: Floats) -> Ints:
    """Sizes of round-lot prints in shares, for prints of these size factors."""
    lots = np.exp(rng.normal(0.35, 0.8, len(size_factor))) * size_factor
    return np.maximum(1, lots.astype(np.int64)) * 100


def odd_lots(rng: np.random.Generator, count: int) -> Ints:
    """Sizes of odd-lot prints: mostly a handful of shares."""
    return (1 + 98 * rng.random(count) ** 2).astype(np.int64)


def mean_print_size(size_factor: Floats, scale: float) -> Floats:
    """Mean of `round_lots` and `odd_lots` over prints, in shares, by symbol."""
    quantiles = np.exp(0.35 + 0.8 * _NORMAL_QUANTILES) * scale
    lots = np.maximum(1, (quantiles[None, :] * size_factor[:, None]).astype(np.int64)).mean(axis=1)
    return np.asarray(ODD_LOT_SHARE * (1 + 98 / 3) + (1 - ODD_LOT_SHARE) * 100 * lots)


def make_universe(seed: int, count: int) -> Universe:
    """The symbols of a seed; the same arguments give the same universe.

    Args:
        seed: Any integer from 0 up.
        count: Number of symbols, 1 to `MAX_SYMBOLS`.
    """
    rng = stream(seed, STREAM_UNIVERSE, count)
    tickers = make_tickers(rng, count)
    rank = rng.permutation(count)
    weight = 1.0 / (rank + 10.0)
    activity = weight / weight.sum()
    shares_of_listings = np.array([row[3] for row in LISTINGS])
    listing = rng.choice(len(LISTINGS), size=count, p=shares_of_listings / shares_of_listings.sum())
    is_fund = np.isin(listing, (2, 3))
    sector = rng.integers(0, 16, count)
    # The most active names are rarely penny stocks.
    dollars = np.exp(rng.normal(2.75, 1.35, count) + 0.9 * np.exp(-rank / 400.0))
    dollars = np.clip(dollars, 0.08, 900.0)
    dollars = np.where(is_fund, np.clip(dollars, 8.0, 600.0), dollars)
    sigma = np.clip(0.024 * np.exp(rng.normal(0.0, 0.45, count)) * (18.0 / dollars) ** 0.22, 0.006, 0.14)
    sigma = np.where(is_fund, np.clip(sigma * 0.5, 0.004, 0.03), sigma)
    size_factor = np.clip((30.0 / dollars) ** 0.5, 0.3, 8.0)
    average_trades = activity * _TRADES_A_USUAL_DAY
    turnover = np.clip(np.exp(rng.normal(np.log(0.003), 0.8, count)), 0.0003, 0.06)
    shares = np.maximum(900_000, average_trades * mean_print_size(size_factor, 1.0) / turnover).astype(np.int64)
    draws = rng.integers(0, 1_000_000, size=(count, 5)).tolist()
    names = [
        make_name(draw, kind, fund) for draw, kind, fund in zip(draws, sector.tolist(), is_fund.tolist(), strict=True)
    ]
    return Universe(
        seed=seed,
        tickers=tickers,
        names=names,
        index={ticker: i for i, ticker in enumerate(tickers)},
        sector=sector,
        is_fund=is_fund,
        listing=listing,
        tape=np.array([row[2] for row in LISTINGS])[listing],
        exchange=np.array([row[1] for row in LISTINGS])[listing],
        price=to_tick(dollars * UNIT),
        activity=activity,
        rank=rank,
        sigma=sigma,
        beta=np.clip(rng.normal(1.0, 0.35, count), 0.0, 2.2),
        half_spread=np.clip(0.00015 * (1 + rank / 40.0) ** 0.55, 0.00012, 0.006),
        tier_1=(rank < count // 8) | (is_fund & (rank < count // 3)),
        size_factor=size_factor,
        shares=shares,
        free_float=(shares * rng.uniform(0.45, 0.98, count)).astype(np.int64),
        average_trades=average_trades,
    )
