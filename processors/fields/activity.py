"""How much is traded, and what moved lately: volumes, trailing windows, new highs and lows."""

from typing import Final

import polars as pl

from processors.fields.field import AS_GIVEN, TRADES, WINDOWED, Field, col, percent, ratio

_AVERAGE: Final = "Massive grouped daily bars of 30 sessions, else /stocks/financials/v1/ratios"
_FLOAT: Final = "Massive /stocks/vX/float"
_RATIOS: Final = "Massive /stocks/financials/v1/ratios, else /v3/reference/tickers"
_PROFILE: Final = "the system's own minute bars of the last 10 recorded days"
_MINUTE_BARS: Final = "minute bars of A, else AM, else T, merged with REST"
_BUCKETS: Final = "five-second buckets"

_TRADE_WINDOWS: Final = (
    ("1m", "1 min", "minute", f"12 {_BUCKETS}"),
    ("5m", "5 min", "5 minutes", f"60 {_BUCKETS}"),
    ("1h", "1 hour", "hour", "60 minutes"),
)


def _last(minutes: int) -> str:
    return "minute" if minutes == 1 else f"{minutes} minutes"


VOLUMES: Final = (
    Field(
        "accumulated_volume",
        "Volume",
        "shares",
        "Shares traded today.",
        "the greatest that a second bar gave, else a minute bar, else the sum of eligible trades; at least REST's",
        "A bars, else AM, else T; REST",
        pl.max_horizontal(
            pl.coalesce(col("S.accumulated"), col("M.accumulated"), col("T.volume")), col("D.accumulated")
        ),
    ),
    Field(
        "avg_volume",
        "Avg volume",
        "shares",
        "Mean volume of a day.",
        "mean of the last 30 complete sessions in which the symbol traded, adjusted for splits",
        _AVERAGE,
        col("R.avg_volume"),
    ),
    Field(
        "free_float",
        "Float",
        "shares",
        "Shares that can be traded.",
        "as given, adjusted for splits since its date",
        _FLOAT,
        col("R.free_float"),
    ),
    Field("market_cap", "Market cap", "notional", "The company's value.", AS_GIVEN, _RATIOS, col("R.market_cap")),
    Field(
        "relative_volume",
        "Rel volume",
        "ratio",
        "Volume of today against a whole mean day.",
        "accumulated_volume ÷ avg_volume",
        _AVERAGE,
        ratio(col("accumulated_volume"), col("avg_volume")),
    ),
    Field(
        "relative_volume_tod",
        "Rel volume now",
        "ratio",
        "Volume of today against what is usual up to this minute of the day.",
        "accumulated_volume ÷ mean accumulated volume up to and including this minute of the recorded days",
        _PROFILE,
        ratio(col("accumulated_volume"), col("P.usual")),
    ),
    Field(
        "float_rotation",
        "Rotation",
        "ratio",
        "How often the float has changed hands today.",
        "accumulated_volume ÷ free_float",
        _FLOAT,
        ratio(col("accumulated_volume"), col("free_float")),
    ),
)

WINDOWS: Final = (
    *(
        Field(
            f"change_{minutes}m_pct",
            f"{minutes} min %",
            "percent",
            f"Change over the last {_last(minutes)}.",
            f"price against the close of the newest bar of today that is {minutes * 12} {_BUCKETS} old or older",
            WINDOWED,
            percent(col("price") - col(f"W.close_{minutes}m"), col(f"W.close_{minutes}m")),
        )
        for minutes in (1, 5, 15)
    ),
    *(
        Field(
            f"volume_{minutes}m",
            f"Volume {minutes} min",
            "shares",
            f"Shares in the last {_last(minutes)}.",
            f"sum of the bars in {minutes * 12} {_BUCKETS} up to the market's clock",
            WINDOWED,
            col(f"W.volume_{minutes}m"),
        )
        for minutes in (1, 5)
    ),
    Field(
        "volume_spike",
        "Spike",
        "ratio",
        "The last minute's volume against the five minutes before it.",
        "volume_1m ÷ mean minute of the five before",
        WINDOWED,
        ratio(col("W.volume_1m"), col("W.volume_before")),
    ),
    *(
        Field(
            f"trades_{window}",
            f"Trades {short}",
            "count",
            f"Trades in the last {words}.",
            f"count of trades that update volume, by {buckets} up to the market's clock",
            TRADES,
            col(f"A.trades_{window}"),
        )
        for window, short, words, buckets in _TRADE_WINDOWS
    ),
    *(
        Field(
            f"notional_{window}",
            f"Notional {short}",
            "notional",
            f"Dollars traded in the last {words}.",
            f"sum of price × size of trades that update volume, by {buckets} up to the market's clock",
            TRADES,
            col(f"A.notional_{window}"),
        )
        for window, short, words, buckets in _TRADE_WINDOWS
    ),
)

EXTREMES: Final = (
    *(
        Field(
            f"{short}_count",
            f"{short.upper()}s",
            "count",
            f"How often the regular session made a new {side}.",
            f"minutes of the regular session whose {side} is {beyond} every earlier one's, the first not counted",
            _MINUTE_BARS,
            col(f"W.{short}_count"),
        )
        for short, side, beyond in (("hod", "high", "above"), ("lod", "low", "below"))
    ),
    *(
        Field(
            f"{short}_at",
            f"{short.upper()} at",
            "time",
            f"When the regular session last made a new {side}.",
            f"start of the last minute counted by {short}_count",
            _MINUTE_BARS,
            col(f"W.{short}_at"),
        )
        for short, side in (("hod", "high"), ("lod", "low"))
    ),
    *(
        Field(
            f"new_{side}_at",
            f"New {side} at",
            "time",
            f"When a session last made a new {side}, pre, regular and post each by themselves.",
            f"start of the last minute whose {side} is {beyond} every earlier one's of its session",
            _MINUTE_BARS,
            col(f"W.new_{side}_at"),
        )
        for side, beyond in (("high", "above"), ("low", "below"))
    ),
    Field(
        "vwap_crossed_at",
        "VWAP cross at",
        "time",
        "When the price last changed sides of the day's VWAP.",
        "end of the last ended minute whose close is on another side of the day's VWAP than the close before it",
        _MINUTE_BARS,
        col("W.vwap_crossed_at"),
    ),
)
