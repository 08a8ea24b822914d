"""More of the boards that Tapewatch ships with. They are rows: anyone may change their thresholds."""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Few shares to trade: the float, or while it is unknown all shares that there are.
_SMALL = "price BETWEEN 1 AND 20 AND coalesce(free_float, market_cap / price) <= 50000000"
_PILLARS = "\n  + ".join(
    f"CASE WHEN {condition} THEN 1 ELSE 0 END"
    for condition in (
        "price BETWEEN 2 AND 20",
        "free_float <= 20000000",
        "pct_change >= 10",
        "coalesce(relative_volume_tod, relative_volume) >= 5",
        "news_count_24h >= 1",
    )
)
_TEN_MINUTES = 600_000
_FIVE_MINUTES = 300_000

_BOARDS: list[dict[str, Any]] = [
    {
        "slug": "top_losers",
        "name": "Top losers",
        "description": "Down most against the previous day's close: candidates for a bounce, or to stay away from.",
        "where": "pct_change < 0 AND accumulated_volume > 0",
        "order_by": "pct_change",
        "descending": False,
        "columns": ["price", "pct_change", "change", "accumulated_volume", "day_low"],
        "position": 40,
    },
    *(
        {
            "slug": f"top_trades:{window}",
            "name": f"Top trades, {window}",
            "description": f"Where most dollars changed hands in the last {words}, with the number of trades it took.",
            "where": f"notional_{window} > 0",
            "order_by": f"notional_{window}",
            "columns": ["price", f"notional_{window}", f"trades_{window}", *change, "pct_change", "spread_pct"],
            "position": position,
        }
        for window, words, change, position in (
            ("1m", "minute", ["change_1m_pct"], 50),
            ("5m", "five minutes", ["change_5m_pct"], 51),
            ("1h", "hour", [], 52),
        )
    ),
    {
        "slug": "small_cap_hod_momo",
        "name": "Small caps: high of day",
        "description": "Small caps that made a new high of their session within five minutes, up and on more volume than "
        "usual: where momentum is at this moment.",
        "where": f"{_SMALL}\n  AND new_high_at >= clock - {_FIVE_MINUTES}\n  AND pct_change >= 5 AND volume_5m >= 20000"
        "\n  AND coalesce(relative_volume_tod, relative_volume) >= 2",
        # The newest first, and among those of a minute the fastest.
        "order_by": "new_high_at + coalesce(change_5m_pct, 0)",
        "columns": [
            *("price", "pct_change", "change_5m_pct", "new_high_at", "hod_count", "volume_5m", "relative_volume_tod"),
            *("free_float", "last_news_at"),
        ],
        "position": 60,
        "tick_ms": 500,
        "alert_on": "new_high",
        "cooldown_s": 60,
        "sound": "ping",
    },
    {
        "slug": "small_cap_running_up",
        "name": "Small caps: running up",
        "description": "Small caps up 4 % or more within five minutes on volume: the moves that have just begun.",
        "where": f"{_SMALL}\n  AND change_5m_pct >= 4 AND volume_5m >= 50000",
        "order_by": "change_5m_pct",
        "columns": [
            *("price", "change_1m_pct", "change_5m_pct", "pct_change", "volume_1m", "volume_5m", "volume_spike"),
            *("free_float", "spread_pct"),
        ],
        "position": 70,
        "tick_ms": 500,
        "alert_on": "enter",
        "cooldown_s": 300,
        "sound": "chime",
    },
    {
        "slug": "small_cap_gappers",
        "name": "Small caps: gappers",
        "description": "Small caps 10 % or more above the previous day's close at the open, or before it: the morning's "
        "watchlist.",
        "where": f"{_SMALL}\n  AND gap_pct >= 10 AND accumulated_volume >= 50000",
        "order_by": "gap_pct",
        "columns": [
            *("price", "gap_pct", "pct_change", "accumulated_volume", "relative_volume_tod", "free_float"),
            *("pre_high", "last_news_at"),
        ],
        "position": 80,
    },
    {
        "slug": "small_cap_top_gainers",
        "name": "Small caps: top gainers",
        "description": "Small caps up 10 % or more on the day: the leaders that the others follow.",
        "where": f"{_SMALL}\n  AND pct_change >= 10 AND accumulated_volume >= 100000",
        "order_by": "pct_change",
        "columns": [
            *("price", "pct_change", "change_5m_pct", "accumulated_volume", "relative_volume_tod", "float_rotation"),
            *("free_float", "day_high", "last_news_at"),
        ],
        "position": 90,
    },
    {
        "slug": "small_cap_5_pillars",
        "name": "Small caps: five pillars",
        "description": "Up, and at least four of five stand: price 2 to 20 dollars, float up to 20 million, up 10 %, five times the "
        "usual volume, news within 24 hours.",
        "where": f"pct_change > 0 AND (\n  {_PILLARS}\n) >= 4",
        # How many stand, and among equals the change.
        "order_by": f"1000000 * (\n  {_PILLARS}\n) + coalesce(pct_change, 0)",
        "columns": [
            *("price", "pillars", "pct_change", "free_float", "relative_volume_tod", "relative_volume"),
            *("news_count_24h", "last_news_at", "accumulated_volume"),
        ],
        "position": 55,
        "alert_on": "enter",
        "cooldown_s": 900,
        "sound": "chime",
    },
    {
        "slug": "halts",
        "name": "Halts",
        "description": "What is halted, why, and when it is expected back, and what resumed within ten minutes.",
        "where": f"halted OR resumed_at >= clock - {_TEN_MINUTES}",
        "order_by": "CASE WHEN halted THEN halted_at ELSE resumed_at END",
        "limit": 100,
        "columns": [
            *("name", "price", "pct_change", "halted", "halt_reason", "halted_at", "resume_expected_at", "resumed_at"),
            *("luld_lower", "luld_upper", "luld_distance_pct"),
        ],
        "position": 110,
        "tick_ms": 500,
        "alert_on": "halt",
        "cooldown_s": 0,
        "sound": "bell",
    },
    {
        "slug": "resumptions",
        "name": "Resumptions",
        "description": "What trades again since at most ten minutes: the first prints after a halt move most.",
        "where": f"resumed_at >= clock - {_TEN_MINUTES} AND NOT halted",
        "order_by": "resumed_at",
        "columns": [
            "name",
            "price",
            "change_1m_pct",
            "pct_change",
            "halt_reason",
            "halted_at",
            "resumed_at",
            "volume_1m",
        ],
        "position": 111,
        "tick_ms": 500,
        "alert_on": "resume",
        "cooldown_s": 0,
        "sound": "bell",
    },
    {
        "slug": "volume_spikes",
        "name": "Volume spikes",
        "description": "Five times the volume of the minutes before, and it moves the price: somebody knows something.",
        "where": "volume_spike >= 5 AND volume_1m >= 10000 AND abs(change_1m_pct) >= 1 AND price >= 1",
        "order_by": "volume_spike",
        "columns": [
            *("price", "volume_spike", "volume_1m", "volume_5m", "change_1m_pct", "pct_change"),
            *("accumulated_volume", "relative_volume_tod"),
        ],
        "position": 120,
        "alert_on": "enter",
        "cooldown_s": 300,
    },
    {
        "slug": "vwap_crosses",
        "name": "VWAP crosses",
        "description": "Crossed the day's VWAP within five minutes, most dollars first: where buyers and sellers changed "
        "places.",
        "where": f"clock - vwap_crossed_at <= {_FIVE_MINUTES} AND accumulated_volume >= 100000 AND price >= 1",
        "order_by": "volume_5m * price",
        "columns": [
            *("price", "vwap_crossed_at", "vwap_distance_pct", "aggregate_vwap", "change_5m_pct", "volume_5m"),
            *("pct_change", "relative_volume_tod"),
        ],
        "position": 130,
    },
]


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    scanner = apps.get_model("control", "Scanner")
    for board in _BOARDS:
        scanner.objects.get_or_create(slug=board["slug"], defaults=board)


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    scanner = apps.get_model("control", "Scanner")
    scanner.objects.filter(slug__in=[board["slug"] for board in _BOARDS], owner__isnull=True).delete()


class Migration(migrations.Migration):
    dependencies = [("control", "0007_alerts_and_backtests")]
    operations = [migrations.RunPython(add, remove)]
