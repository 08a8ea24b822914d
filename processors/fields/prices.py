"""Who the row is, and its prices: last, bar, extremes, previous day, changes, quote."""

from typing import Final

import polars as pl

from processors.fields.field import AS_GIVEN, BARS, CLOCK, PRINTS, QUOTES, Field, col, finite, percent

_PREVIOUS: Final = "Massive grouped daily bars, adjusted for splits up to today"
_TICKER: Final = "Massive /v3/reference/tickers"
_CALENDAR: Final = "the exchange's calendar"

# Parts that know a price, best first: trades, second bars, minute bars, REST.
_BAR_PARTS: Final = ("S", "M", "D")


def _of_the(best: pl.Expr, candidates: tuple[tuple[pl.Expr, pl.Expr], ...]) -> pl.Expr:
    """The value of the first of (time, value) whose time is the best one; a candidate without a value has no time."""
    return pl.coalesce(*(pl.when(time == best).then(value) for time, value in candidates))


# On a tie of times a trade comes before a second bar, and that before a minute bar.
_LASTS: Final = (
    (col("T.last_t"), col("T.last_p")),
    *((col(f"{part}.e") - 1, col(f"{part}.close")) for part in _BAR_PARTS),
)
_price_at = pl.max_horizontal(*(time for time, _ in _LASTS))


def _first(of: str) -> pl.Expr:
    """The earliest print of the day, or of the regular session, by trades and bars."""
    candidates = (
        (col(f"T.{of}_t"), col(f"T.{of}_p")),
        *((col(f"{part}.{of}_s"), col(f"{part}.{of}_o")) for part in _BAR_PARTS),
    )
    return _of_the(pl.min_horizontal(*(time for time, _ in candidates)), candidates)


def _extreme(name: str) -> pl.Expr:
    furthest = pl.max_horizontal if name.endswith("high") else pl.min_horizontal
    return furthest(*(col(f"{part}.{name}") for part in ("T", *_BAR_PARTS)))


def _previous(name: str, short: str, unit: str) -> Field:
    return Field(
        name, f"Prev {short}", unit, f"The previous trading day's {short}.", AS_GIVEN, _PREVIOUS, col(f"R.{name}")
    )


def _bar(name: str, label: str, unit: str, description: str, column: str) -> Field:
    return Field(name, label, unit, description, "of the latest bar", BARS, col(f"B.{column}"))


_OPENED: Final = "official_open_price, else the first regular print"
_opened_at = pl.coalesce(col("official_open_price"), _first("regular"))

IDENTITY: Final = (
    Field("symbol", "Symbol", "text", "Ticker.", AS_GIVEN, "the feed", col("symbol")),
    Field("name", "Name", "text", "The company's or fund's name.", AS_GIVEN, _TICKER, col("R.name")),
    Field(
        "primary_exchange",
        "Exchange",
        "text",
        "The listing exchange's code.",
        AS_GIVEN,
        _TICKER,
        col("R.primary_exchange"),
    ),
    Field(
        "trading_day",
        "Day",
        "text",
        "The trading day (New York date) that the row belongs to.",
        "of its newest trade or bar",
        _CALENDAR,
        col("trading_day"),
    ),
    Field(
        "session",
        "Session",
        "text",
        "The market's session: pre, regular, post or closed.",
        "pre from 04:00, regular from 09:30, post from the close (16:00 or 13:00) for four hours",
        _CALENDAR,
        col("session"),
    ),
    Field(
        "complete",
        "Complete",
        "flag",
        "Whether all of the day is known.",
        "seen from its start without a gap, or filled up since",
        "the feed and REST",
        col("complete"),
    ),
    Field("clock", "Clock", "time", "The market's clock, as of which the row is.", AS_GIVEN, CLOCK, col("clock")),
)

PRICES: Final = (
    Field(
        "price",
        "Price",
        "usd",
        "Last eligible trade or bar close.",
        "by event time; on a tie trade before second bar before minute bar",
        PRINTS,
        _of_the(_price_at, _LASTS),
    ),
    Field(
        "price_at",
        "Price at",
        "time",
        "Event time of the price.",
        "of a trade its time, of a bar's close its last millisecond",
        PRINTS,
        _price_at,
    ),
    _bar("volume", "Bar volume", "shares", "Shares in the latest bar.", "volume"),
    _bar("vwap", "Bar VWAP", "usd", "Volume-weighted price of the latest bar.", "vw"),
    _bar("aggregate_vwap", "VWAP", "usd", "Volume-weighted price of the day.", "a"),
    _bar("open", "Bar open", "usd", "Open of the latest bar.", "open"),
    _bar("high", "Bar high", "usd", "High of the latest bar.", "high"),
    _bar("low", "Bar low", "usd", "Low of the latest bar.", "low"),
    _bar("close", "Bar close", "usd", "Close of the latest bar.", "close"),
    _bar("average_size", "Avg size", "shares", "Mean size of a trade in the latest bar.", "z"),
    Field(
        "official_open_price",
        "Official open",
        "usd",
        "The exchange's opening price of the day.",
        "of the latest bar that has one",
        BARS,
        pl.coalesce(*(col(f"{part}.op") for part in _BAR_PARTS)),
    ),
    _bar("start_timestamp", "Bar start", "time", "Start of the latest bar.", "s"),
    _bar("end_timestamp", "Bar end", "time", "End of the latest bar.", "e"),
    Field(
        "day_open",
        "Day open",
        "usd",
        "Open of the day's first print, pre-market included.",
        "price of the earliest eligible trade or bar open",
        PRINTS,
        _first("first"),
    ),
    *(
        Field(
            f"{session}_{side}",
            f"{session.capitalize()} {side}",
            "usd",
            f"{'Highest' if side == 'high' else 'Lowest'} eligible price of the {session} session.",
            f"{'max' if side == 'high' else 'min'} of eligible trades and bars",
            PRINTS,
            _extreme(f"{session}_{side}"),
        )
        for session in ("pre", "regular", "post")
        for side in ("high", "low")
    ),
    Field(
        "day_high",
        "Day high",
        "usd",
        "Highest eligible price of the trading day.",
        "max(pre_high, regular_high, post_high)",
        PRINTS,
        pl.max_horizontal("pre_high", "regular_high", "post_high"),
    ),
    Field(
        "day_low",
        "Day low",
        "usd",
        "Lowest eligible price of the trading day.",
        "min(pre_low, regular_low, post_low)",
        PRINTS,
        pl.min_horizontal("pre_low", "regular_low", "post_low"),
    ),
    _previous("prev_day_open", "open", "usd"),
    _previous("prev_day_high", "high", "usd"),
    _previous("prev_day_low", "low", "usd"),
    _previous("prev_day_close", "close", "usd"),
    _previous("prev_day_volume", "volume", "shares"),
    _previous("prev_day_vwap", "VWAP", "usd"),
    Field(
        "change",
        "Change",
        "usd_signed",
        "Change against the previous day's close, in dollars.",
        "price − prev_day_close",
        PRINTS,
        col("price") - col("prev_day_close"),
    ),
    Field(
        "pct_change",
        "Change %",
        "percent",
        "Change against the previous day's close.",
        "change ÷ prev_day_close",
        PRINTS,
        percent(col("price") - col("prev_day_close"), col("prev_day_close")),
    ),
    Field(
        "change_since_open",
        "From open",
        "usd_signed",
        "Change since the open, in dollars; before the open since the day's first print.",
        f"price − ({_OPENED}, else day_open)",
        PRINTS,
        col("price") - pl.coalesce(_opened_at, col("day_open")),
    ),
    Field(
        "pct_change_since_open",
        "From open %",
        "percent",
        "Change since the open, in percent of it.",
        f"change_since_open ÷ ({_OPENED}, else day_open)",
        PRINTS,
        percent(col("change_since_open"), pl.coalesce(_opened_at, col("day_open"))),
    ),
    Field(
        "gap_pct",
        "Gap %",
        "percent",
        "How far the open, and before it the price, is from the previous day's close.",
        f"(({_OPENED}, else price) − prev_day_close) ÷ prev_day_close",
        PRINTS,
        percent(pl.coalesce(_opened_at, col("price")) - col("prev_day_close"), col("prev_day_close")),
    ),
    Field(
        "vwap_distance_pct",
        "VWAP dist %",
        "percent",
        "Price against the day's VWAP.",
        "(price − aggregate_vwap) ÷ aggregate_vwap",
        PRINTS,
        percent(col("price") - col("aggregate_vwap"), col("aggregate_vwap")),
    ),
)

QUOTE: Final = (
    Field("bid", "Bid", "usd", "Best bid.", "of the newest quote", QUOTES, col("Q.bid")),
    Field("ask", "Ask", "usd", "Best offer.", "of the newest quote", QUOTES, col("Q.ask")),
    Field(
        "bid_size",
        "Bid size",
        "count",
        "Size at the best bid, as the feed gives it.",
        "of the newest quote",
        QUOTES,
        col("Q.bid_size"),
    ),
    Field(
        "ask_size",
        "Ask size",
        "count",
        "Size at the best offer, as the feed gives it.",
        "of the newest quote",
        QUOTES,
        col("Q.ask_size"),
    ),
    Field(
        "spread_pct",
        "Spread %",
        "percent_plain",
        "What crossing the spread costs.",
        "(ask − bid) ÷ ((ask + bid) ÷ 2)",
        QUOTES,
        finite((col("ask") - col("bid")) / ((col("ask") + col("bid")) / 2) * 100),
    ),
)
